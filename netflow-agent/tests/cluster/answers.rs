//! What is asked of the shop, against what its manifests say. The list below was written from `shop.yaml`,
//! not from an answer.

use std::collections::BTreeSet;

use serde_json::Value;

use super::kube::{Kube, text};
use super::naive::{Cluster, End, Labels, Pod, judge};

/// Source, destination, port, protocol. `*` before a line: a node may be either.
const EDGES: &[&str] = &[
    "shop/Deployment/web -> shop/Deployment/api 8081/TCP",
    "shop/Deployment/web -> billing/Deployment/web 8443/TCP",
    "shop/Deployment/web -> shop/StatefulSet/db 5432/TCP",
    "shop/Deployment/web -> kube-system/Deployment/coredns 53/UDP",
    "shop/Deployment/api -> shop/StatefulSet/db 5432/TCP",
    "shop/Deployment/api -> shop/Deployment/cache 5300/UDP",
    // The Service `legacy` is port 9000; what it stands for is 9001 of a machine outside.
    "shop/Deployment/api -> External/10.77.0.100 9001/TCP",
    "shop/Deployment/api -> kube-system/Deployment/coredns 53/UDP",
    // Two pods of one StatefulSet.
    "shop/StatefulSet/db -> shop/StatefulSet/db 5432/TCP",
    "shop/StatefulSet/db -> kube-system/Deployment/coredns 53/UDP",
    "shop/CronJob/report -> shop/Deployment/api 8081/TCP",
    "shop/CronJob/report -> kube-system/Deployment/coredns 53/UDP",
    // The pod on the host's network.
    "Node/node1 -> billing/Deployment/web 8443/TCP",
    // The probes of both nodes, and visitors from outside, whose address the NodePort Service hides.
    "Node/node1 -> shop/Deployment/web 8080/TCP",
    "Node/node2 -> shop/Deployment/web 8080/TCP",
];

/// Namespaces of the shop: edges between others are the cluster's own.
const OURS: &[&str] = &["shop", "billing", "ops", "quiet"];

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

/// The shop's edges among these lines.
fn edges(lines: &str) -> BTreeSet<String> {
    let edges = lines.lines().map(|line| serde_json::from_str::<Value>(line).expect("an edge a line"));
    let named = edges.filter(is_ours).map(|edge| {
        let (source, destination) = (end(&edge["source"]), end(&edge["destination"]));
        format!("{source} -> {destination} {}/{}", edge["port"], text(&edge["protocol"]))
    });
    named.collect()
}

pub(crate) fn the_edges_are_those_of_the_manifests(kube: &Kube) {
    let (lines, words) = kube.netflow(&["observe", "--since", "1h", "-o", "json"]);
    let expected: BTreeSet<String> = EDGES.iter().map(|edge| (*edge).to_owned()).collect();
    let seen = edges(&lines);
    let missing: Vec<_> = expected.difference(&seen).collect();
    let surplus: Vec<_> = seen.difference(&expected).collect();
    assert!(missing.is_empty() && surplus.is_empty(), "missing {missing:#?}\nsurplus {surplus:#?}\n{words}");
    assert!(words.contains("answered: node1, node2"), "{words}");
    for edge in lines.lines().filter(|line| line.contains("\"StatefulSet\"") && line.contains("\"api\"")) {
        assert!(edge.contains("\"witness\":\"both\""), "both ends run agents: {edge}");
    }
}

/// The raw lines of the cluster: each node's flows have that node's own pods at their local end.
pub(crate) fn each_agent_reads_its_own_node_only(kube: &Kube) {
    let (lines, _) = kube.netflow(&["export", "--since", "1h"]);
    let mut flows = 0;
    for line in lines.lines().map(|line| serde_json::from_str::<Value>(line).expect("a line of JSON")) {
        if line["kind"] != "flow" {
            continue;
        }
        flows += 1;
        let node = text(&line["node"]);
        let number = node.strip_prefix("node").expect("nodes are numbered");
        if let Some(local) = line["local"].as_str() {
            let own = [format!("10.244.{number}."), format!("10.77.0.1{number}")];
            assert!(own.iter().any(|own| local.starts_with(own)), "{line}");
        }
    }
    assert!(flows > 20, "{flows} flows");
}

