//! Owners of pods, and histories of objects, as tables.

use super::history::{Span, Stated, settle};
use super::owner::Owners;
use super::*;
use crate::manifest::{self, Object, Pod, Words, Workload};
use crate::recording::Observed;
use crate::time::{Time, Window};

fn object(json: &str) -> Object {
    manifest::object(json, &mut Words::default()).expect("an object")
}

/// A pod whose controller is `api/kind/name`, with labels `key=value`.
fn pod(owner: &str, labels: &str, created: &str) -> Pod {
    let owner = match owner.rsplitn(3, '/').collect::<Vec<_>>().as_slice() {
        [name, kind, api] => {
            let reference = format!(r#""apiVersion":"{api}","kind":"{kind}","name":"{name}","uid":"o""#);
            format!(r#","ownerReferences":[{{{reference},"controller":true}}]"#)
        }
        _ => String::new(),
    };
    let labels: Vec<String> = labels
        .split_whitespace()
        .filter_map(|label| label.split_once('='))
        .map(|(key, value)| format!(r#""{key}":"{value}""#))
        .collect();
    let json = format!(
        r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"namespace":"n","name":"p","creationTimestamp":"{created}","labels":{{{}}}{owner}}}}}"#,
        labels.join(",")
    );
    match object(&json) {
        Object::Pod(pod) => pod,
        other => panic!("{other:?}"),
    }
}

