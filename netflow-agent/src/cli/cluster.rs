//! The cluster as a source: every agent is asked through the API server, with the user's own rights, and the
//! live objects that the user may read are added. In: the flags below. Out: all of it in the reader, who
//! answered, and in words what is missing.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::source::{Collected, Flows, Lacks};
use super::{Failure, Streams};
use crate::manifest::{self, Object, Words};
use crate::recording::{CoverageSummary, Observed, ReadError, Reader};
use crate::sys::cluster::Error;
use crate::sys::cluster::client::Access;
use crate::sys::cluster::forward::Reach;
use crate::sys::cluster::live::Unread;
use crate::sys::cluster::session::{Answered, Arrival, Refusal, Session};
use crate::time::{Time, Window, parse_duration};

/// How the agents of a cluster are found and reached.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "The cluster")]
pub struct ClusterArgs {
    /// Ask the agents of this kubeconfig's cluster
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,

    /// Ask the agents of this context's cluster
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,

    /// Labels of the agents' pods
    #[arg(
        long,
        value_name = "LABELS",
        default_value = "app.kubernetes.io/name=netflow,app.kubernetes.io/component=agent"
    )]
    pub agent_selector: String,

    /// Namespace of the agents, for users who may not list the pods of all
    #[arg(long, value_name = "NAME", default_value = "netflow")]
    pub agent_namespace: String,

    /// Port of the agents' query API on their pods' loopback
    #[arg(long, value_name = "PORT", default_value_t = 9465)]
    pub agent_port: u16,

    /// How long a node may stay silent before it counts as missing
    #[arg(long, value_name = "DURATION", default_value = "15s", value_parser = parse_duration)]
    pub node_timeout: Duration,

    /// How long a node's whole answer may take before it counts as missing
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = parse_duration)]
    pub node_deadline: Duration,

    /// How many nodes are asked at once
    #[arg(long, value_name = "NUMBER", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub parallel: u16,
}

impl ClusterArgs {
    /// The user has named a cluster.
    pub fn is_named(&self) -> bool {
        self.kubeconfig.is_some() || self.context.is_some()
    }

    pub fn open(&self) -> Result<Session, Failure> {
        let access = Access { kubeconfig: self.kubeconfig.clone(), context: self.context.clone() };
        let reach = Reach {
            selector: self.agent_selector.clone(),
            namespace: self.agent_namespace.clone(),
            port: self.agent_port,
            deadline: self.node_timeout,
            whole: self.node_deadline,
            parallel: usize::from(self.parallel),
        };
        Ok(Session::open(&access, reach)?)
    }
}

/// Nodes that the window's objects speak of and that neither answered nor are listed as missing: they are
/// gone, and their records with them.
pub fn gone(coverage: &CoverageSummary, lacks: &Lacks) -> Vec<String> {
    let is_missing =
        |node: &str| lacks.nodes.iter().any(|words| words.starts_with(&format!("node {node}: ")));
    let silent = coverage.nodes.iter().filter(|(_, hours)| hours.hours.is_empty()).map(|(node, _)| &**node);
    let gone = silent.filter(|node| !lacks.answered.iter().any(|one| one == node) && !is_missing(node));
    gone.map(|node| format!("node {node}: it has no record of the window; gone, or newly without an agent"))
        .collect()
}

