//! Writes one man page per verb into the folder named: `cargo xtask man` calls it.

use std::path::PathBuf;

use clap::CommandFactory;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = PathBuf::from(std::env::args_os().nth(1).ok_or("usage: man FOLDER")?);
    std::fs::create_dir_all(&folder)?;
    clap_mangen::generate_to(netflow_agent::cli::Command::command(), &folder)?;
    Ok(())
}
