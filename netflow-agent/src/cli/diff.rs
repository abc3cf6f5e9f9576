//! `diff`: what two policy sets judge differently.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::ValueEnum;

use super::files::{self, Files};
use super::source::{self, SourceArgs};
use super::{Exit, Failure, Streams};
use crate::compare::compare;
use crate::connectivity::Connectivity;
use crate::evaluate::{Cluster, Snapshot};
use crate::manifest::{NetworkPolicy, Object};
use crate::render::change;

/// How the difference is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Output {
    #[default]
    Table,
    Json,
}

/// Compare the policies of A and B by what they allow, workload by workload. Pods, namespaces and workloads of
/// both, and of `-f`, are the cluster that both are judged on. Equal meaning prints nothing; a difference
/// exits with 3. `live` stands for the policies of the cluster, or of a recording.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  netflow-agent diff policies/ changed/ -f cluster.yaml
  netflow-agent generate-policies --input a.jsonl | netflow-agent diff live - --input a.jsonl
  git show HEAD:policy.yaml | netflow-agent diff - policy.yaml -f pods.yaml -o json")]
pub struct Args {
    /// The policies before: a file, a folder, `-`, or `live`
    #[arg(value_name = "A")]
    before: PathBuf,
    /// The policies after
    #[arg(value_name = "B")]
    after: PathBuf,
    #[command(flatten)]
    files: Files,
    /// Output format
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,

    #[command(flatten)]
    source: SourceArgs,
}

/// The word for the policies of the source.
const LIVE: &str = "live";

pub fn run(args: Args, streams: &mut Streams<'_>) -> Result<Exit, Failure> {
    let is_live = |name: &Path| name == Path::new(LIVE);
    let asked = is_live(&args.before) || is_live(&args.after) || files::names_a_source(&args.source);
    let live = if asked {
        let loaded = source::load(&args.source, streams)?;
        loaded.report(streams)?;
        files::current(&loaded)
    } else {
        Vec::new()
    };
    let mut read = |name: PathBuf| -> Result<Vec<Object>, Failure> {
        if is_live(&name) {
            return Ok(live.iter().map(|object| Object::clone(object)).collect());
        }
        let manifests = files::load(&[name], args.files.recursive, streams)?;
        files::accept(&manifests, streams)?;
        Ok(manifests.objects.into_iter().map(|placed| placed.object).collect())
    };
    let (before, after) = (read(args.before)?, read(args.after)?);
    let others = files::read(&args.files, streams)?;
    let mut dialects = BTreeSet::new();
    // Of two objects of one name the last counts: A and B may replace what `-f` and the source have.
    let all = (live.iter().map(AsRef::as_ref))
        .chain(others.objects.iter().map(|placed| &placed.object))
        .chain(&before)
        .chain(&after);
    let all: Vec<&Object> = all.collect();
    for object in all.iter().filter(|object| matches!(object, Object::OtherPolicy { .. })) {
        if dialects.insert(object.title()) {
            writeln!(streams.err, "incomplete: {} is of another dialect and is not judged", object.title())?;
        }
    }
    let snapshot = Arc::new(Snapshot::new(all));
    let (old, new) = (policies(&before), policies(&after));
    if snapshot.subjects().next().is_none() && old != new {
        return Err(Failure::from("no pod or workload to compare the policies on")
            .with_hint("add the manifests of the workloads with `-f`, or `kubectl get pods,ns -A -o json`"));
    }
    unseen(&snapshot, &old, &new, streams)?;
    let of = |policies: Vec<NetworkPolicy>| {
        Connectivity::new(&Cluster::compile(Arc::clone(&snapshot), policies))
    };
    let (old, new) = (of(old), of(new));
    for name in new.host_network() {
        let name = crate::audit::scene::workload(name);
        writeln!(streams.err, "not compared: {name} uses the host network, where policies are undefined")?;
    }
    let changes = compare(&old, &new);
    match args.output {
        Output::Table => change::table(&changes, streams.out)?,
        Output::Json => change::json(&changes, streams.out)?,
    }
    Ok(if changes.is_empty() { Exit::Done } else { Exit::Findings })
}

fn policies(objects: &[Object]) -> Vec<NetworkPolicy> {
    let policies = objects.iter().filter_map(|object| match object {
        Object::NetworkPolicy(policy) => Some(policy.clone()),
        _ => None,
    });
    policies.collect()
}

/// Policies of one side only that select no pod of the input: their difference cannot show.
fn unseen(
    snapshot: &Snapshot,
    old: &[NetworkPolicy],
    new: &[NetworkPolicy],
    streams: &mut Streams<'_>,
) -> Result<(), Failure> {
    let changed = old.iter().filter(|one| !new.contains(one)).chain(new.iter().filter(|one| !old.contains(one)));
    for policy in changed {
        let selector = policy.spec.pod_selector.clone().unwrap_or_default();
        if snapshot.select(Some(&policy.meta.namespace), &selector).is_empty() {
            let title = crate::audit::scene::title(policy);
            writeln!(streams.err, "not compared: {title} selects no pod of the input")?;
        }
    }
    Ok(())
}
