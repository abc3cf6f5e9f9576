//! `cargo xtask man`: a man page per verb, from the same words as `--help`.

use std::path::PathBuf;

use crate::Outcome;
use crate::program::{self, cargo};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where the pages go
    #[arg(long, value_name = "DIR", default_value = "target/man")]
    output_dir: PathBuf,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let folder = std::path::absolute(&args.output_dir)?;
    let mut command = cargo();
    command.args(["run", "--quiet", "--locked", "--package", "netflow-agent", "--example", "man", "--"]);
    program::run(command.arg(&folder))?;
    println!("man pages are in {}", args.output_dir.display());
    Ok(())
}
