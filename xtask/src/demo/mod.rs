//! `cargo xtask demo`: the whole line on real traffic. Builds the agent, a lab of network namespaces as pods,
//! runs the agent on it, and prints what it saw, what it recommends, and the proof of both.

use std::io::ErrorKind;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::lab::{cgroup, janitor};
use crate::program;
use crate::{Outcome, cargo};

mod manifest;
mod scene;
mod story;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Leave recording, policies, edges, graph and replay in this folder
    #[arg(long, value_name = "DIR")]
    save: Option<PathBuf>,
    /// Leave the lab and the agent running, and say what to try
    #[arg(long, conflicts_with_all = ["recorded", "remove"])]
    keep: bool,
    /// Tell the story from the recording under deploy/demo: needs no root
    #[arg(long, conflicts_with = "remove")]
    recorded: bool,
    /// Remove what `--keep` has left
    #[arg(long)]
    remove: bool,
    /// The agent's binary, when it is built already
    #[arg(long, hide = true, value_name = "FILE")]
    agent: Option<PathBuf>,
    /// The lab's name: its folder under `/run`, and in cgroup2
    #[arg(long, hide = true, default_value = "netflow-demo")]
    lab: String,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let agent = match &args.agent {
        Some(agent) => agent.clone(),
        None if args.remove => PathBuf::new(),
        None => build()?,
    };
    if args.recorded {
        return story::Story::recorded(&agent, args.save.as_deref())?.tell();
    }
    if !program::is_root() {
        return Err(again_as_root(&agent, args)?.into());
    }
    if args.remove {
        janitor::remove(&Path::new("/run").join(&args.lab), &cgroup::mount()?.join(&args.lab))?;
        return match std::fs::remove_file(scene::lock_file(&args.lab)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        };
    }
    scene::play(&agent, args)
}

fn build() -> Result<PathBuf, Box<dyn std::error::Error>> {
    let built = cargo::build(&["build", "--quiet", "--locked", "--package", "netflow-agent", "--bins"], false)?;
    let agent = built.into_iter().find(|executable| executable.target == "netflow-agent");
    Ok(agent.ok_or("cargo built no netflow-agent")?.path)
}

/// Becomes this task as root; comes back with the reason only when it cannot.
fn again_as_root(agent: &Path, args: &Args) -> Result<String, std::io::Error> {
    if program::find("sudo").is_none() {
        return Ok("the lab needs root, and there is no sudo: try `cargo xtask demo --recorded`".into());
    }
    eprintln!("The lab makes network namespaces and cgroups, and the agent loads eBPF: this needs root.");
    let mut command = Command::new("sudo");
    command.arg(std::env::current_exe()?).args(["demo", "--agent"]).arg(agent);
    if let Some(folder) = &args.save {
        command.arg("--save").arg(std::path::absolute(folder)?);
    }
    for (flag, is_set) in [("--keep", args.keep), ("--remove", args.remove)] {
        if is_set {
            command.arg(flag);
        }
    }
    Ok(format!("start sudo: {}", command.exec()))
}
