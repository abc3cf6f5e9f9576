//! Service addresses: which pod ports a client's flow stands for.

use super::check;

#[test]
fn a_service_is_translated_as_of_then() {
    check(
        "numeric target, by selector",
        "service s 10.9.0.1 80 8080 app=api
         client a web 10.1.0.1 10.9.0.1 80
         = web>api:8080/TCP client x3 via s",
    );
    check(
        "named target, by selector",
        "service s 10.9.0.1 80 http app=api
         client a web 10.1.0.1 10.9.0.1 80
         = web>api:8080/TCP client x3 via s",
    );
    check(
        "by slice, and the server's flow takes it in",
        "service s 10.9.0.1 80 http app=api
         slice s 9090 10.2.0.2
         client a web 10.1.0.1 10.9.0.1 80
         server b api 10.2.0.2 10.1.0.1 9090
         = web>api:9090/TCP both x3 via s",
    );
    check(
        "of two backends, the one that witnessed it",
        "service s 10.9.0.1 80 80
         slice s 80 10.2.0.2 10.2.0.3
         client a web 10.1.0.1 10.9.0.1 80
         server b db 10.2.0.3 10.1.0.1 80
         = web>db:80/TCP both x3 via s",
    );
    check(
        "of two backends without a witness, both",
        "service s 10.9.0.1 80 80
         slice s 80 10.2.0.2 10.2.0.3
         client a web 10.1.0.1 10.9.0.1 80
         = web>api:80/TCP client x3 via s
         = web>db:80/TCP client x3 via s",
    );
    check(
        "a witness of another Service's backend is none",
        "service s 10.9.0.1 80 80 app=api
         service t 10.9.0.2 80 80 app=db
         client a web 10.1.0.1 10.9.0.1 80
         client a web 10.1.0.1 10.9.0.2 80
         server b api 10.2.0.2 10.1.0.1 80
         = web>api:80/TCP both x3 via s
         = web>db:80/TCP client x3 via t",
    );
}

#[test]
fn a_service_leads_where_its_endpoints_of_that_time_are() {
    check(
        "the backends changed: each flow by the slice of its time",
        "service s 10.9.0.1 80 80
         slice s 80 10.2.0.2 -20
         slice s 80 10.2.0.3 21-
         client a web 10.1.0.1 10.9.0.1 80 5-10
         client b db 10.2.0.3 10.9.0.1 80 5-10
         client b api 10.2.0.2 10.9.0.1 80 30-40
         = api>db:80/TCP client x3 via s
         = db>api:80/TCP client x3 via s
         = web>api:80/TCP client x3 via s",
    );
    check(
        "endpoints by hand: a machine outside, and a node",
        "service s 10.9.0.1 443 6443
         slice s 6443 10.0.0.1 192.0.2.7
         client a web 10.1.0.1 10.9.0.1 443
         = web>node:a:6443/TCP client x3 via s
         = web>out:192.0.2.7:6443/TCP client x3 via s",
    );
    check(
        "no backend is known; a port that it does not have",
        "service s 10.9.0.1 80 8080 app=nobody
         client a web 10.1.0.1 10.9.0.1 80
         client a web 10.1.0.1 10.9.0.1 81
         = web>service:s:81/TCP client x3
         = web>service:s:8080/TCP client x3",
    );
    check(
        "a node port leads to the Service",
        "service s 10.9.0.1 80 8080 app=api node=30080
         client a web 10.1.0.1 10.0.0.2 30080
         client a web 10.1.0.1 10.0.0.2 30081
         = web>api:8080/TCP client x3 via s by b:30080 x3 hides
         = web>node:b:30081/TCP client x3",
    );
    check(
        "the node that was dialled is kept beside the pods, by each of its ports, and adds nothing where the server tells",
        "service s 10.9.0.1 80 8080 app=api node=30080
         client a web 10.1.0.1 10.0.0.2 30080
         client a web 10.1.0.1 10.0.0.1 30080
         client a web 10.1.0.1 10.9.0.1 80
         server b api 10.2.0.2 10.0.0.2 8080
         = web>api:8080/TCP client x9 via s by a:30080 x3 hides by b:30080 x3 hides
         = node:b>api:8080/TCP server x3",
    );
}

#[test]
fn a_services_address_that_passed_to_another_is_not_guessed() {
    let two = "service s 10.9.0.1 80 8080 app=api 0-20
               service t 10.9.0.1 80 5432 app=db 21-
               ";
    check(
        "before, and after",
        &format!(
            "{two}client a web 10.1.0.1 10.9.0.1 80 5-10
             client b api 10.2.0.2 10.9.0.1 80 30-40
             = api>db:5432/TCP client x3 via t
             = web>api:8080/TCP client x3 via s"
        ),
    );
    check(
        "across, and nobody says so",
        &format!(
            "{two}client a web 10.1.0.1 10.9.0.1 80 10-30
             = web>unknown:10.9.0.1(address_changed_hands):80/TCP client x3"
        ),
    );
    check(
        "across, and a server says so",
        &format!(
            "{two}client a web 10.1.0.1 10.9.0.1 80 10-30
             server b db 10.2.0.3 10.1.0.1 5432 25-30
             = web>db:5432/TCP both x3 via t"
        ),
    );
}

#[test]
fn a_services_address_is_nobodys_outside() {
    check(
        "as the source of what a server saw",
        "service s 10.9.0.1 80 8080 app=api
         server b api 10.2.0.2 10.9.0.1 8080
         = unknown:10.9.0.1(no_known_pod_or_node_held_this_address_then)>api:8080/TCP server x3",
    );
}
