//! `--state-dir` as the source of the verbs that read: while the agent runs, and after it stopped or was killed.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use netflow_agent::sys::store::FILE;

use crate::lab_of;
use crate::running::{Agent, lost, served, stored};
use crate::traffic::{converse, manifests};
use crate::wait;

fn verb(words: &[&str], source: &str, path: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_netflow-agent"));
    command.args(words).arg(source).arg(path).output().expect("run the verb")
}

fn answer(words: &[&str], source: &str, path: &Path) -> String {
    let output = verb(words, source, path);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words:?} {source}: {errors}");
    String::from_utf8(output.stdout).expect("text")
}

const VERBS: [&[&str]; 5] = [
    &["observe", "-o", "json"],
    &["observe", "-n", "shop", "-o", "wide"],
    &["graph", "-o", "mermaid"],
    &["generate-policies"],
    &["export"],
];

#[test]
fn every_verb_answers_the_same_from_a_folder_in_use_left_and_exported() {
    let lab = lab_of!("folder::every_verb_answers_the_same_from_a_folder_in_use_left_and_exported", 2);
    let folder = tempfile::tempdir().expect("a folder");
    let (state, inventory) = (folder.path().join("state"), folder.path().join("cluster.yaml"));
    fs::write(&inventory, manifests(&lab)).expect("manifests");
    let path = inventory.to_string_lossy();
    let flags = ["--inventory", &path, "--interval", "10m", "--existing-window", "0"];
    let agent = Agent::start(&lab, &state, &flags);
    converse(lab.pod(0), lab.pod(1), 8080, 5);
    // What was not drained yet is drained first; from then on nothing happens any more.
    let edges = |text: &str| text.lines().filter(|line| line.contains("\"port\":8080")).count();
    let live = answer(VERBS[0], "--state-dir", &state);
    assert_eq!(edges(&live), 1, "{live}");
    let while_running = VERBS.map(|words| answer(words, "--state-dir", &state));
    assert_eq!(while_running[0], answer(VERBS[0], "--agent", &state.join("agent.sock")));
    agent.stop();

    let recording = folder.path().join("cluster.jsonl");
    fs::write(&recording, answer(&["export"], "--state-dir", &state)).expect("written");
    for (words, running) in VERBS.iter().zip(&while_running) {
        let left = answer(words, "--state-dir", &state);
        assert_eq!(left, answer(words, "--input", &recording), "{words:?}");
        // The last drain has covered a little more; what was observed is the same.
        if !matches!(words[0], "export" | "generate-policies") {
            assert_eq!(left, *running, "{words:?}");
        }
    }
    let policies = answer(&["generate-policies"], "--state-dir", &state);
    assert!(policies.contains("kind: NetworkPolicy") && policies.contains("port: 8080"), "{policies}");
    let policies_file = folder.path().join("policies.yaml");
    fs::write(&policies_file, policies).expect("written");
    let replayed =
        answer(&["replay", "-o", "wide", "-f", &policies_file.to_string_lossy()], "--state-dir", &state);
    assert!(replayed.contains("allowed") && !replayed.contains("denied"), "{replayed}");
}

#[test]
fn a_killed_agents_folder_is_read_and_a_damaged_one_is_said_to_be() {
    let lab = lab_of!("folder::a_killed_agents_folder_is_read_and_a_damaged_one_is_said_to_be", 2);
    let folder = tempfile::tempdir().expect("a folder");
    let state = folder.path().join("state");
    let agent = Agent::start(&lab, &state, &["--interval", "100ms"]);
    converse(lab.pod(0), lab.pod(1), 8080, 5);
    assert_eq!(agent.export().flows.len(), 2);
    agent.kill();
    let lines = answer(&["export"], "--state-dir", &state);
    assert_eq!(lines.lines().filter(|line| line.contains("\"kind\":\"flow\"")).count(), 2, "{lines}");

    let file = state.join(FILE);
    let whole = fs::read(&file).expect("the store");
    for (what, bytes) in [("cut in half", &whole[..whole.len() / 2]), ("no store", &b"something else"[..])] {
        fs::write(&file, bytes).expect("written");
        let output = verb(&["observe"], "--state-dir", &state);
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{what}: {words}");
        assert!(words.contains("open the store") && words.contains(FILE), "{what}: {words}");
        assert!(words.contains("hint: "), "{what}: {words}");
        // The next agent sets it aside, says so, and goes on.
        let agent = Agent::start(&lab, &state, &["--interval", "100ms"]);
        assert!(agent.log().contains("set aside"), "{what}: {}", agent.log());
        agent.stop();
    }
    let aside = fs::read_dir(&state).expect("the folder").filter_map(Result::ok);
    let aside = aside.filter(|entry| entry.file_name().to_string_lossy().contains("aside"));
    assert_eq!(aside.count(), 2);
}

