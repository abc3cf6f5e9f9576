//! `cargo xtask bench evaluate`: the policy engine on clusters of growing size. Out: a line for each: time to read,
//! compile and spread, the whole, peak memory, and verdicts a second on one core.

use std::process::Command;

use crate::Outcome;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Workloads, each with a policy
    #[arg(default_values_t = [500, 1_000, 2_000, 4_000])]
    workloads: Vec<usize>,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let bench = super::build(&["--example", "bench_evaluate"], "bench_evaluate")?;
    println!(
        "workloads policies  MB YAML  read ms compile ms connectivity ms  whole ms     MiB  pairs open Mverdicts/s  allowed  audit ms  findings"
    );
    for workloads in &args.workloads {
        let ended = Command::new(&bench).arg(workloads.to_string()).status()?;
        if !ended.success() {
            return Err(format!("{} {workloads}: {ended}", bench.display()).into());
        }
    }
    println!("bounds at 2,000 workloads: whole 1,000 ms, 300 MiB, 10 Mverdicts/s");
    Ok(())
}
