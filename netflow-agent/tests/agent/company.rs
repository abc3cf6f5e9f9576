//! Not alone on the machine: a second agent, a program that allows no company, another node's pods on the same kernel.

use std::fs;
use std::process::Command;

use netflow_agent::flow::Side;

use crate::alone::occupy;
use crate::lab_of;
use crate::running::{Agent, lost, served, stored};
use crate::traffic::{assert_detached, converse, manifests};
use crate::wait;

#[test]
fn two_agents_see_the_same_and_one_outlives_the_other() {
    let lab = lab_of!("company::two_agents_see_the_same_and_one_outlives_the_other", 2);
    let folder = tempfile::tempdir().expect("a folder");
    let (one, two) = (folder.path().join("one"), folder.path().join("two"));
    let first = Agent::start(&lab, &one, &["--interval", "100ms"]);
    let second = Agent::start(&lab, &two, &["--interval", "100ms"]);
    converse(lab.pod(0), lab.pod(1), 8080, 15);
    for agent in [&first, &second] {
        assert_eq!(served(&agent.export(), 8080), 15);
    }
    let programs = second.programs();
    second.kill();
    assert_detached(&programs);
    converse(lab.pod(0), lab.pod(1), 8080, 15);
    first.stop();
    let [left, killed] = [stored(&one), stored(&two)];
    assert_eq!([served(&left, 8080), served(&killed, 8080)], [30, 15]);
    assert_eq!([lost(&left), lost(&killed)], [0, 0]);
}

#[test]
fn a_program_that_allows_no_company_ends_the_start_and_is_named() {
    let lab = lab_of!("company::a_program_that_allows_no_company_ends_the_start_and_is_named", 0);
    occupy(lab.cgroup());
    let folder = tempfile::tempdir().expect("a folder");
    let output = Command::new(env!("CARGO_BIN_EXE_netflow-agent"))
        .args(["run", "--query", "off", "--metrics", "off", "--node", "node-a", "--state-dir"])
        .arg(folder.path())
        .arg("--cgroup")
        .arg(lab.cgroup())
        .output()
        .expect("run the agent");
    let words = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{words}");
    let cause =
        format!("another program holds {} for itself alone, so `netflow_tcp`", lab.cgroup().display());
    assert!(words.contains(&cause) && words.contains("hint: "), "{words}");
}

#[test]
fn a_pod_of_another_node_on_this_kernel_is_counted_and_not_told() {
    let lab = lab_of!("company::a_pod_of_another_node_on_this_kernel_is_counted_and_not_told", 2);
    let folder = tempfile::tempdir().expect("a folder");
    let inventory = folder.path().join("cluster.yaml");
    let (ours, theirs) = (
        manifests(&lab),
        "name: db, uid: 00000000-0000-0000-0000-000000000001, labels: {app: db}}\nspec: {nodeName: ",
    );
    assert!(ours.contains(&format!("{theirs}node-a")));
    fs::write(&inventory, ours.replace(&format!("{theirs}node-a"), &format!("{theirs}node-b")))
        .expect("manifests");
    let state = folder.path().join("state");
    let agent =
        Agent::start(&lab, &state, &["--inventory", &inventory.to_string_lossy(), "--interval", "100ms"]);
    converse(lab.pod(0), lab.pod(1), 5432, 7);
    let recording = agent.export();
    // The client is ours; the server's end is for the agent of its own node to tell.
    let told: Vec<_> =
        recording.flows.iter().map(|flow| (flow.key.side, flow.counters.connections)).collect();
    assert_eq!((told, lost(&recording)), (vec![(Side::Client, 7)], 0));
    wait::until("it is counted", || agent.metric("netflow_foreign_samples_total") >= 1);
    agent.stop();
}
