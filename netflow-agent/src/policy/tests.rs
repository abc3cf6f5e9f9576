//! Gaps as a table: what a platform's objects and hours must raise, and what settles it. The recording is that of
//! the golden runs; each case adds lines to it or decides in a review.

use std::io::BufRead;

use super::*;
use crate::edge::join;
use crate::identity::Inventory;
use crate::recording::{self, CoverageSummary};
use crate::review;
use crate::time::Window;

const PLATFORM: &str = include_str!("../../tests/recordings/platform.jsonl");

fn told(more: &str, options: &Options) -> Recommendation {
    let text = format!("{PLATFORM}{more}");
    let (recording, _) =
        recording::read([("platform", &mut text.as_bytes() as &mut dyn BufRead)]).expect("a recording");
    let inventory = Inventory::of(&recording.objects, Window::ALL);
    let joined = join(&recording, &inventory, Window::ALL);
    let coverage = CoverageSummary::of(&recording, Window::ALL);
    let mut answer = generate(&joined.edges, &inventory, options);
    answer.add_gaps(observed_gaps(&joined, &coverage, &inventory, options), options);
    answer.add_gaps(caller_gaps(&joined.edges, &inventory, options), options);
    answer
}

/// `about: text` of the gaps of a kind.
fn gaps(kind: &str, more: &str, options: &Options) -> Vec<String> {
    let told = told(more, options);
    let of_kind = told.gaps.iter().filter(|gap| gap.kind.as_str() == kind);
    of_kind.map(|gap| format!("{}: {}", gap.about, gap.text)).collect()
}

fn reviewed(text: &str) -> Options {
    Options { review: review::read(text.as_bytes()).expect("a review"), ..Options::default() }
}

fn flow(side: &str, pod: &str, local: &str, remote: &str, port: u16) -> String {
    format!(
        r#"{{"kind":"flow","node":"node-a","hour":"2026-11-20T11:00:00Z","side":"{side}","pod":"{pod}","local":"{local}","remote":"{remote}","port":{port},"protocol":"TCP","outcome":"established","basis":"observed","connections":1,"bytes_sent":1,"bytes_received":1,"first":"2026-11-20T11:03:11Z","last":"2026-11-20T11:59:58Z"}}"#
    ) + "\n"
}

#[test]
fn a_declared_caller_is_shown_by_an_edge_of_its_own_alone() {
    let about = |more: &str| -> Vec<String> {
        let gaps = gaps("declared-caller", more, &Options::default());
        gaps.iter()
            .filter_map(|gap| Some(gap.split_once(": ")?.1.split(" declares").next()?.to_owned()))
            .collect()
    };
    let all = [
        "PodMonitor pay/api",
        "APIService v1.pay.example",
        "ValidatingWebhookConfiguration guard",
        "ServiceMonitor web/gateway",
    ];
    assert_eq!(about(""), all);
    // The kubelet of the webhook's own node probes the port that the API server calls: that shows nothing.
    assert_eq!(about(&flow("server", "p-webhook", "10.244.1.21", "10.0.0.1", 9443)), all);
    // A pod of another workload is not the scraper, and the scraper is.
    assert_eq!(about(&flow("server", "p-gateway", "10.244.1.10", "10.244.1.40", 8443)), all);
    assert_eq!(about(&flow("server", "p-gateway", "10.244.1.10", "10.244.1.30", 8443)), all[..3]);
    // From the other node it is the API server, as far as the window can tell.
    let called = flow("server", "p-webhook", "10.244.1.21", "10.0.0.2", 9443);
    assert_eq!(about(&called), ["PodMonitor pay/api", "ServiceMonitor web/gateway"]);
}

#[test]
fn the_api_server_is_whoever_stands_behind_its_service() {
    let from = |options: &Options| -> Vec<String> {
        let told = told("", options);
        let gaps = told.gaps.iter().filter(|gap| gap.kind == GapKind::DeclaredCaller);
        gaps.filter_map(|gap| Some(gap.review.as_ref()?.from.to_string())).collect()
    };
    let known = [
        "monitoring/statefulset/prometheus",
        "node/node-a",
        "node/node-a",
        "monitoring/statefulset/prometheus",
    ];
    assert_eq!(from(&Options::default()), known);
}

#[test]
fn the_ready_made_entries_settle_their_gaps() {
    let plain = told("", &Options::default());
    let entries: Vec<_> = plain.gaps.iter().filter_map(|gap| gap.review.clone()).collect();
    assert!(entries.len() > 8, "{entries:?}");
    let rest = plain.gaps.iter().filter(|gap| gap.review.is_none());
    let accepted = rest.map(|gap| review::Accepted {
        gap: gap.kind.as_str().into(),
        about: gap.about.as_str().into(),
        reason: "seen".into(),
    });
    let review = review::Review { entries, accepted: accepted.collect() };
    let n_accepted = review.accepted.len();
    let options = Options { review, ..Options::default() };
    let settled = told("", &options);
    assert!(settled.gaps.is_empty(), "{:?}", settled.gaps);
    assert_eq!(settled.accepted.values().sum::<usize>(), n_accepted);
    assert!(settled.by_node_address.is_empty(), "{:?}", settled.by_node_address);
    assert_eq!(settled.unused_entries, [0_usize; 0]);
}

