//! Addresses that change hands: who gets a flow, and who must not.

use super::check;

#[test]
fn an_address_that_changed_hands_needs_a_witness() {
    let reuse = "pod old 10.2.0.9 b 0-20
                 pod new 10.2.0.9 b 21-
                 ";
    let case = |lines: &str| format!("{reuse}{lines}");
    check(
        "before, and after",
        &case(
            "client a web 10.1.0.1 10.2.0.9 80 5-10
             client a web 10.1.0.1 10.2.0.9 81 30-40
             = web>new:81/TCP client x3
             = web>old:80/TCP client x3",
        ),
    );
    check(
        "across, and nobody says so",
        &case(
            "client a web 10.1.0.1 10.2.0.9 80 10-30
             = web>unknown:10.2.0.9(address_changed_hands):80/TCP client x3",
        ),
    );
    check(
        "across, and one's own end says so",
        &case(
            "client a web 10.1.0.1 10.2.0.9 80 10-30
             server b new 10.2.0.9 10.1.0.1 80 25-30
             = web>new:80/TCP both x3",
        ),
    );
    check(
        "another port, and another client, are no witness",
        &case(
            "client a web 10.1.0.1 10.2.0.9 80 10-30
             server b new 10.2.0.9 10.1.0.1 81 25-30
             server b new 10.2.0.9 10.2.0.2 80 25-30
             = api>new:80/TCP server x3
             = web>new:81/TCP server x3
             = web>unknown:10.2.0.9(address_changed_hands):80/TCP client x3",
        ),
    );
    check(
        "the server sees the address, the client's end came through a Service",
        &case(
            "service s 10.9.0.1 80 8080 app=api
             server b api 10.2.0.2 10.2.0.9 8080 10-30
             client b old 10.2.0.9 10.9.0.1 80 10-15
             = old>api:8080/TCP both x3 via s",
        ),
    );
}

#[test]
fn the_end_of_a_hold_is_stated_or_the_next_one_s_begin() {
    check(
        "an absent end gives way to the next holder",
        "pod old 10.2.0.9 b 0-
         pod new 10.2.0.9 b 21-
         client a web 10.1.0.1 10.2.0.9 80 30-40
         = web>new:80/TCP client x3",
    );
    check(
        "a stated end beats an absent one of the same UID",
        "pod old 10.2.0.9 b 0-
         pod old 10.2.0.9 b 0-20
         client a web 10.1.0.1 10.2.0.9 80 30-40
         = web>unknown:10.2.0.9(no_known_pod_or_node_held_this_address_then):80/TCP client x3",
    );
    check(
        "two pods of one workload are one answer",
        "pod twin 10.2.0.9 b 0-20
         pod twin 10.2.0.9 b 21-
         client a web 10.1.0.1 10.2.0.9 80 10-30
         = web>twin:80/TCP client x3",
    );
}

#[test]
fn a_sidecar_does_not_hide_who_held_the_address() {
    check(
        "the server sees the sidecar's port alone",
        "pod old 10.2.0.9 b 0-20
         pod new 10.2.0.9 b 21-
         server a web 10.1.0.1 10.2.0.9 15006 10-30
         client b new 10.2.0.9 10.1.0.1 8080 25-30
         = new>web:8080/TCP both x3",
    );
    check(
        "the client sees the true port, the server the sidecar's",
        "pod old 10.2.0.9 b 0-20
         pod new 10.2.0.9 b 21-
         client a web 10.1.0.1 10.2.0.9 80 10-30
         server b new 10.2.0.9 10.1.0.1 15006 25-30
         = web>new:80/TCP both x3",
    );
}

#[test]
fn nobody_is_the_peer_of_a_flow_that_began_before_the_address_was_theirs() {
    check(
        "the earlier holder's node is gone: only the later holder is known",
        "pod new 10.2.0.9 b 20-
         client a web 10.1.0.1 10.2.0.9 80 10-15
         client a web 10.1.0.1 10.2.0.9 81 10-30
         client a web 10.1.0.1 10.2.0.9 82 20-30
         = web>new:82/TCP client x3
         = web>unknown:10.2.0.9(address_changed_hands):81/TCP client x3
         = web>unknown:10.2.0.9(no_known_pod_or_node_held_this_address_then):80/TCP client x3",
    );
    check(
        "its own end says that it was",
        "pod new 10.2.0.9 b 20-
         client a web 10.1.0.1 10.2.0.9 81 10-30
         server b new 10.2.0.9 10.1.0.1 81 21-30
         = web>new:81/TCP both x3",
    );
    check(
        "what does not say when it began is taken from the window's start",
        "pod old 10.2.0.9 b
         client a web 10.1.0.1 10.2.0.9 81 10-30
         = web>old:81/TCP client x3",
    );
    check(
        "a client whose address was another's before",
        "pod new 10.2.0.9 b 20-
         server b api 10.2.0.2 10.2.0.9 8080 10-30
         = unknown:10.2.0.9(address_changed_hands)>api:8080/TCP server x3",
    );
}
