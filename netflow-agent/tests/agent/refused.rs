//! What `run` refuses before it touches the kernel: no root is needed to see it.

use std::process::{Command, Output};

use netflow_agent::sys::store::Store;

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_netflow-agent"))
        .arg("run")
        .args(arguments)
        .env_remove("NODE_NAME")
        .output()
        .expect("run the agent")
}

fn words(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_second_agent_on_the_same_folder_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let held = Store::open(folder.path()).expect("the first agent's");
    let path = folder.path().to_string_lossy();
    let output = run(&["--state-dir", &path, "--query", "off", "--metrics", "off"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        words(&output),
        format!(
            "netflow: open the state folder: another agent is using the state folder {path}\n\n\
             hint: stop it, or give this one a folder of its own with --state-dir\n"
        )
    );
    drop(held);
}

#[test]
fn an_inventory_that_cannot_be_read_ends_the_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let state = folder.path().join("state");
    let missing = folder.path().join("missing.yaml");
    let (state, missing) = (state.to_string_lossy(), missing.to_string_lossy());
    let output = run(&["--state-dir", &state, "--inventory", &missing, "--query", "off", "--metrics", "off"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(words(&output).contains(&format!("read the inventory {missing}: ")), "{}", words(&output));
}

#[test]
fn a_port_in_use_is_named_with_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let state = folder.path().to_string_lossy().into_owned();
    let held = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = held.local_addr().expect("an address").to_string();
    let output = run(&["--state-dir", &state, "--query", &address, "--metrics", "off"]);
    assert_eq!(output.status.code(), Some(1));
    let words = words(&output);
    assert!(words.contains(&format!("listen on {address}: ")) && words.contains("hint: "), "{words}");
}
