//! The wall clock is set, back and forward, while the agent runs. The machine's own clock is left alone: the
//! agent is started with a `clock_gettime` before the C library's, which adds what a file says.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::lab_of;
use crate::running::{Agent, lost, served, stored};
use crate::traffic::{converse, manifests};
use crate::wait;

/// Only the wall clock moves; a time namespace moves only the others.
const SHIFTED: &str = r#"
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
int clock_gettime(clockid_t id, struct timespec *now) {
    int result = syscall(SYS_clock_gettime, id, now);
    if (id != CLOCK_REALTIME) return result;
    char text[32] = {0};
    int file = open(getenv("SHIFT_SECONDS_FILE"), O_RDONLY | O_CLOEXEC);
    if (file >= 0) {
        if (read(file, text, sizeof text - 1) > 0) now->tv_sec += atol(text);
        close(file);
    }
    return result;
}
"#;

fn compile(library: &Path) {
    let mut cc = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-x", "c", "-", "-o"])
        .arg(library)
        .stdin(Stdio::piped())
        .spawn()
        .expect("cc, which the build of zstd needs too");
    cc.stdin.take().expect("piped").write_all(SHIFTED.as_bytes()).expect("hand over the source");
    assert!(cc.wait().expect("cc ends").success());
}

/// Written beside and renamed: the agent never reads half a number.
fn shift(file: &Path, seconds: i64) {
    let beside = file.with_extension("new");
    fs::write(&beside, seconds.to_string()).expect("write");
    fs::rename(&beside, file).expect("rename");
}

#[test]
fn a_clock_set_back_and_forward_loses_nothing_and_counts_nothing_twice() {
    let lab = lab_of!("clock::a_clock_set_back_and_forward_loses_nothing_and_counts_nothing_twice", 2);
    let folder = tempfile::tempdir().expect("a folder");
    let (state, inventory) = (folder.path().join("state"), folder.path().join("cluster.yaml"));
    let (library, file) = (folder.path().join("shifted.so"), folder.path().join("seconds"));
    compile(&library);
    shift(&file, 0);
    fs::write(&inventory, manifests(&lab)).expect("manifests");
    let mut command = Command::new(env!("CARGO_BIN_EXE_netflow-agent"));
    command.env("LD_PRELOAD", &library).env("SHIFT_SECONDS_FILE", &file);
    let path = inventory.to_string_lossy();
    // A clock that is a day ahead by mistake calls all of it old.
    let flags = ["--inventory", &path, "--interval", "200ms", "--retain", "1h"];
    let agent = Agent::start_by(command, &lab, &state, &flags);
    let mut steps = 0;
    // Twice back to an hour that was counted in before, once far ahead, and home again.
    for seconds in [0, -7_200, 0, -7_200, 90_000, 0] {
        shift(&file, seconds);
        if seconds != 0 || steps > 0 {
            steps += 1;
            wait::until("the agent sees it", || agent.metric("netflow_clock_steps_total") == steps);
        }
        converse(lab.pod(0), lab.pod(1), 8080, 10);
        assert_eq!(agent.metric("netflow_lost_flows_total{cause=\"local_unknown\"}"), 0);
    }
    assert!(agent.log().contains("the wall clock was set"), "{}", agent.log());
    agent.stop();
    let left = stored(&state);
    assert_eq!((served(&left, 8080), lost(&left)), (60, 0));
    let hours: std::collections::BTreeSet<_> = left.coverage.iter().map(|it| it.hour).collect();
    assert!(hours.len() >= 3, "{hours:?}");
    assert!(left.flows.iter().all(|flow| flow.key.pod.is_some()), "{:?}", left.flows);
    assert!(left.flows.iter().all(|flow| flow.counters.first <= flow.counters.last));
}