fn workload(json: &str) -> Workload {
    match object(json) {
        Object::Workload(workload) => workload,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_pod_belongs_to_the_topmost_known_owner() {
    let known = [
        workload(
            r#"{"apiVersion":"apps/v1","kind":"ReplicaSet","metadata":{"namespace":"n","name":"web-1","ownerReferences":[{"apiVersion":"apps/v1","kind":"Deployment","name":"web","uid":"d","controller":true}]}}"#,
        ),
        workload(
            r#"{"apiVersion":"apps/v1","kind":"ReplicaSet","metadata":{"namespace":"n","name":"alone"}}"#,
        ),
        workload(
            r#"{"apiVersion":"batch/v1","kind":"Job","metadata":{"namespace":"n","name":"j-7","ownerReferences":[{"apiVersion":"batch/v1","kind":"CronJob","name":"nightly","uid":"c","controller":true}]}}"#,
        ),
    ];
    // 29,400,000 minutes after the epoch; as minutes, 20251124 would be 2008.
    let due = "2025-11-24T16:00:05Z";
    for (owner, labels, created, expected) in [
        ("", "", due, "Pod/p"),
        ("apps/v1/ReplicaSet/web-1", "", due, "Deployment/web"),
        ("apps/v1/ReplicaSet/alone", "pod-template-hash=lone", due, "ReplicaSet/alone"),
        ("apps/v1/ReplicaSet/api-5d9", "pod-template-hash=5d9", due, "Deployment/api"),
        ("apps/v1/ReplicaSet/api-5d9", "pod-template-hash=other", due, "ReplicaSet/api-5d9"),
        ("apps/v1/ReplicaSet/api-5d9", "", due, "ReplicaSet/api-5d9"),
        ("apps/v1/ReplicaSet/-5d9", "pod-template-hash=5d9", due, "ReplicaSet/-5d9"),
        ("apps/v1/ReplicaSet/shop-6f", "rollouts-pod-template-hash=6f", due, "Rollout/shop"),
        ("apps/v1/StatefulSet/db", "", due, "StatefulSet/db"),
        ("apps/v1/DaemonSet/ds", "", due, "DaemonSet/ds"),
        ("v1/ReplicationController/rc", "", due, "ReplicationController/rc"),
        ("batch/v1/Job/j-7", "", due, "CronJob/nightly"),
        ("batch/v1/Job/report-29400000", "", due, "CronJob/report"),
        ("batch/v1/Job/-29400000", "", due, "Job/-29400000"),
        ("batch/v1/Job/import-20251124", "", due, "Job/import-20251124"),
        ("batch/v1/Job/build-294000001", "", due, "Job/build-294000001"),
        ("batch/v1/Job/once-7", "", due, "Job/once-7"),
        ("v1/Node/node-a", "", due, "Pod/p"),
        ("postgres.example.com/v1/Cluster/pg", "", due, "Cluster/pg"),
        ("example.com/v1/Deployment/fake", "", due, "Deployment/fake"),
    ] {
        let name = Owners::of(known.iter()).workload(&pod(owner, labels, created));
        assert_eq!(format!("{}/{}", name.kind.as_str(), name.name), expected, "{owner} {labels}");
    }
    let foreign = Owners::of(known.iter()).workload(&pod("example.com/v1/Deployment/fake", "", due));
    assert_eq!(foreign.kind, WorkloadKind::Other("Deployment".into()), "a kind of another group");
}

/// `FROM-TO=VERSION` for each statement, in seconds; out come spans, `*` for one without a stated end.
fn settled(statements: &str) -> String {
    let number = |text: &str| text.parse().ok().map(Time::from_seconds);
    let parsed: Vec<(Stated, &str)> = statements
        .split_whitespace()
        .filter_map(|one| one.split_once('='))
        .filter_map(|(span, version)| span.split_once('-').map(|span| (span, version)))
        .map(|((from, to), version)| (Stated { from: number(from), to: number(to) }, version))
        .collect();
    let stated: Vec<Stated> = parsed.iter().map(|(stated, _)| *stated).collect();
    let window = Window { from: Time::from_seconds(0), to: Time::from_seconds(100) };
    let show = |span: &Span| {
        let to = if span.open { "*".to_owned() } else { (span.to.milliseconds()).to_string() };
        format!("{}-{to}", span.from.milliseconds())
    };
    let spans = settle(&stated, window, |one, other| parsed[one].1 == parsed[other].1);
    spans.iter().map(show).collect::<Vec<_>>().join(" ")
}

#[test]
fn one_object_has_one_history() {
    for (statements, expected) in [
        ("10-20=a", "10000-20000"),
        ("10-=a", "10000-*"),
        ("-=a", "0-*"),
        // A stated end beats an absent one.
        ("10-=a 10-20=a", "10000-20000 10000-20000"),
        ("-=a 10-20=a", "0-20000 10000-20000"),
        // A version ends where the next, other one begins; one that says the same ends nothing.
        ("10-=a 30-=b", "10000-29999 30000-*"),
        ("10-=a 30-=a", "10000-* 30000-*"),
        // What began after a stated end is not ended by it.
        ("10-20=a 20-=b", "10000-20000 20000-*"),
    ] {
        assert_eq!(settled(statements), expected, "{statements}");
    }
}

#[test]
fn classes_of_addresses() {
    for (ip, expected) in [
        ("10.0.0.1", Class::Unicast),
        ("169.254.20.10", Class::Unicast),
        ("169.254.169.254", Class::Unicast),
        ("127.0.0.53", Class::Loopback),
        ("::1", Class::Loopback),
        ("0.0.0.0", Class::Unspecified),
        ("::", Class::Unspecified),
        ("224.0.0.251", Class::Multicast),
        ("ff02::fb", Class::Multicast),
        ("255.255.255.255", Class::Broadcast),
        ("fe80::1", Class::LinkLocal),
        ("fd00::1", Class::Unicast),
    ] {
        assert_eq!(class(ip.parse().expect("an address")), expected, "{ip}");
    }
}

/// The API tells of the node since ever, its agent of the gateway since it knew its own address.
#[test]
fn a_gateway_was_the_nodes_before_anybody_could_tell() {
    let node = |from: Option<i64>, gateways: &[&str]| Observed {
        from: from.map(Time::from_seconds),
        to: None,
        gateways: gateways.iter().map(|ip| ip.parse().expect("an address")).collect(),
        object: object(r#"{"apiVersion":"v1","kind":"Node","metadata":{"name":"a","uid":"a"}}"#).into(),
    };
    let objects = [node(None, &[]), node(Some(50), &["10.1.0.1"])];
    let inventory =
        Inventory::of(&objects, Window { from: Time::from_seconds(0), to: Time::from_seconds(100) });
    let lookup = Lookup::of(&inventory);
    let gateway = "10.1.0.1".parse().expect("an address");
    for seconds in [10, 60] {
        let at = Time::from_seconds(seconds);
        let holders: Vec<_> = lookup.holds(gateway, at, at).map(|hold| hold.holder).collect();
        assert_eq!(holders, [Holder::Node(0)], "after {seconds} s");
    }
}

/// The kubelet says when a pod started in whole seconds, cut off: before the API told that it was there at all.
#[test]
fn a_version_without_an_address_ends_no_hold_of_one() {
    let pod = |from: i64, to: Option<i64>, status: &str| {
        Observed {
        from: Some(Time::from_milliseconds(from)),
        to: to.map(Time::from_milliseconds),
        gateways: Vec::new(),
        object: object(&format!(
            r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"namespace":"n","name":"p","uid":"p"}},"status":{{{status}}}}}"#
        ))
        .into(),
    }
    };
    let running = r#""phase":"Running","podIPs":[{"ip":"10.1.0.9"}]"#;
    let address = "10.1.0.9".parse().expect("an address");
    for (pending, to) in
        [(36_465, Some(36_465)), (36_465, None), (36_000, Some(36_900)), (30_000, Some(36_000))]
    {
        let objects = [pod(pending, to, r#""phase":"Pending""#), pod(36_000, None, running)];
        let window = Window { from: Time::from_seconds(0), to: Time::from_seconds(100) };
        let inventory = Inventory::of(&objects, window);
        let lookup = Lookup::of(&inventory);
        for at in [36_000, 36_500, 99_000].map(Time::from_milliseconds) {
            assert_eq!(lookup.holds(address, at, at).count(), 1, "pending from {pending} to {to:?}, at {at}");
        }
        assert_eq!(inventory.pods[0].pod.ips, [address], "as last seen: pending from {pending} to {to:?}");
    }
}
