//! The policies that were generated for the shop: accepted, judged by the naive reading and by our own verbs.

use std::collections::BTreeSet;

use serde_json::Value;

use super::expected::{EDGES, FINDINGS, PORTS};
use super::kube::{Kube, text, wait};
use super::naive::{Cluster, End, Labels, Pod, judge};
use super::shop;

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

/// Every pod of the shop and of DNS against every other on every port, and against the machine outside:
/// allowed is what the list says, and TCP beside UDP for DNS. Judged by the naive reading, not by ours.
pub(crate) fn the_policies_allow_what_the_manifests_say(kube: &Kube) {
    let yaml = policies(kube);
    let (pods, workloads) = pods(kube);
    assert!(pods.len() >= 13, "{workloads:?}");
    let policies = serde_saphyr::from_multiple(&yaml).expect("policies");
    let cluster = Cluster { pods, policies, ..Cluster::default() };
    let mut ends: Vec<(End, &str)> =
        workloads.iter().enumerate().map(|(at, workload)| (End::Pod(at), workload.as_str())).collect();
    for (address, name) in [
        ("10.77.0.100", "External/10.77.0.100"),
        ("10.77.0.11", "Node/node1"),
        ("192.0.2.1", "External/192.0.2.1"),
    ] {
        ends.push((End::Address(address.parse().expect("an address")), name));
    }
    let mut wrong = Vec::new();
    for &(from, source) in &ends {
        for &(to, destination) in &ends {
            let guarded = matches!((from, to), (End::Pod(_), _) | (_, End::Pod(_)));
            // No policy is for the pods of kube-system: what they send, and take from elsewhere, is open.
            if from == to || !guarded || source.starts_with("kube-system") {
                continue;
            }
            if matches!(from, End::Address(_)) && destination.starts_with("kube-system") {
                continue;
            }
            for &(port, protocol) in PORTS {
                let seen = if port == 53 { "UDP" } else { protocol };
                let edge = format!("{source} -> {destination} {port}/{seen}");
                let expected = if EDGES.contains(&edge.as_str()) { "allowed" } else { "denied" };
                let verdict = judge(&cluster, from, to, port, protocol)[2];
                if verdict != expected {
                    wrong.push(format!("{edge}, {protocol}: {verdict}, not {expected}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}\n{yaml}");
}

/// The pods of the shop and of DNS that policies can select, those of Jobs that are done among them and `blink`
/// as it was; and beside each the workload it is of.
fn pods(kube: &Kube) -> (Vec<Pod>, Vec<String>) {
    let listed = kube.get(&["pods", "-A"]);
    let mut pods = Vec::new();
    let mut workloads = Vec::new();
    for pod in listed["items"].as_array().expect("a list") {
        let (namespace, name) = (text(&pod["metadata"]["namespace"]), text(&pod["metadata"]["name"]));
        let owner = &pod["metadata"]["ownerReferences"][0];
        let workload = match text(&owner["kind"]).as_str() {
            "ReplicaSet" => {
                format!("Deployment/{}", text(&owner["name"]).rsplit_once('-').expect("a hash").0)
            }
            "StatefulSet" => format!("StatefulSet/{}", text(&owner["name"])),
            "Job" => format!("CronJob/{}", text(&owner["name"]).replace("-now", "")),
            "" => format!("Pod/{name}"),
            _ => continue,
        };
        let known = matches!(namespace.as_str(), "shop" | "billing" | "ops" | "quiet" | "kube-system");
        let Some(ip) = pod["status"]["podIP"].as_str().and_then(|ip| ip.parse().ok()) else { continue };
        let gone = pod["metadata"].get("deletionTimestamp").is_some() || pod["status"]["phase"] == "Failed";
        if !known || gone || pod["spec"]["hostNetwork"] == true {
            continue;
        }
        let labels: Labels = serde_json::from_value(pod["metadata"]["labels"].clone()).expect("labels");
        pods.push(Pod { namespace: namespace.clone(), name, labels, ips: vec![ip], ..Pod::default() });
        workloads.push(format!("{namespace}/{workload}"));
    }
    let labels: Labels = [("app".to_owned(), "blink".to_owned())].into_iter().collect();
    let (namespace, name) = ("ops".to_owned(), "blink".to_owned());
    pods.push(Pod { namespace, name, labels, ips: vec![[10, 244, 2, 254].into()], ..Pod::default() });
    workloads.push("ops/Pod/blink".to_owned());
    (pods, workloads)
}

/// Applied for good, and then asked again: nothing is left to change, and the calls go on. The kit's network plugin
/// enforces no policy, so that those it should let through do get through is the naive reading's word, above.
pub(crate) fn in_force_they_change_nothing(kube: &Kube) {
    let answered = shop::answered(kube);
    let applied = kube.feed(&["apply", "--validate=strict", "-f", "-"], &policies(kube));
    assert!(applied.status.success(), "{}", String::from_utf8_lossy(&applied.stderr));
    for flag in ["--diff", "--only-changed"] {
        let (left, words) = kube.netflow(&["generate-policies", "--since", "1h", flag]);
        assert_eq!(left, "", "{flag}: {words}");
    }
    wait(120, "calls under the policies", || match shop::answered(kube) {
        now if now >= answered + 4 => Ok(()),
        now => Err(format!("{now} calls, {answered} before")),
    });
}

/// The policies in a file of this run.
fn file(kube: &Kube) -> String {
    let yaml = policies(kube);
    kube.file("policies.yaml", &yaml).to_string_lossy().into_owned()
}

pub(crate) fn a_replay_denies_nothing(kube: &Kube) {
    let file = file(kube);
    let lines = kube.lines(&["replay", "-f", &file, "--since", "1h", "-o", "json"]);
    let not_allowed: Vec<&Value> = lines.iter().filter(|edge| edge["verdict"] != "allowed").collect();
    assert!(not_allowed.is_empty() && lines.len() >= EDGES.len(), "{not_allowed:#?}");
}

pub(crate) fn the_audit_finds_what_was_expected(kube: &Kube) {
    let file = file(kube);
    let kubeconfig = kube.kubeconfig.to_string_lossy().into_owned();
    let (json, _) =
        kube.netflow(&["audit", "-f", &file, "--kubeconfig", &kubeconfig, "--since", "1h", "-o", "json"]);
    let audit: Value = serde_json::from_str(&json).expect("JSON");
    let word = |finding: &Value| format!("{} {}", text(&finding["id"]), text(&finding["object"]));
    let found: BTreeSet<String> = audit["findings"].as_array().expect("findings").iter().map(word).collect();
    let expected: BTreeSet<String> = FINDINGS.iter().map(|finding| (*finding).to_owned()).collect();
    assert_eq!(found, expected, "{json}");
}
