//! `generate-policies`. Nothing goes out before it is read back and every observed edge replayed against it.

use std::path::PathBuf;
use std::sync::Arc;

use clap::ValueEnum;

use super::files::{self, Files};
use super::policy_args::PolicyArgs;
use super::source::{Loaded, SourceArgs, load};
use super::{Exit, Failure, Streams, policy_diff, policy_dir};
use crate::assess;
use crate::edge::{Edge, Joined};
use crate::evaluate::Cluster;
use crate::identity::WorkloadName;
use crate::manifest::{NetworkPolicy, Object};
use crate::policy::{
    Options, Policy, Recommendation, caller_gaps, existing_gaps, generate, is_ours, observed_gaps, today,
};
use crate::render::kubernetes::{self, Detail};
use crate::render::{assertions, proof, summary};

#[expect(clippy::struct_excessive_bools, reason = "each is one flag of the command line")]
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  netflow-agent generate-policies --input cluster.jsonl --since 24h
  netflow-agent generate-policies --input cluster.jsonl -n shop --output-dir policies
  netflow-agent generate-policies --input cluster.jsonl --review review.yaml --evidence full
  netflow-agent generate-policies --input cluster.jsonl --suggest-review > review.yaml")]
pub struct Args {
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

    #[command(flatten)]
    policies: PolicyArgs,

