//! The comparison: every load in every arm, round by round, the order of the arms turning.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::beside::{self, Beside, What};
use super::figures::{median, middle_half, ratios};
use super::{Capture, events};
use crate::Outcome;
use crate::lab::load::Kind;
use crate::lab::machine::{Addresses, Host, Lab};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// What runs beside the load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Arm {
    None,
    Again,
    Ours,
    /// Ours while it looks for connections older than itself.
    Window,
    /// What is not ours.
    Beside(What),
}

const ARMS: [Arm; 6] =
    [Arm::None, Arm::Again, Arm::Ours, Arm::Window, Arm::Beside(What::Hooks), Arm::Beside(What::Packets)];

impl Arm {
    /// Measured in one round of so many: what has no bound is a column of its own, and needs fewer rounds.
    const fn every(self) -> usize {
        match self {
            Self::None | Self::Again | Self::Ours => 1,
            Self::Window | Self::Beside(_) => 3,
        }
    }
}

/// The bound on a connection, which is one of time and not of a ratio.
const CONNECT_NS: f64 = 1_500.0;

/// Each load with its words, and the bound on its ratio; for bytes more is better, else less.
pub(super) const LOADS: [(Kind, &str, &str, f64); 6] = [
    (Kind::Stream, "stream", "TCP stream, CPU per byte", 1.0 / 0.98),
    (Kind::Request, "request", "TCP request/response, CPU per transaction", 1.02),
    (Kind::Connect, "connect", "connect/request/close, CPU per connection", 1.03),
    (Kind::Connected, "connected", "UDP 64 B connected, CPU per datagram", 1.02),
    (Kind::Addressed, "addressed", "UDP 64 B with addresses, one peer", 1.08),
    (Kind::Peers, "peers", "UDP 64 B with addresses, 1,000 peers", 1.12),
];

/// The lab of the benchmarks: two pods on a node.
pub(super) struct Pods {
    pub(super) lab: Lab,
    pub(super) client: Host,
    pub(super) server: Host,
}

/// The server's address.
pub(super) const SERVER: &str = "10.245.1.3";

impl Pods {
    pub(super) fn begin() -> Result<Self> {
        Self::begin_as("netflow-bench")
    }

