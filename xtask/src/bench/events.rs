//! What the programs take by themselves, by the kernel's own statistics, in a pass of their own because these cost
//! time too.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Child;

use super::Capture;
use super::arms::{LOADS, Pods, SERVER, ratio, stop};
use crate::Outcome;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const STATISTICS: &str = "/proc/sys/kernel/bpf_stats_enabled";

/// Runs and their time in nanoseconds, by kind of program.
type Runs = BTreeMap<&'static str, [u64; 2]>;

/// Prints the runs of each kind of program in each load.
pub(super) fn run(agent: &Path, args: &Capture) -> Outcome {
    let pods = Pods::begin()?;
    let running = pods.start_agent(agent, &["--existing-window", "0s"])?;
    println!("the programs by themselves, by the kernel's statistics, which add some 60 ns a run here:");
    let before = fs::read_to_string(STATISTICS)?;
    fs::write(STATISTICS, "1")?;
    let printed = LOADS.iter().try_for_each(|(_, word, words, _)| {
        let begun = runs(&running)?;
        let load = ["--milliseconds", &args.length.to_string()];
        let (done, _) = pods.client.load(&pods.server, &[&[*word, SERVER], &load[..]].concat())?;
        println!("{words}: {}", per_unit(&begun, &runs(&running)?, done));
        Ok(())
    });
    fs::write(STATISTICS, before)?;
    stop(running)?;
    pods.lab.end()?;
    printed
}

fn per_unit(begun: &Runs, ended: &Runs, done: u64) -> String {
    let mut text = Vec::new();
    for (kind, [n_runs, time_ns]) in ended {
        let [runs_before, ns_before] = begun.get(kind).copied().unwrap_or_default();
        let (n_runs, time_ns) = (n_runs - runs_before, time_ns - ns_before);
        // A few runs at the start of the load are no part of a unit.
        if n_runs * 20 > done {
            text.push(format!("{kind} {:.1} runs of {:.0} ns", ratio(n_runs, done), ratio(time_ns, n_runs)));
        }
    }
    if text.is_empty() { "no runs".to_owned() } else { text.join(", ") }
}

/// Whether the agent holds a link for each of its lasting programs.
pub(super) fn is_attached(agent: &Child) -> Result<bool> {
    const LASTING: usize = 10;
    let mut n_links = 0;
    for entry in fs::read_dir(format!("/proc/{}/fdinfo", agent.id()))? {
        n_links += usize::from(fs::read_to_string(entry?.path()).is_ok_and(|text| text.contains("link_id:")));
    }
    Ok(n_links >= LASTING)
}

/// What the programs of this process have run so far; one that two descriptors hold counts once.
fn runs(agent: &Child) -> Result<Runs> {
    let mut programs = BTreeMap::new();
    for entry in fs::read_dir(format!("/proc/{}/fdinfo", agent.id()))? {
        // A descriptor may be closed meanwhile.
        let Ok(text) = fs::read_to_string(entry?.path()) else { continue };
        let field = |name: &str| {
            text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok())
        };
        if let (Some(kind), Some(id)) = (field("prog_type:"), field("prog_id:"))
            && let (Some(time_ns), Some(n_runs)) = (field("run_time_ns:"), field("run_cnt:"))
        {
            programs.insert(id, (kind, n_runs, time_ns));
        }
    }
    let mut runs = Runs::new();
    for (kind, n_runs, time_ns) in programs.into_values() {
        let name = match kind {
            8 => "cgroup_skb",
            9 => "sock_release",
            13 => "sock_ops",
            18 => "connect, sendmsg, recvmsg, bind",
            _ => "others",
        };
        let sum = runs.entry(name).or_default();
        *sum = [sum[0] + n_runs, sum[1] + time_ns];
    }
    Ok(runs)
}
