//! `cargo xtask bench`: one file or more per benchmark. `capture` and `agent` measure the agent's release build in
//! a lab of pods, as root; `evaluate`, `generate` and `merge` measure the rest on made-up input.

use std::path::{Path, PathBuf};

use clap::ValueEnum as _;

use crate::lab::load::Kind;
use crate::{Outcome, cargo, program};

mod agent;
mod alone;
mod arms;
mod beside;
mod burst;
mod cluster;
mod evaluate;
mod events;
mod figures;
mod generate;
mod merge;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Debug, clap::Subcommand)]
enum Bench {
    /// CPU per unit of work without and with the capture
    Capture(Capture),
    /// The agent's own CPU and memory under load, with the Services of 10,000 pods known
    Agent(Alone),
    /// Verdicts a second, and the whole connectivity of a cluster, with growth
    Evaluate(evaluate::Args),
    /// A recording to policies, against a bare read of the same file, with growth
    Generate(generate::Args),
    /// The answers of many nodes as one, with growth
    Merge(merge::Args),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Alone {
    /// How long the load lasts; 600 is the ten minutes in which nothing may grow
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    seconds: u64,
    /// The agent's binary, when it is built already
    #[arg(long, value_name = "FILE")]
    agent: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Capture {
    /// Rounds of every load in every arm
    #[arg(long, default_value_t = 15)]
    rounds: usize,
    /// Length of one load of one round
    #[arg(long, default_value_t = 2_000, value_name = "MILLISECONDS")]
    length: u64,
    /// Only these parts; all without
    #[arg(long, value_enum, value_name = "PART")]
    only: Vec<Part>,
    /// Only these loads; all without
    #[arg(long, value_enum, value_name = "LOAD")]
    load: Vec<Kind>,
    /// Seconds of the agent's own figures
    #[arg(long, default_value_t = 30, value_name = "SECONDS")]
    agent_seconds: u64,
    /// The agent's binary, when it is built already
    #[arg(long, value_name = "FILE")]
    agent: Option<PathBuf>,
}

/// A part of `bench capture`, in the order in which they run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
enum Part {
    /// Every load in every arm
    Loads,
    /// The agent's own CPU and memory
    Agent,
    /// Whether 13,000 connections made in a second are all counted
    Burst,
    /// A drain of a million entries
    Drain,
    /// The programs by themselves, by the kernel's statistics
    Events,
}

impl Part {
    fn run(self, agent: &Path, args: &Capture) -> Outcome {
        match self {
            Self::Loads => arms::run(agent, args),
            Self::Agent => agent::run(agent, args),
            Self::Burst => burst::run(agent),
            Self::Drain => agent::drain(&build(&["--example", "bench_drain"], "bench_drain")?),
            Self::Events => events::run(agent, args),
        }
    }
}

/// Runs every part that was asked for, also after one that failed.
fn capture(args: &Capture) -> Outcome {
    let agent = prepare(args.agent.as_ref())?;
    let wanted = |part: &Part| args.only.is_empty() || args.only.contains(part);
    let mut failed = Vec::new();
    for part in Part::value_variants().iter().filter(|part| wanted(part)) {
        if let Err(error) = part.run(&agent, args) {
            eprintln!("xtask: {part:?}: {error}");
            failed.push(format!("{part:?}"));
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(format!("failed: {}", failed.join(", ")).into()) }
}

pub(crate) fn run(args: &Args) -> Outcome {
    match &args.bench {
        Bench::Capture(args) => capture(args),
        Bench::Agent(args) => alone::run(&prepare(args.agent.as_ref())?, args.seconds),
        Bench::Evaluate(args) => evaluate::run(args),
        Bench::Generate(args) => generate::run(args),
        Bench::Merge(args) => merge::run(args),
    }
}

/// The agent to measure, once it is sure that a lab can be made; names the machine.
fn prepare(given: Option<&PathBuf>) -> Result<PathBuf, Box<dyn std::error::Error>> {
    if !program::is_root() {
        return Err("the lab makes network namespaces and loads eBPF: run it as root".into());
    }
    let kernel = rustix::system::uname().release().to_string_lossy().into_owned();
    let n_cpus = std::thread::available_parallelism().map_or(1, usize::from);
    println!("Linux {kernel}, {n_cpus} CPUs");
    match given {
        Some(agent) => Ok(std::path::absolute(agent)?),
        None => build(&["--bins"], "netflow-agent"),
    }
}

/// A release build of one of the agent's executables.
fn build(which: &[&str], name: &str) -> Result<PathBuf, Box<dyn std::error::Error>> {
    let mut arguments = vec!["build", "--quiet", "--locked", "--release", "--package", "netflow-agent"];
    arguments.extend(which);
    let built = cargo::build(&arguments, false)?;
    let executable = built.into_iter().find(|executable| executable.target == name);
    Ok(executable.ok_or_else(|| format!("cargo built no {name}"))?.path)
}