#[test]
fn a_node_by_its_address_alone_is_held_until_it_is_approved() {
    let held = |options: &Options| -> Vec<String> {
        told("", options).by_node_address.iter().map(words::workload).collect()
    };
    assert_eq!(held(&Options::default()), ["Deployment pay/api", "Deployment web/worker"]);
    let approved = "approve: [{from: node/*, to: pay/*, reason: fixed}]";
    assert_eq!(held(&reviewed(approved)), ["Deployment web/worker"]);
    let ranges = Nodes::Ranges(vec!["10.0.0.0/24".parse().expect("a range")]);
    assert_eq!(held(&Options { nodes: ranges, ..Options::default() }), [""; 0]);
    // What a person declares of all nodes is those of today as well.
    let declared = "declare: [{from: node/*, to: pay/deploy/idle, port: 80, protocol: TCP, reason: x}]";
    assert!(held(&reviewed(declared)).contains(&"Deployment pay/idle".to_owned()));
}

#[test]
fn dns_that_nobody_was_seen_to_ask_is_offered_where_a_server_is_known() {
    let quiet: String = PLATFORM
        .lines()
        .filter(|line| !line.contains(r#""port":53,"#) || line.contains("object"))
        .map(|line| line.to_owned() + "\n")
        .collect();
    let (recording, _) =
        recording::read([("platform", &mut quiet.as_bytes() as &mut dyn BufRead)]).expect("a recording");
    let inventory = Inventory::of(&recording.objects, Window::ALL);
    let joined = join(&recording, &inventory, Window::ALL);
    let answer = generate(&joined.edges, &inventory, &Options::default());
    let offered: Vec<String> = answer
        .gaps
        .iter()
        .filter(|gap| gap.kind == GapKind::NoDns)
        .filter_map(|gap| Some(gap.review.as_ref()?.to_string()))
        .collect();
    let of = |namespace: &str, protocol: &str| {
        format!("declare {namespace}/* -> kube-system/deployment/coredns:53/{protocol}")
    };
    let all: Vec<String> =
        ["monitoring", "pay", "web"].iter().flat_map(|name| [of(name, "TCP"), of(name, "UDP")]).collect();
    assert_eq!(offered, all);
}

#[test]
fn what_no_server_takes_is_a_gap_and_stops_nobody_else() {
    let pod = |namespace: &str, name: &str, label: &str, ip: &str| {
        format!(
            r#"{{"kind":"object","object":{{"apiVersion":"v1","kind":"Pod","metadata":{{"namespace":"{namespace}","name":"{name}","uid":"{name}","labels":{{"app":"{label}"}}}},"spec":{{"nodeName":"node-a"}},"status":{{"podIP":"{ip}"}}}}}}"#
        ) + "\n"
    };
    let more = pod("web", "odd", "a b", "10.244.1.201")
        + &pod("No Space", "lost", "lost", "10.244.1.202")
        + &flow("server", "p-gateway", "10.244.1.10", "10.244.1.201", 8443)
        + &flow("server", "p-gateway", "10.244.1.10", "10.244.1.202", 8443);
    let found = gaps("not-expressible", &more, &Options::default());
    assert_eq!(
        found,
        [
            "Pod No Space/lost: no API server takes the namespace `No Space`: nothing is written for it",
            "Pod No Space/lost -> Deployment web/gateway 8443/TCP: no API server takes the namespace or the labels of an end: no rule can name it; 1 connection left out",
            "Pod web/odd: no API server takes its label `app: a b`: nothing is written for it",
            "Pod web/odd -> Deployment web/gateway 8443/TCP: no API server takes the namespace or the labels of an end: no rule can name it; 1 connection left out",
        ]
    );
    let answer = told(&more, &Options::default());
    let mut yaml = Vec::new();
    crate::render::kubernetes::yaml(&answer.policies, crate::render::kubernetes::Detail::None, &mut yaml)
        .expect("a vector takes all");
    let policies = crate::render::proof::parse("stream", &yaml).expect("an API server takes all of them");
    assert_eq!(answer.policies.len(), told("", &Options::default()).policies.len());
    assert_eq!(policies.len(), answer.policies.len());
}

#[test]
fn a_range_of_nodes_says_which_address_it_does_not_hold() {
    let v6 = r#"{"kind":"object","object":{"apiVersion":"v1","kind":"Node","metadata":{"name":"node-a"},"status":{"addresses":[{"type":"InternalIP","address":"fd00::1"}]}}}"#;
    let ranges = Nodes::Ranges(vec!["10.0.0.0/24".parse().expect("a range")]);
    let options = Options { nodes: ranges, ..Options::default() };
    assert_eq!(gaps("node", "", &options), [""; 0]);
    let found = gaps("node", &format!("{v6}\n"), &options);
    assert!(!found.is_empty(), "the other family is exact");
    let says = "fd00::1 of the node is in none of the ranges of --nodes and allowed by itself";
    assert!(found.iter().all(|gap| gap.contains(says)), "{found:?}");
    assert!(!told(&format!("{v6}\n"), &options).by_node_address.is_empty());
}

#[test]
fn what_is_denied_is_no_reason_to_widen() {
    let out = flow("client", "p-gateway", "10.244.1.10", "203.0.113.7", 443);
    let widen =
        "widen: [{from: web/deploy/gateway, to: 203.0.113.0/24, port: 443, protocol: TCP, reason: a range}]";
    let deny = "deny: [{from: web/deploy/gateway, to: 203.0.113.7, reason: not that one}]";
    let holds = |answer: &Recommendation| {
        let blocks = answer.policies.iter().flat_map(|policy| &policy.rules).flat_map(|rule| &rule.peers);
        let range = "203.0.113.0/24".parse().expect("a range");
        blocks.into_iter().any(|peer| matches!(peer, Peer::Block { cidr, .. } if *cidr == range))
    };
    assert!(holds(&told(&out, &reviewed(widen))));
    let refused = told(&out, &reviewed(&format!("{widen}\n{deny}")));
    assert!(!holds(&refused) && refused.withheld.len() == 1, "{:?}", refused.withheld);
    assert_eq!(refused.unused_entries.len(), 1, "nothing met the range");
}
