//! `explain`: one verdict, why it is so, and what would turn it.

use super::judged::{self, JudgedArgs};
use super::{Exit, Failure, Streams};
use crate::evaluate::EndName;
use crate::evaluate::assertion::{parse_port, parse_protocol};
use crate::manifest::TargetPort;
use crate::net::Protocol;
use crate::render::explain::{self, Question};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  netflow-agent explain -f manifests/ --from shop/web-0 --to shop/db-0 --port 5432
  netflow-agent explain -f manifests/ -n shop --from deploy/web --to 203.0.113.7 --port 443")]
pub struct Args {
    /// Who connects: `namespace/pod`, `namespace/kind/name` or an address
    #[arg(long, value_name = "END")]
    from: String,

    /// Who is connected to, likewise
    #[arg(long, value_name = "END")]
    to: String,

    /// The port of the destination's pods, by number or by name
    #[arg(long, value_parser = parse_port)]
    port: TargetPort,

    #[arg(long, default_value = "TCP", value_parser = parse_protocol)]
    protocol: Protocol,

    #[command(flatten)]
    judged: JudgedArgs,
}

pub fn run(args: Args, streams: &mut Streams<'_>) -> Result<Exit, Failure> {
    let Args { judged: from_where, from, to, port, protocol } = args;
    let namespace = from_where.namespace.as_deref();
    let from = EndName::parse(&from, namespace).map_err(Failure::usage)?;
    let to = EndName::parse(&to, namespace).map_err(Failure::usage)?;
    let judged = judged::load(&from_where, streams)?;
    let cluster = &judged.cluster;
    let source = cluster.snapshot().resolve(&from)?;
    let destination = cluster.snapshot().resolve(&to)?;

    let mut ports = match &port {
        TargetPort::Number(port) => vec![*port],
        TargetPort::Name(name) => {
            let numbers = destination.ends.iter().map(|&end| cluster.port_numbers(end, name, protocol));
            numbers.flatten().collect()
        }
    };
    ports.sort_unstable();
    ports.dedup();
    if let (true, TargetPort::Name(name)) = (ports.is_empty(), &port) {
        return Err(Failure::from(format!("{to} has no {protocol} port named `{name}`")));
    }
    let (from, to) = (from.to_string(), to.to_string());
    for (at, port) in ports.into_iter().enumerate() {
        if at > 0 {
            writeln!(streams.out)?;
        }
        let question = Question { from: &from, to: &to, port, protocol };
        let whole = cluster.between(&source, &destination, &TargetPort::Number(port), protocol);
        let explanations = cluster.explain(&source, &destination, port, protocol);
        explain::text(cluster, &question, whole, &explanations, streams.out)?;
    }
    Ok(judged.exit())
}
