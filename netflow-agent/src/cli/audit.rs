//! `audit`: what is there, how far it is guarded, and what is wrong with it.

use std::collections::BTreeSet;
use std::str::FromStr;
use std::sync::Arc;

use clap::ValueEnum;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use super::files::{self, Files};
use super::plugin::Called;
use super::source::{self, Flows, SourceArgs};
use super::{Exit, Failure, Streams};
use crate::audit::{self, Options, Scene, Severity, selector};
use crate::edge::{Edge, EdgeKey};
use crate::evaluate::{Cluster, End, EndName, Snapshot};
use crate::manifest::cni::Cni;
use crate::manifest::{Manifests, Object, Workload};
use crate::render;

/// How the audit is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Output {
    #[default]
    Table,
    Json,
}

/// The least severity that makes the exit code 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FailOn {
    Note,
    Warning,
    Error,
}

/// A profile, or the plugin that the DaemonSets of kube-system name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Profile {
    Auto,
    Named(Cni),
}

impl FromStr for Profile {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            text => text.parse().map(Self::Named).map_err(|error| format!("{error}, or auto")),
        }
    }
}

/// Find faults in policies, and show how far each namespace and pod is guarded.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  netflow-agent audit -f manifests/ -R --fail-on warning
  netflow-agent audit -f policies/ --input cluster.jsonl --cni auto
  netflow-agent audit pod shop/web-0 -f manifests/")]
pub struct Args {
    /// `pod ns/name` shows the effective rules of one pod, or of a workload `ns/kind/name`
    #[arg(value_names = ["pod", "NS/NAME"], num_args = 2)]
    of: Vec<String>,
    #[command(flatten)]
    files: Files,
    /// The namespace of names without one
    #[arg(short, long)]
    namespace: Option<String>,
    /// What the network plugin does differently: flannel, cilium, calico, aws-vpc-cni, azure, antrea, weave,
    /// kube-router, or auto
    #[arg(long, value_name = "PROFILE")]
    cni: Option<Profile>,
    /// Pods that few should reach, by label as `kubectl -l` takes it; who may reach them is listed
    #[arg(long, value_name = "SELECTOR", value_parser = selector::parse)]
    sensitive: Option<LabelSelector>,
    /// Exit with 3 when a finding is at least this bad
    #[arg(long, value_name = "SEVERITY")]
    fail_on: Option<FailOn>,
    /// Output format
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,

    #[command(flatten)]
    source: SourceArgs,
}

pub fn run(args: Args, streams: &mut Streams<'_>) -> Result<Exit, Failure> {
    // As kubectl's plugin, without manifests, it is the cluster that is audited.
    let live = args.files.filename.is_empty() && streams.called == Called::Plugin;
    let asked = live || files::names_a_source(&args.source);
    if args.files.filename.is_empty() && !asked {
        return Err(Failure::usage("nothing to audit")
            .with_hint("name manifests with `-f FILE|FOLDER|-`, a recording with `--input FILE`, or both"));
    }
    files::stdin_once(args.files.filename.iter().chain(&args.source.input))?;
    let manifests = files::load(&args.files.filename, args.files.recursive, streams)?;
    let (recorded, observed, mut whole) = observed(asked.then_some(&args.source), streams)?;
    // What is written in the manifests replaces what was recorded.
    let objects: Vec<&Object> = {
        let written: BTreeSet<_> = manifests.objects.iter().map(|placed| placed.object.title()).collect();
        let kept = recorded.iter().map(AsRef::as_ref).filter(|object: &&Object| !written.contains(&object.title()));
        kept.chain(manifests.objects.iter().map(|placed| &placed.object)).collect()
    };
    let policies: Vec<_> = (objects.iter())
        .filter_map(|object| match object {
            Object::NetworkPolicy(policy) => Some(policy.clone()),
            _ => None,
        })
        .collect();
    let cluster = Cluster::compile(Arc::new(Snapshot::new(objects.iter().copied())), policies);
    let scene = Scene::new(&cluster, objects);
    if incomplete(&scene, streams)? && args.source.require_complete {
        whole = Exit::Incomplete;
    }
    if let [what, name] = args.of.as_slice() {
        return pod(&scene, &manifests, what, name, args.namespace.as_deref(), streams);
    }
    let cni = profile(args.cni, &scene, streams)?;
    let options = Options { cni, sensitive: args.sensitive, observed: observed.as_ref() };
    let findings = audit::audit(&scene, &manifests.findings, &options);
    match args.output {
        Output::Table => render::audit::text(&scene, &findings, streams.out)?,
        Output::Json => render::audit::json(&scene, &findings, streams.out)?,
    }
    let least = args.fail_on.map(|fail_on| match fail_on {
        FailOn::Note => Severity::Note,
        FailOn::Warning => Severity::Warning,
        FailOn::Error => Severity::Error,
    });
    let bad = least.is_some_and(|least| findings.iter().any(|finding| finding.severity <= least));
    Ok(if bad { Exit::Findings } else { whole })
}

