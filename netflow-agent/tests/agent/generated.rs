//! `generate-policies` from where an agent keeps its data: asked while it lives, and read from what it left.

use std::fs;
use std::path::Path;
use std::process::Command;

use netflow_agent::engine::Batch;
use netflow_agent::recording;
use netflow_agent::sys::store::Store;

use crate::lab_of;
use crate::running::Agent;
use crate::traffic::{converse, manifests};

/// What the verb prints, on stdout and stderr.
fn generated(arguments: &[&str]) -> (String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_netflow-agent"))
        .args(["generate-policies", "--evidence", "none"])
        .args(arguments)
        .output()
        .expect("run generate-policies");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    let (out, err) = (text(output.stdout), text(output.stderr));
    assert!(output.status.success(), "{err}");
    (out, err)
}

#[test]
fn a_live_agent_and_its_folder_give_the_policies_of_what_it_saw() {
    let lab = lab_of!("generated::a_live_agent_and_its_folder_give_the_policies_of_what_it_saw", 2);
    let folder = tempfile::tempdir().expect("a folder");
    let (state, inventory) = (folder.path().join("state"), folder.path().join("cluster.yaml"));
    let labelled = ["web", "db"].iter().fold(manifests(&lab), |text, name| {
        text.replace(&format!("name: {name}, uid"), &format!("name: {name}, labels: {{app: {name}}}, uid"))
    });
    fs::write(&inventory, labelled).expect("manifests");
    let path = inventory.to_string_lossy();
    let agent = Agent::start(&lab, &state, &["--inventory", &path, "--interval", "10m"]);
    converse(lab.pod(0), lab.pod(1), 5432, 3);
    let socket = state.join("agent.sock");
    let (live, said) = generated(&["--agent", &socket.to_string_lossy()]);
    let ingress = "  ingress:\n  - from:\n    - podSelector:\n        matchLabels:\n          app: web\n    ports:\n    - \
                   protocol: TCP\n      port: 5432\n";
    assert!(live.contains("name: db-pod") && live.contains(ingress), "{live}");
    assert!(live.trim_end().ends_with("- Egress") && live.contains("name: default-deny-all"), "{live}");
    assert!(said.contains("3 of 3 connections are allowed (100.0 %)"), "{said}");
    agent.stop();
    let (left, _) = generated(&["--state-dir", &state.to_string_lossy()]);
    assert_eq!(left, live);
}

/// Needs no kernel: the store is filled from a recording.
#[test]
fn a_store_gives_the_policies_of_the_recording_it_was_filled_from() {
    let folder = tempfile::tempdir().expect("a folder");
    let recorded = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recordings/shop.jsonl");
    let bytes = fs::read(&recorded).expect("a recording");
    let (recording, _) =
        recording::read([("shop", &mut &*bytes as &mut dyn std::io::BufRead)]).expect("a recording");
    let state = folder.path().join("state");
    let mut opened = Store::open(&state).expect("a store");
    let whole = Batch {
        coverage: recording.coverage,
        flows: recording.flows,
        objects: recording.objects,
        ..Batch::default()
    };
    opened.store.save(&whole).expect("saved");
    drop(opened);
    let (from_store, _) = generated(&["--state-dir", &state.to_string_lossy()]);
    let (from_file, _) = generated(&["--input", &recorded.to_string_lossy()]);
    assert!(!from_file.is_empty());
    assert_eq!(from_store, from_file);
}
