//! The agent's own figures: CPU at a thousand connections a second, memory, and the kernel memory of its maps.

use std::path::Path;
use std::process::Child;

use super::Capture;
use super::arms::{Pods, SERVER, ratio, stop};
use crate::{Outcome, program};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const RATE: &str = "1000";

pub(super) fn run(agent: &Path, args: &Capture) -> Outcome {
    let pods = Pods::begin()?;
    let running = pods.start_agent(agent, &["--existing-window", "0s"])?;
    let before = cpu_ticks(&running)?;
    let milliseconds = (args.agent_seconds * 1_000).to_string();
    let load = ["connect", SERVER, "--milliseconds", &milliseconds, "--rate", RATE];
    let (done, _) = pods.client.load(&pods.server, &load)?;
    let ticks = cpu_ticks(&running)? - before;
    // The kernel counts a hundred ticks a second for user space, whatever its own clock.
    println!(
        "agent at {} connections/s: {:.2} % of a core over {} s",
        done / args.agent_seconds.max(1),
        ratio(ticks, args.agent_seconds),
        args.agent_seconds
    );
    println!("agent RSS: {:.1} MiB", mib(status(&running, "VmRSS:")?));
    println!("kernel memory of the maps: {:.1} MiB", mib(map_memory(&running)? / 1_024));
    stop(running)?;
    pods.lab.end()
}

/// A million entries of the flow map, drained by the library in a process of its own.
pub(super) fn drain(bench: &Path) -> Outcome {
    let pods = Pods::begin()?;
    pods.client.lose_network([100, 64, 0, 0].into(), 10)?;
    let mut command = pods.client.exec(bench)?;
    program::run(command.arg(&pods.lab.cgroup))?;
    pods.lab.end()
}

pub(super) fn mib(kib: u64) -> f64 {
    ratio(kib, 1_024)
}

/// The process's user and system time.
pub(super) fn cpu_ticks(agent: &Child) -> Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{}/stat", agent.id()))?;
    let after = text.rsplit_once(") ").ok_or("a process without a name")?.1;
    let fields: Vec<&str> = after.split(' ').collect();
    let number = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok());
    number(11).zip(number(12)).map(|(user, system)| user + system).ok_or_else(|| "no times".into())
}

/// A size of the process in KiB.
pub(super) fn status(agent: &Child, name: &str) -> Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{}/status", agent.id()))?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)).ok_or("no such size")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

/// What the kernel charges for the maps that the process holds, in bytes; a map that two descriptors hold counts
/// once.
pub(super) fn map_memory(agent: &Child) -> Result<u64> {
    let mut maps = std::collections::BTreeMap::new();
    for entry in std::fs::read_dir(format!("/proc/{}/fdinfo", agent.id()))? {
        // A descriptor may be closed meanwhile.
        let Ok(text) = std::fs::read_to_string(entry?.path()) else { continue };
        let field = |name: &str| {
            text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok())
        };
        if let (Some(id), Some(bytes)) = (field("map_id:"), field("memlock:")) {
            maps.insert(id, bytes);
        }
    }
    Ok(maps.values().sum())
}
