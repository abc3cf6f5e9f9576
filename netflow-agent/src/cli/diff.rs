//! `diff`: what two policy sets judge differently.

use std::path::PathBuf;
use std::sync::Arc;

use clap::ValueEnum;

use super::files::{self, Files};
use super::{Exit, Failure, Streams};
use crate::audit::not_judged;
use crate::compare::compare;
use crate::connectivity::Connectivity;
use crate::evaluate::{Cluster, Snapshot};
use crate::manifest::{Manifests, NetworkPolicy, Object};
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
/// exits with 3.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  netflow-agent diff policies/ changed/ -f cluster.yaml
  git show HEAD:policy.yaml | netflow-agent diff - policy.yaml -f pods.yaml -o json")]
pub struct Args {
    /// The policies before: a file, a folder, or `-`
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
}

pub fn run(args: Args, streams: &mut Streams<'_>) -> Result<Exit, Failure> {
    let mut read = |name: PathBuf| -> Result<Manifests, Failure> {
        let manifests = files::load(&[name], args.files.recursive, streams)?;
        files::accept(&manifests, streams)?;
        Ok(manifests)
    };
    let (before, after) = (read(args.before)?, read(args.after)?);
    let others = files::read(&args.files, streams)?;
    for title in [&before, &after, &others].into_iter().flat_map(not_judged) {
        writeln!(streams.err, "incomplete: {title} is of another dialect and is not judged")?;
    }
    // Of two objects of one name the last counts: `-f` first, so that A and B may replace what is in it.
    let all = others.objects.iter().chain(&before.objects).chain(&after.objects);
    let snapshot = Arc::new(Snapshot::new(all.map(|placed| &placed.object)));
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

fn policies(manifests: &Manifests) -> Vec<NetworkPolicy> {
    let policies = manifests.objects.iter().filter_map(|placed| match &placed.object {
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
