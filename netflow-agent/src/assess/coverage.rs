//! What was watched of each workload. In: edges, the inventory, the coverage of nodes. Out: one history a
//! workload, sorted, after that of the whole window.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{History, Job, Sightings, period};
use crate::edge::Edge;
use crate::identity::{Endpoint, Inventory, KnownPod, WorkloadName};
use crate::manifest::WorkloadKind;
use crate::recording::window::{CoverageSummary, NodeCoverage};
use crate::time::{Hour, Time};

/// An hour counts as watched from so many seconds on.
const LEAST_SECONDS: u32 = 1_800;

/// The history of the whole window, then of each workload that `is_subject`.
pub fn histories(
    edges: &[Edge],
    inventory: &Inventory<'_>,
    coverage: &CoverageSummary,
    is_subject: impl Fn(&WorkloadName) -> bool,
) -> Vec<History> {
    let hours: Vec<Hour> = coverage.hours().into_iter().collect();
    let nodes = coverage.nodes.iter().map(|(name, node)| (name, seconds(node, &hours))).collect();
    let end = coverage.span.map_or(Time::MAX, |(_, to)| to);
    let mut jobs = jobs(inventory, end);
    let mut lives = lives(inventory, &hours, &nodes, coverage);
    let names = names(inventory).into_iter().filter(is_subject);
    let mut histories: Vec<History> = names
        .map(|name| {
            let history = lives.remove(&name).unwrap_or_else(|| History {
                obstacle: Some("no pod of it ran in the window".to_owned()),
                ..History::default()
            });
            History { job: jobs.get(&name).cloned(), workload: Some(name), ..history }
        })
        .collect();
    add_edges(&mut histories, edges);
    let longest = jobs.values_mut().max().cloned();
    histories.insert(0, whole(edges, &hours, &nodes, coverage, longest));
    histories
}

/// How long a node was watched in each of the hours, in their order.
fn seconds(node: &NodeCoverage, hours: &[Hour]) -> Vec<u32> {
    hours.iter().map(|hour| node.hours.get(hour).copied().unwrap_or(0)).collect()
}

type Nodes<'a> = BTreeMap<&'a Arc<str>, Vec<u32>>;

/// Hours by whether they were watched, and for how long; None: it did not run in that hour.
fn watched(hours: &[Hour], seconds: &[Option<u32>]) -> History {
    let mut history = History::default();
    for (hour, seconds) in hours.iter().zip(seconds) {
        let Some(seconds) = *seconds else { continue };
        history.watched_seconds += u64::from(seconds);
        if seconds >= LEAST_SECONDS { &mut history.watched } else { &mut history.missed }.insert(*hour);
    }
    history
}

fn whole(
    edges: &[Edge],
    hours: &[Hour],
    nodes: &Nodes<'_>,
    coverage: &CoverageSummary,
    job: Option<Job>,
) -> History {
    let least = |at: usize| Some(nodes.values().map(|node| node[at]).min().unwrap_or(0));
    let seconds: Vec<Option<u32>> = (0..hours.len()).map(least).collect();
    History {
        edges: edges.iter().map(sightings).collect(),
        lost: coverage.nodes.values().flat_map(|node| node.lost.values()).sum(),
        job,
        ..watched(hours, &seconds)
    }
}

fn sightings(edge: &Edge) -> Sightings {
    let ends = [&edge.key.source, &edge.key.destination];
    Sightings {
        hours: edge.hours.clone(),
        external: ends.into_iter().any(|end| matches!(end, Endpoint::External(_))),
    }
}

fn add_edges(histories: &mut [History], edges: &[Edge]) {
    for edge in edges {
        let mut ends = vec![&edge.key.source, &edge.key.destination];
        // A workload that talks to itself has the edge once.
        ends.dedup();
        for end in ends {
            let Endpoint::Workload(name) = end else { continue };
            let found = histories.binary_search_by(|history| history.workload.as_ref().cmp(&Some(name)));
            if let Ok(at) = found {
                histories[at].edges.push(sightings(edge));
            }
        }
    }
}

/// Every workload that has a pod or a template.
fn names(inventory: &Inventory<'_>) -> BTreeSet<WorkloadName> {
    let pods = inventory.pods.iter().map(|known| known.workload.clone());
    pods.chain(inventory.templates.iter().cloned()).collect()
}

/// When the pods of each workload ran, and on which nodes.
fn lives(
    inventory: &Inventory<'_>,
    hours: &[Hour],
    nodes: &Nodes<'_>,
    coverage: &CoverageSummary,
) -> BTreeMap<WorkloadName, History> {
    let mut pods: BTreeMap<&WorkloadName, Vec<&KnownPod<'_>>> = BTreeMap::new();
    for known in &inventory.pods {
        pods.entry(&known.workload).or_default().push(known);
    }
    let life = |(name, pods): (&WorkloadName, Vec<&KnownPod<'_>>)| {
        (name.clone(), life(&pods, hours, nodes, coverage))
    };
    pods.into_iter().map(life).collect()
}