/// The store says that it is of this version of the layout.
fn relabel(file: &Path, version: u32) {
    let database = redb::Database::open(file).expect("our own file");
    let write = database.begin_write().expect("a transaction");
    let meta = redb::TableDefinition::<&str, u32>::new("meta");
    write.open_table(meta).expect("the table").insert("layout", version).expect("a row");
    write.commit().expect("committed");
}

/// An upgrade finds the store of an older version, a downgrade that of a newer one: neither is read as its own, and
/// neither is touched.
#[test]
fn a_store_of_another_version_is_set_aside_whole_and_never_misread() {
    let lab = lab_of!("folder::a_store_of_another_version_is_set_aside_whole_and_never_misread", 2);
    for version in [0, 2, u32::MAX] {
        let folder = tempfile::tempdir().expect("a folder");
        let state = folder.path().join("state");
        let agent = Agent::start(&lab, &state, &["--interval", "100ms"]);
        converse(lab.pod(0), lab.pod(1), 8080, 5);
        agent.stop();
        let file = state.join(FILE);
        relabel(&file, version);
        let output = verb(&["observe"], "--state-dir", &state);
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{version}: {words}");
        assert!(words.contains(&format!("has layout {version}, and this version reads layout 1")), "{words}");
        assert!(words.contains("hint: read it with the version of netflow-agent that wrote it"), "{words}");

        let agent = Agent::start(&lab, &state, &["--interval", "100ms"]);
        assert!(agent.log().contains("set aside"), "{version}: {}", agent.log());
        converse(lab.pod(0), lab.pod(1), 8080, 3);
        agent.stop();
        assert_eq!(served(&stored(&state), 8080), 3, "{version}: a store of its own");
        // The version that wrote it, put back, finds all that it had.
        let aside = state.join(format!("{FILE}.aside-1"));
        relabel(&aside, 1);
        fs::rename(&aside, &file).expect("put back");
        assert_eq!(served(&stored(&state), 8080), 5, "{version}: nothing was taken from it");
    }
}

/// What somebody does to a state folder.
type Loss = (&'static str, fn(&Path));

fn cut(file: &Path, length: u64) {
    fs::File::options().write(true).open(file).and_then(|file| file.set_len(length)).expect("cut");
}

/// Rows of this hour and the objects are in memory still: a new store gets them, and the agent goes on.
#[test]
fn a_store_that_is_lost_under_a_running_agent_is_begun_anew() {
    let lab = lab_of!("folder::a_store_that_is_lost_under_a_running_agent_is_begun_anew", 2);
    let losses: [Loss; 5] = [
        ("the folder removed", |state| fs::remove_dir_all(state).expect("removed")),
        ("the file removed", |state| fs::remove_file(state.join(FILE)).expect("removed")),
        ("the file emptied", |state| cut(&state.join(FILE), 0)),
        ("the file cut short", |state| cut(&state.join(FILE), 100_000)),
        ("another in its place", |state| {
            fs::copy(state.join(FILE), state.join("copy")).expect("copied");
            fs::rename(state.join("copy"), state.join(FILE)).expect("renamed");
        }),
    ];
    for (what, lose) in losses {
        let folder = tempfile::tempdir().expect("a folder");
        let (state, inventory) = (folder.path().join("state"), folder.path().join("cluster.yaml"));
        fs::write(&inventory, manifests(&lab)).expect("manifests");
        let path = inventory.to_string_lossy();
        let agent = Agent::start(&lab, &state, &["--interval", "100ms", "--inventory", &path]);
        converse(lab.pod(0), lab.pod(1), 8080, 5);
        assert_eq!(served(&agent.export(), 8080), 5, "{what}");
        lose(&state);
        wait::until("it is noticed", || agent.log().contains("a new one is begun"));
        converse(lab.pod(0), lab.pod(1), 8080, 5);
        wait::until("it is asked as before", || agent.ask("/v1/export").is_some());
        let recording = agent.export();
        assert_eq!((served(&recording, 8080), lost(&recording)), (10, 0), "{what}");
        assert_eq!(recording.objects.len(), 3, "{what}");
        assert_eq!(agent.metric("netflow_store_failing"), 0, "{what}");
        agent.stop();
        let left = stored(&state);
        assert_eq!((served(&left, 8080), left.objects.len()), (10, 3), "{what}");
    }
}
