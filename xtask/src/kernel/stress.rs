//! `cargo xtask kernel stress`: the exactness test of `tests/kernel/stress.rs` for as long as one likes.

use std::process::Command;

use crate::{Outcome, cargo, program};

const TEST: &str = "stress::no_connection_is_lost_between_drains_and_swaps";

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// How long connections are made, with a drain and a swap of the maps every 100 ms
    #[arg(long, default_value_t = 180)]
    seconds: u64,
}

pub(super) fn run(args: &Args) -> Outcome {
    if !program::is_root() {
        return Err("the test makes network namespaces and loads eBPF: run it as root".into());
    }
    // The whole workspace, as `cargo xtask test` builds it: one package alone would be built a second time.
    let tests = cargo::build(&["test", "--quiet", "--locked", "--no-run"], true)?;
    let test = tests.iter().find(|built| built.kind == "test" && built.target == "kernel");
    let test = test.ok_or("cargo built no kernel tests")?;
    let mut command = Command::new(&test.path);
    command.args([TEST, "--exact", "--nocapture"]).current_dir(&test.package);
    // Nothing may be skipped: a run that says nothing would look like a good one.
    command.env("CI", "true").env("NETFLOW_STRESS_SECONDS", args.seconds.to_string());
    program::run(&mut command)
}
