//! `cargo xtask bench merge`: the answers of so many nodes and hours, streamed, merged and joined. Memory may grow
//! with the nodes, whose pods must be known, and not with the hours. Out: a line for each size, each in a process of its own, so that each has its own peak of memory.

use std::process::Command;

use crate::{Outcome, program};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Nodes, each with 30 pods that call and are called by four others in every hour
    #[arg(default_values_t = [50, 500])]
    nodes: Vec<usize>,

    /// Hours, at most 720
    #[arg(long, value_delimiter = ',', default_values_t = [1, 6, 24, 72])]
    hours: Vec<usize>,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let bench = super::build(&["--example", "bench_merge"], "bench_merge")?;
    println!("nodes hours      rows MB JSON  blocks streaming MiB  read ms  join ms    edges  peak MiB  bytes/row");
    for nodes in &args.nodes {
        for hours in &args.hours {
            program::run(Command::new(&bench).args([nodes, hours].map(ToString::to_string)))?;
        }
    }
    Ok(())
}
