//! The join as a table: a few lines of a recording, and every edge, attempt and doubt that they must give.
//! All times are minutes after 10:00.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;
use crate::identity::Inventory;
use crate::recording::shelves::Shelves;
use crate::recording::{Reader, Recording, Spilling};
use crate::time::Window;

mod pods;
mod reuse;
mod service;

const SHOP: &str = include_str!("../../../tests/recordings/shop.jsonl");

/// The cluster of every case: `web` on node a, `api` and `db` on node b, each behind a Deployment.
const PODS: &str = "
pod web 10.1.0.1 a
pod api 10.2.0.2 b
pod db 10.2.0.3 b
node a 10.0.0.1 10.1.0.0/24
node b 10.0.0.2 10.2.0.0/24";

fn object(text: &mut String, times: &str, object: &str) {
    writeln!(text, r#"{{"kind":"object"{times},"object":{object}}}"#).expect("a string takes all");
}

fn clock(minute: &str) -> String {
    format!("2026-11-20T10:{minute:0>2}:00Z")
}

/// `FROM-TO` in minutes, either absent, as fields of an object line.
fn times(words: &[&str]) -> String {
    let Some((from, to)) = words.iter().find_map(|word| word.split_once('-')) else { return String::new() };
    let field = |name: &str, minute: &str| match minute {
        "" => String::new(),
        minute => format!(r#","{name}":"{}""#, clock(minute)),
    };
    field("from", from) + &field("to", to)
}

/// `pod NAME IP[,IP] NODE [FROM-TO] [host] [evicted] [unready] [app=LABEL]`, behind a Deployment of its name whose
/// ReplicaSet is not known.
fn pod(text: &mut String, [name, ip, node]: [&str; 3], more: &[&str]) {
    let owner = format!(
        r#"[{{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"{name}-5d","uid":"r","controller":true}}]"#
    );
    let host = if more.contains(&"host") { r#","hostNetwork":true"# } else { "" };
    let span = times(more);
    let label = more.iter().find_map(|word| word.strip_prefix("app=")).unwrap_or(name);
    let ips: Vec<String> = ip.split(',').map(|ip| format!(r#"{{"ip":"{ip}"}}"#)).collect();
    let ips = ips.join(",");
    let ip = ip.split(',').next().unwrap_or_default();
    // Evicted, a pod may lack the states of its containers.
    let phase = if more.contains(&"evicted") { r#","phase":"Failed","reason":"Evicted""# } else { "" };
    let ready = if more.contains(&"unready") {
        r#","phase":"Running","conditions":[{"type":"Ready","status":"False"}]"#
    } else {
        ""
    };
    let json = format!(
        r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"namespace":"n","name":"{name}-5d-x","uid":"{name}","labels":{{"app":"{label}","pod-template-hash":"5d"}},"ownerReferences":{owner}}},"spec":{{"nodeName":"{node}"{host},"containers":[{{"ports":[{{"name":"http","containerPort":8080}}]}}]}},"status":{{"podIP":"{ip}","podIPs":[{ips}]{phase}{ready}}}}}"#
    );
    object(text, &span, &json);
}

/// `service NAME IP PORT TARGET [app=SELECTED] [node=PORT]`.
fn service(text: &mut String, [name, ip, port, target]: [&str; 4], more: &[&str]) {
    let target = target.parse::<u16>().map_or(format!("\"{target}\""), |number| number.to_string());
    let selector = more.iter().find_map(|word| word.strip_prefix("app="));
    let selector = selector.map_or(String::new(), |app| format!(r#","selector":{{"app":"{app}"}}"#));
    let node_port = more.iter().find_map(|word| word.strip_prefix("node="));
    let node_port = node_port.map_or(String::new(), |port| format!(r#","nodePort":{port}"#));
    let kind = if node_port.is_empty() { "ClusterIP" } else { "NodePort" };
    let json = format!(
        r#"{{"apiVersion":"v1","kind":"Service","metadata":{{"namespace":"n","name":"{name}"}},"spec":{{"type":"{kind}","clusterIP":"{ip}"{selector},"ports":[{{"name":"p","port":{port},"targetPort":{target}{node_port}}}]}}}}"#
    );
    object(text, &times(more), &json);
}

fn line(text: &mut String, line: &str) {
    let words: Vec<&str> = line.split_whitespace().collect();
    match words.as_slice() {
        [] => {}
        ["pod", name, ip, node, more @ ..] => pod(text, [name, ip, node], more),
        ["node", name, ip, cidr] => {
            let json = format!(
                r#"{{"apiVersion":"v1","kind":"Node","metadata":{{"name":"{name}"}},"spec":{{"podCIDR":"{cidr}"}},"status":{{"addresses":[{{"type":"InternalIP","address":"{ip}"}}]}}}}"#
            );
            let gateway = cidr.replace("0/24", "254");
            object(text, &format!(r#","gateways":["{gateway}"]"#), &json);
        }
        ["service", name, ip, port, target, more @ ..] => service(text, [name, ip, port, target], more),
        ["slice", service, port, rest @ ..] => {
            let endpoints: Vec<String> = rest
                .iter()
                .filter(|word| !word.contains('-'))
                .map(|ip| format!(r#"{{"addresses":["{ip}"]}}"#))
                .collect();
            let span = times(rest);
            let json = format!(
                r#"{{"apiVersion":"discovery.k8s.io/v1","kind":"EndpointSlice","metadata":{{"namespace":"n","name":"{service}-{}","labels":{{"kubernetes.io/service-name":"{service}"}}}},"ports":[{{"name":"p","port":{port}}}],"endpoints":[{}]}}"#,
                span.len(),
                endpoints.join(",")
            );
            object(text, &span, &json);
        }
        // `client|server NODE POD|- LOCAL|- REMOTE PORT [words]`
        [side @ ("client" | "server"), node, pod, local, remote, port, more @ ..] => {
            let has = |word: &str| more.contains(&word);
            let pod = if *pod == "-" { String::new() } else { format!(r#","pod":"{pod}""#) };
            let local = if *local == "-" { String::new() } else { format!(r#","local":"{local}""#) };
            let protocol = if has("UDP") { "UDP" } else { "TCP" };
            let outcome = ["refused", "timeout", "unanswered"]
                .into_iter()
                .find(|one| has(one))
                .unwrap_or("established");
            let basis = if has("existing") { "existing" } else { "observed" };
            let span = more.iter().find_map(|word| word.split_once('-')).unwrap_or(("5", "50"));
            writeln!(
                text,
                r#"{{"kind":"flow","node":"{node}","hour":"2026-11-20T10:00:00Z","side":"{side}"{pod}{local},"remote":"{remote}","port":{port},"protocol":"{protocol}","outcome":"{outcome}","basis":"{basis}","connections":3,"first":"{}","last":"{}"}}"#,
                clock(span.0),
                clock(span.1)
            )
            .expect("a string takes all");
        }
        _ => panic!("not a line of a case: {line}"),
    }
}

fn read(text: &str) -> Recording {
    let mut reader = Reader::default();
    reader.read("case", &mut text.as_bytes()).expect("a recording");
    reader.finish().0
}

fn joined(recording: &Recording) -> Joined {
    join(recording, &Inventory::of(&recording.objects, Window::ALL), Window::ALL)
}

/// The same with one row in memory, all others laid down.
fn joined_spilt(text: &str) -> Joined {
    let mut reader = Reader::new(Spilling::new(Box::new(Shelves::default()), 1));
    reader.read("case", &mut text.as_bytes()).expect("a recording");
    let recording = reader.finish_spilt().0;
    let inventory = Inventory::of(&recording.objects, Window::ALL);
    try_join(&recording, &inventory, Window::ALL).expect("shelves can be read")
}

fn end(end: &Endpoint) -> String {
    match end {
        Endpoint::Workload(one) => one.name.to_string(),
        Endpoint::Node(name) => format!("node:{name}"),
        Endpoint::External(ip) => format!("out:{ip}"),
        Endpoint::Service(one) => format!("service:{}", one.name),
        Endpoint::Unknown { ip, reason } => format!("unknown:{ip}({})", reason.replace(' ', "_")),
    }
}

fn key(key: &EdgeKey) -> String {
    format!("{}>{}:{}/{}", end(&key.source), end(&key.destination), key.port, key.protocol)
}

/// All that a join gave, a word for each fact.
fn told(joined: &Joined) -> Vec<String> {
    let edge = |edge: &Edge| {
        let via: Vec<String> = edge.via.iter().map(|service| format!(" via {}", service.name)).collect();
        let via = via.concat();
        let node_port = |one: &NodePort| {
            let hides = if one.hides_client { " hides" } else { "" };
            format!(" by {}:{} x{}{hides}", one.node, one.port, one.connections)
        };
        let by: String = edge.node_ports.iter().map(node_port).collect();
        let existing = if edge.basis == Basis::Existing { " existing" } else { "" };
        let unconfirmed = if edge.unconfirmed { " unconfirmed" } else { "" };
        let witness = format!("{:?}", edge.witness).to_lowercase();
        format!("{} {witness} x{}{via}{by}{existing}{unconfirmed}", key(&edge.key), edge.connections)
    };
    let attempt = |one: &Attempt| format!("{} {:?}", key(&one.key), one.outcome);
    let doubt = |one: &Doubt| format!("{} {:?}", key(&one.key), one.reason);
    let edges = joined.edges.iter().map(edge);
    edges.chain(joined.attempts.iter().map(attempt)).chain(joined.doubts.iter().map(doubt)).collect()
}

/// Each case is lines beside [`PODS`]; what must come out follows `=`.
fn check(claim: &str, case: &str) {
    let (given, expected): (Vec<&str>, Vec<&str>) =
        case.lines().map(str::trim).filter(|line| !line.is_empty()).partition(|line| !line.starts_with('='));
    let mut text = String::new();
    for one in PODS.lines().chain(given) {
        line(&mut text, one);
    }
    let expected: Vec<String> = expected.iter().map(|line| line[1..].trim().to_owned()).collect();
    let held = joined(&read(&text));
    assert_eq!(told(&held), expected, "{claim}");
    assert_eq!(joined_spilt(&text), held, "{claim}, laid down");
    let backwards: Vec<&str> = text.lines().rev().collect();
    assert_eq!(told(&joined(&read(&backwards.join("\n")))), expected, "{claim}, lines in reverse");
}

#[test]
fn both_ends_of_one_connection_are_one_edge() {
    check(
        "two witnesses",
        "client a web 10.1.0.1 10.2.0.2 8080
         server b api 10.2.0.2 10.1.0.1 8080
         = web>api:8080/TCP both x3",
    );
    check(
        "one node has no agent",
        "client a web 10.1.0.1 10.2.0.2 8080
         server b db 10.2.0.3 10.2.0.2 5432
         = api>db:5432/TCP server x3
         = web>api:8080/TCP client x3",
    );
    check(
        "the pod is known by its address alone, or by its UID alone",
        "client a - 10.1.0.1 10.2.0.2 8080
         server b api - 10.1.0.1 8080
         = web>api:8080/TCP both x3",
    );
    check(
        "a UID without an object is not guessed from the address",
        "client a gone 10.1.0.1 10.2.0.2 8080
         = unknown:10.1.0.1(no_object_of_this_pod)>api:8080/TCP client x3",
    );
    check(
        "one port under two protocols is two edges",
        "client a web 10.1.0.1 10.2.0.2 53
         client a web 10.1.0.1 10.2.0.2 53 UDP
         = web>api:53/TCP client x3
         = web>api:53/UDP client x3",
    );
}

#[test]
fn nodes_own_their_addresses_and_gateways() {
    check(
        "a probe by the bridge, a pod on the host's network, a node's own process",
        "pod agent 10.0.0.2 b host
         server b api 10.2.0.2 10.2.0.254 8080
         client b agent 10.0.0.2 10.1.0.1 9000
         client a - 10.0.0.1 10.2.0.3 5432
         = node:a>db:5432/TCP client x3
         = node:b>api:8080/TCP server x3
         = node:b>web:9000/TCP client x3",
    );
    check(
        "outside, and the cluster's own without a holder",
        "server a web 10.1.0.1 192.0.2.1 443
         server a web 10.1.0.1 10.2.0.77 443
         = out:192.0.2.1>web:443/TCP server x3
         = unknown:10.2.0.77(no_known_pod_or_node_held_this_address_then)>web:443/TCP server x3",
    );
}

#[test]
fn unanswered_is_an_edge_only_with_a_witness_or_beyond_the_pods() {
    check(
        "witnessed, not witnessed, to the world and to a node",
        "client a web 10.1.0.1 10.2.0.2 53 UDP unanswered
         server b api 10.2.0.2 10.1.0.1 53 UDP
         client a web 10.1.0.1 10.2.0.3 53 UDP unanswered
         client a web 10.1.0.1 192.0.2.1 123 UDP unanswered
         client a web 10.1.0.1 10.0.0.2 8125 UDP unanswered
         = web>api:53/UDP both x3
         = web>node:b:8125/UDP client x3 unconfirmed
         = web>out:192.0.2.1:123/UDP client x3 unconfirmed
         = web>db:53/UDP Unanswered",
    );
    check(
        "attempts are never edges",
        "client a web 10.1.0.1 10.2.0.2 80 refused
         client a web 10.1.0.1 192.0.2.1 80 timeout
         = web>api:80/TCP Refused
         = web>out:192.0.2.1:80/TCP Timeout",
    );
}

#[test]
fn an_older_connection_needs_the_other_end_or_a_plain_port_outside() {
    check(
        "a client without a word from the server",
        "client a web 10.1.0.1 10.2.0.2 80 existing
         = web>api:80/TCP RoleUnconfirmed",
    );
    check(
        "the server agrees",
        "client a web 10.1.0.1 10.2.0.2 80 existing
         server b api 10.2.0.2 10.1.0.1 80 existing
         = web>api:80/TCP both x3 existing",
    );
    check(
        "outside: a plain port is believed, an ephemeral one is not",
        "client a web 10.1.0.1 192.0.2.1 443 existing
         client a web 10.1.0.1 192.0.2.1 40000 existing
         = web>out:192.0.2.1:443/TCP client x3 existing
         = web>out:192.0.2.1:40000/TCP RoleUnconfirmed",
    );
    check(
        "seen to begin once is observed",
        "server b api 10.2.0.2 10.1.0.1 80 existing
         client a web 10.1.0.1 10.2.0.2 80
         = web>api:80/TCP both x3",
    );
}

#[test]
fn a_sidecars_port_gives_way_to_the_clients() {
    check(
        "directly and through a Service",
        "service s 10.9.0.1 80 8080 app=api
         client a web 10.1.0.1 10.9.0.1 80
         server b api 10.2.0.2 10.1.0.1 15006
         client a web 10.1.0.1 10.2.0.3 5432
         server b db 10.2.0.3 10.1.0.1 15006
         = web>api:8080/TCP both x3 via s
         = web>db:5432/TCP both x3",
    );
    check(
        "nobody tells the true port",
        "server b api 10.2.0.2 192.0.2.1 15006
         = out:192.0.2.1>api:15006/TCP server x3
         = out:192.0.2.1>api:15006/TCP MeshPort",
    );
}

#[test]
fn loopback_self_and_groups_are_left_out_and_counted() {
    let mut text = String::new();
    for one in PODS.lines().chain([
        "client a web 127.0.0.1 127.0.0.1 15001",
        "client a web 10.1.0.1 10.1.0.1 80",
        "client a web - 10.1.0.1 80 UDP",
        "client a web 10.1.0.1 224.0.0.251 5353 UDP unanswered",
        "client a web 10.1.0.1 255.255.255.255 67 UDP unanswered",
        "client a web 10.1.0.1 10.77.0.255 137 UDP unanswered",
        "client a web fe80::1 ff02::fb 5353 UDP unanswered",
    ]) {
        line(&mut text, one);
    }
    let joined = joined(&read(&text));
    assert_eq!(told(&joined), Vec::<String>::new());
    assert_eq!(joined.left_out, LeftOut { own: 3, multicast: 4 });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn edges_do_not_depend_on_the_order_of_lines(lines in Just(SHOP.lines().collect::<Vec<_>>()).prop_shuffle()) {
        prop_assert_eq!(joined(&read(&lines.join("\n"))), joined(&read(SHOP)));
        prop_assert_eq!(joined_spilt(&lines.join("\n")), joined(&read(SHOP)));
    }

    #[test]
    fn no_damaged_line_panics(at in 0..SHOP.len(), byte in any::<u8>()) {
        let mut bytes = SHOP.as_bytes().to_vec();
        bytes[at] = byte;
        let mut reader = Reader::default();
        if reader.read("x", &mut bytes.as_slice()).is_ok() {
            drop(joined(&reader.finish().0));
        }
    }
}
