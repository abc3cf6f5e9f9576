//! `cargo xtask bench capture`: none, none again, and the agent, interleaved in one run. In: two pods of a lab and
//! the agent's release build. Out: medians and ratios, the agent's own CPU and memory, and the kernel's.

use std::path::PathBuf;

use crate::{Outcome, cargo, program};

mod agent;
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
    let Bench::Capture(args) = &args.bench;
    if !program::is_root() {
        return Err("the lab makes network namespaces and loads eBPF: run it as root".into());
    }
    let agent = match &args.agent {
        Some(agent) => std::path::absolute(agent)?,
        None => build()?,
    };
    let kernel = rustix::system::uname().release().to_string_lossy().into_owned();
    let n_cpus = std::thread::available_parallelism().map_or(1, usize::from);
    println!("Linux {kernel}, {n_cpus} CPUs, {} rounds of {} ms, order turning", args.rounds, args.length);
    arms::run(&agent, args)?;
    agent::run(&agent, args)
}

fn build() -> Result<PathBuf, Box<dyn std::error::Error>> {
    let arguments =
        ["build", "--quiet", "--locked", "--release", "--package", "netflow-agent", "--bins"];
    let built = cargo::build(&arguments, false)?;
    let agent = built.into_iter().find(|executable| executable.target == "netflow-agent");
    Ok(agent.ok_or("cargo built no netflow-agent")?.path)
}
