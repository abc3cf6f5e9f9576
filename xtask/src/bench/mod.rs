//! `cargo xtask bench capture`: none, none again, and the agent, interleaved in one run. In: two pods of a lab and
//! the agent's release build. Out: medians and ratios, the agent's own CPU and memory, and the kernel's.

use std::path::PathBuf;

use crate::{Outcome, cargo, program};

mod agent;
mod alone;
mod arms;
mod figures;

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
    /// Seconds of the agent's own figures
    #[arg(long, default_value_t = 30, value_name = "SECONDS")]
    agent_seconds: u64,
    /// The agent's binary, when it is built already
    #[arg(long, value_name = "FILE")]
    agent: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Outcome {
    if !program::is_root() {
        return Err("the lab makes network namespaces and loads eBPF: run it as root".into());
    }
    let given = match &args.bench {
        Bench::Capture(args) => &args.agent,
        Bench::Agent(args) => &args.agent,
    };
    let agent = match given {
        Some(agent) => std::path::absolute(agent)?,
        None => build()?,
    };
    let kernel = rustix::system::uname().release().to_string_lossy().into_owned();
    let n_cpus = std::thread::available_parallelism().map_or(1, usize::from);
    match &args.bench {
        Bench::Capture(args) => {
            let (rounds, length) = (args.rounds, args.length);
            println!("Linux {kernel}, {n_cpus} CPUs, {rounds} rounds of {length} ms, order turning");
            arms::run(&agent, args)?;
            agent::run(&agent, args)
        }
        Bench::Agent(args) => {
            println!("Linux {kernel}, {n_cpus} CPUs");
            alone::run(&agent, args.seconds)
        }
    }
}

fn build() -> Result<PathBuf, Box<dyn std::error::Error>> {
    let arguments =
        ["build", "--quiet", "--locked", "--release", "--package", "netflow-agent", "--bins"];
    let built = cargo::build(&arguments, false)?;
    let agent = built.into_iter().find(|executable| executable.target == "netflow-agent");
    Ok(agent.ok_or("cargo built no netflow-agent")?.path)
}
