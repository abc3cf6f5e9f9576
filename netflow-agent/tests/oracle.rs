//! Known answers. Beside the project, 230 cases with 109,956 verdicts that two other engines agree on; always,
//! the truth tables below, each row a corner of the specification.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use netflow_agent::evaluate::{Cluster, End, Snapshot, Verdict};
use netflow_agent::manifest::{ContainerPort, Meta, Namespace, NetworkPolicy, Object, Pod};
use netflow_agent::net::Protocol;

#[path = "support/skip.rs"]
mod skip;

/// Beside the project or above it.
fn cases() -> Option<PathBuf> {
    let folders = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    folders.map(|folder| folder.join("shared/oracle/cyclonus_230.jsonl.gz")).find(|file| file.is_file())
}

fn labels(json: &serde_json::Value) -> BTreeMap<Arc<str>, Arc<str>> {
    let labels: BTreeMap<String, String> = serde_json::from_value(json.clone()).expect("labels");
    labels.iter().map(|(key, value)| (key.as_str().into(), value.as_str().into())).collect()
}

fn text(json: &serde_json::Value) -> &str {
    json.as_str().expect("text")
}

fn protocol(name: &str) -> Protocol {
    name.parse().expect("a protocol")
}

fn cluster(step: &serde_json::Value) -> Cluster {
    let mut objects = Vec::new();
    for (name, own) in step["namespaces"].as_object().expect("namespaces") {
        let meta = Meta { name: name.as_str().into(), labels: labels(own), ..Meta::default() };
        objects.push(Object::Namespace(Namespace { meta }));
    }
    for pod in step["pods"].as_array().expect("pods") {
        let ports = pod["ports"].as_array().expect("ports").iter().map(|port| ContainerPort {
            name: port["name"].as_str().map(Into::into),
            port: u16::try_from(port["port"].as_u64().expect("a port")).expect("a port"),
            protocol: protocol(text(&port["protocol"])),
        });
        objects.push(Object::Pod(Pod {
            meta: Meta {
                namespace: text(&pod["ns"]).into(),
                name: text(&pod["name"]).into(),
                labels: labels(&pod["labels"]),
                ..Meta::default()
            },
            ips: vec![text(&pod["ip"]).parse().expect("an address")],
            ports: ports.collect(),
            ..Pod::default()
        }));
    }
    let policies = step["policies"].as_array().expect("policies").iter();
    let policies: Vec<_> = policies.enumerate().map(|(at, json)| policy(json, at)).collect();
    Cluster::compile(Arc::new(Snapshot::new(&objects)), policies)
}

/// As written: nothing is defaulted.
fn policy(json: &serde_json::Value, at: usize) -> NetworkPolicy {
    let namespace = json["metadata"]["namespace"].as_str().unwrap_or("default");
    NetworkPolicy {
        meta: Meta { namespace: namespace.into(), name: format!("{at}").into(), ..Meta::default() },
        spec: serde_json::from_value(json["spec"].clone()).expect("a spec"),
    }
}

fn pod(cluster: &Cluster, name: &str) -> End {
    let (namespace, name) = name.split_once('/').expect("namespace/pod");
    cluster.snapshot().pod(namespace, name).expect("a pod of the case")
}

#[test]
fn the_oracle_agrees_on_every_verdict_between_different_pods() {
    let Some(file) = cases() else {
        skip::skip("oracle", "../shared/oracle is not there; the truth tables ran");
        return;
    };
    let mut lines = String::new();
    let packed = std::fs::File::open(file).expect("the cases");
    flate2::read::GzDecoder::new(packed).read_to_string(&mut lines).expect("the cases, unpacked");
    let (mut n_cases, mut n_verdicts, mut n_denied) = (0, 0, 0);
    for line in lines.lines() {
        let case: serde_json::Value = serde_json::from_str(line).expect("a case");
        n_cases += 1;
        for step in case["steps"].as_array().expect("steps") {
            let cluster = cluster(step);
            for row in step["verdicts"].as_array().expect("verdicts") {
                let column = |at: usize| text(&row[at]);
                if column(0) == column(1) {
                    continue;
                }
                let (name, port) = column(2).split_once('/').expect("protocol/port");
                let (from, to) = (pod(&cluster, column(0)), pod(&cluster, column(1)));
                let judged = cluster.judge(from, to, port.parse().expect("a port"), protocol(name));
                let expected = [column(3), column(4), column(5)];
                let expected = expected.map(|mark| if mark == "." { "allowed" } else { "denied" });
                let words = [judged.ingress, judged.egress, judged.verdict].map(Verdict::as_str);
                assert_eq!(words, expected, "case {}: {row}", case["index"]);
                n_verdicts += 1;
                n_denied += u32::from(expected[2] == "denied");
            }
        }
    }
    println!("oracle: {n_cases} cases, {n_verdicts} verdicts, {n_denied} of them denied");
    assert_eq!((n_cases, n_verdicts), (230, 109_956));
}

