//! The demo ends clean: killed half-way, it leaves no process, no folder and no cgroup behind.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

#[path = "../../netflow-agent/tests/support/skip.rs"]
mod skip;

#[test]
fn a_killed_demo_leaves_nothing() {
    let Some(cgroup2) = cgroup2().filter(|_| rustix::process::geteuid().is_root()) else {
        return skip::skip("a_killed_demo_leaves_nothing", "needs root and a mounted cgroup2");
    };
    let name = format!("netflow-demo-test-{}", std::process::id());
    let folders = [Path::new("/run").join(&name), cgroup2.join(&name)];
    // An agent that says nothing: the demo builds its lab, and then waits for it.
    let mut demo = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(["demo", "--agent", "/bin/cat", "--lab", &name])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("xtask starts");

    wait("the lab is there", || folders[1].join("outside").exists());
    demo.kill().expect("it runs");
    demo.wait().expect("it ran");
    wait("the lab is gone", || !folders.iter().any(|folder| folder.exists()));
    drop(std::fs::remove_file(format!("/run/{name}.lock")));
}

fn cgroup2() -> Option<PathBuf> {
    let table = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    let line = table.lines().find(|line| line.contains(" - cgroup2 "))?;
    line.split(' ').nth(4).map(PathBuf::from)
}

#[expect(clippy::disallowed_methods, reason = "a test waits with a deadline")]
fn wait(what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(20), "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
