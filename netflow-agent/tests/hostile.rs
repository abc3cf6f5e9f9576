//! Recordings that nobody made in good faith. Whatever a line says, nothing panics, nothing takes more time
//! than its size is worth, and what is generated allows what it says and no more: each connection between pods
//! that the naive evaluator finds allowed stands in the evidence of a rule.

#[path = "support/naive.rs"]
mod naive;
#[path = "support/pipeline.rs"]
#[expect(dead_code, reason = "the laws use all of it")]
mod pipeline;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use netflow_agent::edge::join;
use netflow_agent::identity::{Endpoint, Inventory, WorkloadName};
use netflow_agent::net::Direction;
use netflow_agent::policy::{Options, Recommendation, generate};
use netflow_agent::recording::{Reader, Recording};
use netflow_agent::render::kubernetes::Detail;
use netflow_agent::render::proof;
use netflow_agent::time::Window;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Value, json};

const SHOP: &str = include_str!("recordings/shop.jsonl");

/// What a place in a line may hold instead.
fn junk() -> impl Strategy<Value = Value> {
    const TEXTS: &[&str] = &[
        "",
        "~",
        "yes",
        "a b",
        "\u{0}",
        "é",
        "-",
        "kube-system",
        "shop",
        "default",
        "10.244.1.10",
        "10.244.2.11",
        "0.0.0.0",
        "255.255.255.255",
        "::ffff:10.244.1.10",
        "fd00:244:1::10",
        "10.96.0.20",
        "169.254.169.254",
        "2026-11-20T10:00:00Z",
        "9999-12-31T23:59:59Z",
        "uid-cache-0",
        "client",
        "server",
        "existing",
        "refused",
        "unanswered",
        "UDP",
        "SCTP",
        "None",
        "Pod",
        "ReplicaSet",
        "NodePort",
        "frontend",
        "app",
        "true",
        "0.0.0.0/0",
    ];
    prop_oneof![
        8 => select(TEXTS).prop_map(Value::from),
        3 => select(&[0_i64, 1, 53, 80, 8_080, 15_006, 65_535, 65_536, -1, i64::MAX][..]).prop_map(Value::from),
        1 => any::<bool>().prop_map(Value::from),
        1 => Just(Value::Null),
        1 => Just(json!([])),
        1 => Just(json!({})),
        1 => Just(json!({"app": "frontend"})),
        1 => Just(json!([{"app": "frontend"}])),
        1 => Just(json!("x".repeat(300))),
        1 => Just(json!(1e300)),
    ]
}

/// Every place of a value: pointers to leaves and to what holds them.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Object(map) => {
            for (key, inner) in map {
                places(inner, &format!("{at}/{}", key.replace('~', "~0").replace('/', "~1")), found);
            }
        }
        Value::Array(list) => {
            for (nth, inner) in list.iter().enumerate() {
                places(inner, &format!("{at}/{nth}"), found);
            }
        }
        _ => {}
    }
}

/// The shop with some places of some lines replaced, some lines twice, some gone.
fn damaged() -> impl Strategy<Value = Vec<Value>> {
    let change = (any::<Index>(), any::<Index>(), junk());
    let swap = (any::<Index>(), any::<Index>(), any::<Index>());
    (proptest::collection::vec(change, 0..12), proptest::collection::vec(swap, 0..8)).prop_map(
        |(changes, swaps)| {
            let mut lines: Vec<Value> =
                SHOP.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
            let place_in = |line: &Value, index: &Index| {
                let mut found = Vec::new();
                places(line, "", &mut found);
                found[index.index(found.len())].clone()
            };
            // A place takes what another line has in it: so holders, ports and names meet.
            for (one, other, place) in swaps {
                let (one, other) = (one.index(lines.len()), other.index(lines.len()));
                let place = place_in(&lines[other], &place);
                let value = lines[other].pointer(&place).cloned().unwrap_or_default();
                let mut copy = lines[one].clone();
                if let Some(there) = copy.pointer_mut(&place) {
                    *there = value;
                }
                lines.push(copy);
            }
            for (line, place, value) in changes {
                let line = line.index(lines.len());
                let place = place_in(&lines[line], &place);
                *lines[line].pointer_mut(&place).expect("a place of it") = value;
            }
            lines
        },
    )
}

/// All lines that can be read; the others are errors that name their file and line.
fn read(lines: &[Value]) -> Recording {
    let mut reader = Reader::default();
    for line in lines {
        let text = format!("{line}\n");
        if let Err(error) = Reader::default().read("hostile", &mut text.as_bytes()) {
            assert!(error.to_string().starts_with("hostile:1: "), "no place: {error}");
        } else {
            reader.read("hostile", &mut text.as_bytes()).expect("it could be read alone");
        }
    }
    reader.finish().0
}