/// Ports that somebody of the shop serves.
const PORTS: &[(u16, &str)] = &[
    (8080, "TCP"),
    (8081, "TCP"),
    (8443, "TCP"),
    (5432, "TCP"),
    (5300, "UDP"),
    (53, "UDP"),
    (53, "TCP"),
    (9999, "TCP"),
];

/// The policies as YAML, which the API server must accept as it is.
fn policies(kube: &Kube) -> String {
    let (yaml, _) = kube.netflow(&["generate-policies", "--since", "1h"]);
    yaml
}

pub(crate) fn the_api_server_accepts_the_policies(kube: &Kube) {
    let yaml = policies(kube);
    let applied = kube.feed(&["apply", "--dry-run=server", "--validate=strict", "-f", "-"], &yaml);
    let words = String::from_utf8_lossy(&applied.stderr).into_owned();
    assert!(applied.status.success(), "{words}\n{yaml}");
    assert!(String::from_utf8_lossy(&applied.stdout).lines().count() > 8, "{yaml}");
}

/// Every pod of the shop and of DNS against every other on every port: allowed is what the list says, and
/// TCP beside UDP for DNS. Judged by the naive reading, not by ours.
pub(crate) fn the_policies_allow_what_the_manifests_say(kube: &Kube) {
    let yaml = policies(kube);
    let (pods, workloads) = pods(kube);
    let policies = serde_saphyr::from_multiple(&yaml).expect("policies");
    let cluster = Cluster { pods, policies, ..Cluster::default() };
    let mut wrong = Vec::new();
    for (from, source) in workloads.iter().enumerate() {
        for (to, destination) in workloads.iter().enumerate() {
            if from == to || source.starts_with("kube-system") {
                continue;
            }
            for &(port, protocol) in PORTS {
                let seen = if port == 53 { "UDP" } else { protocol };
                let edge = format!("{source} -> {destination} {port}/{seen}");
                let expected = if EDGES.contains(&edge.as_str()) { "allowed" } else { "denied" };
                let verdict = judge(&cluster, End::Pod(from), End::Pod(to), port, protocol)[2];
                if verdict != expected {
                    wrong.push(format!(
                        "{source} -> {destination} {port}/{protocol}: {verdict}, not {expected}"
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}\n{yaml}");
}

/// The running pods of the shop and of DNS, and beside each the workload it is of.
fn pods(kube: &Kube) -> (Vec<Pod>, Vec<String>) {
    let listed = kube.get(&["pods", "-A"]);
    let mut pods = Vec::new();
    let mut workloads = Vec::new();
    for pod in listed["items"].as_array().expect("a list") {
        let namespace = text(&pod["metadata"]["namespace"]);
        let owner = &pod["metadata"]["ownerReferences"][0];
        let workload = match text(&owner["kind"]).as_str() {
            "ReplicaSet" => {
                format!("Deployment/{}", text(&owner["name"]).rsplit_once('-').expect("a hash").0)
            }
            "StatefulSet" => format!("StatefulSet/{}", text(&owner["name"])),
            _ => continue,
        };
        let known = matches!(namespace.as_str(), "shop" | "billing" | "kube-system");
        let Some(ip) = pod["status"]["podIP"].as_str().and_then(|ip| ip.parse().ok()) else { continue };
        if !known || pod["metadata"].get("deletionTimestamp").is_some() {
            continue;
        }
        let labels: Labels = serde_json::from_value(pod["metadata"]["labels"].clone()).expect("labels");
        let name = text(&pod["metadata"]["name"]);
        pods.push(Pod { namespace: namespace.clone(), name, labels, ips: vec![ip], ..Pod::default() });
        workloads.push(format!("{namespace}/{workload}"));
    }
    (pods, workloads)
}
