//! Gaps as a table: what a platform's objects and hours must raise, and what settles it. The recording is that of
//! the golden runs; each case adds lines to it or decides in a review.

use std::io::BufRead;
use std::sync::Arc;

use super::*;
use crate::edge::{Joined, join};
use crate::evaluate::{Cluster, Snapshot};
use crate::identity::Inventory;
use crate::manifest::NetworkPolicy;
use crate::recording::{self, CoverageSummary, Recording};
use crate::review;
use crate::time::Window;

const PLATFORM: &str = include_str!("../../tests/recordings/platform.jsonl");

struct Told {
    recording: Recording,
    joined: Joined,
    answer: Recommendation,
}

fn told(more: &str, options: &Options) -> Told {
    let text = format!("{PLATFORM}{more}");
    let (recording, _) =
        recording::read([("platform", &mut text.as_bytes() as &mut dyn BufRead)]).expect("a recording");
    let inventory = Inventory::of(&recording.objects, Window::ALL);
    let joined = join(&recording, &inventory, Window::ALL);
    let coverage = CoverageSummary::of(&recording, Window::ALL);
    let mut answer = generate(&joined.edges, &inventory, options);
    answer.add_gaps(observed_gaps(&joined, &coverage, &inventory, options), options);
    answer.add_gaps(caller_gaps(&joined.edges, &inventory, options), options);
    Told { recording, joined, answer }
}

/// `about: text` of the gaps of a kind.
fn gaps(kind: &str, more: &str, options: &Options) -> Vec<String> {
    let told = told(more, options);
    let of_kind = told.answer.gaps.iter().filter(|gap| gap.kind.as_str() == kind);
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
        let gaps = told.answer.gaps.iter().filter(|gap| gap.kind == GapKind::DeclaredCaller);
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
    let entries: Vec<_> = plain.answer.gaps.iter().filter_map(|gap| gap.review.clone()).collect();
    assert!(entries.len() > 8, "{entries:?}");
    let options = Options { review: review::Review { entries }, ..Options::default() };
    let settled = told("", &options);
    let left: Vec<&Gap> = settled.answer.gaps.iter().filter(|gap| gap.review.is_some()).collect();
    assert!(left.is_empty(), "{left:?}");
    assert!(settled.answer.by_node_address.is_empty(), "{:?}", settled.answer.by_node_address);
    assert_eq!(settled.answer.unused_entries, [0_usize; 0]);
}

#[test]
fn a_node_by_its_address_alone_is_held_until_it_is_approved() {
    let held = |options: &Options| -> Vec<String> {
        told("", options).answer.by_node_address.iter().map(words::workload).collect()
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

fn policy(text: &str) -> NetworkPolicy {
    let read = crate::manifest::read("live.yaml", text.as_bytes());
    match read.objects.into_iter().next().map(|placed| placed.object) {
        Some(crate::manifest::Object::NetworkPolicy(policy)) => policy,
        other => panic!("{other:?}"),
    }
}

/// What is said of one policy in force, and the score of it.
fn in_force(text: &str, options: &Options) -> (Vec<String>, Today) {
    let told = told("", options);
    let mut yaml = Vec::new();
    crate::render::kubernetes::yaml(
        &told.answer.policies,
        crate::render::kubernetes::Detail::None,
        &mut yaml,
    )
    .expect("a buffer takes all");
    let generated = crate::render::proof::parse("stream", &yaml).expect("policies");
    let snapshot = Arc::new(Snapshot::new(told.recording.objects.iter().map(|observed| &*observed.object)));
    let cluster = Cluster::compile(Arc::clone(&snapshot), generated);
    let live = vec![policy(text)];
    let gaps = existing_gaps(&cluster, &live, &told.joined.attempts, options);
    let inventory = Inventory::of(&told.recording.objects, Window::ALL);
    let today = today(&Cluster::compile(snapshot, live), &told.joined.edges, &inventory, options);
    (gaps.into_iter().map(|gap| gap.text).collect(), today)
}

#[test]
fn a_policy_in_force_says_what_it_hid_and_what_it_adds() {
    let head = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: a, namespace: pay}\n";
    let hid = "what it denied of the Ingress of Deployment pay/api could not be seen";
    let adds = "it stays in force and adds to what is generated";
    for (spec, expected) in [
        // Both ends must allow: the clients' own policies hold.
        (
            "{podSelector: {matchLabels: {app: api}}, ingress: [{from: [{podSelector: {}}]}]}",
            format!("{hid}; it adds nothing to what is generated"),
        ),
        (
            "{podSelector: {matchLabels: {app: api}}, ingress: [{from: [{ipBlock: {cidr: 192.0.2.0/24}}], ports: [{port: 9000}]}]}",
            format!("{hid}; {adds}: 192.0.2.0/24 -> Deployment pay/api TCP 9000"),
        ),
        (
            "{podSelector: {matchLabels: {app: nobody}}}",
            "it selects nobody; it adds nothing to what is generated".to_owned(),
        ),
    ] {
        let (texts, _) = in_force(&format!("{head}spec: {spec}\n"), &Options::default());
        assert!(texts.contains(&expected), "{spec}: {texts:#?}");
    }
}

#[test]
fn todays_score_lies_between_nothing_and_what_is_generated() {
    let head = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: a, namespace: pay}\n";
    let open = told("", &Options::default()).answer.score.open;
    let today = |spec: &str| in_force(&format!("{head}spec: {spec}\n"), &Options::default()).1;
    // What selects nobody changes nothing; a closed port is one fewer for each of the nine others and itself.
    assert_eq!(today("{podSelector: {matchLabels: {app: nobody}}}").allowed, open);
    let closed = today("{podSelector: {matchLabels: {app: webhook}}}");
    assert_eq!(open - closed.allowed, 10);
    assert_eq!(closed.never_seen, closed.allowed - 4);
}