/// Six pods that the tables speak of: `shop/web`, `shop/db`, `shop/bare` (no labels), `shop/empty` (app is ""),
/// `ops/probe` and `old/web`. All listen on TCP 8080 as `http`, but for db: there `http` is 5432.
fn scene(rules: &str) -> Cluster {
    let pod = |namespace: &str, name: &str, app: Option<&str>, last: u8| {
        let labels = app.map(|app| ("app".into(), app.into())).into_iter().collect();
        let meta = Meta { namespace: namespace.into(), name: name.into(), labels, ..Meta::default() };
        let port = if name == "db" { 5432 } else { 8080 };
        Object::Pod(Pod {
            meta,
            ips: vec![
                format!("10.0.0.{last}").parse().expect("an address"),
                format!("fd00::{last}").parse().expect("an address"),
            ],
            ports: vec![ContainerPort { name: Some("http".into()), port, protocol: Protocol::Tcp }],
            ..Pod::default()
        })
    };
    let team = [("team".into(), "sre".into())].into_iter().collect();
    let objects = [
        Object::Namespace(Namespace { meta: Meta { name: "ops".into(), labels: team, ..Meta::default() } }),
        pod("shop", "web", Some("web"), 1),
        pod("shop", "db", Some("db"), 2),
        pod("shop", "bare", None, 3),
        pod("shop", "empty", Some(""), 4),
        pod("ops", "probe", Some("probe"), 5),
        pod("old", "web", Some("web"), 6),
    ];
    let spec: serde_json::Value = serde_json::from_str(rules).expect("a spec as JSON");
    let policy = serde_json::json!({"metadata": {"namespace": "shop"}, "spec": spec});
    Cluster::compile(Arc::new(Snapshot::new(&objects)), vec![self::policy(&policy, 0)])
}

/// A spec, and `FROM -> TO PORT: allowed|denied` lines that hold under it.
fn check(spec: &str, claims: &str) {
    let cluster = scene(spec);
    for claim in claims.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (from, rest) = claim.split_once(" -> ").expect("FROM -> TO");
        let (to, rest) = rest.split_once(' ').expect("TO PORT");
        let (port, expected) = rest.split_once(": ").expect("PORT: verdict");
        let (name, port) = port.split_once('/').expect("PROTOCOL/PORT");
        let end = |text: &str| match text.parse() {
            Ok(ip) => cluster.snapshot().holder(ip),
            Err(_) => pod(&cluster, text),
        };
        let port = port.parse().expect("a port");
        let judged = cluster.judge(end(from), end(to), port, protocol(name));
        assert_eq!(judged.verdict.as_str(), expected, "{spec}: {claim}");
    }
}

