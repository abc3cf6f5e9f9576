//! `replay`: what was observed against candidate policies, before anyone applies them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::ValueEnum;

use super::files::{self, Files};
use super::source::{self, Loaded, SourceArgs, count};
use super::{Exit, Failure, Streams};
use crate::edge;
use crate::net::Direction;
use crate::policy::words;
use crate::evaluate::{Cluster, Snapshot};
use crate::manifest::{NetworkPolicy, Object};
use crate::render::edge::{ends, write_attempt_json, write_json};
use crate::render::table;
use crate::replay::{self, Class, Replayed, Unused};
use crate::review::{self, Action, Review};

/// How to print.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// What is not plainly allowed
    #[default]
    Table,
    /// Everything
    Wide,
    /// Everything, one edge a line
    Json,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  netflow-agent replay -f policies/ --since 7d
  netflow-agent replay -f policies.yaml --input cluster.jsonl --unused
  netflow-agent generate-policies --input cluster.jsonl | netflow-agent replay -f - --input cluster.jsonl

Exits with 3 if something observed would be denied.")]
pub struct Args {
    #[command(flatten)]
    files: Files,

    /// Edges that this review file denies or ignores are withheld, not broken
    #[arg(long, value_name = "FILE")]
    review: Option<PathBuf>,

    /// Show the rules, peers and ports that no observed edge used
    #[arg(long)]
    unused: bool,

    /// Output format
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,

    #[command(flatten)]
    source: SourceArgs,
}

pub fn run(args: Args, streams: &mut Streams<'_>) -> Result<Exit, Failure> {
    let Args { files, review, unused, output, source } = args;
    if files.filename.is_empty() {
        return Err(Failure::usage("no policies named").with_hint("name them with `-f FILE|FOLDER|-`"));
    }
    files::stdin_once(files.filename.iter().chain(&source.input))?;
    let manifests = files::read(&files, streams)?;
    let policies = policies(manifests.objects.iter().map(|placed| &placed.object));
    if policies.is_empty() {
        return Err(Failure::from("there is no NetworkPolicy in the manifests"));
    }
    let review = review.as_deref().map(read_review).transpose()?.unwrap_or_default();
    let loaded = source::load(&source, streams)?;
    let inventory = loaded.inventory();
    let joined = loaded.joined(&inventory)?;
    let objects = replay::objects(&inventory);
    let known = objects.iter().chain(manifests.objects.iter().map(|placed| &placed.object));
    let snapshot = Arc::new(Snapshot::new(known));
    let candidate = Cluster::compile(Arc::clone(&snapshot), policies);
    let live: Vec<NetworkPolicy> = inventory.policies.iter().map(|policy| (*policy).clone()).collect();
    let live = Cluster::compile(snapshot, live);
    let replayed = replay::replay(&joined, &candidate, Some(&live), &|key| is_withheld(&review, key));
    if unused {
        write_unused(&candidate, &joined, streams)?;
    } else {
        write(&replayed, &candidate, output, streams)?;
    }
    let mut others: BTreeSet<String> = { inventory.other_policies.iter() }
        .map(|(kind, meta)| format!("{kind} {}/{}", meta.namespace, meta.name))
        .collect();
    let dialects = manifests.objects.iter().filter(|placed| matches!(placed.object, Object::OtherPolicy { .. }));
    others.extend(dialects.map(|placed| placed.object.title()));
    report(&replayed, &loaded, &others, streams)
}

fn policies<'o>(objects: impl Iterator<Item = &'o Object>) -> Vec<NetworkPolicy> {
    let policies = objects.filter_map(|object| match object {
        Object::NetworkPolicy(policy) => Some(policy.clone()),
        _ => None,
    });
    policies.collect()
}

fn read_review(path: &Path) -> Result<Review, Failure> {
    let name = path.display();
    let bytes = std::fs::read(path).map_err(|error| Failure::from(format!("read {name}: {error}")))?;
    review::read(&bytes).map_err(|error| Failure::from(format!("{name}: {error}")))
}

fn is_withheld(review: &Review, key: &edge::EdgeKey) -> bool {
    review.meeting(key).any(|(_, entry)| matches!(entry.action, Action::Deny | Action::Ignore))
}

