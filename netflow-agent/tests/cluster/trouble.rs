//! Things that break: an agent, the API server, a node. Answers stay right, or say what is missing.

use std::fs;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use serde_json::Value;

use super::kube::{Kube, succeed, text, wait};

fn is_ready(kube: &Kube) -> Result<(), String> {
    let set = kube.get(&["daemonset", "-n", "netflow", "netflow-agent"]);
    let status = &set["status"];
    if status["numberReady"] == 2 { Ok(()) } else { Err(status.to_string()) }
}

fn restarts(kube: &Kube) -> i64 {
    let pods = kube.get(&["pods", "-n", "netflow"]);
    let pods = pods["items"].as_array().expect("a list");
    pods.iter().filter_map(|pod| pod["status"]["containerStatuses"][0]["restartCount"].as_i64()).sum()
}

fn connections(kube: &Kube, arguments: &[&str]) -> u64 {
    let mut all = vec!["observe", "--since", "1h", "-o", "json"];
    all.extend(arguments);
    let (lines, _) = kube.netflow(&all);
    let edges = lines.lines().map(|line| serde_json::from_str::<Value>(line).expect("an edge a line"));
    let database = edges
        .filter(|edge| text(&edge["destination"]["name"]) == "db" && text(&edge["source"]["name"]) == "api");
    database.filter_map(|edge| edge["connections"].as_u64()).sum()
}

pub(crate) fn a_killed_agent_comes_back(kube: &Kube) {
    let before = connections(kube, &[]);
    for folder in fs::read_dir("/proc").expect("procfs").filter_map(Result::ok).map(|entry| entry.path()) {
        let name = fs::read_to_string(folder.join("comm")).unwrap_or_default();
        let cgroup = fs::read_to_string(folder.join("cgroup")).unwrap_or_default();
        if name.trim() == "netflow-agent" && cgroup.contains("/nfk/node2/") && cgroup.contains("kubepods") {
            let pid = folder.file_name().expect("a pid").to_string_lossy().into_owned();
            succeed(Command::new("kill").args(["-9", &pid]));
        }
    }
    wait(60, "the agent to be restarted", || match restarts(kube) {
        0 => Err("no restart yet".to_owned()),
        _ => is_ready(kube),
    });
    sleep(Duration::from_secs(12));
    let after = connections(kube, &[]);
    assert!(after > before, "{before} connections before the agent was killed, {after} after");
}

/// Stopped, the server answers nobody and its watches hang; capture goes on.
pub(crate) fn the_api_server_away_loses_no_flow(kube: &Kube) {
    let (before, restarted) = (connections(kube, &[]), restarts(kube));
    let pid = kube.pid("kube-apiserver");
    succeed(Command::new("kill").args(["-STOP", &pid]));
    sleep(Duration::from_secs(20));
    succeed(Command::new("kill").args(["-CONT", &pid]));
    wait(60, "the cluster to come back", || is_ready(kube));
    sleep(Duration::from_secs(12));
    let after = connections(kube, &[]);
    assert_eq!(restarts(kube), restarted, "an agent was restarted because the API server was away");
    // Two pods call two databases every second.
    assert!(after >= before + 40, "{before} connections before, {after} after 32 s of calls");
}

pub(crate) fn a_node_cut_off_is_named(kube: &Kube) {
    let wire = |operation: &str| {
        for (chain, side) in [("INPUT", "-i"), ("OUTPUT", "-o"), ("FORWARD", "-i")] {
            let rule = ["iptables", operation, chain, side, "eth0", "-j", "DROP"];
            succeed(&mut kube.inside("node2", &rule));
        }
    };
    wire("-I");
    let arguments = ["observe", "--since", "1h", "-o", "json", "--node-timeout", "4s"];
    let output = kube.netflow_as(&kube.kubeconfig, &arguments);
    let strict = kube.netflow_as(&kube.kubeconfig, &[&arguments[..], &["--require-complete"]].concat());
    wire("-D");
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{words}");
    assert!(words.contains("answered: node1\n") && words.contains("missing: node node2"), "{words}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("\"web\""), "node1 has edges of its own");
    assert_eq!(strict.status.code(), Some(4), "{}", String::from_utf8_lossy(&strict.stderr));
}
