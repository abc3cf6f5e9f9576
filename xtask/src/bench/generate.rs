//! `cargo xtask bench generate`: a made-up recording to policies, proof included, against a bare typed read of the
//! same file in the same run; and the same from the store of an agent. Out: the figures of all for each size, each
//! in a process of its own.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::{Outcome, program};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Flows; one workload with four pods for each hundred
    #[arg(default_values_t = [10_000, 100_000, 1_000_000])]
    flows: Vec<usize>,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let bench = super::build(&["--example", "bench_generate"], "bench_generate")?;
    let folder = program::root().join("target/bench-generate");
    fs::create_dir_all(&folder)?;
    for flows in &args.flows {
        let recording = folder.join("recording.jsonl");
        step(&bench, &["write"], &recording, &[&flows.to_string()])?;
        println!("{flows} flows, {} MB", fs::metadata(&recording)?.len() / 1_000_000);
        step(&bench, &["read"], &recording, &[])?;
        step(&bench, &["yaml"], &recording, &[])?;
        let store = folder.join("store");
        program::run(Command::new(&bench).arg("save").args([&recording, &store]))?;
        step(&bench, &["read-store"], &store, &[])?;
        step(&bench, &["yaml-store"], &store, &[])?;
        fs::remove_dir_all(store)?;
    }
    fs::remove_dir_all(folder)?;
    println!("bounds at 1,000,000 flows: 3 times the bare read of the file, 500 MiB");
    Ok(())
}

fn step(bench: &Path, before: &[&str], recording: &Path, after: &[&str]) -> Outcome {
    program::run(Command::new(bench).args(before).arg(recording).args(after))
}
