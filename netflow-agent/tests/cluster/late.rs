//! Identity in time: an address that changes hands, seen by an agent that hears of it at once, and by one that
//! hears of everything afterwards.

use serde_json::Value;

use super::agents;
use super::answers::name;
use super::kube::{Kube, succeed, text, wait};
use super::shop::{apply, pod};

/// A pod that is gone leaves its address to another workload's pod within seconds; what the second says is
/// never the first's.
pub(crate) fn an_address_used_again_is_the_new_pods(kube: &Kube) {
    let handed = hand_over(kube, ["first", "second"]);
    has_each_its_own(kube, ["first", "second"], &handed);
}

/// As an hour without the API server is for an agent, in little: nothing comes through from there while pods come,
/// go and hand an address on. It goes on capturing, and hears of all of it late.
pub(crate) fn an_agent_cut_off_names_all_afterwards(kube: &Kube) {
    let address = agents::address(kube, "node2");
    let (covered_before, pods) = (covered(kube, "node2"), pods_known(kube));
    let wire = |operation: &str| {
        for [side, port] in [["-s", "--dport"], ["-d", "--sport"]] {
            let rule =
                ["iptables", operation, "FORWARD", side, &address, "-p", "tcp", port, "6443", "-j", "DROP"];
            succeed(&mut kube.inside("node2", &rule));
        }
    };
    wire("-I");
    let handed = hand_over(kube, ["early", "late"]);
    assert_eq!(pods_known(kube), pods, "it heard of the second pod, though nothing comes through");
    assert!(agents::fetch(kube, "node2", 9464, "/readyz").is_ok(), "it captures all the same");
    wire("-D");
    // The server's side tries again ever more seldom.
    wait(300, "the agent to hear of it", || match pods_known(kube) {
        known if known == pods => Err(format!("{known} pods")),
        _ => Ok(()),
    });
    has_each_its_own(kube, ["early", "late"], &handed);
    let covered_after = covered(kube, "node2");
    assert!(covered_after >= covered_before + 5, "{covered_before} s before, {covered_after} s after");
}

/// How many pods of its node the agent on node2 knows.
fn pods_known(kube: &Kube) -> u64 {
    let metrics = agents::fetch(kube, "node2", 9464, "/metrics").expect("metrics are always there");
    let line = metrics.lines().find_map(|line| line.strip_prefix("netflow_objects{kind=\"Pod\"} "));
    line.and_then(|count| count.parse().ok()).expect("it counts its objects")
}

/// What the agent's metrics say of its inventory.
pub(crate) fn is_stale(kube: &Kube, node: &str, stale: bool) -> Result<(), String> {
    let metrics = agents::fetch(kube, node, 9464, "/metrics")?;
    let wanted = format!("netflow_inventory_stale {}", u8::from(stale));
    let line = metrics.lines().find(|line| line.starts_with("netflow_inventory_stale ")).unwrap_or_default();
    if line == wanted { Ok(()) } else { Err(line.to_owned()) }
}

/// The seconds that a node's agent says it observed, in the hours of the last one.
pub(crate) fn covered(kube: &Kube, node: &str) -> i64 {
    let lines = kube.lines(&["export", "--since", "1h"]);
    let coverage = lines.iter().filter(|line| line["kind"] == "coverage" && line["node"] == node);
    coverage.filter_map(|line| line["observed_seconds"].as_i64()).sum()
}

/// Two pods on node2, one after the other, with one address: the first calls `api`, the second `web` of billing.
fn hand_over(kube: &Kube, [first, second]: [&str; 2]) -> String {
    let call = |to: &str| format!("while :; do nettool probe {to}; sleep 1; done");
    let held = run(kube, &pod(first, &call("api.shop:80")));
    is_answered(kube, first);
    kube.kubectl(&["-n", "ops", "delete", "pod", first, "--grace-period=1"]);
    give_next(kube, &held);
    let next = run(kube, &pod(second, &call("web.billing:80")));
    assert_eq!(next, held, "the address was not used again");
    is_answered(kube, second);
    held
}

/// A pod of `ops` had an answer twice, by its own log.
fn is_answered(kube: &Kube, name: &str) {
    wait(120, "the pod's calls", || {
        let log = kube.kubectl(&["-n", "ops", "logs", name]);
        if log.lines().filter(|line| line.starts_with("ok ")).count() >= 2 { Ok(()) } else { Err(log) }
    });
}

/// Starts a pod; its address.
fn run(kube: &Kube, pod: &Value) -> String {
    apply(kube, &pod.to_string());
    let name = text(&pod["metadata"]["name"]);
    wait(180, "the pod's address", || {
        let pod = kube.get(&["pod", "-n", "ops", &name]);
        let running = pod["status"]["phase"] == "Running" && pod["status"]["podIP"].is_string();
        if running { Ok(text(&pod["status"]["podIP"])) } else { Err(pod["status"]["phase"].to_string()) }
    })
}

fn has_each_its_own(kube: &Kube, [first, second]: [&str; 2], address: &str) {
    let due = [
        format!("ops/Pod/{first} -> shop/Deployment/api 8081/TCP"),
        format!("ops/Pod/{second} -> billing/Deployment/web 8443/TCP"),
    ];
    let seen = wait(180, "the edges of both pods", || {
        let seen: Vec<String> =
            kube.lines(&["observe", "--since", "1h", "-o", "json"]).iter().map(name).collect();
        let missing: Vec<_> = due.iter().filter(|edge| !seen.contains(edge)).collect();
        if missing.is_empty() { Ok(seen) } else { Err(format!("{missing:?} are not there yet")) }
    });
    let crossed = [format!("ops/Pod/{first} -> billing/"), format!("ops/Pod/{second} -> shop/")];
    let wrong: Vec<_> = seen
        .iter()
        .filter(|edge| {
            crossed.iter().any(|begin| edge.starts_with(begin)) || edge.contains(&format!("/{address} "))
        })
        .collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}

/// The CNI plugin gives addresses in turn, from the one after the last; so the last is set to the one before.
fn give_next(kube: &Kube, address: &str) {
    let (network, last) = address.rsplit_once('.').expect("an IPv4 address");
    let before = last.parse::<u8>().expect("an IPv4 address") - 1;
    let file = "/var/lib/cni/networks/pods/last_reserved_ip.0";
    kube.shell("node2", &format!("[ -e {file} ] && printf %s {network}.{before} > {file}"));
}
