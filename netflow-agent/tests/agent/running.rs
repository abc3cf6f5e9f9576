//! An agent as a child process, asked through its socket; and what it answered, added up.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use netflow_agent::flow::{Outcome, Side};
use netflow_agent::recording::{self, Recording};
use netflow_agent::sys::store::Reader;
use netflow_agent::time::Window;
use rustix::process::{Pid, Signal, kill_process};

use crate::lab::Lab;
use crate::wait;

pub(crate) struct Agent {
    child: Child,
    state: PathBuf,
}

impl Agent {
    /// Starts an agent on the lab's tree and waits until it is ready.
    pub(crate) fn start(lab: &Lab, state: &Path, more: &[&str]) -> Self {
        Self::start_by(Command::new(env!("CARGO_BIN_EXE_netflow-agent")), lab, state, more)
    }

    /// The same by another program that becomes the agent: it is given the agent's arguments.
    pub(crate) fn start_by(mut command: Command, lab: &Lab, state: &Path, more: &[&str]) -> Self {
        command.args(["run", "--query", "off", "--metrics", "off", "--node", "node-a", "--state-dir"]);
        command.arg(state).arg("--cgroup").arg(lab.cgroup()).args(more);
        Self::become_by(command, state)
    }

    /// A command that becomes an agent on this folder; waits until it is ready.
    pub(crate) fn become_by(mut command: Command, state: &Path) -> Self {
        let log = fs::File::options().create(true).append(true).open(log(state)).expect("a log");
        let child = command
            .env_remove("NODE_NAME")
            .stdout(Stdio::null())
            .stderr(Stdio::from(log))
            .stdin(Stdio::null())
            .spawn()
            .expect("start the agent");
        let mut agent = Self { child, state: state.to_owned() };
        wait::until("the agent is ready", || {
            let ended = agent.child.try_wait().expect("its state");
            assert!(ended.is_none(), "{ended:?}: {}", agent.log());
            agent.ask("/readyz").is_some_and(|answer| answer.starts_with("HTTP/1.0 200"))
        });
        agent
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(log(&self.state)).unwrap_or_default()
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Head and body of an answer; none while nobody listens.
    pub(crate) fn ask(&self, path: &str) -> Option<String> {
        let mut socket = UnixStream::connect(self.state.join("agent.sock")).ok()?;
        write!(socket, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").ok()?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer).ok()?;
        (!answer.is_empty()).then_some(answer)
    }

    /// All that the agent has seen, as of now.
    pub(crate) fn export(&self) -> Recording {
        let answer = self.ask("/v1/export").expect("an answer");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        assert!(head.starts_with("HTTP/1.0 200"), "{head}");
        parse(body.as_bytes())
    }

    /// The value of a metric with its labels.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let answer = self.ask("/metrics").expect("an answer");
        let line =
            answer.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ').map(str::to_owned));
        line.unwrap_or_else(|| panic!("no {name} in {answer}")).parse().expect("a count")
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("signal the agent");
    }

    /// Kills it at once.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("kill the agent");
        self.child.wait().expect("the agent ends");
    }

    /// Asks it to stop, and waits until it has.
    pub(crate) fn stop(mut self) {
        self.signal(Signal::TERM);
        let status = self.child.wait().expect("the agent ends");
        assert!(status.success(), "{status}: {}", self.log());
    }

    /// The kernel's ids of the programs that it holds.
    pub(crate) fn programs(&self) -> Vec<u32> {
        let folder = format!("/proc/{}/fdinfo", self.child.id());
        let infos = fs::read_dir(folder).expect("its descriptors").filter_map(Result::ok);
        let texts = infos.filter_map(|info| fs::read_to_string(info.path()).ok());
        let id = |text: String| {
            text.lines().find_map(|line| line.strip_prefix("prog_id:")?.trim().parse::<u32>().ok())
        };
        texts.filter_map(id).collect()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // Gone already where the test ended it.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Where its log lines go: beside the state folder, which a test may fill up.
pub(crate) fn log(state: &Path) -> PathBuf {
    state.with_extension("log")
}

/// What a stopped agent left.
pub(crate) fn stored(state: &Path) -> Recording {
    let reader = Reader::open(state).unwrap_or_else(|error| panic!("{error:?}"));
    let mut lines = Vec::new();
    reader.write(Window::ALL, &mut lines).unwrap_or_else(|error| panic!("{error:?}"));
    parse(&lines)
}

fn parse(mut lines: &[u8]) -> Recording {
    recording::read([("export", &mut lines as &mut dyn std::io::BufRead)]).expect("a recording").0
}

/// TCP connections that the servers of this port saw.
pub(crate) fn served(recording: &Recording, port: u16) -> u64 {
    let flows = recording.flows.iter().filter(|flow| {
        flow.key.side == Side::Server && flow.key.port == port && flow.key.outcome == Outcome::Established
    });
    flows.map(|flow| flow.counters.connections).sum()
}

/// Flows lost to one cause.
pub(crate) fn lost_to(recording: &Recording, cause: &str) -> u64 {
    recording.coverage.iter().filter_map(|coverage| coverage.lost.get(cause)).sum()
}

/// Flows lost, of all causes.
pub(crate) fn lost(recording: &Recording) -> u64 {
    recording.coverage.iter().flat_map(|coverage| coverage.lost.values()).sum()
}