    #[command(flatten)]
    source: SourceArgs,
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

/// A policy of somebody else stands where ours would go.
#[derive(Debug, thiserror::Error)]
#[error("NetworkPolicy {0} is not ours and has the name of one that would be generated")]
struct Foreign(String);

#[expect(clippy::needless_pass_by_value, reason = "every verb takes its arguments whole")]
pub fn run(args: Args, streams: &mut Streams<'_>) -> Result<Exit, Failure> {
    let loaded = load(&args.source, streams)?;
    let inventory = loaded.inventory();
    let joined = loaded.joined(&inventory)?;
    let options = args.policies.options(&args.source, &inventory)?;
    let mut answer = generate(&joined.edges, &inventory, &options);
    answer.add_gaps(observed_gaps(&joined, &loaded.coverage, &inventory, &options), &options);
    answer.add_gaps(caller_gaps(&joined.edges, &inventory, &options), &options);
    let subject = |name: &WorkloadName| options.is_subject(&name.namespace);
    let mut histories = assess::histories(&joined.edges, &inventory, &loaded.coverage, subject);
    for history in &mut histories {
        let by_node = history.workload.as_ref().is_some_and(|name| answer.by_node_address.contains(name));
        history.unsettled = by_node.then(|| BY_NODE.to_owned());
    }
    answer.add_gaps(assess::job_gaps(&histories), &options);
    let live = live(&args, &loaded, streams)?;
    let known = inventory.policies.iter().copied();
    foreign(&answer, known.chain(&live))?;
    let proven = if args.suggest_review {
        prove(&args, &answer, &loaded, &joined.edges)?
    } else {
        put_out(&args, &answer, &loaded, (&joined, &options), &live, streams)?
    };
    answer.add_gaps(proof::still_allowed(&proven.cluster, &joined.edges, &answer), &options);
    answer.add_gaps(existing_gaps(&proven.cluster, &live, &joined.attempts, &options), &options);
    if args.suggest_review {
        summary::ready_made(&answer.gaps, streams.out)?;
        return Ok(loaded.exit());
    }
    let today = (!live.is_empty()).then(|| {
        let cluster = Cluster::compile(Arc::clone(&proven.cluster.snapshot), live);
        today(&cluster, &joined.edges, &answer.counted, &options)
    });
    loaded.report(streams)?;
    summary::summary(&answer, &joined.edges, &options, today, streams.err)?;
    summary::withheld(&answer, &joined.edges, &options.review, streams.err)?;
    summary::gaps(&answer.gaps, args.all_gaps, streams.err)?;
    let (assessments, half_time) = assess::assess(&histories);
    summary::how_sure(&assessments, half_time, args.all_gaps, streams.err)?;
    Ok(loaded.exit())
}

const BY_NODE: &str =
    "a peer is a node by its address, and nodes come and go: see --nodes, or approve it in the review";

/// What is about to go out, read back and replayed.
struct Proven {
    bytes: Vec<u8>,
    files: Vec<policy_dir::File>,
    policies: Vec<NetworkPolicy>,
    cluster: Cluster,
}

/// Proves first: of what is not sound nothing goes out, neither to stdout nor to a file.
fn put_out(
    args: &Args,
    answer: &Recommendation,
    loaded: &Loaded,
    joined: (&Joined, &Options),
    live: &[NetworkPolicy],
    streams: &mut Streams<'_>,
) -> Result<Proven, Failure> {
    let proven = prove(args, answer, loaded, &joined.0.edges)?;
    print(args, answer, joined, live, &proven, streams)?;
    Ok(proven)
}

/// Renders, parses the very bytes and replays the whole window against them.
fn prove(args: &Args, answer: &Recommendation, loaded: &Loaded, edges: &[Edge]) -> Result<Proven, Failure> {
    let detail = args.detail();
    let (mut bytes, mut files, mut policies) = (Vec::new(), Vec::new(), Vec::new());
    if let Some(dir) = &args.output_dir {
        let kept = policy_dir::others(dir, &args.policies.namespace)?;
        files = policy_dir::render(&answer.policies, detail, &kept)?;
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
    let objects = loaded.recording.objects.iter().map(|observed| &*observed.object);
    let cluster = proof::prove(policies.clone(), objects, edges, answer)?;
    Ok(Proven { bytes, files, policies, cluster })
}

fn print(
    args: &Args,
    answer: &Recommendation,
    (joined, options): (&Joined, &Options),
    live: &[NetworkPolicy],
    proven: &Proven,
    streams: &mut Streams<'_>,
) -> Result<(), Failure> {
    if let Some(dir) = &args.output_dir {
        policy_dir::write(dir, &proven.files, &args.policies.namespace)?;
    } else if args.diff {
        policy_diff::print(&proven.cluster.snapshot, live, &proven.policies, options, streams.out)?;
    } else if args.only_changed {
        let both = answer.policies.iter().zip(&proven.policies);
        let changed = both.filter(|(_, one)| !policy_diff::is_in_force(one, live));
        let changed: Vec<Policy> = changed.map(|(policy, _)| policy.clone()).collect();
        match args.output {
            Output::Yaml => kubernetes::yaml(&changed, args.detail(), streams.out)?,
            Output::Json => kubernetes::json(&changed, streams.out)?,
        }
    } else {
        streams.out.write_all(&proven.bytes)?;
    }
    if let Some(path) = &args.assertions {
        let mut intent = Vec::new();
        assertions::assertions(&joined.edges, answer, &proven.cluster, &mut intent)?;
        policy_dir::replace(path, &intent)?;
    }
    Ok(())
}

impl Args {
    const fn detail(&self) -> Detail {
        match self.evidence {
            Evidence::None => Detail::None,
            Evidence::Short => Detail::Short,
            Evidence::Full => Detail::Full,
        }
    }
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

/// The policies that this verb would print of the data with these flags, read back and proven.
pub fn generated(
    source: &SourceArgs,
    policies: &PolicyArgs,
    loaded: &Loaded,
) -> Result<Vec<NetworkPolicy>, Failure> {
    let inventory = loaded.inventory();
    let joined = loaded.joined(&inventory)?;
    let answer = generate(&joined.edges, &inventory, &policies.options(source, &inventory)?);
    let mut bytes = Vec::new();
    kubernetes::yaml(&answer.policies, Detail::None, &mut bytes)?;
    let policies = proof::parse("the generated stream", &bytes)?;
    let objects = loaded.recording.objects.iter().map(|observed| &*observed.object);
    proof::prove(policies.clone(), objects, &joined.edges, &answer)?;
    Ok(policies)
}

fn foreign<'p>(
    answer: &Recommendation,
    mut known: impl Iterator<Item = &'p NetworkPolicy>,
) -> Result<(), Failure> {
    let clash = known.find(|live| {
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

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::plugin::Called;
    use crate::net::Direction;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    const SHOP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/recordings/shop.jsonl");

    /// Generates from the shop, lets `spoil` break what came of it, and puts it out.
    fn put_out_spoilt(
        flags: &[&str],
        spoil: impl Fn(&mut Recommendation),
    ) -> (Result<(), Failure>, String) {
        let line = Line::try_parse_from(["netflow", "--input", SHOP].iter().chain(flags)).expect("flags");
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let streams =
            &mut Streams { input: &mut std::io::empty(), out: &mut out, err: &mut err, called: Called::default() };
        let loaded = load(&line.args.source, streams).expect("a recording");
        let inventory = loaded.inventory();
        let joined = loaded.joined(&inventory).expect("the recording is held");
        let options = line.args.policies.options(&line.args.source, &inventory).expect("options");
        let mut answer = generate(&joined.edges, &inventory, &options);
        spoil(&mut answer);
        let done = put_out(&line.args, &answer, &loaded, (&joined, &options), &[], streams);
        (done.map(drop), String::from_utf8(out).expect("UTF-8"))
    }

    #[test]
    fn an_edge_that_would_be_denied_is_named_and_nothing_is_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let (dir, intent) = (folder.path().join("out"), folder.path().join("intent.yaml"));
        let (dir_name, intent_name) = (dir.to_string_lossy(), intent.to_string_lossy());
        for flags in [vec![], vec!["--output-dir", &dir_name], vec!["-o", "json"], vec!["--diff"], vec!["--only-changed"]] {
            let flags = [flags, vec!["--assertions", &intent_name]].concat();
            let (done, out) = put_out_spoilt(&flags, |answer| {
                // A fault as a generator may have it: one port of one rule is lost.
                let policy = answer.policies.iter_mut().find(|policy| policy.name == "database-statefulset");
                let rules = &mut policy.expect("the database has a policy").rules;
                rules.retain(|rule| rule.direction != Direction::Ingress);
            });
            let failure = done.expect_err("an observed edge is denied");
            assert_eq!(failure.exit, Exit::Failed);
            let words = failure.chain();
            let edge = "Deployment shop/backend -> StatefulSet shop/database 5432/TCP";
            assert!(words.contains("observed and denied") && words.contains(edge), "{words}");
            assert!(out.is_empty() && !dir.exists() && !intent.exists(), "{flags:?} wrote: {out}");
        }
        let (done, out) = put_out_spoilt(&["--assertions", &intent_name], |_| ());
        assert!(done.is_ok() && out.contains("kind: NetworkPolicy") && intent.exists());
    }

    #[test]
    fn a_policy_that_does_not_read_back_is_not_written() {
        let (done, out) = put_out_spoilt(&[], |answer| answer.policies[0].name = "Not A Name".to_owned());
        let words = done.expect_err("an API server refuses it").chain();
        assert!(words.contains("not readable") && out.is_empty(), "{words}");
    }
}
