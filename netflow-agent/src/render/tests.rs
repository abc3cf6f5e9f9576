//! Policies in force beside what is generated: what each hid and adds, and the score of today, on the recording
//! of the golden runs.

use std::io::BufRead;
use std::sync::Arc;

use super::kubernetes::{self, Detail};
use super::proof;
use crate::edge::join;
use crate::evaluate::Cluster;
use crate::identity::Inventory;
use crate::manifest::NetworkPolicy;
use crate::policy::{Options, Today, existing_gaps, generate, today};
use crate::recording;
use crate::time::Window;

const PLATFORM: &str = include_str!("../../tests/recordings/platform.jsonl");

fn policy(text: &str) -> NetworkPolicy {
    let read = crate::manifest::read("live.yaml", text.as_bytes());
    match read.objects.into_iter().next().map(|placed| placed.object) {
        Some(crate::manifest::Object::NetworkPolicy(policy)) => policy,
        other => panic!("{other:?}"),
    }
}

/// What is said of one policy in force, the score of it, and how many there are without any.
fn in_force(text: &str) -> (Vec<String>, Today, u64) {
    let (recording, _) =
        recording::read([("platform", &mut PLATFORM.as_bytes() as &mut dyn BufRead)]).expect("a recording");
    let inventory = Inventory::of(&recording.objects, Window::ALL);
    let joined = join(&recording, &inventory, Window::ALL);
    let options = Options::default();
    let answer = generate(&joined.edges, &inventory, &options);
    let mut yaml = Vec::new();
    kubernetes::yaml(&answer.policies, Detail::None, &mut yaml).expect("a buffer takes all");
    let generated = proof::parse("stream", &yaml).expect("policies");
    let objects = recording.objects.iter().map(|observed| &*observed.object);
    let cluster = proof::prove(generated, objects, &joined.edges, &answer).expect("it is sound");
    let live = vec![policy(text)];
    let gaps = existing_gaps(&cluster, &live, &joined.attempts, &options);
    let today = today(
        &Cluster::compile(Arc::clone(&cluster.snapshot), live),
        &joined.edges,
        &answer.counted,
        &options,
    );
    (gaps.into_iter().map(|gap| gap.text).collect(), today, answer.score.open)
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
        let (texts, ..) = in_force(&format!("{head}spec: {spec}\n"));
        assert!(texts.contains(&expected), "{spec}: {texts:#?}");
    }
}

#[test]
fn todays_score_lies_between_nothing_and_what_is_generated() {
    let head = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: a, namespace: pay}\n";
    let today = |spec: &str| in_force(&format!("{head}spec: {spec}\n"));
    // What selects nobody changes nothing; a closed port is one fewer for each of the nine others and itself.
    let (_, untouched, open) = today("{podSelector: {matchLabels: {app: nobody}}}");
    assert_eq!(untouched.allowed, open);
    let (_, closed, _) = today("{podSelector: {matchLabels: {app: webhook}}}");
    assert_eq!(open - closed.allowed, 10);
    assert_eq!(closed.never_seen, closed.allowed - 4);
}
