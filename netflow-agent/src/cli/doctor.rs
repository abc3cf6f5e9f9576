//! `doctor`: this machine in, what capturing needs and whether it is there out, each with its fix. Exit 1
//! when something is missing without which nothing is captured.

#[cfg(feature = "capture")]
use std::io::Write;
use std::path::PathBuf;

use super::{Exit, Failure, Streams};

const EXAMPLES: &str = "\
Examples:
  # Is this node fit?
  sudo netflow-agent doctor

  # What is missing, for a script
  netflow-agent doctor -o json | jq 'select(.state == \"missing\")'";

/// How the checks are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    #[default]
    Table,
    /// One object a line
    Json,
}

#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Where cgroup2 is mounted [default: as the mount table says]
    #[arg(long, env = "NETFLOW_CGROUP", value_name = "PATH")]
    cgroup: Option<PathBuf>,
    /// How to write it
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

#[cfg(feature = "capture")]
pub fn run(args: Args, streams: &mut Streams<'_>) -> Result<Exit, Failure> {
    use crate::sys::bpf::require::{self, State};

    let Args { cgroup, output } = args;
    let checks = require::check(cgroup.as_deref());
    write(&checks, output, streams.out)?;
    let missing = checks.iter().any(|check| check.state == State::Missing);
    Ok(if missing { Exit::Failed } else { Exit::Done })
}

#[cfg(not(feature = "capture"))]
pub fn run(_args: Args, _streams: &mut Streams<'_>) -> Result<Exit, Failure> {
    Err(Failure::from("this build does not capture")
        .with_hint("take one with the feature `capture`, on Linux"))
}

#[cfg(feature = "capture")]
fn write(
    checks: &[crate::sys::bpf::require::Check],
    output: Output,
    out: &mut dyn Write,
) -> std::io::Result<()> {
    let width = checks.iter().map(|check| check.name.len()).max().unwrap_or_default();
    for check in checks {
        let state = word(check.state);
        match output {
            Output::Json => {
                let line = serde_json::json!({
                    "name": check.name,
                    "state": state,
                    "found": check.found,
                    "fix": check.fix,
                });
                writeln!(out, "{line}")?;
            }
            Output::Table => {
                writeln!(out, "{state:<8} {:<width$}  {}", check.name, check.found)?;
                if let Some(fix) = &check.fix {
                    writeln!(out, "{:<8} {:<width$}  fix: {fix}", "", "")?;
                }
            }
        }
    }
    Ok(())
}

#[cfg(feature = "capture")]
const fn word(state: crate::sys::bpf::require::State) -> &'static str {
    use crate::sys::bpf::require::State;
    match state {
        State::Good => "good",
        State::Limited => "limited",
        State::Missing => "missing",
    }
}

#[cfg(all(test, feature = "capture"))]
mod tests {
    use super::*;
    use crate::sys::bpf::require::{Check, State};

    #[test]
    fn what_is_missing_comes_with_its_fix() {
        let checks = [
            Check { name: "kernel", state: State::Good, found: "6.12.1".to_owned(), fix: None },
            Check {
                name: "capabilities",
                state: State::Missing,
                found: "no CAP_BPF".to_owned(),
                fix: Some("run as root, or add BPF".to_owned()),
            },
        ];
        let text = |output| {
            let mut out = Vec::new();
            write(&checks, output, &mut out).expect("memory takes it");
            String::from_utf8(out).expect("text")
        };
        assert_eq!(
            text(Output::Table),
            "good     kernel        6.12.1\n\
             missing  capabilities  no CAP_BPF\n                       \
             fix: run as root, or add BPF\n"
        );
        assert_eq!(
            text(Output::Json),
            "{\"fix\":null,\"found\":\"6.12.1\",\"name\":\"kernel\",\"state\":\"good\"}\n\
             {\"fix\":\"run as root, or add BPF\",\"found\":\"no CAP_BPF\",\"name\":\"capabilities\",\"state\":\"missing\"}\n"
        );
    }
}