/// What a policy says: who may reach its workloads on which port.
fn said(
    answer: &Recommendation,
    direction: Direction,
    subject: &WorkloadName,
) -> Vec<(WorkloadName, u16, String)> {
    let of = answer.policies.iter().filter(|policy| policy.workloads.contains(subject));
    let rules = of.flat_map(|policy| &policy.rules).filter(|rule| rule.direction == direction);
    let mut said = Vec::new();
    for evidence in rules.flat_map(|rule| &rule.evidence) {
        let Endpoint::Workload(name) = &evidence.other else { continue };
        said.push((name.clone(), evidence.port.range.first, evidence.port.protocol.to_string()));
    }
    said
}

/// Workloads that one selector stands for; those of namespaces that are not written for stand for themselves.
fn alike(answer: &Recommendation, one: &WorkloadName, other: &WorkloadName) -> bool {
    one == other
        || answer
            .policies
            .iter()
            .any(|policy| policy.workloads.contains(one) && policy.workloads.contains(other))
        || answer.gaps.iter().any(|gap| {
            gap.kind.as_str() == "indistinguishable"
                && [one, other].iter().all(|name| (gap.about.clone() + &gap.text).contains(&*name.name))
        })
}

/// No policy can be in a namespace that no API server takes, and no pod either.
fn may_exist(namespace: &str) -> bool {
    let letters =
        namespace.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    letters && !namespace.is_empty() && namespace.len() < 64 && namespace.trim_matches('-') == namespace
}

fn court(inventory: &Inventory<'_>, yaml: &str) -> (naive::Cluster, Vec<WorkloadName>) {
    let mut cluster = naive::Cluster {
        policies: serde_saphyr::from_multiple(yaml).expect("policies"),
        ..naive::Cluster::default()
    };
    let mut workloads = Vec::new();
    let pods = inventory.pods.iter().filter(|known| !known.pod.host_network && !known.pod.ips.is_empty());
    for known in pods.filter(|known| may_exist(&known.pod.meta.namespace)) {
        let labels = &known.pod.meta.labels;
        cluster.pods.push(naive::Pod {
            namespace: known.pod.meta.namespace.to_string(),
            name: known.pod.meta.name.to_string(),
            labels: labels.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect(),
            ports: Vec::new(),
            ips: known.pod.ips.clone(),
            host_network: false,
            node: None,
        });
        workloads.push(known.workload.clone());
    }
    (cluster, workloads)
}

