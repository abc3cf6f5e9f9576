//! `observe`: the edges of a window, and beside them what is no edge.

use clap::ValueEnum;

use super::filter::FilterArgs;
use super::source::{self, SourceArgs, count};
use super::{Exit, Failure, Streams, follow};
use crate::edge::{Attempt, Edge, Joined};
use crate::flow::Outcome;
use crate::render::edge::{Detail, write_attempt_json, write_attempts, write_json, write_table};

/// How to print.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    #[default]
    Table,
    /// With first sight, hours, bytes, Services and notes
    Wide,
    /// One edge a line
    Json,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  netflow-agent observe --since 1h
  netflow-agent observe --follow -n shop
  kubectl netflow observe --follow --to shop/deployment/backend
  netflow-agent observe -n shop --to shop/deployment/backend -o wide
  netflow-agent observe --input cluster.jsonl -o json | jq -r .destination.name
  netflow-agent observe --input cluster.jsonl --attempts")]
pub struct Args {
    #[command(flatten)]
    filter: FilterArgs,

    /// Show what never came up or was never answered, instead of the edges
    #[arg(long)]
    attempts: bool,

    /// Go on: print edges as the running agents see them, each with the connections that came
    #[arg(long, conflicts_with_all = ["input", "state_dir", "since", "until", "attempts", "require_complete"])]
    follow: bool,

    /// Output format
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,

    #[command(flatten)]
    source: SourceArgs,
}

pub fn run(args: Args, streams: &mut Streams<'_>) -> Result<Exit, Failure> {
    let Args { filter, attempts, follow, output, source } = args;
    if follow {
        return follow::run(&filter, output, &source, streams);
    }
    let loaded = source::load(&source, streams)?;
    let inventory = loaded.inventory();
    let filter = filter.filter(&inventory)?;
    let mut joined = loaded.joined(&inventory)?;
    filter.keep(&mut joined);
    if attempts {
        write_attempted(&joined, output, streams)?;
    } else {
        write_edges(&joined, output, streams)?;
    }
    loaded.report(streams)?;
    for line in beside(&joined) {
        writeln!(streams.err, "{line}")?;
    }
    Ok(loaded.exit())
}

fn write_edges(joined: &Joined, format: Format, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let edges: Vec<&Edge> = joined.edges.iter().collect();
    match format {
        Format::Table => write_table(&edges, Detail::Short, streams.out)?,
        Format::Wide => write_table(&edges, Detail::Wide, streams.out)?,
        Format::Json => {
            for edge in edges {
                write_json(edge, None, streams.out)?;
            }
        }
    }
    Ok(())
}

fn write_attempted(joined: &Joined, format: Format, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let attempts: Vec<&Attempt> = joined.attempts.iter().collect();
    if format != Format::Json {
        write_attempts(&attempts, streams.out)?;
        return Ok(());
    }
    for attempt in attempts {
        write_attempt_json(attempt, None, streams.out)?;
    }
    Ok(())
}

/// What the window holds beside its edges.
pub fn beside(joined: &Joined) -> Vec<String> {
    let mut lines = Vec::new();
    let of = |outcome| joined.attempts.iter().filter(|one| one.outcome == outcome).count();
    let attempts = [(Outcome::Refused, "refused"), (Outcome::Timeout, "timed out"), (Outcome::Unanswered, "unanswered")]
        .map(|(outcome, words)| (of(outcome), words));
    let parts: Vec<String> =
        attempts.iter().filter(|(number, _)| *number > 0).map(|(number, words)| format!("{number} {words}")).collect();
    if !parts.is_empty() {
        lines.push(format!("no edges: {} ({})", count(joined.attempts.len(), "attempt"), parts.join(", ")));
    }
    for doubt in &joined.doubts {
        let ends = crate::render::edge::ends(&doubt.key).join(" ");
        lines.push(format!("in doubt: {ends}: {}", doubt.reason.as_str()));
    }
    if joined.left_out.own > 0 {
        lines.push(format!("left out: {} within one pod", flows(joined.left_out.own)));
    }
    if joined.left_out.multicast > 0 {
        lines.push(format!("left out: {} to multicast or broadcast", flows(joined.left_out.multicast)));
    }
    lines
}

fn flows(number: u64) -> String {
    if number == 1 { "1 flow".to_owned() } else { format!("{number} flows") }
}
