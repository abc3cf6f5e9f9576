//! A thousand policies of random clusters, and one for each label value that YAML readers stumble over, as a real
//! kube-apiserver takes them from kubectl: none is refused, and each comes back as it was meant.

use std::collections::BTreeMap;

use k8s_openapi::api::networking::v1::NetworkPolicy;
use netflow_agent::net::Direction;
use netflow_agent::policy::{Options, Policy, Selector};
use netflow_agent::render::kubernetes::{self, Detail};
use serde_json::Value;

use super::{apiserver, pipeline, record, skip, world};

const POLICIES: usize = 1_000;

/// `~` is no label value; the others are.
const STUMBLES: [&str; 25] = [
    "yes",
    "Yes",
    "no",
    "NO",
    "on",
    "off",
    "y",
    "n",
    "true",
    "False",
    "null",
    "Null",
    "",
    "1e3",
    "1E3",
    "012",
    "0o7",
    "0x1F",
    "0b11",
    "1_000",
    "1.5",
    "2026-11-20",
    "NaN",
    "e3",
    "123456789012345678901234567890",
];

/// Selects by one value, and has it as a peer's.
fn stumbling(at: usize, value: &str) -> Policy {
    Policy {
        namespace: "default".into(),
        name: format!("value-{at}"),
        workloads: Vec::new(),
        selector: Selector { equal: BTreeMap::from([("flag".into(), value.into())]), ..Selector::default() },
        directions: Direction::BOTH.to_vec(),
        rules: Vec::new(),
    }
}

/// Streams of some policies each, a thousand and more in all, and what they are meant to be.
fn streams() -> Vec<(String, Vec<NetworkPolicy>)> {
    let (mut streams, mut n_policies) = (Vec::new(), 0);
    let mut add = |policies: &[Policy]| {
        let (mut yaml, mut json) = (Vec::new(), Vec::new());
        kubernetes::yaml(policies, Detail::Full, &mut yaml).expect("a buffer takes all");
        kubernetes::json(policies, &mut json).expect("a buffer takes all");
        let list: Value = serde_json::from_slice(&json).expect("JSON");
        let meant: Vec<NetworkPolicy> = serde_json::from_value(list["items"].clone()).expect("policies");
        n_policies += meant.len();
        streams.push((String::from_utf8(yaml).expect("UTF-8"), meant));
        n_policies
    };
    let stumbles: Vec<Policy> = STUMBLES.iter().enumerate().map(|(at, value)| stumbling(at, value)).collect();
    add(&stumbles);
    for seed in 0.. {
        let case = record::record(&world::World::of(seed), record::Shape { salt: seed });
        let outcome = pipeline::run(&case.lines, &Options::default(), &|_, _| (), &|_, _| ());
        if add(&outcome.answer.policies) >= POLICIES + STUMBLES.len() {
            break;
        }
    }
    streams
}

/// All that a policy means, and nothing that a server adds to it.
fn meaning(policy: &NetworkPolicy) -> (&Option<String>, &Option<String>, Value) {
    let meta = &policy.metadata;
    let mut rest = serde_json::to_value(&policy.spec).expect("JSON");
    rest["labels"] = serde_json::to_value(&meta.labels).expect("JSON");
    rest["annotations"] = serde_json::to_value(&meta.annotations).expect("JSON");
    (&meta.namespace, &meta.name, rest)
}

/// What the server would store of a stream, as kubectl read it.
fn dry_run(server: &apiserver::ApiServer, yaml: &str) -> Vec<NetworkPolicy> {
    let arguments = ["create", "--dry-run=server", "--validate=strict", "-o", "json", "-f", "-"];
    let answer = server.kubectl(&arguments, yaml).unwrap_or_else(|error| panic!("{error}\n{yaml}"));
    let documents = serde_json::Deserializer::from_slice(&answer).into_iter::<Value>();
    let mut policies = Vec::new();
    for document in documents {
        let mut document = document.expect("JSON");
        let items = match document["items"].take() {
            Value::Array(items) => items,
            _ => vec![document],
        };
        policies.extend(items.into_iter().map(|item| serde_json::from_value(item).expect("a policy")));
    }
    policies
}

#[test]
fn a_real_api_server_takes_a_thousand_policies_as_they_are_meant() {
    let _one_at_a_time = super::one_server();
    let server = match apiserver::ApiServer::start() {
        Ok(server) => server,
        Err(reason) => {
            return skip::skip("a_real_api_server_takes_a_thousand_policies_as_they_are_meant", &reason);
        }
    };
    let namespaces = ["shop", "shop-test", "ops"]
        .map(|name| format!("---\napiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}}}\n"));
    server.kubectl(&["create", "-f", "-"], &namespaces.concat()).expect("namespaces");
    let mut n_policies = 0;
    for (yaml, meant) in streams() {
        let back = dry_run(&server, &yaml);
        let (back, meant): (Vec<_>, Vec<_>) =
            (back.iter().map(meaning).collect(), meant.iter().map(meaning).collect());
        assert_eq!(back, meant, "{yaml}");
        n_policies += back.len();
    }
    println!("{n_policies} policies, {} of them for one label value each", STUMBLES.len());
    assert!(n_policies > POLICIES);
}
