//! `completion`: a shell's name in, its completion script out.

use clap::CommandFactory;
use clap_complete::Shell;

use super::{Command, Exit, Failure, Streams};

#[derive(Clone, Copy, Debug, clap::Args)]
#[command(after_help = "\
Examples:
  netflow-agent completion bash > /etc/bash_completion.d/netflow-agent
  source <(netflow-agent completion zsh)

kubectl completes `kubectl netflow` by itself where `kubectl_complete-netflow` on the path is a link to this program.")]
pub struct Args {
    /// The shell to complete for
    shell: Shell,
}

pub fn run(args: Args, streams: &mut Streams<'_>) -> Result<Exit, Failure> {
    // The generator panics when its writer fails: it writes to memory.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Command::command(), "netflow-agent", &mut script);
    streams.out.write_all(&script)?;
    Ok(Exit::Done)
}