fn write(
    replayed: &Replayed<'_>,
    candidate: &Cluster,
    format: Format,
    streams: &mut Streams<'_>,
) -> Result<(), Failure> {
    if format == Format::Json {
        for (edge, class) in &replayed.edges {
            write_json(edge, Some(class.as_str()), streams.out)?;
        }
        for (attempt, class) in &replayed.attempts {
            write_attempt_json(attempt, Some(class.as_str()), streams.out)?;
        }
        return Ok(());
    }
    // By class, what needs a person first.
    let mut rows: BTreeMap<Class, Vec<Vec<String>>> = BTreeMap::new();
    for (edge, class) in &replayed.edges {
        let by = if *class == Class::Denied { blamed(candidate, edge) } else { "-".to_owned() };
        rows.entry(*class).or_default().push(row(*class, &edge.key, edge.connections, by));
    }
    for (attempt, class) in &replayed.attempts {
        let row = row(*class, &attempt.key, attempt.connections, "-".to_owned());
        rows.entry(*class).or_default().push(row);
    }
    let shown = |class: Class| format == Format::Wide || class != Class::Allowed;
    let rows: Vec<Vec<String>> =
        rows.into_iter().filter(|(class, _)| shown(*class)).flat_map(|(_, rows)| rows).collect();
    if !rows.is_empty() {
        let heads = ["VERDICT", "SOURCE", "DESTINATION", "PORT", "CONNECTIONS", "BY"];
        table::write(&heads, &rows, streams.out)?;
    }
    Ok(())
}

fn row(class: Class, key: &edge::EdgeKey, connections: u64, by: String) -> Vec<String> {
    let mut row = vec![class.as_str().to_owned()];
    row.extend(ends(key));
    row.extend([connections.to_string(), by]);
    row
}

/// `egress of shop/frontend-deployment`: the policies that isolate and have no rule for it, nor for the node that was
/// dialled in its place.
fn blamed(candidate: &Cluster, edge: &edge::Edge) -> String {
    let mut names = Vec::new();
    for (way, blamed) in replay::blame(candidate, edge) {
        let by_node = way.map(|way| format!(" ({})", words::edge(&way))).unwrap_or_default();
        let of = |(direction, policy): (Direction, usize)| {
            let direction = direction.as_str().to_ascii_lowercase();
            format!("{direction} of {}{by_node}", policy_name(candidate, policy))
        };
        names.extend(blamed.into_iter().map(of));
    }
    if names.is_empty() { "-".to_owned() } else { names.join(", ") }
}

fn policy_name(candidate: &Cluster, policy: usize) -> String {
    let meta = &candidate.policies()[policy].meta;
    format!("{}/{}", meta.namespace, meta.name)
}

fn write_unused(candidate: &Cluster, joined: &edge::Joined, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let row = |found: &Unused| {
        let (policy, direction, rule) = match found {
            Unused::Rule { policy, direction, rule }
            | Unused::Peer { policy, direction, rule, .. }
            | Unused::Port { policy, direction, rule, .. } => (*policy, *direction, *rule),
        };
        let list = match direction {
            Direction::Ingress => ("ingress", "from"),
            Direction::Egress => ("egress", "to"),
        };
        let path = match found {
            Unused::Rule { .. } => format!("spec.{}[{rule}]", list.0),
            Unused::Peer { peer, .. } => format!("spec.{}[{rule}].{}[{peer}]", list.0, list.1),
            Unused::Port { port, .. } => format!("spec.{}[{rule}].ports[{port}]", list.0),
        };
        vec![policy_name(candidate, policy), path]
    };
    let rows: Vec<Vec<String>> = replay::unused(candidate, &joined.edges).iter().map(row).collect();
    if rows.is_empty() {
        writeln!(streams.err, "every rule, peer and port was used")?;
    } else {
        table::write(&["POLICY", "UNUSED"], &rows, streams.out)?;
    }
    Ok(())
}

/// The counts, what the window could not show, and how it ended.
fn report(
    replayed: &Replayed<'_>,
    loaded: &Loaded,
    others: &BTreeSet<String>,
    streams: &mut Streams<'_>,
) -> Result<Exit, Failure> {
    let counts = replayed.counts();
    for (class, of) in counts.iter().rev() {
        let what = if *class == Class::NewlyAllowed { "attempt" } else { "edge" };
        if of.edges > 0 || matches!(class, Class::Allowed | Class::Denied) {
            let edges = count(usize::try_from(of.edges).unwrap_or(usize::MAX), what);
            let noun = if of.connections == 1 { "connection" } else { "connections" };
            writeln!(streams.err, "{}: {edges}, {} {noun}", class.as_str(), of.connections)?;
        }
    }
    loaded.report(streams)?;
    for name in others {
        writeln!(streams.err, "incomplete: {name} also decides, and is not judged")?;
    }
    if counts.get(&Class::Denied).is_some_and(|denied| denied.edges > 0) {
        return Ok(Exit::Findings);
    }
    Ok(if others.is_empty() { loaded.exit() } else { loaded.exit_unjudged() })
}
