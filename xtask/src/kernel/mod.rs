//! Other kernels than this machine's: boots Debian's kernel packages under qemu and runs the kernel tests
//! in each. The README's kernel table is what `cargo xtask kernel vm` prints.

mod init;
mod initramfs;
mod package;
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
    /// The first process inside the virtual machine
    #[command(hide = true)]
    Init,
}

pub(crate) fn run(args: &Args) -> Outcome {
    match &args.task {
        Task::Vm(args) => vm::run(args),
        Task::Init => init::run(),
    }
}
