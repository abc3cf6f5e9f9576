//! The tasks of the repository: `cargo xtask --help`. One file or folder per task, each with its `Args` and
//! its `run`; a task is listed when it works. To add one: its file, and its line in `tasks!`.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the tasks talk to a person at a terminal")]
#![expect(clippy::disallowed_methods, reason = "the one clock is the agent's rule")]

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod cargo;
mod program;

/// How a task ends: nothing to say, or the reason it failed.
type Outcome = Result<(), Box<dyn std::error::Error>>;

macro_rules! tasks {
    ($($(#[$attribute:meta])* $variant:ident $module:ident),* $(,)?) => {
        $(mod $module;)*

        #[derive(Debug, Subcommand)]
        enum Task {
            $($(#[$attribute])* $variant($module::Args),)*
        }

        impl Task {
            fn run(&self) -> Outcome {
                match self {
                    $(Self::$variant(args) => $module::run(args),)*
                }
            }
        }
    };
}

tasks! {
    /// Formatting, lints, layout, licences and the build of each feature set
    Check check,
    /// The layout rules of ARCHITECTURE.md
    Tidy tidy,
    /// The whole line on real traffic: a lab, the agent, and what it recommends
    Demo demo,
    /// The programs of the lab
    #[command(hide = true)]
    Lab lab,
    /// Man pages of every verb
    Man man,
    /// Build the eBPF object from source, or compare it with the committed one
    Ebpf ebpf,
    /// What capturing costs, against nothing attached
    Bench bench,
    /// Every test, with the count of what ran and what was skipped
    Test test,
    /// The kernel tests inside kernels other than this machine's
    Kernel kernel,
    /// The agent's container image, without a container engine
    Image image,
}

/// The tasks of the netflow repository.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Command {
    #[command(subcommand)]
    task: Task,
}

fn main() -> ExitCode {
    match Command::parse().task.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}