/// Reads the window from all nodes into `reader`; where flows are only welcome, the live objects will do.
pub fn read(
    args: &ClusterArgs,
    flows: Flows,
    window: Window,
    reader: &mut Collected,
    streams: &mut Streams<'_>,
) -> Result<Lacks, Failure> {
    let path = format!("/v1/export?since={}&until={}", window.from, window.to);
    let session = args.open()?;
    let mut progress = Progress::new();
    let mut words = Words::default();
    let asked = session.ask(&path, None, &mut |arrival| -> Result<(), Refusal<Failure>> {
        match arrival {
            Arrival::Lines { node, mut lines } => reader.read_node(node, &mut lines).map_err(refusal)?,
            Arrival::Coverage { node, mut lines } => {
                Reader::default().read_node(node, &mut &*lines).map_err(refusal)?;
                reader.read_node(node, &mut lines).map_err(refusal)?;
            }
            Arrival::Object(object) => {
                // An object that cannot be read is one that the API server would not have served.
                let from = ready(&object);
                if let Ok(object) = manifest::object_from_value(&object, &mut words) {
                    reader.object(Observed { from, to: None, gateways: Vec::new(), object: object.into() });
                }
            }
            Arrival::Progress { done, all } => {
                progress.show(done, all, streams.err).map_err(|error| Refusal::All(error.into()))?;
            }
        }
        Ok(())
    });
    let answered = match asked {
        // Who may not even list the agents may still read what is judged.
        Err(error) if flows == Flows::Welcome && error.is_forbidden() => {
            let mut take = |value: Value| {
                let from = ready(&value);
                if let Ok(object) = manifest::object_from_value(&value, &mut words) {
                    reader.object(Observed { from, to: None, gateways: Vec::new(), object: object.into() });
                }
            };
            Answered { unread: session.objects(None, &mut take)?, ..Answered::default() }
        }
        asked => asked??,
    };
    progress.clear(streams.err)?;
    if flows == Flows::Welcome {
        needed(&answered.unread)?;
        if answered.nodes.is_empty() {
            let nodes = vec!["no agent answered: nothing is known of flows".to_owned()];
            let unread = unread(&answered.unread);
            return Ok(Lacks { nodes, unread, ..Lacks::default() });
        }
    }
    let mut lacks = lacks(args, &answered, answered.nodes.len(), streams.err)?;
    let (astray, own) = clocks(&answered.clocks);
    lacks.clocks = astray;
    if let Some(words) = own {
        writeln!(streams.err, "warning: {words}")?;
    }
    Ok(lacks)
}

/// Edges bear five seconds between two nodes' clocks; an answer's date is good to one, and came with delay.
const ASTRAY_SECONDS: i64 = 10;

/// Nodes whose clocks differ from the others', in words; and whether this machine's does.
fn clocks(shown: &BTreeMap<String, (Time, Time)>) -> (Vec<String>, Option<String>) {
    let ahead = |(theirs, ours): &(Time, Time)| theirs.seconds() - ours.seconds();
    let mut all: Vec<i64> = shown.values().map(ahead).chain([0]).collect();
    all.sort_unstable();
    // Where two clocks differ, this machine's is believed.
    let middle = [all[(all.len() - 1) / 2], all[all.len() / 2]];
    let right = middle.into_iter().min_by_key(|seconds| seconds.abs()).unwrap_or_default();
    let words = |seconds: i64| {
        let side = if seconds > 0 { "ahead of" } else { "behind" };
        format!("{} s {side}", seconds.abs())
    };
    let is_astray = |seconds: i64| seconds.abs() > ASTRAY_SECONDS;
    let nodes = shown.iter().map(|(node, clocks)| (node, ahead(clocks) - right));
    let nodes = nodes.filter(|(_, seconds)| is_astray(*seconds)).map(|(node, seconds)| {
        format!(
            "node {node} is {} the others: its hours, and who held an address then, are off by that",
            words(seconds)
        )
    });
    let own = is_astray(right)
        .then(|| format!("this machine's clock is {} the nodes': the window is taken by it", words(-right)));
    (nodes.collect(), own)
}

/// A line that is none is that node's fault; a full disk is everybody's.
fn refusal(error: ReadError) -> Refusal<Failure> {
    match error {
        ReadError::Line { reason, .. } => Refusal::Node(format!("its answer is no recording: {reason}")),
        ReadError::Input { .. } | ReadError::Spill { .. } => Refusal::All(error.into()),
    }
}

