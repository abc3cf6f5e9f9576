//! Classes and unused rules on a cluster of three pods.

use std::io::Write as _;
use std::sync::Arc;

use super::*;
use crate::edge::join;
use crate::evaluate::Snapshot;
use crate::manifest::NetworkPolicy;
use crate::recording::{Reader, Recording};
use crate::time::Window;

fn line(text: &mut Vec<u8>, pod: &str, ip: &str, remote: &str, port: u16, outcome: &str) {
    writeln!(
        text,
        r#"{{"kind":"flow","node":"a","hour":"2026-11-20T10:00:00Z","side":"client","pod":"{pod}","local":"{ip}","remote":"{remote}","port":{port},"protocol":"TCP","outcome":"{outcome}","basis":"observed","connections":3,"first":"2026-11-20T10:01:00Z","last":"2026-11-20T10:02:00Z"}}"#
    )
    .expect("a vector takes all");
}

fn recording(policies: &[&str]) -> Recording {
    let mut text = Vec::new();
    for (name, ip) in [("web", "10.1.0.1"), ("api", "10.1.0.2"), ("db", "10.1.0.3")] {
        writeln!(
            text,
            r#"{{"kind":"object","object":{{"apiVersion":"v1","kind":"Pod","metadata":{{"namespace":"shop","name":"{name}","uid":"{name}","labels":{{"app":"{name}"}}}},"status":{{"podIP":"{ip}"}}}}}}"#
        )
        .expect("a vector takes all");
    }
    for policy in policies {
        writeln!(text, r#"{{"kind":"object","object":{policy}}}"#).expect("a vector takes all");
    }
    line(&mut text, "web", "10.1.0.1", "10.1.0.2", 8080, "established");
    line(&mut text, "api", "10.1.0.2", "10.1.0.3", 5432, "established");
    line(&mut text, "web", "10.1.0.1", "10.1.0.3", 5432, "timeout");
    line(&mut text, "web", "10.1.0.1", "10.1.0.9", 1, "established");
    let mut reader = Reader::default();
    reader.read("test", &mut text.as_slice()).expect("a recording");
    reader.finish().0
}

const DENY: &str = r#"{"apiVersion":"networking.k8s.io/v1","kind":"NetworkPolicy","metadata":{"namespace":"shop","name":"deny"},"spec":{"podSelector":{"matchLabels":{"app":"db"}},"policyTypes":["Ingress"]}}"#;
const TO_DB: &str = r#"{"apiVersion":"networking.k8s.io/v1","kind":"NetworkPolicy","metadata":{"namespace":"shop","name":"to-db"},"spec":{"podSelector":{"matchLabels":{"app":"db"}},"policyTypes":["Ingress"],"ingress":[{"from":[{"podSelector":{"matchLabels":{"app":"web"}}},{"podSelector":{"matchLabels":{"app":"nobody"}}}],"ports":[{"port":5432},{"port":9}]},{"ports":[{"port":1}]}]}}"#;

fn policy(text: &str) -> NetworkPolicy {
    let object = crate::manifest::object(text, &mut crate::manifest::Words::default());
    match object.expect("a policy") {
        Object::NetworkPolicy(policy) => policy,
        other => panic!("{other:?}"),
    }
}

/// `source>destination:port=class` for everything that has a class.
fn classes(live: &[&str], candidate: &[&str], withheld: &dyn Fn(&EdgeKey) -> bool) -> String {
    let recording = recording(live);
    let inventory = Inventory::of(&recording.objects, Window::ALL);
    let joined = join(&recording, &inventory, Window::ALL);
    let objects = objects(&inventory);
    let snapshot = Arc::new(Snapshot::new(&objects));
    let compile = |texts: &[&str]| {
        Cluster::compile(Arc::clone(&snapshot), texts.iter().map(|text| policy(text)).collect::<Vec<_>>())
    };
    let (live, candidate) = (compile(live), compile(candidate));
    let replayed = replay(&joined, &candidate, Some(&live), withheld);
    let edges = replayed.edges.iter().map(|(edge, class)| (&edge.key, *class));
    let attempts = replayed.attempts.iter().map(|(attempt, class)| (&attempt.key, *class));
    let name = |end: &Endpoint| match end {
        Endpoint::Workload(one) => one.name.to_string(),
        Endpoint::External(ip) => ip.to_string(),
        other => format!("{other:?}"),
    };
    let text = |(key, class): (&EdgeKey, Class)| {
        format!("{}>{}:{}={}", name(&key.source), name(&key.destination), key.port, class.as_str())
    };
    edges.chain(attempts).map(text).collect::<Vec<_>>().join(" ")
}

#[test]
fn each_class_has_its_case() {
    let no = |_: &EdgeKey| false;
    assert_eq!(classes(&[], &[DENY], &no), "api>db:5432=denied web>api:8080=allowed web>10.1.0.9:1=allowed");
    assert_eq!(
        classes(&[], &[DENY], &|key| key.port == 5432),
        "api>db:5432=withheld web>api:8080=allowed web>10.1.0.9:1=allowed"
    );
    assert_eq!(
        classes(&[DENY], &[TO_DB], &no),
        "api>db:5432=denied web>api:8080=allowed web>10.1.0.9:1=allowed web>db:5432=newly_allowed"
    );
    // Nothing denied it before: the attempt had another reason.
    assert!(!classes(&[], &[TO_DB], &no).contains("newly"));
}

#[test]
fn unused_names_the_smallest_part_that_nothing_used() {
    let recording = recording(&[]);
    let inventory = Inventory::of(&recording.objects, Window::ALL);
    let objects = objects(&inventory);
    let snapshot = Arc::new(Snapshot::new(&objects));
    let candidate = Cluster::compile(snapshot, vec![policy(&TO_DB.replace("\"web\"", "\"api\""))]);
    let joined = join(&recording, &inventory, Window::ALL);
    let direction = Direction::Ingress;
    let expected = vec![
        Unused::Peer { policy: 0, direction, rule: 0, peer: 1 },
        Unused::Port { policy: 0, direction, rule: 0, port: 1 },
        Unused::Rule { policy: 0, direction, rule: 1 },
    ];
    assert_eq!(unused(&candidate, &joined.edges), expected);
}

#[test]
fn a_denied_edge_names_the_policies_that_isolate_it() {
    let recording = recording(&[]);
    let inventory = Inventory::of(&recording.objects, Window::ALL);
    let objects = objects(&inventory);
    let candidate = Cluster::compile(Arc::new(Snapshot::new(&objects)), vec![policy(DENY)]);
    let joined = join(&recording, &inventory, Window::ALL);
    let blamed = blame(&candidate, &joined.edges[0]);
    assert_eq!(blamed, [(None, BTreeSet::from([(Direction::Ingress, 0)]))]);
}

/// The pod `web` dials port 30080 of node b, which leads to `api`.
fn by_node_port() -> Recording {
    let mut text = Vec::new();
    for line in [
        r#"{"kind":"object","object":{"apiVersion":"v1","kind":"Node","metadata":{"name":"b"},"status":{"addresses":[{"type":"InternalIP","address":"10.0.0.2"}]}}}"#,
        r#"{"kind":"object","object":{"apiVersion":"v1","kind":"Pod","metadata":{"namespace":"shop","name":"web","uid":"web","labels":{"app":"web"}},"status":{"podIP":"10.1.0.1"}}}"#,
        r#"{"kind":"object","object":{"apiVersion":"v1","kind":"Pod","metadata":{"namespace":"shop","name":"api","uid":"api","labels":{"app":"api"}},"status":{"podIP":"10.1.0.2"}}}"#,
        r#"{"kind":"object","object":{"apiVersion":"v1","kind":"Service","metadata":{"namespace":"shop","name":"api"},"spec":{"type":"NodePort","selector":{"app":"api"},"ports":[{"port":80,"targetPort":8080,"nodePort":30080}]}}}"#,
    ] {
        writeln!(text, "{line}").expect("a vector takes all");
    }
    line(&mut text, "web", "10.1.0.1", "10.0.0.2", 30080, "established");
    let mut reader = Reader::default();
    reader.read("test", &mut text.as_slice()).expect("a recording");
    reader.finish().0
}

#[test]
fn a_nodes_port_is_allowed_by_the_pods_and_by_the_node() {
    const TO_PODS: &str = r#"{"to":[{"podSelector":{"matchLabels":{"app":"api"}}}],"ports":[{"port":8080}]}"#;
    const TO_NODE: &str = r#"{"to":[{"ipBlock":{"cidr":"10.0.0.2/32"}}],"ports":[{"port":30080}]}"#;
    let recording = by_node_port();
    let inventory = Inventory::of(&recording.objects, Window::ALL);
    let joined = join(&recording, &inventory, Window::ALL);
    let snapshot = Arc::new(Snapshot::new(&objects(&inventory)));
    let class = |rules: &[&str], withheld: &dyn Fn(&EdgeKey) -> bool| {
        let text = r#"{"apiVersion":"networking.k8s.io/v1","kind":"NetworkPolicy","metadata":{"namespace":"shop","name":"web"},"spec":{"podSelector":{"matchLabels":{"app":"web"}},"policyTypes":["Egress"],"egress":[RULES]}}"#;
        let candidate =
            Cluster::compile(Arc::clone(&snapshot), vec![policy(&text.replace("RULES", &rules.join(",")))]);
        let unused = unused(&candidate, &joined.edges).len();
        let blamed = blame(&candidate, &joined.edges[0]).into_iter().map(|(way, _)| way.is_some()).collect();
        (replay(&joined, &candidate, None, withheld).edges[0].1, unused, blamed)
    };
    let no = |_: &EdgeKey| false;
    let node = |key: &EdgeKey| matches!(key.destination, Endpoint::Node(_));
    assert_eq!(class(&[TO_PODS, TO_NODE], &no), (Class::Allowed, 0, vec![]));
    assert_eq!(class(&[TO_PODS], &no), (Class::Denied, 0, vec![true]));
    assert_eq!(class(&[TO_NODE], &no), (Class::Denied, 0, vec![false]));
    assert_eq!(class(&[TO_PODS], &node), (Class::Withheld, 0, vec![true]));
}
