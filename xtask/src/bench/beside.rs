//! What runs beside the load for comparison: `netflow-ebpf/examples/beside.rs`, attached by the agent's example
//! `bench_beside`. Neither is part of a release.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Stdio};

use super::arms::Pods;
use super::build;
use crate::lab::machine::Lab;
use crate::{Outcome, ebpf};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// What to attach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// Programs that do nothing, at the hooks that ours are at.
    Hooks,
    /// A flow agent that looks at every packet, at every interface of the node.
    Packets,
}

/// Both, built.
pub(super) struct Beside {
    loader: PathBuf,
    object: PathBuf,
}

impl Beside {
    pub(super) fn build() -> Result<Self> {
        Ok(Self { object: ebpf::example("beside")?, loader: build(&["--example", "bench_beside"], "bench_beside")? })
    }

    /// Attaches it, and waits until it is.
    pub(super) fn start(&self, pods: &Pods, what: What) -> Result<Child> {
        let mut command = pods.lab.exec_with_perfmon("beside", &self.loader)?;
        command.arg(&self.object);
        match what {
            What::Hooks => command.arg("hooks").arg(&pods.lab.cgroup),
            What::Packets => command.arg("packets").args(Lab::interfaces(&[&pods.client, &pods.server])),
        };
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        if let Some(output) = child.stdout.take() {
            BufReader::new(output).read_line(&mut line)?;
        }
        if line.trim() == "ready" { Ok(child) } else { Err(format!("bench_beside: {}", child.wait()?).into()) }
    }
}

/// Detaches it.
pub(super) fn stop(mut child: Child) -> Outcome {
    child.kill()?;
    child.wait()?;
    Ok(())
}
