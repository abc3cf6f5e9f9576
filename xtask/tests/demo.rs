//! The demo ends clean: killed half-way, interrupted, or kept and removed, it leaves no process, no folder
//! and no cgroup behind.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

#[path = "../../netflow-agent/tests/support/skip.rs"]
mod skip;

#[test]
fn a_killed_demo_leaves_nothing() {
    let Some(lab) = Lab::new("a_killed_demo_leaves_nothing") else { return };
    let mut demo = lab.waiting_demo();
    demo.kill().expect("it runs");
    demo.wait().expect("it ran");
    lab.wait_until_gone();
}

#[test]
fn an_interrupted_demo_leaves_nothing() {
    let Some(lab) = Lab::new("an_interrupted_demo_leaves_nothing") else { return };
    let mut demo = lab.waiting_demo();
    let pid = Pid::from_raw(i32::try_from(demo.id()).expect("a pid")).expect("a pid");
    kill_process(pid, Signal::INT).expect("it runs");
    demo.wait().expect("it ran");
    lab.wait_until_gone();
}

#[test]
fn a_kept_demo_returns_and_is_removed_whole() {
    let Some(lab) = Lab::new("a_kept_demo_returns_and_is_removed_whole") else { return };
    let agent = Path::new(env!("CARGO_BIN_EXE_xtask")).with_file_name("netflow-agent");
    assert!(agent.exists(), "build it first: cargo build --package netflow-agent");
    let agent = agent.to_str().expect("a path in UTF-8");

    let kept = lab.demo(&["--agent", agent, "--keep"]).output().expect("xtask starts");
    let said = String::from_utf8_lossy(&kept.stdout);
    assert!(kept.status.success(), "{said}{}", String::from_utf8_lossy(&kept.stderr));
    let socket = lab.folders[0].join("state/agent.sock");
    let edges = Command::new(agent).arg("observe").arg("--agent").arg(&socket).output().expect("it starts");
    assert!(
        String::from_utf8_lossy(&edges.stdout).contains("netpol-demo/deployment/database"),
        "the agent is there"
    );

    let removed = lab.demo(&["--remove"]).status().expect("xtask starts");
    assert!(removed.success());
    assert!(!lab.is_there(), "nothing is left");
    assert!(!lab.lock.exists(), "nor the lock");
}

/// A lab of a test's own: its folder under `/run`, and its cgroup.
struct Lab {
    name: String,
    folders: [PathBuf; 2],
    lock: PathBuf,
}

impl Lab {
    fn new(test: &str) -> Option<Self> {
        let Some(cgroup2) = cgroup2().filter(|_| rustix::process::geteuid().is_root()) else {
            skip::skip(test, "needs root and a mounted cgroup2");
            return None;
        };
        // Short: a socket's path has 108 bytes.
        let name = format!("netflow-{}-{}", test.split('_').nth(1)?, std::process::id());
        let folders = [Path::new("/run").join(&name), cgroup2.join(&name)];
        let lock = Path::new("/run").join(format!("{name}.lock"));
        Some(Self { name, folders, lock })
    }

    fn demo(&self, arguments: &[&str]) -> Command {
        let mut demo = Command::new(env!("CARGO_BIN_EXE_xtask"));
        demo.arg("demo").args(arguments).args(["--lab", &self.name]).stdin(Stdio::null());
        demo
    }

    /// A demo whose agent says nothing: it builds its lab, and then waits for it.
    fn waiting_demo(&self) -> Child {
        let mut demo = self.demo(&["--agent", "/bin/cat"]);
        let demo = demo.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("xtask starts");
        wait("the lab is there", || self.folders[1].join("outside").exists());
        demo
    }

    fn is_there(&self) -> bool {
        self.folders.iter().any(|folder| folder.exists())
    }

    fn wait_until_gone(&self) {
        wait("the lab is gone", || !self.is_there());
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if self.is_there() {
            drop(self.demo(&["--remove"]).status());
        }
        drop(std::fs::remove_file(&self.lock));
    }
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