fn life(pods: &[&KnownPod<'_>], hours: &[Hour], nodes: &Nodes<'_>, coverage: &CoverageSummary) -> History {
    if pods.iter().all(|known| known.pod.host_network) {
        let because =
            "its pods are on the host network: no policy selects them, and their flows are the node's";
        return History { obstacle: Some(because.to_owned()), ..History::default() };
    }
    // Per hour in which a pod ran: how long the least watched of their nodes was.
    let mut ran: Vec<Option<u32>> = vec![None; hours.len()];
    let mut lost_on = BTreeSet::new();
    for known in pods {
        let node = known.pod.node.as_ref();
        let seconds = node.and_then(|node| nodes.get(node));
        lost_on.extend(node);
        let begin = hours.partition_point(|hour| hour.end() <= known.from);
        let end = hours.partition_point(|hour| hour.start() <= known.to);
        for at in begin..end {
            let here = seconds.map_or(0, |seconds| seconds[at]);
            ran[at] = Some(ran[at].map_or(here, |least| least.min(here)));
        }
    }
    let nodes_of = lost_on.into_iter().filter_map(|node| coverage.nodes.get(node));
    History { lost: nodes_of.flat_map(|node| node.lost.values()).sum(), ..watched(hours, &ran) }
}

/// The period of each CronJob.
fn jobs(inventory: &Inventory<'_>, end: Time) -> BTreeMap<WorkloadName, Job> {
    let mut jobs = BTreeMap::new();
    for (workload, name) in inventory.workloads.iter().zip(&inventory.templates) {
        let Some(schedule) = workload.schedule.as_ref().filter(|_| workload.kind == WorkloadKind::CronJob)
        else {
            continue;
        };
        let meta = &workload.meta;
        // One that cannot be read may run at any time, or never: no window shows it.
        let seconds = period::longest_seconds(schedule, end).unwrap_or(i64::MAX);
        jobs.insert(name.clone(), Job { seconds, name: format!("CronJob {}/{}", meta.namespace, meta.name) });
    }
    jobs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording;
    use crate::time::Window;

    const RECORDED: &str = r#"
{"kind":"coverage","node":"a","hour":"2026-11-20T10:00:00Z","observed_seconds":3600,"lost":{"ring_full":2}}
{"kind":"coverage","node":"a","hour":"2026-11-20T11:00:00Z","observed_seconds":3600,"lost":{}}
{"kind":"coverage","node":"b","hour":"2026-11-20T10:00:00Z","observed_seconds":3600,"lost":{}}
{"kind":"coverage","node":"b","hour":"2026-11-20T11:00:00Z","observed_seconds":600,"lost":{}}
{"kind":"object","from":"2026-11-20T09:00:00Z","object":{"apiVersion":"v1","kind":"Pod","metadata":{"namespace":"shop","name":"web","uid":"u1"},"spec":{"nodeName":"a"},"status":{"podIPs":[{"ip":"10.1.0.1"}]}}}
{"kind":"object","from":"2026-11-20T09:00:00Z","object":{"apiVersion":"v1","kind":"Pod","metadata":{"namespace":"shop","name":"db","uid":"u2"},"spec":{"nodeName":"b"},"status":{"podIPs":[{"ip":"10.1.0.2"}]}}}
{"kind":"object","from":"2026-11-20T09:00:00Z","object":{"apiVersion":"v1","kind":"Pod","metadata":{"namespace":"shop","name":"host","uid":"u3"},"spec":{"nodeName":"b","hostNetwork":true},"status":{"podIPs":[{"ip":"10.0.0.2"}]}}}
{"kind":"object","object":{"apiVersion":"batch/v1","kind":"CronJob","metadata":{"namespace":"shop","name":"bill","uid":"u4"},"spec":{"schedule":"0 0 1 * *","jobTemplate":{"spec":{"template":{"metadata":{"labels":{"app":"bill"}},"spec":{"containers":[]}}}}}}}
{"kind":"flow","node":"b","hour":"2026-11-20T10:00:00Z","side":"server","pod":"u2","local":"10.1.0.2","remote":"10.1.0.1","port":5432,"protocol":"TCP","outcome":"established","basis":"observed","connections":1,"bytes_sent":1,"bytes_received":1,"first":"2026-11-20T10:03:11Z","last":"2026-11-20T10:59:58Z"}
"#;

    #[test]
    fn a_workload_is_watched_where_its_pods_ran() {
        let mut input = RECORDED.trim_start().as_bytes();
        let (recorded, _) =
            recording::read([("recorded", &mut input as &mut dyn std::io::BufRead)]).expect("it reads");
        let inventory = Inventory::of(&recorded.objects, Window::ALL);
        let joined = crate::edge::join(&recorded, &inventory, Window::ALL);
        let coverage = CoverageSummary::of(&recorded, Window::ALL);
        let histories = histories(&joined.edges, &inventory, &coverage, |name| &*name.namespace == "shop");
        let rows: Vec<String> = histories
            .iter()
            .map(|one| {
                let name = one.workload.as_ref().map_or("all", |name| &*name.name);
                let (edges, watched, missed, lost) =
                    (one.edges.len(), one.watched.len(), one.missed.len(), one.lost);
                let job = one.job.as_ref().map_or(0, |job| job.seconds / 86_400);
                let obstacle = one.obstacle.as_deref().unwrap_or("-");
                format!("{name} {edges} {watched} {missed} {lost} {job} {obstacle}")
            })
            .collect();
        let host = "its pods are on the host network: no policy selects them, and their flows are the node's";
        assert_eq!(
            rows,
            [
                "all 1 1 1 2 31 -".to_owned(),
                "bill 0 0 0 0 31 no pod of it ran in the window".to_owned(),
                "db 1 1 1 0 0 -".to_owned(),
                format!("host 0 0 0 0 0 {host}"),
                "web 1 2 0 2 0 -".to_owned(),
            ]
        );
    }
}
