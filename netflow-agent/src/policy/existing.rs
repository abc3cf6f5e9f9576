//! Policies that are in force already. In: what was generated, compiled; the policies in force; attempts. Out:
//! gaps that say which workloads each of them kept from being seen, and what it adds to what is generated.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ipnet::IpNet;

use super::gap::{Gap, GapKind};
use super::{Options, is_ours, words};
use crate::compare::{Becomes, Change, Side, compare};
use crate::connectivity::Connectivity;
use crate::edge::{Attempt, EdgeKey};
use crate::evaluate::{Cluster, Verdict};
use crate::identity::{Endpoint, WorkloadName};
use crate::manifest::NetworkPolicy;
use crate::net::Direction;

/// Names and changes that are spelled out; the rest is counted.
const SHOWN: usize = 3;
/// Changes that are traced to the policies which make them.
const TRACED: usize = 1_000;

/// Sorted by subject and text; nothing where nothing is in force.
pub fn existing_gaps(
    generated: &Cluster,
    live: &[NetworkPolicy],
    attempts: &[Attempt],
    options: &Options,
) -> Vec<Gap> {
    let live: Vec<NetworkPolicy> =
        live.iter().filter(|policy| options.is_subject(&policy.meta.namespace)).cloned().collect();
    if live.is_empty() {
        return Vec::new();
    }
    let isolated = isolated(generated, &live);
    let replaced: Vec<bool> = live.iter().map(|policy| stands_in(policy, generated.policies())).collect();
    let kept: Vec<usize> = (0..live.len()).filter(|at| !replaced[*at]).collect();
    let added = added(generated, &live, &kept);
    let mut gaps = Vec::new();
    for &at in &kept {
        let policy = &live[at];
        let about = format!("NetworkPolicy {}/{}", policy.meta.namespace, policy.meta.name);
        let whose = if is_ours(&policy.meta) { "ours and no longer generated, delete it: " } else { "" };
        let hid = isolated.get(&at).map_or_else(|| "it selects nobody".to_owned(), hid);
        let adds = added.get(&at).map_or_else(
            || "it adds nothing to what is generated".to_owned(),
            |changes| format!("it stays in force and adds to what is generated: {}", listed(changes)),
        );
        gaps.push(Gap::new(GapKind::LivePolicy, about, format!("{whose}{hid}; {adds}")));
    }
    let n_ours = replaced.iter().filter(|replaced| **replaced).count();
    if n_ours > 0 {
        let s = if n_ours == 1 { "policy" } else { "policies" };
        let text = "in force in the window: what they denied could not be seen";
        gaps.push(Gap::new(GapKind::LivePolicy, format!("{n_ours} {s} that would be replaced"), text));
    }
    gaps.extend(denied(generated, live, attempts, options));
    gaps.sort_by(|a, b| (&a.about, &a.text).cmp(&(&b.about, &b.text)));
    gaps
}

fn stands_in(policy: &NetworkPolicy, generated: &[NetworkPolicy]) -> bool {
    generated
        .iter()
        .any(|new| new.meta.namespace == policy.meta.namespace && new.meta.name == policy.meta.name)
}

type Isolated<'a> = BTreeMap<Direction, BTreeSet<&'a WorkloadName>>;

/// Which workloads each policy isolates.
fn isolated<'a>(generated: &'a Cluster, live: &[NetworkPolicy]) -> BTreeMap<usize, Isolated<'a>> {
    let cluster = Cluster::compile(Arc::clone(&generated.snapshot), live.to_vec());
    let mut isolated: BTreeMap<usize, Isolated<'a>> = BTreeMap::new();
    for (name, members) in generated.snapshot().workloads() {
        for &member in members {
            for direction in Direction::BOTH {
                for policy in cluster.selecting(member, direction) {
                    isolated.entry(policy).or_default().entry(direction).or_default().insert(name);
                }
            }
        }
    }
    isolated
}

fn hid(isolated: &Isolated<'_>) -> String {
    let of = |(direction, names): (&Direction, &BTreeSet<&WorkloadName>)| {
        let names: Vec<String> = names.iter().map(|name| words::workload(name)).collect();
        format!("{direction} of {}", listed(&names))
    };
    let parts: Vec<String> = isolated.iter().map(of).collect();
    format!("what it denied of the {} could not be seen", parts.join(" and the "))
}

/// What each of the policies that stay adds, in words.
fn added(generated: &Cluster, live: &[NetworkPolicy], kept: &[usize]) -> BTreeMap<usize, Vec<String>> {
    let n_generated = generated.policies().len();
    let mut policies = generated.policies().to_vec();
    policies.extend(kept.iter().map(|at| live[*at].clone()));
    let both = Cluster::compile(Arc::clone(&generated.snapshot), policies);
    let changes = compare(&Connectivity::new(generated), &Connectivity::new(&both));
    let mut added: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for change in changes.iter().filter(|change| change.becomes == Becomes::Allowed).take(TRACED) {
        let Some(key) = sample(change) else { continue };
        let makers: BTreeSet<usize> = both
            .edge_uses(&key)
            .into_iter()
            .filter_map(|one| kept.get(one.policy.checked_sub(n_generated)?).copied())
            .collect();
        for maker in makers {
            added.entry(maker).or_default().push(format!(
                "{} -> {} {}",
                side(&change.source),
                side(&change.destination),
                change.ports
            ));
        }
    }
    added
}

/// One connection of a change.
fn sample(change: &Change) -> Option<EdgeKey> {
    let end = |side: &Side| match side {
        Side::Workload(name) => Endpoint::Workload(name.clone()),
        Side::Outside(range) => Endpoint::External(range.first),
    };
    let (protocol, range) = change.ports.ranges().next()?;
    Some(EdgeKey {
        source: end(&change.source),
        destination: end(&change.destination),
        port: range.first.max(1),
        protocol,
    })
}

fn side(side: &Side) -> String {
    match side {
        Side::Workload(name) => words::workload(name),
        Side::Outside(range) => match range.cidrs().as_slice() {
            [IpNet::V4(net)] if net.prefix_len() == 0 => "any IPv4 address".to_owned(),
            [IpNet::V6(net)] if net.prefix_len() == 0 => "any IPv6 address".to_owned(),
            [one] => one.to_string(),
            _ => format!("{} to {}", range.first, range.last),
        },
    }
}

/// The first few, and how many more.
fn listed(all: &[String]) -> String {
    let shown = all[..SHOWN.min(all.len())].join(", ");
    match all.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        Some(more) => format!("{shown} and {more} more"),
        None => shown,
    }
}

/// Attempts that the policies in force deny: no sign that nobody meant them.
fn denied(
    generated: &Cluster,
    live: Vec<NetworkPolicy>,
    attempts: &[Attempt],
    options: &Options,
) -> Vec<Gap> {
    let cluster = Cluster::compile(Arc::clone(&generated.snapshot), live);
    let concerned = attempts.iter().filter(|attempt| options.concerns(&attempt.key));
    let denied = concerned
        .filter(|attempt| cluster.edge(&attempt.key).is_some_and(|judged| judged.verdict == Verdict::Denied));
    let gap = |attempt: &Attempt| {
        let text = "tried, and the policies in force deny it: whether it is meant the window cannot say";
        Gap::new(GapKind::LivePolicy, words::edge(&attempt.key), text)
    };
    let mut gaps: Vec<Gap> = denied.map(gap).collect();
    gaps.dedup();
    gaps
}
