//! What is asked of the shop, against what its manifests say.

use std::collections::BTreeSet;

use serde_json::Value;

use super::expected::{EDGES, GAPS, OURS, may_be_a_gap};
use super::kube::{Kube, NODES, text};

fn end(end: &Value) -> String {
    match text(&end["kind"]).as_str() {
        "Node" => format!("Node/{}", text(&end["name"])),
        "External" => format!("External/{}", text(&end["ip"])),
        "Unknown" => format!("Unknown/{} ({})", text(&end["ip"]), text(&end["reason"])),
        kind => format!("{}/{kind}/{}", text(&end["namespace"]), text(&end["name"])),
    }
}

fn is_ours(edge: &Value) -> bool {
    ["source", "destination"].iter().any(|side| OURS.contains(&text(&edge[side]["namespace"]).as_str()))
}

pub(crate) fn name(edge: &Value) -> String {
    let (source, destination) = (end(&edge["source"]), end(&edge["destination"]));
    format!("{source} -> {destination} {}/{}", edge["port"], text(&edge["protocol"]))
}

pub(crate) fn the_edges_are_those_of_the_manifests(kube: &Kube) {
    let (lines, words) = kube.netflow(&["observe", "--since", "1h", "-o", "json"]);
    let edges: Vec<Value> =
        lines.lines().map(|line| serde_json::from_str(line).expect("an edge a line")).collect();
    let expected: BTreeSet<String> = EDGES.iter().map(|edge| (*edge).to_owned()).collect();
    let seen: BTreeSet<String> = edges.iter().filter(|edge| is_ours(edge)).map(name).collect();
    let missing: Vec<_> = expected.difference(&seen).collect();
    let surplus: Vec<_> = seen.difference(&expected).collect();
    assert!(missing.is_empty() && surplus.is_empty(), "missing {missing:#?}\nsurplus {surplus:#?}\n{words}");
    assert!(words.contains("answered: node1, node2\n"), "{words}");
    for edge in &edges {
        let name = name(edge);
        if name.starts_with("shop/Deployment/api -> shop/StatefulSet") {
            assert_eq!(edge["witness"], "both", "both ends run agents: {name}");
        }
        if name.contains("-> billing/Deployment/web 8443") {
            assert_eq!(edge["via"]["name"], "web", "{edge}");
        }
    }
}

/// No end of any flow of the cluster is without a name, and what the policies leave open is what was expected.
pub(crate) fn what_is_unknown_is_what_was_expected(kube: &Kube) {
    for arguments in [&["--attempts"][..], &[]] {
        let edges = kube.lines(&[&["observe", "--since", "1h", "-o", "json"], arguments].concat());
        let unknown: Vec<String> = edges.iter().map(name).filter(|name| name.contains("Unknown/")).collect();
        assert!(unknown.is_empty(), "{arguments:?} {unknown:#?}");
    }
    let (_, words) = kube.netflow(&["generate-policies", "--since", "1h", "--all-gaps"]);
    let gaps: BTreeSet<String> = words
        .lines()
        .filter_map(|line| line.strip_prefix("gap "))
        .map(|gap| gap.splitn(3, ": ").take(2).collect::<Vec<_>>().join(": "))
        .collect();
    let missing: Vec<_> = GAPS.iter().filter(|gap| !gaps.contains(**gap)).collect();
    let surplus: Vec<_> =
        gaps.iter().filter(|gap| !GAPS.contains(&gap.as_str()) && !may_be_a_gap(gap)).collect();
    assert!(missing.is_empty() && surplus.is_empty(), "missing {missing:#?}\nsurplus {surplus:#?}\n{words}");
    assert!(!words.lines().any(|line| line.starts_with("withheld: ")), "{words}");
    assert!(words.contains("connections are allowed (100.0 %)"), "{words}");
}

/// The raw lines of the cluster: each node's flows have that node's own pods at their local end. Among them are
/// pods that reach pods of their own node, and of the other.
pub(crate) fn each_agent_reads_its_own_node_only(kube: &Kube) {
    let node_of = |address: &str| {
        NODES
            .into_iter()
            .zip(["10.244.1.", "10.244.2."])
            .find_map(|(node, own)| address.starts_with(own).then_some(node))
    };
    let mut flows = 0;
    let mut seen = BTreeSet::new();
    for line in kube.lines(&["export", "--since", "1h"]) {
        if line["kind"] != "flow" {
            continue;
        }
        flows += 1;
        let node = text(&line["node"]);
        let number = node.strip_prefix("node").expect("nodes are numbered");
        if let Some(local) = line["local"].as_str() {
            let own = [format!("10.244.{number}."), format!("10.77.0.1{number}")];
            assert!(own.iter().any(|own| local.starts_with(own)), "{line}");
            let ends = [local, line["remote"].as_str().unwrap_or_default()].map(node_of);
            seen.extend(ends[0].zip(ends[1]));
        }
    }
    assert!(flows > 20, "{flows} flows");
    assert!(seen.iter().any(|(from, to)| from == to) && seen.iter().any(|(from, to)| from != to), "{seen:?}");
}