/// When a live pod got its addresses: the API tells when its network was made, and a later network has other
/// addresses. Without that word, from its start, as any pod.
fn ready(object: &Value) -> Option<Time> {
    let conditions = object.get("status")?.get("conditions")?.as_array()?;
    let is = |condition: &&Value| {
        condition["type"] == "PodReadyToStartContainers" && condition["status"] == "True"
    };
    conditions.iter().find(is)?["lastTransitionTime"].as_str()?.parse().ok()
}

/// The live objects that verdicts hang on, and in words what was not read; no agent is asked. Where the user
/// may not read the cluster, `namespace` alone is read.
pub fn objects(
    args: &ClusterArgs,
    namespace: Option<&str>,
) -> Result<(Vec<Arc<Object>>, Vec<String>), Failure> {
    let mut words = Words::default();
    let mut objects = Vec::new();
    let unread = args.open()?.objects(namespace, &mut |value| {
        objects.extend(manifest::object_from_value(&value, &mut words).map(Arc::new));
    })?;
    needed(&unread)?;
    Ok((objects, self::unread(&unread)))
}

/// In words, each once: nodes are asked for twice, and dialects share the names of kinds.
fn unread(unread: &[Unread]) -> Vec<String> {
    let mut said = BTreeSet::new();
    let words = unread.iter().map(|one| format!("{}: {}", one.kind, one.error.chain()));
    words.filter(|words| said.insert(words.clone())).collect()
}

/// Without the pods, or without the policies, a verdict would be a guess.
fn needed(unread: &[Unread]) -> Result<(), Failure> {
    let without = unread.iter().find(|one| {
        matches!(one.kind, "Pod" | "NetworkPolicy") && !matches!(one.error, Error::OneNamespace { .. })
    });
    match without {
        None => Ok(()),
        Some(one) => Err(Failure::from(one.error.chain()).with_hint(
            "policies are judged on what you may list: pods, namespaces, workloads and networkpolicies, of all \
             namespaces or, with `-n`, of one",
        )),
    }
}

/// Who answered, and who did not. Where nobody can there is nothing to answer from.
pub(super) fn lacks(
    args: &ClusterArgs,
    answered: &Answered,
    n_agents: usize,
    err: &mut dyn Write,
) -> Result<Lacks, Failure> {
    let nodes: Vec<String> =
        answered.missing.iter().map(|missing| format!("node {}: {}", missing.node, missing.reason)).collect();
    let unread = unread(&answered.unread);
    if n_agents == 0 {
        for words in &nodes {
            writeln!(err, "missing: {words}")?;
        }
        return Err(nobody(args, !nodes.is_empty()));
    }
    Ok(Lacks { answered: answered.nodes.clone(), nodes, unread, clocks: Vec::new() })
}

/// No agent can be reached: for want of rights, or of agents.
pub(super) fn nobody(args: &ClusterArgs, are_there: bool) -> Failure {
    let hint = if are_there {
        format!(
            "reading flows needs `pods/portforward` in namespace `{}`: bind the ClusterRole netflow-viewer there",
            args.agent_namespace
        )
    } else {
        format!("no pod is labelled `{}`: install the agents, or see --agent-selector", args.agent_selector)
    };
    Failure::from("no agent answered").with_hint(hint)
}

/// One line that is written over, on a terminal only.
struct Progress {
    terminal: bool,
}

impl Progress {
    fn new() -> Self {
        Self { terminal: io::stderr().is_terminal() }
    }

    fn show(&mut self, done: usize, all: usize, err: &mut dyn Write) -> io::Result<()> {
        if self.terminal {
            write!(err, "\r{done} of {all} nodes")?;
            err.flush()?;
        }
        Ok(())
    }

