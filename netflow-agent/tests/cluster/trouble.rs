//! Things that break: an agent, the API server, a node. Answers stay right, or say what is missing.
#![expect(clippy::print_stdout, reason = "a step says what it counted")]

use std::process::Command;
use std::time::Instant;

use super::agents;
use super::kube::{Kube, NODES, succeed, text, wait};
use super::late::{covered, is_stale};
use super::shop;

/// Whole seconds of two drains, and what a loaded machine takes from one question to the next.
const SLACK: i64 = 5;

/// Two pods of `api` call two databases every second, at most.
const CALLS_PER_SECOND: u64 = 4;

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
    answered: u64,
    covered: [i64; 2],
    at: Instant,
}

impl Before {
    #[expect(
        clippy::disallowed_methods,
        reason = "coverage is compared with a clock that is not the product's"
    )]
    fn now(kube: &Kube) -> Self {
        all_answer(kube);
        let connections = connections(kube);
        // Read after, as below before: a call in between is not due.
        let answered = shop::answered(kube);
        Self { connections, answered, covered: NODES.map(|node| covered(kube, node)), at: Instant::now() }
    }

    /// Of the seconds since, each node says of at most `missed` that it did not observe them; and of the calls that
    /// the clients count, at most those of such seconds are not among the connections.
    fn goes_on(&self, kube: &Kube, missed: i64) {
        all_answer(kube);
        let answered = shop::answered(kube) - self.answered;
        let connections = connections(kube) - self.connections;
        let mut without = [0; 2];
        for (at, node) in NODES.into_iter().enumerate() {
            let passed = i64::try_from(self.at.elapsed().as_secs()).expect("a test is short");
            without[at] = passed - (covered(kube, node) - self.covered[at]);
            let told = -SLACK * 2..=missed + SLACK;
            assert!(told.contains(&without[at]), "{node}: {without:?} of {passed} s were not observed");
        }
        println!("{answered} calls answered, {connections} connections; seconds not observed: {without:?}");
        assert!(answered > 0, "no call was answered");
        // Whole seconds of either node's may have been begun.
        let unobserved: i64 = without.into_iter().map(|seconds| seconds.max(0) + 1).sum();
        let may_be_lost =
            if missed == 0 { 0 } else { u64::try_from(unobserved).unwrap_or(0) * CALLS_PER_SECOND };
        let lost = answered.saturating_sub(connections);
        assert!(lost <= may_be_lost, "{lost} calls are lost, and {may_be_lost} may be");
    }
}

/// Both agents are there and answer.
fn all_answer(kube: &Kube) {
    wait(180, "both agents to answer", || {
        let output = kube.netflow_as(&kube.kubeconfig, &["observe", "--since", "1h"]);
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() && words.contains("answered: node1, node2\n") {
            Ok(())
        } else {
            Err(words)
        }
    });
}

pub(crate) fn an_update_keeps_the_hour(kube: &Kube) {
    let before = Before::now(kube);
    let old = kube.agents();
    kube.kubectl(&["-n", "netflow", "rollout", "restart", "daemonset/netflow-agent"]);
    kube.kubectl(&["-n", "netflow", "rollout", "status", "daemonset/netflow-agent", "--timeout=300s"]);
    wait(180, "the agents to be ready", || is_ready(kube));
    assert!(kube.agents().iter().all(|agent| !old.contains(agent)), "{old:?}");
    before.goes_on(kube, 30);
}

/// Killed again as often as it takes to find it away: the first restarts come at once.
pub(crate) fn a_killed_agent_comes_back(kube: &Kube) {
    let before = Before::now(kube);
    let restarted = restarts(kube);
    let arguments = ["observe", "--since", "1h", "-o", "json", "--node-timeout", "15s"];
    let output = wait(180, "an answer without the agent", || {
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
    // The kubelet tells of it some time after.
    wait(300, "the agent to be restarted", || match restarts(kube) {
        count if count > restarted => is_ready(kube),
        count => Err(format!("{count} restarts")),
    });
    all_answer(kube);
    wait(120, "connections since then", || match connections(kube) {
        after if after > before.connections => Ok(()),
        after => Err(format!("{} before the agent was killed, {after} after", before.connections)),
    });
    let (since, now) = (before.covered[1], covered(kube, "node2"));
    let passed = i64::try_from(before.at.elapsed().as_secs()).expect("a test is short");
    assert!(
        now > since && now - since <= passed + 1,
        "{} s are covered of {passed} s, some of them without an agent",
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
    wait(180, "both agents to say that they are cut off", || away(true));
    let output = kube.netflow_as(&kube.kubeconfig, &["observe", "--since", "1h"]);
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!((output.status.code(), output.stdout.is_empty()), (Some(1), true), "{words}");
    let since = addresses.each_ref().map(|address| seconds(kube, address));
    wait(120, "both agents to observe ten seconds more", || {
        let now = addresses.each_ref().map(|address| seconds(kube, address));
        if now.iter().zip(since).all(|(now, since)| *now >= since + 10) {
            Ok(())
        } else {
            Err(format!("{now:?}"))
        }
    });
    for address in &addresses {
        assert!(agents::fetch_from(kube, address, 9464, "/livez").is_ok(), "{address}");
        assert!(agents::fetch_from(kube, address, 9464, "/readyz").is_ok(), "{address}");
    }
    kube.script("up", &[]);
    wait(180, "the cluster to come back", || is_ready(kube));
    for node in NODES {
        wait(180, "the agents to hear of it", || is_stale(kube, node, false));
    }
    assert_eq!(restarts(kube), restarted, "an agent was restarted because the API server was away");
    before.goes_on(kube, 0);
}

/// The seconds that an agent says it observed since it started, asked without the API server.
fn seconds(kube: &Kube, address: &str) -> u64 {
    let metrics = agents::fetch_from(kube, address, 9464, "/metrics").expect("metrics are always there");
    let line = metrics.lines().find_map(|line| line.strip_prefix("netflow_covered_seconds_total "));
    line.and_then(|count| count.parse().ok()).expect("it counts what it observed")
}

/// Nothing goes in or out at its wire; its pods go on, and its agent with them.
pub(crate) fn a_node_cut_off_is_named(kube: &Kube) {
    let (before, restarted) = (Before::now(kube), restarts(kube));
    let wire = |operation: &str| {
        for (chain, side) in [("INPUT", "-i"), ("OUTPUT", "-o"), ("FORWARD", "-i")] {
            let rule = ["iptables", operation, chain, side, "eth0", "-j", "DROP"];
            succeed(&mut kube.inside("node2", &rule));
        }
    };
    wire("-I");
    let arguments = ["observe", "--since", "1h", "-o", "json", "--node-timeout", "10s", "--require-complete"];
    let output = kube.netflow_as(&kube.kubeconfig, &arguments);
    wire("-D");
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(4), "{words}");
    assert!(words.contains("answered: node1\n") && words.contains("missing: node node2"), "{words}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("\"web\""), "node1 has edges of its own");
    wait(180, "the node to come back", || is_ready(kube));
    before.goes_on(kube, 0);
    assert_eq!(restarts(kube), restarted, "an agent was restarted because its node was cut off");
}
