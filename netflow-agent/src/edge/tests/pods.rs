//! Pods of every kind: with two addresses, never ready, evicted, relabelled, on the host's network, gone at once.

use super::{check, joined, line, read};
use crate::identity::Inventory;
use crate::time::Window;

#[test]
fn every_address_of_a_pod_is_the_pods() {
    check(
        "two families",
        "pod dual 10.2.0.9,fd00::9 b
         client a web 10.1.0.1 10.2.0.9 80
         client a web fd00::1 fd00::9 81
         server b dual fd00::9 fd00::77 82
         = web>dual:80/TCP client x3
         = web>dual:81/TCP client x3
         = out:fd00::77>dual:82/TCP server x3",
    );
}

#[test]
fn readiness_is_no_matter_for_who_somebody_is() {
    check(
        "never ready, and it calls and is called",
        "pod slow 10.2.0.9 b unready
         client b slow 10.2.0.9 10.2.0.2 80
         client a web 10.1.0.1 10.2.0.9 81
         = slow>api:80/TCP client x3
         = web>slow:81/TCP client x3",
    );
}

#[test]
fn an_evicted_pod_keeps_its_address_until_the_next_holder() {
    check(
        "the API does not say when its containers ended",
        "pod full 10.2.0.9 b 0- evicted
         pod next 10.2.0.9 b 30-
         client a web 10.1.0.1 10.2.0.9 80 5-10
         client a web 10.1.0.1 10.2.0.9 81 35-40
         = web>full:80/TCP client x3
         = web>next:81/TCP client x3",
    );
}

#[test]
fn a_pod_on_the_hosts_network_is_its_node() {
    check(
        "and holds no address of its own",
        "pod agent 10.0.0.1 a host
         client a agent 10.0.0.1 10.2.0.2 80
         client b api 10.2.0.2 10.0.0.1 9100
         = api>node:a:9100/TCP client x3
         = node:a>api:80/TCP client x3",
    );
}

/// Drains are seconds apart: what it said lies within the second that it lived.
#[test]
fn a_pod_that_was_there_for_a_moment_has_what_it_said() {
    check(
        "one minute stands for it",
        "pod blink 10.2.0.9 b 10-11
         pod next 10.2.0.9 b 12-
         client b - 10.2.0.9 10.2.0.2 80 10-11
         client b - 10.2.0.9 10.2.0.3 81 12-13
         = blink>api:80/TCP client x3
         = next>db:81/TCP client x3",
    );
}

/// One workload before and after, and both sets of labels are known: policies choose by those that last.
#[test]
fn labels_that_change_make_no_second_pod() {
    check(
        "relabelled in the middle of a flow",
        "pod turn 10.2.0.9 b 0-20
         pod turn 10.2.0.9 b 20- app=other
         client a web 10.1.0.1 10.2.0.9 80 10-30
         = web>turn:80/TCP client x3",
    );
    let mut text = String::new();
    line(&mut text, "pod turn 10.2.0.9 b 0-20");
    line(&mut text, "pod turn 10.2.0.9 b 20- app=other");
    let recording = read(&text);
    let inventory = Inventory::of(&recording.objects, Window::ALL);
    let [pod] = &inventory.pods[..] else { panic!("{:?}", inventory.pods) };
    let app = |pod: &crate::manifest::Pod| pod.meta.labels.get("app").map(ToString::to_string);
    assert_eq!(app(pod.pod).as_deref(), Some("other"));
    assert_eq!(pod.earlier.iter().map(|pod| app(pod)).collect::<Vec<_>>(), [Some("turn".to_owned())]);
    assert!(joined(&recording).edges.is_empty());
}
