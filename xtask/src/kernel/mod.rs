//! The kernel tests beyond `cargo xtask test`: `vm` boots Debian's kernel packages under qemu and runs them in each
//! (the README's kernel table is what it prints), `stress` runs the one of exactness for minutes.

mod init;
mod initramfs;
mod package;
mod stress;
mod vm;

use crate::Outcome;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, clap::Subcommand)]
enum Task {
    /// Boot each kernel, load and attach every program, and run the traffic tests in it
    Vm(vm::Args),
    /// Make connections for minutes beside drains and swaps, and count them to the last
    Stress(stress::Args),
    /// The first process inside the virtual machine
    #[command(hide = true)]
    Init,
}

pub(crate) fn run(args: &Args) -> Outcome {
    match &args.task {
        Task::Vm(args) => vm::run(args),
        Task::Stress(args) => stress::run(args),
        Task::Init => init::run(),
    }
}
