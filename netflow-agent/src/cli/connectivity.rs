//! `connectivity`: who can reach whom, by workload, with ranges of outside addresses.

use super::judged::{self, JudgedArgs};
use super::{Exit, Failure, Streams};
use crate::connectivity::Connectivity;
use crate::render::connectivity::{self as render, Rows};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  netflow-agent connectivity -f manifests/
  netflow-agent connectivity -f manifests/ -n shop -o text
  netflow-agent connectivity -f manifests/ -o json | jq -c 'select(.destination.name == \"db\")'")]
pub struct Args {
    /// How to write it; `text` is plain sentences
    #[arg(short = 'o', long, value_enum, default_value_t)]
    output: Output,

    #[command(flatten)]
    judged: JudgedArgs,
}

#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
enum Output {
    #[default]
    Table,
    Json,
    Matrix,
    Text,
    Dot,
    Mermaid,
}

pub fn run(args: Args, streams: &mut Streams<'_>) -> Result<Exit, Failure> {
    let Args { judged: from_where, output } = args;
    let judged = judged::load(&from_where, streams)?;
    let connectivity = Connectivity::new(&judged.cluster);
    let rows = Rows { connectivity: &connectivity, namespace: from_where.namespace.as_deref() };
    match output {
        Output::Table => render::table(rows, streams.out),
        Output::Json => render::json(rows, streams.out),
        Output::Matrix => render::matrix(rows, streams.out),
        Output::Text => render::text(rows, streams.out),
        Output::Dot => render::dot(rows, streams.out),
        Output::Mermaid => render::mermaid(rows, streams.out),
    }?;
    if connectivity.workloads().is_empty() && connectivity.host_network().is_empty() {
        writeln!(streams.err, "no pod or workload in the input")?;
    }
    render::not_judged(&connectivity, streams.err)?;
    Ok(judged.exit())
}