/// Nothing is allowed between two pods that are written for but what a rule's evidence says.
fn allows_what_it_says(answer: &Recommendation, inventory: &Inventory<'_>, yaml: &str) {
    let (cluster, workloads) = court(inventory, yaml);
    let options = Options::default();
    let ports: BTreeSet<u16> = answer
        .policies
        .iter()
        .flat_map(|policy| &policy.rules)
        .flat_map(|rule| rule.ports.iter().map(|port| port.range.first))
        .chain([1])
        .collect();
    for (source, from) in workloads.iter().enumerate() {
        for (target, to) in workloads.iter().enumerate().filter(|(target, _)| *target != source) {
            if !options.is_subject(&from.namespace) || !options.is_subject(&to.namespace) {
                continue;
            }
            for (port, protocol) in
                ports.iter().flat_map(|port| ["TCP", "UDP", "SCTP"].map(|one| (*port, one)))
            {
                let ends = (naive::End::Pod(source), naive::End::Pod(target));
                let verdicts = naive::judge(&cluster, ends.0, ends.1, port, protocol);
                let sides =
                    [(verdicts[0], Direction::Ingress, to, from), (verdicts[1], Direction::Egress, from, to)];
                for (verdict, direction, subject, other) in sides {
                    let is = |one: &(WorkloadName, u16, String)| {
                        one.1 == port && one.2 == protocol && alike(answer, &one.0, other)
                    };
                    assert!(
                        verdict != "allowed" || said(answer, direction, subject).iter().any(is),
                        "{direction} of {} by {other:?} on {port}/{protocol}: allowed and not said\n{yaml}",
                        cluster.pods[target].name
                    );
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, max_shrink_iters: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_recording_leads_to_policies_that_allow_what_they_say(lines in damaged()) {
        let recording = read(&lines);
        let inventory = Inventory::of(&recording.objects, Window::ALL);
        let joined = join(&recording, &inventory, Window::ALL);
        let answer = generate(&joined.edges, &inventory, &Options::default());
        let yaml = pipeline::rendered(&answer, Detail::Full);
        // One bad line is a gap, and no reason to refuse all others.
        let policies = proof::parse("stream", yaml.as_bytes()).unwrap_or_else(|error| panic!("{error}\n{yaml}"));
        let objects = recording.objects.iter().map(|observed| &*observed.object);
        if let Err(error) = proof::prove(policies, objects, &joined.edges, &answer) {
            panic!("{error}\n{yaml}");
        }
        allows_what_it_says(&answer, &inventory, &yaml);
        shuts_out_strangers(&answer, &inventory, &yaml);
    }
}

/// An address that nobody named is not let in anywhere, and nobody is let out to it.
fn shuts_out_strangers(answer: &Recommendation, inventory: &Inventory<'_>, yaml: &str) {
    let (cluster, workloads) = court(inventory, yaml);
    let stranger = naive::End::Address(IpAddr::from([198, 51, 100, 99]));
    let ports = answer.policies.iter().flat_map(|policy| &policy.rules).flat_map(|rule| &rule.ports);
    let ports: BTreeSet<u16> = ports.map(|port| port.range.first).collect();
    for (at, name) in workloads.iter().enumerate() {
        if !Options::default().is_subject(&name.namespace) {
            continue;
        }
        for (port, protocol) in ports.iter().flat_map(|port| ["TCP", "UDP"].map(|one| (*port, one))) {
            for (from, to) in [(stranger, naive::End::Pod(at)), (naive::End::Pod(at), stranger)] {
                let verdict = naive::judge(&cluster, from, to, port, protocol)[2];
                assert_eq!(verdict, "denied", "{from:?} -> {to:?} {port}/{protocol} of {name:?}\n{yaml}");
            }
        }
    }
}

/// How long it takes from lines to YAML.
#[expect(clippy::disallowed_methods, reason = "the time it takes is what is asked")]
fn takes(lines: &[Value]) -> Duration {
    let recording = read(lines);
    let began = Instant::now();
    let inventory = Inventory::of(&recording.objects, Window::ALL);
    let joined = join(&recording, &inventory, Window::ALL);
    let answer = generate(&joined.edges, &inventory, &Options::default());
    let yaml = pipeline::rendered(&answer, Detail::Short);
    let took = began.elapsed();
    assert_eq!(recording.objects.len() + recording.flows.len(), lines.len(), "a line could not be read");
    assert!(joined.flows > 0 && !yaml.is_empty());
    took
}

fn time(second: usize) -> String {
    format!("2026-11-20T10:{:02}:{:02}Z", second / 60 % 60, second % 60)
}

fn pod(name: &str, ip: &str, labels: &Value, span: (usize, usize)) -> Value {
    json!({"kind": "object", "from": time(span.0), "to": time(span.1), "object": {"apiVersion": "v1", "kind": "Pod",
        "metadata": {"namespace": "n", "name": name, "uid": name, "labels": labels},
        "spec": {"nodeName": "a"}, "status": {"phase": "Running", "podIP": ip}}})
}

fn flow(side: &str, pod: &str, remote: &str, port: usize, span: (usize, usize)) -> Value {
    json!({"kind": "flow", "node": "a", "hour": "2026-11-20T10:00:00Z", "seq": span.0, "side": side, "pod": pod,
        "remote": remote, "port": port, "protocol": "TCP", "outcome": "established", "connections": 1,
        "first": time(span.0), "last": time(span.1)})
}

/// Pods that nothing is wrong with.
fn pods(n: usize) -> impl Iterator<Item = Value> {
    (0..n).map(|at| pod(&format!("p{at}"), &ip(at), &json!({"app": format!("p{at}")}), (0, 3_599)))
}

fn ip(at: usize) -> String {
    format!("10.{}.{}.{}", 1 + at / 62_500, at / 250 % 250, 1 + at % 250)
}

/// `n` lines of one bad idea each; the first is a good one, of the same size.
fn ideas(n: usize) -> Vec<(&'static str, Vec<Value>)> {
    let mut good: Vec<Value> = pods(n / 2).collect();
    good.extend((0..n / 2).map(|at| flow("client", &format!("p{at}"), &ip((at + 1) % (n / 2)), 80, (5, 10))));
    // One address, and everybody says that it is his, for a while or all the time.
    let holders = |long: bool| -> Vec<Value> {
        let mut lines: Vec<Value> = pods(n / 4).collect();
        let span = |at: usize| if long { (0, 3_599) } else { (at % 3_600, (at + 1) % 3_600 + 1) };
        lines.extend((0..n / 4).map(|at| {
            let (from, to) = span(at);
            pod(&format!("h{at}"), "10.200.0.1", &json!({"app": "h"}), (from.min(to), from.max(to)))
        }));
        lines.extend(
            (0..n / 2)
                .map(|at| flow("client", &format!("p{}", at % (n / 4)), "10.200.0.1", 1 + at, (5, 3_500))),
        );
        lines
    };
    // Addresses that change hands, thousands of Services, and nobody who came by one.
    let mut contested: Vec<Value> = pods(n / 8).collect();
    contested.extend([
        pod("old", "10.200.0.1", &json!({"app": "old"}), (0, 1_000)),
        pod("new", "10.200.0.1", &json!({"app": "new"}), (1_001, 3_599)),
    ]);
    contested
        .extend((0..n / 4).map(|at| service(at, &format!("10.96.{}.{}", at / 250, at % 250), at % (n / 8))));
    contested.extend((0..n / 4).map(|at| {
        flow("server", &format!("p{}", at % (n / 8)), "10.200.0.1", 8_080 + at / (n / 8), (900, 1_100))
    }));
    contested.extend((0..n / 4).map(|at| {
        let side = if at % 2 == 0 { "old" } else { "new" };
        flow("client", side, &format!("10.96.{}.{}", at / 250, at % 250), 81, (2_000, 2_100))
    }));
    vec![
        ("good", good),
        ("one address, held by all", holders(true)),
        ("one address, held by one after the other", holders(false)),
        ("contested, and many Services", contested),
    ]
}

fn more_ideas(n: usize) -> Vec<(&'static str, Vec<Value>)> {
    // Every Service has one address.
    let mut services: Vec<Value> = pods(n / 4).collect();
    services.extend((0..n / 4).map(|at| service(at, "10.96.0.1", at)));
    services.extend((0..n / 2).map(|at| {
        flow("client", &format!("p{}", at % (n / 4)), "10.96.0.1", 80, (at % 3_000, at % 3_000 + 1))
    }));
    // Nothing tells anybody apart; and labels that each has one of more than the other.
    let same = (0..n / 2).map(|at| pod(&format!("p{at}"), &ip(at), &json!({"app": "x"}), (0, 3_599)));
    let mut same: Vec<Value> = same.collect();
    same.extend((0..n / 2).map(|at| flow("client", &format!("p{at}"), &ip((at + 1) % (n / 2)), 80, (5, 10))));
    let stairs = |at: usize| -> Value {
        let labels = (0..=at).map(|step| (format!("l{step}"), Value::from("v")));
        Value::Object(labels.collect())
    };
    let mut chain: Vec<Value> =
        (0..n / 40).map(|at| pod(&format!("p{at}"), &ip(at), &stairs(at), (0, 3_599))).collect();
    chain.push(flow("client", "p1", &ip(2), 80, (5, 10)));
    // Pods with so many labels that nobody looks at all pairs of them.
    let wide = |at: usize| -> Value {
        let labels =
            (0..400).map(|step| (format!("l{step}"), Value::from(if step == at { "own" } else { "v" })));
        Value::Object(labels.collect())
    };
    let mut labelled: Vec<Value> =
        (0..n / 64).map(|at| pod(&format!("p{at}"), &ip(at), &wide(at), (0, 3_599))).collect();
    labelled.push(flow("client", "p1", &ip(2), 80, (5, 10)));
    vec![
        ("one address for all Services", services),
        ("equal labels", same),
        ("labels like stairs", chain),
        ("hundreds of labels", labelled),
    ]
}

fn service(at: usize, ip: &str, selects: usize) -> Value {
    json!({"kind": "object", "object": {"apiVersion": "v1", "kind": "Service",
        "metadata": {"namespace": "n", "name": format!("s{at}")},
        "spec": {"clusterIP": ip, "clusterIPs": [ip], "selector": {"app": format!("p{selects}")},
            "ports": [{"name": "a", "port": 80, "targetPort": 8_080}, {"name": "b", "port": 81, "targetPort": 8_081}]}}})
}

#[test]
fn no_bad_idea_takes_much_longer_than_its_size_is_worth() {
    let all = |n: usize| ideas(n).into_iter().chain(more_ideas(n)).collect::<Vec<_>>();
    let (small, large) = (all(2_000), all(8_000));
    let mut slow = Vec::new();
    for ((name, few), (_, many)) in small.iter().zip(&large) {
        let (one, four) = (takes(few), takes(many));
        println!("{name}: {} lines {one:.0?}, {} lines {four:.0?}", few.len(), many.len());
        // A good recording of this size takes a second or two; each look at each other line takes minutes.
        if four > Duration::from_secs(40) {
            slow.push((name, four));
        }
    }
    assert!(slow.is_empty(), "{slow:?}");
}
