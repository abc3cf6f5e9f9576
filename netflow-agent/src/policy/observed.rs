//! The gaps that the recording shows. In: what was joined, how much was covered, the inventory. Out: attempts,
//! scans, doubts, hours and nodes not covered, losses, pods younger than the window.

use std::collections::{BTreeMap, BTreeSet};

use super::gap::{Gap, GapKind, declare};
use super::port::Port;
use super::{Options, words};
use crate::edge::{Attempt, Doubt, DoubtReason, EdgeKey, Joined};
use crate::flow::Outcome;
use crate::identity::{Endpoint, Inventory, WorkloadName};
use crate::recording::CoverageSummary;
use crate::review::End;
use crate::time::Time;

/// NetworkPolicy knows TCP, UDP and SCTP, and so does a recording.
const ICMP: &str = "not recorded and not judged: whether ping and path MTU messages pass under a default deny is up to the \
                    network plugin";

/// An hour observed for less is as good as not observed, in seconds.
const HALF_AN_HOUR: u32 = 1_800;

/// One source that tried so many ends and ports, and got nowhere, scans.
const SCAN: usize = 20;

pub fn observed_gaps(
    joined: &Joined,
    coverage: &CoverageSummary,
    inventory: &Inventory<'_>,
    options: &Options,
) -> Vec<Gap> {
    let mut gaps = attempts(&joined.attempts, options);
    gaps.extend(joined.doubts.iter().filter(|doubt| options.concerns(&doubt.key)).map(doubt));
    gaps.extend(covered(coverage, inventory));
    gaps.extend(young(coverage, inventory, options));
    gaps.push(Gap::new(GapKind::Icmp, "cluster", ICMP));
    gaps
}

fn attempts(attempts: &[Attempt], options: &Options) -> Vec<Gap> {
    let mut by_source: BTreeMap<&Endpoint, Vec<&Attempt>> = BTreeMap::new();
    for attempt in attempts.iter().filter(|attempt| options.concerns(&attempt.key)) {
        by_source.entry(&attempt.key.source).or_default().push(attempt);
    }
    let mut gaps = Vec::new();
    for (source, tried) in by_source {
        let targets: BTreeSet<_> = tried.iter().map(|one| (&one.key.destination, one.key.port)).collect();
        if targets.len() >= SCAN {
            let text =
                format!("tried {} ends and ports in vain, as a scan does: none is allowed", targets.len());
            gaps.push(Gap::new(GapKind::Scan, words::endpoint(source), text));
            continue;
        }
        gaps.extend(tried.into_iter().filter(|one| !decided(&one.key, options)).map(attempt));
    }
    gaps
}

/// The review says already what to do with it.
fn decided(key: &EdgeKey, options: &Options) -> bool {
    options.review.meeting(key).next().is_some()
}

fn attempt(attempt: &Attempt) -> Gap {
    let (kind, what, why) = match attempt.outcome {
        Outcome::Refused => (GapKind::Attempt, "refused", "nobody listened there"),
        Outcome::Timeout => (GapKind::Attempt, "timed out", "it was blocked, or nobody was there"),
        Outcome::Unanswered | Outcome::Established => {
            (GapKind::Unanswered, "sent and never answered", "it was blocked, or needs no answer")
        }
    };
    let count = attempt.connections;
    let s = if count == 1 { "" } else { "s" };
    let text = format!("{what} {count} time{s}: {why}; not allowed unless the review declares it");
    let key = &attempt.key;
    let port = Port::one(key.protocol, key.port);
    let entry = End::of(&key.source)
        .zip(End::of(&key.destination))
        .map(|(from, to)| declare(from, to, Some(port), "tried and never answered, but meant"));
    Gap::new(kind, words::edge(key), text).settled_by(entry)
}

fn doubt(doubt: &Doubt) -> Gap {
    let key = &doubt.key;
    let entry = End::of(&key.source)
        .zip(End::of(&key.destination))
        .map(|(from, to)| declare(from, to, Some(Port::one(key.protocol, key.port)), "seen, and meant"));
    let becomes = match doubt.reason {
        DoubtReason::MeshPort => "allowed as it was seen",
        DoubtReason::RoleUnconfirmed | DoubtReason::EphemeralPort => {
            "not allowed unless the review declares it"
        }
    };
    let text = format!("{}; {becomes}", doubt.reason.as_str());
    Gap::new(GapKind::Unconfirmed, words::edge(key), text).settled_by(entry)
}

fn covered(coverage: &CoverageSummary, inventory: &Inventory<'_>) -> Vec<Gap> {
    let mut gaps = Vec::new();
    if coverage.assumed {
        let text =
            "the recording has no coverage line: taken as fully covered from its first to its last flow";
        gaps.push(Gap::new(GapKind::NotCovered, "recording", text));
    }
    let alive: BTreeSet<&str> = inventory
        .nodes
        .iter()
        .filter(|known| coverage.span.is_none_or(|(_, to)| known.node.to >= to))
        .map(|known| &*known.node.object.meta.name)
        .collect();
    for (name, node) in &coverage.nodes {
        let about = format!("Node {name}");
        if !alive.is_empty() && !alive.contains(&**name) {
            let text = "gone before the end of the window: what it did not report is lost";
            gaps.push(Gap::new(GapKind::NodeGone, &*about, text));
        }
        let in_part = node.hours.values().filter(|seconds| **seconds < HALF_AN_HOUR).count();
        if in_part > 0 {
            let text =
                format!("{in_part} hour{} observed for less than half", if in_part == 1 { "" } else { "s" });
            gaps.push(Gap::new(GapKind::NotCovered, &*about, text));
        }
        if !node.missing.is_empty() {
            let hours = node.missing.len();
            let text = format!(
                "{hours} hour{} of the window not observed: what its pods did then is not in here",
                if hours == 1 { "" } else { "s" }
            );
            gaps.push(Gap::new(GapKind::NotCovered, &*about, text));
        }
        for (cause, count) in node.lost.iter().filter(|(_, count)| **count > 0) {
            gaps.push(Gap::new(
                GapKind::Lost,
                &*about,
                format!("{count} flow{} lost: {cause}", if *count == 1 { "" } else { "s" }),
            ));
        }
    }
    gaps
}

/// Workloads whose first pod began well after the window did.
fn young(coverage: &CoverageSummary, inventory: &Inventory<'_>, options: &Options) -> Vec<Gap> {
    let Some((from, _)) = coverage.span else { return Vec::new() };
    let mut born: BTreeMap<&WorkloadName, Time> = BTreeMap::new();
    for known in inventory.pods.iter().filter(|known| !known.pod.host_network) {
        if options.is_subject(&known.workload.namespace) {
            let first = born.entry(&known.workload).or_insert(known.from);
            *first = known.from.min(*first);
        }
    }
    born.into_iter()
        .filter(|(_, born)| *born > from.plus_seconds(3_600))
        .map(|(name, born)| {
            let text = format!(
                "its first pod is from {born}, and the window begins at {from}: it was seen for less"
            );
            Gap::new(GapKind::YoungPod, words::workload(name), text)
        })
        .collect()
}
