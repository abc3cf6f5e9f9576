//! `generate-policies`.

use std::path::PathBuf;
use std::sync::Arc;

use clap::ValueEnum;
use ipnet::IpNet;

use super::source::{Loaded, SourceArgs, load};
use super::files::{self, Files};
use super::{Exit, Failure, Streams, policy_diff, policy_dir};
use crate::evaluate::Snapshot;
use crate::policy::{Gap, Policy};
use crate::render::assertions;
use crate::edge::{Joined, join};
use crate::assess;
use crate::identity::{Inventory, WorkloadName};
use crate::manifest::{Labels, NetworkPolicy, Object, cni::Cni};
use crate::net::Direction;
use crate::policy::{External, Nodes, Options, Recommendation, caller_gaps, generate, is_ours, observed_gaps};
use crate::render::kubernetes::{self, Detail};
use crate::render::{proof, summary};
use crate::review;

#[expect(clippy::struct_excessive_bools, reason = "each is one flag of the command line")]
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  netflow-agent generate-policies --input cluster.jsonl --since 24h
  netflow-agent generate-policies --input cluster.jsonl -n shop --output-dir policies
  netflow-agent generate-policies --input cluster.jsonl --review review.yaml --evidence full
  netflow-agent generate-policies --input cluster.jsonl --suggest-review > review.yaml")]
pub struct Args {
    #[command(flatten)]
    source: SourceArgs,

    /// Write for this namespace only; repeat it for more
    #[arg(short, long, value_name = "NAME")]
    namespace: Vec<String>,

    /// Which side of the pods the policies guard
    #[arg(long, value_enum, default_value_t)]
    direction: Directions,

    /// Leave out the default deny of each namespace
    #[arg(long)]
    no_default_deny: bool,

    /// Write for kube-system, kube-public, kube-node-lease and the agent's namespace as well
    #[arg(long)]
    include_system: bool,

    /// Nodes as peers: `exact` (each address seen), `cidr=RANGE[,RANGE]`, or `any`
    #[arg(long, value_name = "HOW", default_value = "exact", value_parser = nodes)]
    nodes: Nodes,

    /// Addresses outside as peers: `exact`, `budget=N` (at most N blocks a rule), `any`, or `none`
    #[arg(long, value_name = "HOW", default_value = "exact", value_parser = external)]
    external: External,

    /// Withhold what was asked of the cloud's metadata service
    #[arg(long)]
    drop_metadata: bool,

    /// Name namespaces by this label where it is unique
    #[arg(long, value_name = "KEY")]
    namespace_label: Option<String>,

    /// The network plugin, or `auto` to read it from the DaemonSets that are known
    #[arg(long, value_name = "PROFILE", value_parser = cni)]
    cni: Option<CniChoice>,

    /// Decisions about edges: approve, deny, ignore, declare, widen
    #[arg(long, value_name = "FILE")]
    review: Option<PathBuf>,

    /// Print a review file with an entry for each gap instead of policies
    #[arg(long, conflicts_with_all = ["output", "output_dir"])]
    suggest_review: bool,

    /// How much of the evidence stands beside the rules
    #[arg(long, value_enum, default_value_t)]
    evidence: Evidence,

    /// `yaml`: a stream, default denies last; `json`: a List
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,

    /// Write one file per policy into a folder per namespace, and kustomization.yaml
    #[arg(long, value_name = "DIR")]
    output_dir: Option<PathBuf>,

    /// Print what applying would change, in YAML and in meaning, instead of the policies
    #[arg(long, conflicts_with_all = ["output", "output_dir", "suggest_review"])]
    diff: bool,

    /// Leave out policies that are in force as they would be generated
    #[arg(long, conflicts_with = "output_dir")]
    only_changed: bool,

    /// The policies in force, for `--diff` and `--only-changed`; without it those that the data shows
    #[command(flatten)]
    live: Files,

    /// Write what must stay allowed and denied, for `assert --assertions`
    #[arg(long, value_name = "FILE")]
    assertions: Option<PathBuf>,