#[test]
fn isolation_is_per_direction_and_defaults_are_the_servers() {
    check("{}", "shop/web -> shop/db TCP/1: denied\nshop/db -> ops/probe TCP/1: allowed");
    check(r#"{"egress": []}"#, "shop/web -> ops/probe TCP/1: allowed\nops/probe -> shop/web TCP/1: denied");
    check(r#"{"egress": [{}]}"#, "shop/web -> ops/probe TCP/1: allowed\nops/probe -> shop/web TCP/1: denied");
    check(
        r#"{"policyTypes": ["Egress"], "ingress": []}"#,
        "ops/probe -> shop/web TCP/1: allowed\nshop/web -> ops/probe TCP/1: denied\nshop/web -> 1.1.1.1 TCP/1: denied",
    );
    check(
        r#"{"policyTypes": ["Egress"], "egress": [{}]}"#,
        "shop/web -> ops/probe SCTP/1: allowed\nshop/web -> 2001:db8::1 UDP/1: allowed",
    );
    check(r#"{"policyTypes": [], "egress": [{"ports": []}]}"#, "shop/web -> 1.1.1.1 TCP/1: allowed");
    check(
        r#"{"ingress": [{}]}"#,
        "ops/probe -> shop/web SCTP/1: allowed\n1.1.1.1 -> shop/web TCP/1: allowed",
    );
}

#[test]
fn selectors_are_those_of_apimachinery() {
    let isolated = "ops/probe -> shop/web TCP/1: denied";
    let open = "ops/probe -> shop/web TCP/1: allowed";
    let bare = "ops/probe -> shop/bare TCP/1: denied";
    let expression =
        |rest: &str| format!(r#"{{"podSelector": {{"matchExpressions": [{{"key": "app", {rest}}}]}}}}"#);
    check(r#"{"podSelector": {"matchLabels": {"app": "web"}}}"#, isolated);
    check(r#"{"podSelector": {"matchLabels": {"app": "Web"}}}"#, open);
    check(
        r#"{"podSelector": {"matchLabels": {"app": ""}}}"#,
        "ops/probe -> shop/empty TCP/1: denied\nops/probe -> shop/bare TCP/1: allowed",
    );
    check(&expression(r#""operator": "NotIn", "values": ["web"]"#), &format!("{open}\n{bare}"));
    check(&expression(r#""operator": "NotIn", "values": ["never"]"#), &format!("{isolated}\n{bare}"));
    check(&expression(r#""operator": "DoesNotExist""#), &format!("{open}\n{bare}"));
    check(
        &expression(r#""operator": "Exists""#),
        "ops/probe -> shop/empty TCP/1: denied\nops/probe -> shop/bare TCP/1: allowed",
    );
    check(&expression(r#""operator": "In", "values": ["db", "web"]"#), isolated);
    check(&expression(r#""operator": "in", "values": ["db", "web"]"#), open);
}

#[test]
fn peers_are_and_within_an_item_and_or_between_items() {
    let peers = |list: &str| format!(r#"{{"ingress": [{{"from": {list}}}]}}"#);
    check(
        &peers(r#"[{"podSelector": {"matchLabels": {"app": "web"}}}]"#),
        "shop/web -> shop/db TCP/1: allowed\nold/web -> shop/db TCP/1: denied\n1.1.1.1 -> shop/db TCP/1: denied",
    );
    check(
        &peers(r#"[{"namespaceSelector": {}}]"#),
        "old/web -> shop/db TCP/1: allowed\nops/probe -> shop/db TCP/1: allowed\n1.1.1.1 -> shop/db TCP/1: denied",
    );
    check(
        &peers(r#"[{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "old"}}}]"#),
        "old/web -> shop/db TCP/1: allowed\nops/probe -> shop/db TCP/1: denied\nshop/web -> shop/db TCP/1: denied",
    );
    let (team, web) = (r#"{"matchLabels": {"team": "sre"}}"#, r#"{"matchLabels": {"app": "web"}}"#);
    check(
        &peers(&format!(r#"[{{"namespaceSelector": {team}, "podSelector": {web}}}]"#)),
        "ops/probe -> shop/db TCP/1: denied\nshop/web -> shop/db TCP/1: denied",
    );
    check(
        &peers(&format!(r#"[{{"namespaceSelector": {team}}}, {{"podSelector": {web}}}]"#)),
        "ops/probe -> shop/db TCP/1: allowed\nshop/web -> shop/db TCP/1: allowed\nold/web -> shop/db TCP/1: denied",
    );
    check(
        &peers(r#"[{"ipBlock": {"cidr": "10.0.0.0/29", "except": ["10.0.0.4/30"]}}]"#),
        "10.0.0.1 -> shop/db TCP/1: allowed\n10.0.0.5 -> shop/db TCP/1: denied\n10.0.0.0 -> shop/db TCP/1: allowed
         fd00::1 -> shop/db TCP/1: denied\nshop/web -> shop/db TCP/1: undefined\nshop/web -> 1.1.1.1 TCP/1: allowed",
    );
    check(&peers("[{}]"), "ops/probe -> shop/db TCP/1: denied");
}

#[test]
fn ports_are_the_destinations_own() {
    let ports = |list: &str| format!(r#"{{"ingress": [{{"ports": {list}}}]}}"#);
    check(&ports("[{}]"), "shop/web -> shop/db TCP/9: allowed\nshop/web -> shop/db UDP/9: denied");
    check(
        &ports(r#"[{"port": "http"}]"#),
        "ops/probe -> shop/db TCP/5432: allowed\nops/probe -> shop/db TCP/8080: denied
         ops/probe -> shop/web TCP/8080: allowed\nops/probe -> shop/web UDP/8080: denied",
    );
    check(&ports(r#"[{"port": "http", "protocol": "UDP"}]"#), "ops/probe -> shop/web UDP/8080: denied");
    check(&ports(r#"[{"port": "never"}]"#), "ops/probe -> shop/web TCP/8080: denied");
    check(
        &ports(r#"[{"port": 80, "endPort": 90, "protocol": "SCTP"}]"#),
        "shop/web -> shop/db SCTP/80: allowed\nshop/web -> shop/db SCTP/90: allowed
         shop/web -> shop/db SCTP/91: denied\nshop/web -> shop/db TCP/80: denied",
    );
    check(&ports(r#"[{"port": 80, "endPort": 80}]"#), "shop/web -> shop/db TCP/80: allowed");
    check(
        r#"{"policyTypes": ["Egress"], "egress": [{"ports": [{"port": "http"}]}]}"#,
        "shop/web -> shop/db TCP/5432: allowed\nshop/web -> shop/db TCP/8080: denied
         shop/web -> ops/probe TCP/8080: allowed\nshop/web -> 1.1.1.1 TCP/8080: denied",
    );
}

#[test]
fn a_pod_cannot_be_kept_from_itself() {
    check(
        r#"{"policyTypes": ["Ingress", "Egress"]}"#,
        "shop/web -> shop/web TCP/1: allowed\nshop/web -> 10.0.0.1 TCP/1: allowed\nfd00::1 -> shop/web UDP/1: allowed
         shop/web -> 10.0.0.2 TCP/1: denied",
    );
}