type Recorded = (Vec<Arc<Object>>, Option<BTreeSet<EdgeKey>>, Exit);

/// The objects and edges of the source, if one is named, and how a verb without findings ends.
fn observed(args: Option<&SourceArgs>, streams: &mut Streams<'_>) -> Result<Recorded, Failure> {
    let Some(args) = args else {
        return Ok((Vec::new(), None, Exit::Done));
    };
    let loaded = source::load_with(args, Flows::Welcome, streams)?;
    loaded.report(streams)?;
    // Where nothing was watched, nothing is unused.
    let watched = loaded.coverage.span.is_some();
    let joined = loaded.joined(&loaded.inventory())?;
    let of = |edge: &Edge| edge.ways().chain([edge.key.clone()]).collect::<Vec<_>>();
    let edges = watched.then(|| joined.edges.iter().flat_map(of).collect());
    Ok((loaded.objects(), edges, loaded.exit()))
}

/// Whether policies of other dialects decide as well; they are named.
fn incomplete(scene: &Scene<'_>, streams: &mut Streams<'_>) -> Result<bool, Failure> {
    let mut found = false;
    for object in scene.objects.iter().filter(|object| matches!(object, Object::OtherPolicy { .. })) {
        found = true;
        writeln!(streams.err, "incomplete: {} is of another dialect and is not judged", object.title())?;
    }
    Ok(found)
}

fn profile(asked: Option<Profile>, scene: &Scene<'_>, streams: &mut Streams<'_>) -> Result<Option<Cni>, Failure> {
    match asked {
        None => Ok(None),
        Some(Profile::Named(cni)) => {
            if matches!(cni, Cni::Calico | Cni::Antrea) {
                writeln!(streams.err, "cni: {cni} does nothing differently that is known here")?;
            }
            Ok(Some(cni))
        }
        Some(Profile::Auto) => {
            let workloads: Vec<&Workload> = (scene.objects.iter())
                .filter_map(|object| match object {
                    Object::Workload(workload) => Some(workload),
                    _ => None,
                })
                .collect();
            let found = Cni::detect(&workloads);
            match found {
                Some(cni) => writeln!(streams.err, "cni: {cni}, by its DaemonSet")?,
                None => writeln!(streams.err, "cni: no DaemonSet of a known plugin in the input")?,
            }
            Ok(found)
        }
    }
}

fn pod(
    scene: &Scene<'_>,
    manifests: &Manifests,
    what: &str,
    name: &str,
    namespace: Option<&str>,
    streams: &mut Streams<'_>,
) -> Result<Exit, Failure> {
    if !matches!(what, "pod" | "pods" | "po") {
        return Err(Failure::usage(format!("`{what}` cannot be audited alone: use `audit pod ns/name`")));
    }
    files::accept(manifests, streams)?;
    let name = EndName::parse(name, namespace).map_err(Failure::usage)?;
    let party = scene.cluster.snapshot().resolve(&name)?;
    let mut told = BTreeSet::new();
    for end in party.ends {
        let End::Subject { id, .. } = end else {
            return Err(Failure::from(format!("`{name}` is no pod")));
        };
        // Pods that policies cannot tell apart are told once.
        let lines = audit::pod::rules_of(scene, id);
        if told.insert(lines.clone()) {
            writeln!(streams.out, "{name}")?;
            for line in lines {
                writeln!(streams.out, "{line}")?;
            }
        }
    }
    Ok(Exit::Done)
}
