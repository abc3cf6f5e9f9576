//! `cargo xtask bench merge`: the answers of a growing number of nodes, a day each, streamed, merged and joined.
//! Out: a line for each size, each in a process of its own, so that each has its own peak of memory.

use std::process::Command;

use crate::{Outcome, program};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Nodes, each with 30 pods that call and are called by four others in every hour of a day
    #[arg(default_values_t = [50, 100, 200, 500])]
    nodes: Vec<usize>,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let bench = super::build(&["--example", "bench_merge"], "bench_merge")?;
    println!("nodes      rows MB JSON  blocks streaming MiB  read ms  join ms    edges  peak MiB  bytes/row");
    for nodes in &args.nodes {
        program::run(Command::new(&bench).arg(nodes.to_string()))?;
    }
    Ok(())
}