    fn clear(&mut self, err: &mut dyn Write) -> io::Result<()> {
        if self.terminal { write!(err, "\r\x1b[K") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::{clocks, gone, ready};
    use crate::api::routes::window;
    use crate::cli::source::Lacks;
    use crate::flow::Coverage;
    use crate::manifest::{self, Words};
    use crate::recording::{CoverageSummary, Observed, Recording};
    use crate::time::{Time, Window};

    #[test]
    fn a_live_pod_has_its_address_since_its_network_was_made() {
        let pod =
            |conditions: serde_json::Value| serde_json::json!({ "status": { "conditions": conditions } });
        let told = |status: &str| {
            pod(serde_json::json!([
                { "type": "Ready", "status": "True", "lastTransitionTime": "2026-11-20T12:00:09Z" },
                { "type": "PodReadyToStartContainers", "status": status, "lastTransitionTime": "2026-11-20T12:00:03Z" },
            ]))
        };
        assert_eq!(ready(&told("True")), "2026-11-20T12:00:03Z".parse().ok());
        for other in [told("False"), pod(serde_json::json!([])), serde_json::json!({})] {
            assert_eq!(ready(&other), None, "{other}");
        }
    }

    #[test]
    fn a_clock_that_differs_from_the_others_is_named() {
        let at = |seconds| Time::from_seconds(seconds);
        let told = |ahead: &[i64]| {
            let shown =
                (b'a'..).zip(ahead).map(|(node, ahead)| (char::from(node).to_string(), (at(*ahead), at(0))));
            let (nodes, own) = clocks(&shown.collect());
            let first = |words: String| words.split(" the ").next().unwrap_or_default().to_owned();
            nodes.into_iter().chain(own).map(first).collect::<Vec<_>>().join("; ")
        };
        for (ahead, expected) in [
            (&[][..], ""),
            (&[0, 5, -9, 10], ""),
            (&[0, 3_600], "node b is 3600 s ahead of"),
            (&[-3_600], "node a is 3600 s behind"),
            (&[0, -40, 1, 2], "node b is 40 s behind"),
            (&[100, 101, 99], "this machine's clock is 99 s behind"),
            (&[100, 3_700, 101, 99], "node b is 3600 s ahead of; this machine's clock is 100 s behind"),
        ] {
            assert_eq!(told(ahead), expected, "{ahead:?}");
        }
    }

    #[test]
    fn all_nodes_are_asked_for_the_same_moments() {
        let now: Time = "2026-11-20T12:00:00Z".parse().expect("a time");
        let hour = "1h".parse().ok();
        for (since, until, from, to) in [
            (hour, None, "2026-11-20T11:00:00Z", "2026-11-20T12:00:00Z"),
            (None, None, "2026-11-19T12:00:00Z", "2026-11-20T12:00:00Z"),
            (hour, hour, "2026-11-20T10:00:00Z", "2026-11-20T11:00:00Z"),
        ] {
            let window = window(since, until, now);
            assert_eq!((window.from.to_string().as_str(), window.to.to_string().as_str()), (from, to));
        }
    }

    #[test]
    fn a_node_of_the_window_that_is_gone_is_named() {
        let slice = serde_json::json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": { "namespace": "shop", "name": "web-1" },
            "endpoints": [
                { "addresses": ["10.0.0.1"], "nodeName": "here" },
                { "addresses": ["10.0.0.2"], "nodeName": "cut-off" },
                { "addresses": ["10.0.0.3"], "nodeName": "scaled-down" },
            ],
        });
        let object = manifest::object_from_value(&slice, &mut Words::default()).expect("a slice");
        let hour = "2026-11-20T12:00:00Z".parse::<Time>().expect("a time").hour();
        let coverage = Coverage {
            node: "here".into(),
            hour,
            seq: 0,
            observed_seconds: 3600,
            unheard_seconds: 0,
            lost: [].into(),
        };
        let observed = Observed { from: None, to: None, gateways: Vec::new(), object: object.into() };
        let recording = Recording { coverage: vec![coverage], objects: vec![observed], flows: Vec::new() };
        let lacks = Lacks { nodes: vec!["node cut-off: said nothing".to_owned()], ..Lacks::default() };
        let gone = gone(&CoverageSummary::of(&recording, Window::ALL), &lacks);
        assert_eq!(gone.len(), 1);
        assert!(gone[0].starts_with("node scaled-down: "), "{gone:?}");
    }
}
