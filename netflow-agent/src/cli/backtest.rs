//! `backtest`.

use std::sync::Arc;

use super::source::{Loaded, SourceArgs, count, load};
use super::{Exit, Failure, Streams};
use crate::assess::backtest::{curve, split};
use crate::edge::join;
use crate::evaluate::{Cluster, Snapshot, Verdict};
use crate::policy::{Options, generate, words};
use crate::render::kubernetes::{self, Detail};
use crate::render::proof;
use crate::time::{Time, Window};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  netflow-agent backtest --input cluster.jsonl --split 0.7
  netflow-agent backtest --input cluster.jsonl --curve")]
pub struct Args {
    #[command(flatten)]
    source: SourceArgs,

    /// The share of the window's hours to learn from
    #[arg(long, value_name = "SHARE", default_value = "0.7", value_parser = share)]
    split: u32,

    /// For each hour: how many edges it showed that the hours before it had not
    #[arg(long)]
    curve: bool,
}

/// In per mille.
fn share(text: &str) -> Result<u32, String> {
    let wrong = || "not a share between 0 and 1, such as 0.7".to_owned();
    let digits = text.strip_prefix("0.").filter(|digits| (1..=3).contains(&digits.len())).ok_or_else(wrong)?;
    match format!("{digits:0<3}").parse() {
        Ok(per_mille) if per_mille > 0 => Ok(per_mille),
        _ => Err(wrong()),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "every verb takes its arguments whole")]
pub fn run(args: Args, streams: &mut Streams<'_>) -> Result<Exit, Failure> {
    let loaded = load(&args.source, streams)?;
    let inventory = loaded.inventory();
    let joined = join(&loaded.recording, &inventory, loaded.window);
    let options = Options::default();
    let hours = loaded.coverage.hours();
    loaded.report(streams)?;
    if args.curve {
        writeln!(streams.out, "HOUR                   KNOWN   NEW")?;
        for point in curve(&joined.edges, &hours) {
            let new = point.broken.iter().filter(|at| joined.edges[**at].hours.first() == Some(&point.at.hour()));
            writeln!(streams.out, "{:<20} {:>7} {:>5}", point.at.to_string(), point.learnt, new.count())?;
        }
        return Ok(loaded.exit());
    }
    let Some(split) = split(&joined.edges, &hours, args.split) else {
        return Err(Failure::from("the window has too few hours to be split"));
    };
    let broken = broken(&loaded, split.at, &options)?;
    writeln!(
        streams.out,
        "learnt {} before {}; {} seen again after it",
        count(split.learnt, "edge"),
        split.at,
        split.seen_again,
    )?;
    let connections: u64 = broken.iter().map(|one| one.1).sum();
    writeln!(streams.out, "{} ({connections} connections) would have been denied", count(broken.len(), "edge"))?;
    for (edge, connections) in &broken {
        writeln!(streams.out, "  {edge} ({connections} connections)")?;
    }
    Ok(loaded.exit())
}

/// The edges of the rest that the policies learnt from the first part deny, read back as they would be applied.
fn broken(loaded: &Loaded, at: Time, options: &Options) -> Result<Vec<(String, u64)>, Failure> {
    let before = Window { from: loaded.window.from, to: Time::from_milliseconds(at.milliseconds() - 1) };
    let after = Window { from: at, to: loaded.window.to };
    let objects = &loaded.recording.objects;
    let first = loaded.inventory();
    let learnt = join(&loaded.recording, &first, before);
    let answer = generate(&learnt.edges, &first, options);
    let mut bytes = Vec::new();
    kubernetes::yaml(&answer.policies, Detail::None, &mut bytes)?;
    let policies = proof::parse("the learnt policies", &bytes)?;
    let snapshot = Snapshot::new(objects.iter().map(|observed| &*observed.object));
    let cluster = Cluster::compile(Arc::new(snapshot), policies);
    let rest = join(&loaded.recording, &first, after);
    let judged = rest.edges.iter().filter(|edge| {
        !edge.own_node && cluster.edge(&edge.key).is_some_and(|judged| judged.verdict == Verdict::Denied)
    });
    Ok(judged.map(|edge| (words::edge(&edge.key), edge.connections)).collect())
}
