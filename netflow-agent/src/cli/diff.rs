//! `diff`: what two policy sets judge differently.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::ValueEnum;

use super::files::{self, Files};
use super::policy_args::PolicyArgs;
use super::source::{self, SourceArgs};
use super::{Exit, Failure, Streams, generate_policies};
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
/// exits with 3. `live` stands for the policies of the cluster, or of a recording; `generated` for those that
/// generate-policies writes, with the same flags, of what was observed there.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  netflow-agent diff policies/ changed/ -f cluster.yaml
  netflow-agent diff live generated --input cluster.jsonl
  kubectl netflow diff live policies/
  git show HEAD:policy.yaml | netflow-agent diff - policy.yaml -f pods.yaml -o json")]
pub struct Args {
    /// The policies before: a file, a folder, `-`, `live` or `generated`
    #[arg(value_name = "A")]
    before: PathBuf,
    /// The policies after, likewise
    #[arg(value_name = "B")]
    after: PathBuf,
    #[command(flatten)]
    files: Files,
    /// Output format
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,

    #[command(flatten)]
    policies: PolicyArgs,

    #[command(flatten)]
    source: SourceArgs,
}

/// Where the policies of a side come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Files,
    /// In force in the source.
    Live,
    /// What the flows of the source make of it.
    Generated,
}

impl Side {
    fn of(name: &Path) -> Self {
        match name.to_str() {
            Some("live") => Self::Live,
            Some("generated") => Self::Generated,
            _ => Self::Files,
        }
    }
}

/// What the source holds.
#[derive(Default)]
struct Known {
    objects: Vec<Arc<Object>>,
    generated: Vec<NetworkPolicy>,
    complete: bool,
}

fn known(args: &Args, streams: &mut Streams<'_>) -> Result<Known, Failure> {
    let sides = [Side::of(&args.before), Side::of(&args.after)];
    if sides.contains(&Side::Generated) {
        let loaded = source::load(&args.source, streams)?;
        loaded.report(streams)?;
        let generated = generate_policies::generated(&args.source, &args.policies, &loaded)?;
        let complete = loaded.exit() != Exit::Incomplete;
        return Ok(Known { objects: loaded.objects(), generated, complete });
    }
    if !sides.contains(&Side::Live) && !files::names_a_source(&args.source) {
        return Ok(Known { complete: true, ..Known::default() });
    }
    let (objects, unread) = source::objects(&args.source, None, streams)?;
    for name in &unread {
        writeln!(streams.err, "incomplete: not read: {name}")?;
    }
    let complete = unread.is_empty() || !args.source.require_complete;
    Ok(Known { objects, generated: Vec::new(), complete })
}

fn read(
    name: &Path,
    known: &Known,
    recursive: bool,
    streams: &mut Streams<'_>,
) -> Result<Vec<Object>, Failure> {
    match Side::of(name) {
        Side::Live => Ok(known.objects.iter().map(|object| Object::clone(object)).collect()),
        Side::Generated => Ok(known.generated.iter().cloned().map(Object::NetworkPolicy).collect()),
        Side::Files => {
            let manifests = files::load(&[name.to_owned()], recursive, streams)?;
            files::accept(&manifests, streams)?;
            Ok(manifests.objects.into_iter().map(|placed| placed.object).collect())
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "every verb takes its arguments whole")]
pub fn run(args: Args, streams: &mut Streams<'_>) -> Result<Exit, Failure> {
    let named = args.files.filename.iter().chain(&args.source.input);
    files::stdin_once(named.chain([&args.before, &args.after]))?;
    let known = known(&args, streams)?;
    let before = read(&args.before, &known, args.files.recursive, streams)?;
    let after = read(&args.after, &known, args.files.recursive, streams)?;
    let others = files::read(&args.files, streams)?;
    let mut dialects = BTreeSet::new();
    // Of two objects of one name the last counts: A and B may replace what `-f` and the source have.
    let all = (known.objects.iter().map(AsRef::as_ref))
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
    let changes = compare(&old, &new);
    match args.output {
        Output::Table => change::table(&changes, streams.out)?,
        Output::Json => change::json(&changes, streams.out)?,
    }
    let judged = dialects.is_empty() || !args.source.require_complete;
    let done = if known.complete && judged { Exit::Done } else { Exit::Incomplete };
    Ok(if changes.is_empty() { done } else { Exit::Findings })
}

fn policies(objects: &[Object]) -> Vec<NetworkPolicy> {
    let policies = objects.iter().filter_map(|object| match object {
        Object::NetworkPolicy(policy) => Some(policy.clone()),
        _ => None,
    });
    policies.collect()
}

/// Policies of one side only whose difference cannot show: they select no pod of the input, or pods on the host
/// network.
fn unseen(
    snapshot: &Snapshot,
    old: &[NetworkPolicy],
    new: &[NetworkPolicy],
    streams: &mut Streams<'_>,
) -> Result<(), Failure> {
    let changed = old.iter().filter(|one| !new.contains(one)).chain(new.iter().filter(|one| !old.contains(one)));
    for policy in changed {
        let selector = policy.spec.pod_selector.clone().unwrap_or_default();
        let title = crate::audit::scene::title(policy);
        let pods = snapshot.select(Some(&policy.meta.namespace), &selector);
        if pods.is_empty() {
            writeln!(streams.err, "not compared: {title} selects no pod of the input")?;
        }
        let on_host = pods.iter().map(|id| snapshot.subject(*id)).filter(|pod| pod.host_network);
        for name in on_host.map(|pod| crate::audit::scene::workload(&pod.workload)).collect::<BTreeSet<_>>() {
            writeln!(
                streams.err,
                "not compared: {title} selects {name}, which is on the host network, where policies are undefined"
            )?;
        }
    }
    Ok(())
}
