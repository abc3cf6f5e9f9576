//! `doctor` on this machine: with all rights nothing is missing, without them each thing says its fix.

use std::path::Path;
use std::process::{Command, Output};

use crate::lab_of;

/// Every check, in the order of the answer.
const CHECKS: [&str; 9] =
    ["kernel", "btf", "capabilities", "lockdown", "cgroup2", "pods", "programs", "load", "not seen"];

fn doctor(wrapper: &[&str], cgroup: &Path, more: &[&str]) -> Output {
    let words = wrapper.iter().copied().chain([env!("CARGO_BIN_EXE_netflow-agent"), "doctor"]);
    let words: Vec<&str> = words.collect();
    Command::new(words[0])
        .args(&words[1..])
        .arg("--cgroup")
        .arg(cgroup)
        .args(more)
        .output()
        .expect("run doctor")
}

/// Name, state and fix of each check.
fn told(output: &Output) -> Vec<(String, String, Option<String>)> {
    let text = String::from_utf8_lossy(&output.stdout);
    let parse = |line: &str| {
        let line: serde_json::Value = serde_json::from_str(line).expect("an object a line");
        let text = |key: &str| line[key].as_str().map(str::to_owned);
        assert!(text("found").is_some_and(|found| !found.is_empty()), "{line}");
        (text("name").expect("a name"), text("state").expect("a state"), text("fix"))
    };
    text.lines().map(parse).collect()
}

fn state<'a>(checks: &'a [(String, String, Option<String>)], name: &str) -> &'a str {
    &checks.iter().find(|check| check.0 == name).expect("this check").1
}

#[test]
fn with_all_rights_nothing_is_missing_and_what_is_not_seen_is_said() {
    let lab = lab_of!("doctor::with_all_rights_nothing_is_missing_and_what_is_not_seen_is_said", 0);
    let output = doctor(&[], lab.cgroup(), &["-o", "json"]);
    let checks = told(&output);
    assert_eq!(checks.iter().map(|check| check.0.as_str()).collect::<Vec<_>>(), CHECKS);
    assert!(checks.iter().all(|check| check.1 != "missing"), "{checks:?}");
    for name in ["kernel", "capabilities", "lockdown", "cgroup2", "pods", "programs", "load"] {
        assert_eq!(state(&checks, name), "good", "{checks:?}");
    }
    assert_eq!(output.status.code(), Some(0));

    let table = doctor(&[], lab.cgroup(), &[]);
    let table = String::from_utf8_lossy(&table.stdout).into_owned();
    for words in ["Kata", "gVisor", "SCTP", "root /"] {
        assert!(table.contains(words), "{words} in\n{table}");
    }
    assert_eq!(table.lines().filter(|line| !line.starts_with(' ')).count(), CHECKS.len(), "{table}");
}

#[test]
fn without_rights_each_missing_thing_says_its_fix() {
    let lab = lab_of!("doctor::without_rights_each_missing_thing_says_its_fix", 0);
    let small = ["setpriv", "--no-new-privs", "--bounding-set", "-all", "--"];
    let output = doctor(&small, lab.cgroup(), &["-o", "json"]);
    assert_eq!(output.status.code(), Some(1));
    let checks = told(&output);
    assert_eq!(checks.iter().map(|check| check.0.as_str()).collect::<Vec<_>>(), CHECKS);
    for (name, expected) in [("capabilities", "missing"), ("load", "missing"), ("programs", "limited")] {
        assert_eq!(state(&checks, name), expected, "{checks:?}");
    }
    for (name, state, fix) in &checks {
        assert_eq!(fix.is_some(), state != "good", "{name}: {state}, {fix:?}");
    }
    // Half of the rights is not enough, and is told apart.
    let half = ["setpriv", "--no-new-privs", "--bounding-set", "-all,+net_admin", "--"];
    let table = doctor(&half, lab.cgroup(), &[]);
    let table = String::from_utf8_lossy(&table.stdout).into_owned();
    assert!(table.contains("no CAP_BPF\n") && !table.contains("no CAP_NET_ADMIN"), "{table}");
}

#[test]
fn a_wrong_tree_is_named_with_what_to_give_instead() {
    let lab = lab_of!("doctor::a_wrong_tree_is_named_with_what_to_give_instead", 1);
    for (folder, words) in [
        (lab.pod(0).cgroup.as_path(), "not of the node"),
        (Path::new("/proc"), "not on a cgroup2 file system"),
    ] {
        let output = doctor(&[], folder, &["-o", "json"]);
        assert_eq!(output.status.code(), Some(1), "{}", folder.display());
        let checks = told(&output);
        assert_eq!(state(&checks, "cgroup2"), "missing", "{checks:?}");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains(words) && text.contains("--cgroup"), "{text}");
    }
}
