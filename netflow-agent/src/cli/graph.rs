//! `graph`: the dependency graph of a window, for people, Markdown, Graphviz and programs.

use clap::ValueEnum;
use serde::Serialize;

use super::filter::FilterArgs;
use super::source::{self, SourceArgs};
use super::{Exit, Failure, Streams};
use crate::graph::{self, Graph, dot, mermaid};
use crate::render::end::{self, EndJson};
use crate::render::table;

/// How to print.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    #[default]
    Table,
    /// For Graphviz
    Dot,
    /// For Markdown
    Mermaid,
    Json,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  netflow-agent graph --since 24h
  netflow-agent graph -n shop -o mermaid > shop.mmd
  netflow-agent graph --input cluster.jsonl -o dot | dot -Tsvg > cluster.svg")]
pub struct Args {
    #[command(flatten)]
    filter: FilterArgs,

    /// Output format
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,

    #[command(flatten)]
    source: SourceArgs,
}

pub fn run(args: Args, streams: &mut Streams<'_>) -> Result<Exit, Failure> {
    let Args { filter, output, source } = args;
    let loaded = source::load(&source, streams)?;
    let inventory = loaded.inventory();
    let filter = filter.filter(&inventory)?;
    let joined = loaded.joined(&inventory)?;
    let graph = graph::build(joined.edges.iter().filter(|edge| filter.matches(&edge.key)));
    match output {
        Format::Table => write_table(&graph, streams)?,
        Format::Dot => dot::write(&graph, streams.out)?,
        Format::Mermaid => mermaid::write(&graph, streams.out)?,
        Format::Json => write_json(&graph, streams)?,
    }
    loaded.report(streams)?;
    Ok(loaded.exit())
}

fn write_table(graph: &Graph, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let row = |link: &graph::Link| {
        let end = |at: usize| end::text(&graph.ends[at]);
        vec![end(link.source), end(link.destination), graph::ports(link), link.connections.to_string()]
    };
    let rows: Vec<Vec<String>> = graph.links.iter().map(row).collect();
    table::write(&["SOURCE", "DESTINATION", "PORTS", "CONNECTIONS"], &rows, streams.out)?;
    Ok(())
}

#[derive(Serialize)]
struct GraphJson {
    nodes: Vec<EndJson>,
    links: Vec<LinkJson>,
}

/// `source` and `destination` are positions in `nodes`.
#[derive(Serialize)]
struct LinkJson {
    source: usize,
    destination: usize,
    ports: Vec<PortJson>,
    connections: u64,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    unconfirmed: bool,
}

#[derive(Serialize)]
struct PortJson {
    port: u16,
    protocol: &'static str,
}

fn write_json(graph: &Graph, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let link = |link: &graph::Link| LinkJson {
        source: link.source,
        destination: link.destination,
        ports: link
            .ports
            .iter()
            .map(|(port, protocol)| PortJson { port: *port, protocol: protocol.as_str() })
            .collect(),
        connections: link.connections,
        unconfirmed: link.unconfirmed,
    };
    let json = GraphJson {
        nodes: graph.ends.iter().map(end::json).collect(),
        links: graph.links.iter().map(link).collect(),
    };
    serde_json::to_writer_pretty(&mut *streams.out, &json)?;
    writeln!(streams.out)?;
    Ok(())
}