    /// A lab of another name, which may stand beside.
    pub(super) fn begin_as(name: &str) -> Result<Self> {
        let own = |last: u8| Addresses {
            v4: (IpAddr::V4(Ipv4Addr::new(10, 245, 1, last)), 24),
            v6: (IpAddr::V6(Ipv6Addr::new(0xfd00, 0x10, 0x245, 1, 0, 0, 0, last.into())), 64),
        };
        let beside = |last: u8| Addresses {
            v4: (IpAddr::V4(Ipv4Addr::new(192, 0, 2, last)), 24),
            v6: (IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, last.into())), 64),
        };
        let mut lab = Lab::begin(name, beside(1), own(1), beside(100), false)?;
        let client = lab.add_pod("client", "00000000-0000-4000-8000-000000000001", own(2), own(1))?;
        let server = lab.add_pod("server", "00000000-0000-4000-8000-000000000002", own(3), own(1))?;
        Ok(Self { lab, client, server })
    }

    /// Starts the agent with more flags on an empty folder, and waits until it answers.
    pub(super) fn start_agent(&self, agent: &Path, flags: &[&str]) -> Result<Child> {
        // A socket that an agent before left behind would be taken for this one's.
        drop(std::fs::remove_dir_all(self.lab.folder.join("state")));
        self.start_again(agent, flags)
    }

    /// The same on the folder that the last one left when it was stopped.
    pub(super) fn start_again(&self, agent: &Path, flags: &[&str]) -> Result<Child> {
        let state = self.lab.folder.join("state");
        let socket = state.join("agent.sock");
        let mut command = self.lab.exec("agent", agent)?;
        command.arg("run").arg("--state-dir").arg(&state).arg("--cgroup").arg(&self.lab.cgroup);
        command.args(["--query", "off", "--metrics", "off", "--log", "error"]);
        if !flags.contains(&"--node") {
            command.args(["--node", "bench"]);
        }
        let mut child = command.args(flags).stdin(Stdio::null()).spawn()?;
        let begin = Instant::now();
        // The socket may be there before the last program is attached.
        while !socket.exists() || !events::is_attached(&child)? {
            if let Some(status) = child.try_wait()? {
                return Err(format!("the agent ended: {status}").into());
            }
            if begin.elapsed() > Duration::from_secs(20) {
                return Err("the agent did not start within 20 s".into());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(child)
    }
}

/// Ends it as the kubelet would, and waits.
pub(super) fn stop(mut agent: Child) -> Outcome {
    let pid = i32::try_from(agent.id()).ok().and_then(Pid::from_raw).ok_or("no such process")?;
    kill_process(pid, Signal::TERM)?;
    let status = agent.wait()?;
    if status.success() { Ok(()) } else { Err(format!("the agent ended: {status}").into()) }
}

pub(super) fn run(agent: &Path, args: &Capture) -> Outcome {
    println!("{} rounds of {} ms, order turning", args.rounds, args.length);
    let beside = Beside::build()?;
    let pods = Pods::begin()?;
    let mut figures: Vec<[Vec<f64>; ARMS.len()]> = vec![Default::default(); LOADS.len()];
    for round in 0..args.rounds {
        for turn in 0..ARMS.len() {
            let at = (round + turn) % ARMS.len();
            if round % ARMS[at].every() != 0 {
                continue;
            }
            let running = Running::start(&pods, agent, &beside, ARMS[at])?;
            let measured = measure(&pods, args);
            running.stop()?;
            for (load, cpu) in measured? {
                figures[load][at].push(cpu);
            }
        }
        eprint!("\rround {} of {}", round + 1, args.rounds);
    }
    eprintln!();
    print(&figures);
    pods.lab.end()
}

/// The process of an arm.
enum Running {
    Nothing,
    Agent(Child),
    Beside(Child),
}

impl Running {
    fn start(pods: &Pods, agent: &Path, beside: &Beside, arm: Arm) -> Result<Self> {
        Ok(match arm {
            Arm::None | Arm::Again => Self::Nothing,
            Arm::Ours => Self::Agent(pods.start_agent(agent, &["--existing-window", "0s"])?),
            Arm::Window => Self::Agent(pods.start_agent(agent, &["--existing-window", "10m"])?),
            Arm::Beside(what) => Self::Beside(beside.start(pods, what)?),
        })
    }

    fn stop(self) -> Outcome {
        match self {
            Self::Nothing => Ok(()),
            Self::Agent(agent) => stop(agent),
            Self::Beside(child) => beside::stop(child),
        }
    }
}

/// Nanoseconds of CPU per unit, of each load that was asked for, with its place in `LOADS`.
fn measure(pods: &Pods, args: &Capture) -> Result<Vec<(usize, f64)>> {
    let length = args.length.to_string();
    let wanted = |kind: Kind| args.load.is_empty() || args.load.contains(&kind);
    LOADS
        .iter()
        .enumerate()
        .filter(|(_, (kind, _, _, _))| wanted(*kind))
        .map(|(at, (_, word, _, _))| {
            let load = [word, SERVER, "--milliseconds", &length];
            let (done, cpu_ns) = pods.client.load(&pods.server, &load)?;
            Ok((at, ratio(cpu_ns, done)))
        })
        .collect()
}

/// One number over another.
#[expect(clippy::cast_precision_loss, reason = "figures of a few digits")]
pub(super) fn ratio(a: u64, b: u64) -> f64 {
    a as f64 / b.max(1) as f64
}

fn print(figures: &[[Vec<f64>; ARMS.len()]]) {
    println!("| load | none, ns | none again | ours | at most | | hooks alone | in the window | tc, per packet |");
    println!("|---|---|---|---|---|---|---|---|---|");
    for ((kind, _, words, bound), arms) in LOADS.iter().zip(figures).filter(|(_, arms)| !arms[0].is_empty()) {
        let over = |arm: Arm| {
            let at = ARMS.iter().position(|other| *other == arm).unwrap_or(0);
            let none: Vec<f64> = arms[0].iter().copied().step_by(arm.every()).collect();
            ratios(&arms[at], &none)
        };
        let (again, all) = (over(Arm::Again), over(Arm::Ours));
        let (none, ours) = (median(&arms[0]), median(&all));
        let ((low, high), (least, most)) = (middle_half(&again), middle_half(&all));
        let more_ns = none * (ours - 1.0);
        let kept = if ours <= *bound || (*kind == Kind::Connect && more_ns <= CONNECT_NS) {
            "kept".to_owned()
        } else if ours <= high {
            "within none against none".to_owned()
        } else {
            format!("missed by {:.3}", ours - bound)
        };
        let beside = if *kind == Kind::Connect { format!(" ({:+.1} us)", more_ns / 1_000.0) } else { String::new() };
        println!(
            "| {words} | {none:.2} | x{:.3} ({low:.3}-{high:.3}) | x{ours:.3} ({least:.3}-{most:.3}){beside} | x{bound:.2} | \
             {kept} | x{:.3} | x{:.3} | x{:.3} |",
            median(&again),
            median(&over(Arm::Beside(What::Hooks))),
            median(&over(Arm::Window)),
            median(&over(Arm::Beside(What::Packets))),
        );
    }
}
