//! Things that break: an agent, the API server, a node. Answers stay right, or say what is missing.

use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::agents;
use super::kube::{Kube, NODES, succeed, text, wait};
use super::late::{covered, is_stale};

/// A drain, an answer and what a loaded machine takes for them.
const SLACK: i64 = 15;

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

/// How often `api` called `db`.
fn connections(kube: &Kube) -> u64 {
    let edges = kube.lines(&["observe", "--since", "1h", "-o", "json"]);
    let database = edges
        .iter()
        .filter(|edge| text(&edge["destination"]["name"]) == "db" && text(&edge["source"]["name"]) == "api");
    database.filter_map(|edge| edge["connections"].as_u64()).sum()
}

/// What was known before some trouble, to be compared with afterwards.
struct Before {
    connections: u64,
    covered: [i64; 2],
    at: Instant,
}

impl Before {
    #[expect(
        clippy::disallowed_methods,
        reason = "coverage is compared with a clock that is not the product's"
    )]
    fn now(kube: &Kube) -> Self {
        Self {
            connections: connections(kube),
            covered: NODES.map(|node| covered(kube, node)),
            at: Instant::now(),
        }
    }

    /// Every second since counts as observed, but for `missed` of them; and nothing that was counted is gone.
    fn goes_on(&self, kube: &Kube, missed: i64) {
        let covered = NODES.map(|node| covered(kube, node));
        let passed = i64::try_from(self.at.elapsed().as_secs()).expect("a test is short");
        for (after, before) in covered.iter().zip(self.covered) {
            let grown = after - before;
            let whole = passed - missed - SLACK..=passed + SLACK;
            assert!(whole.contains(&grown), "{grown} s were covered of {passed} s, {missed} s may be missed");
        }
        let after = connections(kube);
        // Two pods call two databases every second; half of that will do on a machine that is busy.
        let due = u64::try_from((passed - missed).max(0)).expect("not negative") * 2;
        assert!(
            after >= self.connections + due,
            "{} connections before, {after} after {passed} s",
            self.connections
        );
    }
}

pub(crate) fn an_update_keeps_the_hour(kube: &Kube) {
    let before = Before::now(kube);
    let old = kube.agents();
    kube.kubectl(&["-n", "netflow", "rollout", "restart", "daemonset/netflow-agent"]);
    kube.kubectl(&["-n", "netflow", "rollout", "status", "daemonset/netflow-agent", "--timeout=120s"]);
    wait(60, "the agents to be ready", || is_ready(kube));
    assert!(kube.agents().iter().all(|agent| !old.contains(agent)), "{old:?}");
    sleep(Duration::from_secs(12));
    before.goes_on(kube, 10);
}

/// Killed again as often as it takes to find it away: the first restarts come at once.
pub(crate) fn a_killed_agent_comes_back(kube: &Kube) {
    let before = Before::now(kube);
    let restarted = restarts(kube);
    let arguments = ["observe", "--since", "1h", "-o", "json", "--node-timeout", "4s"];
    let output = wait(60, "an answer without the agent", || {
        for process in agents::processes("node2") {
            let pid = process.file_name().expect("a pid").to_string_lossy().into_owned();
            // It may just have ended by the one before.
            drop(Command::new("kill").args(["-9", &pid]).output());
        }
        let output = kube.netflow_as(&kube.kubeconfig, &arguments);
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        if words.contains("missing: node node2: ") { Ok(output) } else { Err(words) }
    });
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && words.contains("answered: node1\n"), "{words}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("\"web\""), "node1 has edges of its own");
    wait(120, "the agent to be restarted", || is_ready(kube));
    assert!(restarts(kube) > restarted);
    sleep(Duration::from_secs(12));
    let after = connections(kube);
    assert!(
        after > before.connections,
        "{} connections before the agent was killed, {after} after",
        before.connections
    );
    let (since, now) = (before.covered[1], covered(kube, "node2"));
    let passed = i64::try_from(before.at.elapsed().as_secs()).expect("a test is short");
    assert!(
        now > since && now - since < passed,
        "{} s are covered of {passed} s without an agent in all",
        now - since
    );
}

/// Ended, and started again: meanwhile nobody can ask, the agents go on, and none is restarted for it.
pub(crate) fn the_api_server_away_loses_no_flow(kube: &Kube) {
    let (before, restarted) = (Before::now(kube), restarts(kube));
    let addresses = NODES.map(|node| agents::address(kube, node));
    succeed(Command::new("kill").args(["-9", &kube.pid("kube-apiserver")]));
    let away = |stale: bool| {
        addresses.iter().try_for_each(|address| {
            let metrics = agents::fetch_from(kube, address, 9464, "/metrics")?;
            let wanted = format!("netflow_inventory_stale {}\n", u8::from(stale));
            if metrics.contains(&wanted) {
                Ok(())
            } else {
                Err(format!("{address}: not `{}`", wanted.trim()))
            }
        })
    };
    wait(60, "both agents to say that they are cut off", || away(true));
    let output = kube.netflow_as(&kube.kubeconfig, &["observe", "--since", "1h"]);
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!((output.status.code(), output.stdout.is_empty()), (Some(1), true), "{words}");
    sleep(Duration::from_secs(10));
    for address in &addresses {
        assert!(agents::fetch_from(kube, address, 9464, "/livez").is_ok(), "{address}");
    }
    kube.script("up", &[]);
    wait(120, "the cluster to come back", || is_ready(kube));
    for node in NODES {
        wait(120, "the agents to hear of it", || is_stale(kube, node, false));
    }
    sleep(Duration::from_secs(12));
    assert_eq!(restarts(kube), restarted, "an agent was restarted because the API server was away");
    before.goes_on(kube, 0);
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
    wait(90, "the node to come back", || is_ready(kube));
}
