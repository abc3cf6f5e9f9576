//! `backtest`: generates from the first part of the window and replays the rest against it, as it would have been
//! applied. In: the flags of `generate-policies`. Out: what would have broken, for one split or hour by hour.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::policy_args::PolicyArgs;
use super::source::{Loaded, SourceArgs, count, load};
use super::{Exit, Failure, Streams};
use crate::assess::backtest::{curve, split};
use crate::edge::{Edge, EdgeKey};
use crate::evaluate::{Cluster, Snapshot};
use crate::identity::Inventory;
use crate::policy::{Options, Withheld, generate, words};
use crate::render::kubernetes::{self, Detail};
use crate::render::{proof, table};
use crate::time::{Time, Window};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  netflow-agent backtest --input cluster.jsonl --split 0.7
  netflow-agent backtest --input cluster.jsonl --curve
  netflow-agent backtest --input cluster.jsonl --external budget=8 --review review.yaml")]
pub struct Args {
    /// The share of the window's hours to learn from
    #[arg(long, value_name = "SHARE", default_value = "0.7", value_parser = share)]
    split: u32,

    /// Split before each hour: how many edges were known by then, and what of the rest would have broken
    #[arg(long, conflicts_with = "split")]
    curve: bool,

    #[command(flatten)]
    policies: PolicyArgs,

    #[command(flatten)]
    source: SourceArgs,
}

/// Points of a curve, at most: a month of hours would take a month of generating.
const POINTS: usize = 168;

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
    let options = args.policies.options(&args.source, &loaded.inventory())?;
    let hours = loaded.coverage.hours();
    loaded.report(streams)?;
    let objects = loaded.recording.objects.iter().map(|observed| &*observed.object);
    let snapshot = Arc::new(Snapshot::new(objects));
    if args.curve {
        let mut rows = Vec::new();
        for at in curve(&hours, POINTS) {
            let point = replay(&loaded, &snapshot, at, &options)?;
            rows.push(vec![
                at.to_string(),
                point.learnt.to_string(),
                point.rest.to_string(),
                point.broken.len().to_string(),
                point.connections().to_string(),
            ]);
        }
        table::write(&["LEARNT BEFORE", "EDGES", "REST", "BROKEN", "CONNECTIONS"], &rows, streams.out)?;
        return Ok(loaded.exit());
    }
    let Some(at) = split(&hours, args.split) else {
        return Err(Failure::from("the window has too few hours to be split")
            .with_hint("take a longer one, or another `--split`"));
    };
    let point = replay(&loaded, &snapshot, at, &options)?;
    let (learnt, rest) = (count(point.learnt, "edge"), count(point.rest, "edge"));
    writeln!(streams.out, "learnt {learnt} before {at}, replayed {rest} from then on")?;
    if point.withheld > 0 {
        let withheld = count(point.withheld, "edge");
        writeln!(streams.out, "{withheld} of the rest withheld by a flag or the review, not counted")?;
    }
    let (broken, connections) = (count(point.broken.len(), "edge"), count_u64(point.connections()));
    writeln!(streams.out, "{broken} ({connections}) would have been denied")?;
    for edge in &point.broken {
        writeln!(streams.out, "  {} ({})", words::edge(&edge.key), count_u64(edge.connections))?;
    }
    Ok(loaded.exit())
}

fn count_u64(connections: u64) -> String {
    format!("{connections} connection{}", if connections == 1 { "" } else { "s" })
}

/// Learnt up to a moment, replayed after it.
#[derive(Debug)]
struct Replayed {
    /// Edges of the first part.
    learnt: usize,
    /// Edges of the rest.
    rest: usize,
    /// Of these, kept out by will.
    withheld: usize,
    /// Of these, denied by what was learnt; sorted.
    broken: Vec<Edge>,
}

impl Replayed {
    fn connections(&self) -> u64 {
        self.broken.iter().fold(0, |sum, edge| sum.saturating_add(edge.connections))
    }
}

/// Generates from what was known before `at`, reads that back as it would be applied, and judges the rest.
fn replay(
    loaded: &Loaded,
    snapshot: &Arc<Snapshot>,
    at: Time,
    options: &Options,
) -> Result<Replayed, Failure> {
    let before = Window { from: loaded.window.from, to: Time::from_milliseconds(at.milliseconds() - 1) };
    let after = Window { from: at, to: loaded.window.to };
    let known = Inventory::of(&loaded.recording.objects, before);
    let learnt = loaded.joined_in(&known, before)?;
    let answer = generate(&learnt.edges, &known, options);
    let mut bytes = Vec::new();
    kubernetes::yaml(&answer.policies, Detail::None, &mut bytes)?;
    let policies = proof::parse("the learnt policies", &bytes)?;
    let cluster = Cluster::compile(Arc::clone(snapshot), policies);
    let later = Inventory::of(&loaded.recording.objects, after);
    let rest = loaded.joined_in(&later, after)?;
    // What a flag or the review keeps out of the rest breaks by will.
    let by_will = generate(&rest.edges, &later, options).withheld;
    let mut counted = vec![true; rest.edges.len()];
    let (whole, parts): (Vec<_>, Vec<_>) = by_will.into_iter().partition(Withheld::is_whole);
    for one in &whole {
        counted[one.edge] = false;
    }
    let ways: BTreeSet<EdgeKey> = parts.into_iter().filter_map(|one| one.way).collect();
    let is_denied = |edge: &Edge| proof::denied(&cluster, edge, &|way| ways.contains(way)).is_some();
    let judged = rest
        .edges
        .iter()
        .zip(counted)
        .filter(|(edge, counted)| *counted && !edge.own_node && is_denied(edge));
    Ok(Replayed {
        learnt: learnt.edges.len(),
        rest: rest.edges.len(),
        withheld: whole.len(),
        broken: judged.map(|(edge, _)| edge.clone()).collect(),
    })
}