    /// List every gap instead of the first five of each kind
    #[arg(long)]
    all_gaps: bool,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Directions {
    #[default]
    Both,
    Ingress,
    Egress,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Evidence {
    None,
    #[default]
    Short,
    Full,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Output {
    #[default]
    Yaml,
    Json,
}

#[derive(Clone, Copy, Debug)]
enum CniChoice {
    Auto,
    Named(Cni),
}

fn cni(text: &str) -> Result<CniChoice, String> {
    match text {
        "auto" => Ok(CniChoice::Auto),
        name => name.parse().map(CniChoice::Named).map_err(|error| format!("{error}, or auto")),
    }
}

fn nodes(text: &str) -> Result<Nodes, String> {
    match text {
        "exact" => Ok(Nodes::Exact),
        "any" => Ok(Nodes::Any),
        _ => {
            let ranges = text.strip_prefix("cidr=").ok_or("use exact, cidr=RANGE or any")?;
            let parsed: Result<Vec<IpNet>, _> = ranges.split(',').map(|range| range.trim().parse()).collect();
            parsed.map(Nodes::Ranges).map_err(|error| format!("{error}, such as cidr=192.168.0.0/16"))
        }
    }
}

fn external(text: &str) -> Result<External, String> {
    match text {
        "exact" => Ok(External::Exact),
        "any" => Ok(External::Any),
        "none" => Ok(External::None),
        _ => {
            let number = text.strip_prefix("budget=").ok_or("use exact, budget=N, any or none")?;
            match number.parse() {
                Ok(budget) if budget > 0 => Ok(External::Budget(budget)),
                _ => Err("a budget is a number of blocks, at least 1".to_owned()),
            }
        }
    }
}

/// A policy of somebody else stands where ours would go.
#[derive(Debug, thiserror::Error)]
#[error("NetworkPolicy {0} is not ours and has the name of one that would be generated")]
struct Foreign(String);

#[expect(clippy::needless_pass_by_value, reason = "every verb takes its arguments whole")]
pub fn run(args: Args, streams: &mut Streams<'_>) -> Result<Exit, Failure> {
    let loaded = load(&args.source, streams)?;
    let inventory = loaded.inventory();
    let joined = join(&loaded.recording, &inventory, loaded.window);
    let options = options(&args, &inventory)?;
    let mut answer = generate(&joined.edges, &inventory, &options);
    answer.gaps.extend(observed_gaps(&joined, &loaded.coverage, &inventory, &options));
    answer.gaps.extend(caller_gaps(&joined.edges, &inventory, &options));
    answer.gaps.sort_by(|a, b| (a.kind, &a.about, &a.text).cmp(&(b.kind, &b.about, &b.text)));
    foreign(&answer, &inventory)?;
    if args.suggest_review {
        summary::ready_made(&answer.gaps, streams.out)?;
        return Ok(loaded.exit());
    }
    let still_allowed = print(&args, &answer, &loaded, &joined, streams)?;
    answer.gaps.extend(still_allowed);
    answer.gaps.sort_by(|a, b| (a.kind, &a.about, &a.text).cmp(&(b.kind, &b.about, &b.text)));
    loaded.report(streams)?;
    summary::summary(&answer, &joined.edges, streams.err)?;
    summary::withheld(&answer, &joined.edges, &options.review, streams.err)?;
    summary::gaps(&answer.gaps, args.all_gaps, streams.err)?;
    let subject = |name: &WorkloadName| options.is_subject(&name.namespace);
    let histories = assess::histories(&joined.edges, &inventory, &loaded.coverage, subject);
    let (assessments, half_time) = assess::assess(&histories);
    summary::how_sure(&assessments, half_time, args.all_gaps, streams.err)?;
    Ok(loaded.exit())
}

/// Nothing goes out before it is read back and every observed edge replayed against it. Out: what is allowed
/// although it was withheld.
fn print(
    args: &Args,
    answer: &Recommendation,
    loaded: &Loaded,
    joined: &Joined,
    streams: &mut Streams<'_>,
) -> Result<Vec<Gap>, Failure> {
    let detail = match args.evidence {
        Evidence::None => Detail::None,
        Evidence::Short => Detail::Short,
        Evidence::Full => Detail::Full,
    };
    let objects = loaded.recording.objects.iter().map(|observed| &*observed.object);
    let mut bytes = Vec::new();
    let mut files = Vec::new();
    let mut policies: Vec<NetworkPolicy> = Vec::new();
    if args.output_dir.is_some() {
        files = policy_dir::render(&answer.policies, detail)?;
        for file in files.iter().filter(|file| file.is_policy) {
            policies.extend(proof::parse(&file.path, &file.bytes)?);
        }
    } else {
        match args.output {
            Output::Yaml => kubernetes::yaml(&answer.policies, detail, &mut bytes)?,
            Output::Json => kubernetes::json(&answer.policies, &mut bytes)?,
        }
        policies = proof::parse("the generated stream", &bytes)?;
    }
    let cluster = proof::prove(policies.clone(), objects.clone(), &joined.edges, answer)?;
    if let Some(path) = &args.assertions {
        let mut intent = Vec::new();
        assertions::assertions(&joined.edges, answer, &cluster, &mut intent)?;
        policy_dir::replace(path, &intent)?;
    }
    if let Some(dir) = &args.output_dir {
        policy_dir::write(dir, &files)?;
    } else if args.diff || args.only_changed {
        let live = live(args, loaded, streams)?;
        if args.diff {
            let snapshot = Arc::new(Snapshot::new(objects));
            policy_diff::print(&snapshot, &live, &policies, streams.out)?;
        } else {
            let changed = answer.policies.iter().zip(&policies).filter(|(_, one)| !policy_diff::is_in_force(one, &live));
            let changed: Vec<Policy> = changed.map(|(policy, _)| policy.clone()).collect();
            match args.output {
                Output::Yaml => kubernetes::yaml(&changed, detail, streams.out)?,
                Output::Json => kubernetes::json(&changed, streams.out)?,
            }
        }
    } else {
        streams.out.write_all(&bytes)?;
    }
    Ok(proof::still_allowed(&cluster, &joined.edges, answer))
}

/// The policies in force: those of `-f`, else those that the data shows.
fn live(args: &Args, loaded: &Loaded, streams: &mut Streams<'_>) -> Result<Vec<NetworkPolicy>, Failure> {
    if args.live.filename.is_empty() {
        return Ok(loaded.inventory().policies.into_iter().cloned().collect());
    }
    let manifests = files::read(&args.live, streams)?;
    let policies = manifests.objects.into_iter().filter_map(|placed| match placed.object {
        Object::NetworkPolicy(policy) => Some(policy),
        _ => None,
    });
    Ok(policies.collect())
}

fn options(args: &Args, inventory: &Inventory<'_>) -> Result<Options, Failure> {
    let mut options = Options {
        directions: match args.direction {
            Directions::Both => Direction::BOTH.to_vec(),
            Directions::Ingress => vec![Direction::Ingress],
            Directions::Egress => vec![Direction::Egress],
        },
        default_deny: !args.no_default_deny,
        namespaces: args.namespace.iter().map(|name| Arc::from(name.as_str())).collect(),
        nodes: args.nodes.clone(),
        external: args.external,
        drop_metadata: args.drop_metadata,
        namespace_label: args.namespace_label.as_deref().map(Arc::from),
        cni: match args.cni {
            Some(CniChoice::Named(cni)) => Some(cni),
            Some(CniChoice::Auto) => Cni::detect(&inventory.workloads),
            None => None,
        },
        ..Options::default()
    };
    if args.include_system {
        options.peers_only.clear();
    } else {
        options.peers_only.insert(Arc::from(args.source.agent_namespace()));
        options.peers_only.extend(agent_namespaces(inventory));
    }
    if let Some(path) = &args.review {
        let name = path.display();
        let bytes = std::fs::read(path).map_err(|error| format!("read {name}: {error}"))?;
        options.review = review::read(&bytes).map_err(|error| format!("{name}: {error}"))?;
    }
    Ok(options)
}

/// Where agents run, by their label.
fn agent_namespaces(inventory: &Inventory<'_>) -> impl Iterator<Item = Arc<str>> {
    let label = |labels: &Labels, key: &str, value: &str| labels.get(key).is_some_and(|has| **has == *value);
    let agents = inventory.pods.iter().map(|known| &known.pod.meta).filter(move |meta| {
        label(&meta.labels, "app.kubernetes.io/name", "netflow")
            && label(&meta.labels, "app.kubernetes.io/component", "agent")
    });
    agents.map(|meta| Arc::clone(&meta.namespace))
}

fn foreign(answer: &Recommendation, inventory: &Inventory<'_>) -> Result<(), Failure> {
    let clash = inventory.policies.iter().find(|live| {
        let same = |policy: &Policy| {
            *policy.namespace == *live.meta.namespace && *policy.name == *live.meta.name
        };
        !is_ours(&live.meta) && answer.policies.iter().any(same)
    });
    match clash {
        None => Ok(()),
        Some(live) => Err(Failure::from(Foreign(format!("{}/{}", live.meta.namespace, live.meta.name))).with_hint(
            "rename it, or label it `app.kubernetes.io/managed-by: netflow` to have it replaced",
        )),
    }
}
