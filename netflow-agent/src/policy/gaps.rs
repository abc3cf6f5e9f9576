//! The gaps that the cluster itself shows. In: what was generated, edges, inventory, scene. Out: named gaps:
//! workloads that no label tells apart, namespaces and workloads that said nothing, nodes, hidden clients.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ipnet::IpNet;

use super::evidence::{Evidence, Why};
use super::gap::{Gap, GapKind};
use super::ledger::{Ledger, PeerKey};
use super::scene::{GroupId, Scene};
use super::{Options, Recommendation, exposed, sift, words};
use crate::edge::{Edge, EdgeKey};
use crate::identity::{Endpoint, Inventory, KnownPod, WorkloadName};
use crate::manifest::{is_label, is_namespace};
use crate::net::Direction;
use crate::review::{Accepted, Action, End, Entry};

pub(super) fn of_scene(
    answer: &mut Recommendation,
    edges: &[Edge],
    ledger: &Ledger,
    inventory: &Inventory<'_>,
    scene: &Scene,
    options: &Options,
) {
    let mut gaps = std::mem::take(&mut answer.gaps);
    gaps.extend(groups(scene, options));
    gaps.extend(refused(inventory, scene, options));
    let written = answer.policies.iter().flat_map(|policy| &policy.workloads).cloned().collect();
    gaps.extend(silent(edges, &written, scene, options));
    let whole = answer.withheld.iter().filter(|withheld| withheld.is_whole());
    let withheld: BTreeSet<usize> = whole.map(|withheld| withheld.edge).collect();
    for (at, edge) in edges.iter().enumerate() {
        if withheld.contains(&at) {
            continue;
        }
        gaps.extend(exposed::gaps(edge, inventory, scene, options));
        if !edge.own_node {
            gaps.extend(metadata(edge, options));
        }
    }
    gaps.extend(other_policies(inventory));
    answer.add_gaps(gaps, options);
    answer.by_node_address = by_node_address(ledger, scene, options);
}

impl Recommendation {
    /// Adds gaps, less those that the review has settled, and keeps all sorted.
    pub fn add_gaps(&mut self, gaps: Vec<Gap>, options: &Options) {
        for gap in gaps {
            if let Some(at) = settled(&gap, options) {
                // An approval has no other work to do.
                let is_approval = options.review.entries[at].action == Action::Approve;
                self.unused_entries.retain(|unused| !is_approval || *unused != at);
            } else if let Some(at) = accepted(&gap, options) {
                *self.accepted.entry(at).or_default() += 1;
            } else {
                self.gaps.push(gap);
            }
        }
        self.gaps.sort_by(|a, b| (a.kind, &a.about, &a.text).cmp(&(b.kind, &b.about, &b.text)));
        self.gaps.dedup();
    }
}

/// Who has a node as a peer by its address alone, which nobody has approved.
fn by_node_address(ledger: &Ledger, scene: &Scene, options: &Options) -> BTreeSet<WorkloadName> {
    let mut found = BTreeSet::new();
    for (id, demands) in &ledger.subjects {
        let mut by_address = false;
        for direction in Direction::BOTH {
            for (peer, ports) in demands.of(direction) {
                let exact = match peer {
                    PeerKey::Node(_) => true,
                    PeerKey::Range(one) => is_one(*one) && options.nodes.is_exact(one.addr()),
                    _ => false,
                };
                let of_nodes = |evidence: &&Evidence| exact && matches!(evidence.other, Endpoint::Node(_));
                for evidence in ports.values().flatten().filter(of_nodes) {
                    by_address |= !is_approved(evidence, id, direction, scene, options);
                }
            }
        }
        if let Some(group) = scene.group(id).filter(|_| by_address) {
            found.extend(group.members.iter().cloned());
        }
    }
    found
}

fn is_one(range: IpNet) -> bool {
    range.prefix_len() == range.max_prefix_len()
}

fn is_approved(
    evidence: &Evidence,
    id: &GroupId,
    direction: Direction,
    scene: &Scene,
    options: &Options,
) -> bool {
    // Who names a node in the review knows which.
    let named = matches!(&evidence.other, Endpoint::Node(name) if scene.node_ips(name).next().is_some());
    if named && matches!(evidence.why, Why::Declared(_)) {
        return true;
    }
    let members = scene.group(id).map(|group| group.members.as_slice()).unwrap_or_default();
    members.iter().any(|member| {
        let (own, other) = (Endpoint::Workload(member.clone()), evidence.other.clone());
        let (source, destination) = if direction == Direction::Egress { (own, other) } else { (other, own) };
        let (port, protocol) = (evidence.port.range.first, evidence.port.protocol);
        approves(&EdgeKey { source, destination, port, protocol }, options)
    })
}

/// Whether an entry of the review approves an edge.
pub(super) fn approves(key: &EdgeKey, options: &Options) -> bool {
    options.review.meeting(key).any(|(_, entry)| entry.action == Action::Approve)
}

/// Where the ready-made entry of a gap stands in the review already.
fn settled(gap: &Gap, options: &Options) -> Option<usize> {
    let ready = gap.review.as_ref()?;
    options.review.entries.iter().position(|entry| {
        (entry.action, &entry.from, &entry.to, entry.ports, entry.protocol)
            == (ready.action, &ready.from, &ready.to, ready.ports, ready.protocol)
    })
}

/// Which decision of the review lives with a gap.
fn accepted(gap: &Gap, options: &Options) -> Option<usize> {
    let is = |one: &Accepted| *one.gap == *gap.kind.as_str() && *one.about == *gap.about;
    options.review.accepted.iter().position(is)
}

/// An entry that approves an edge as it is.
pub(super) fn approve(key: &EdgeKey, reason: &str) -> Option<Entry> {
    Some(Entry {
        action: Action::Approve,
        from: End::of(&key.source)?,
        to: End::of(&key.destination)?,
        ports: Some(crate::net::PortRange::one(key.port)),
        protocol: Some(key.protocol),
        reason: reason.into(),
    })
}

fn groups(scene: &Scene, options: &Options) -> Vec<Gap> {
    let mut gaps = Vec::new();
    for (id, group) in scene.groups().filter(|(id, _)| options.is_subject(&id.namespace)) {
        let names: Vec<String> = group.members.iter().map(words::workload).collect();
        if let [first, others @ ..] = &names[..]
            && !others.is_empty()
        {
            let text =
                format!("no label tells it apart from {}: one policy is for all of them", others.join(", "));
            gaps.push(Gap::new(GapKind::Indistinguishable, first, text));
        }
        if group.selector.equal.is_empty() {
            let text =
                "it has no stable label of its own, so it is selected by what others have: give it one";
            gaps.push(Gap::new(GapKind::NoLabels, format!("{} in {}", names.join(", "), id.namespace), text));
        }
    }
    gaps
}

/// Pods that no API server takes: written by hand, or by nobody with good intent.
fn refused(inventory: &Inventory<'_>, scene: &Scene, options: &Options) -> Vec<Gap> {
    let pods = inventory.pods.iter().filter(|known| scene.refused.contains(&known.workload));
    let pods = pods.filter(|known| options.is_subject(&known.workload.namespace));
    let gap = |known: &KnownPod<'_>| {
        let meta = &known.pod.meta;
        let bad = meta.labels.iter().find(|(key, value)| !is_label(key, value));
        let what = match bad.filter(|_| is_namespace(&meta.namespace)) {
            Some((key, value)) => format!("its label `{key}: {value}`"),
            None => format!("the namespace `{}`", meta.namespace),
        };
        let text = format!("no API server takes {what}: nothing is written for it");
        Gap::new(GapKind::NotExpressible, words::workload(&known.workload), text)
    };
    pods.map(gap).collect()
}

/// Namespaces and workloads that no edge touches.
fn silent(edges: &[Edge], written: &BTreeSet<WorkloadName>, scene: &Scene, options: &Options) -> Vec<Gap> {
    let workload = |end: &'_ Endpoint| match end {
        Endpoint::Workload(name) => Some(name.clone()),
        _ => None,
    };
    let spoke: BTreeSet<WorkloadName> = edges
        .iter()
        .flat_map(|edge| [workload(&edge.key.source), workload(&edge.key.destination)])
        .flatten()
        .collect();
    let busy: BTreeSet<&Arc<str>> = spoke.iter().map(|name| &name.namespace).collect();
    let mut gaps = Vec::new();
    for namespace in scene.populated.iter().filter(|namespace| options.is_subject(namespace)) {
        if !busy.contains(namespace) {
            let text = if options.default_deny {
                "it has pods and no edge was seen: its default deny rests on nothing observed"
            } else {
                "it has pods and no edge was seen: nothing is written for it"
            };
            gaps.push(Gap::new(GapKind::SilentNamespace, format!("Namespace {namespace}"), text));
        }
    }
    for (id, group) in scene.groups().filter(|(id, _)| options.is_subject(&id.namespace)) {
        if busy.contains(&id.namespace) {
            for name in group.members.iter().filter(|name| !spoke.contains(*name)) {
                let text = if written.contains(name) {
                    "never seen to talk: its policy rests on what is declared alone"
                } else if options.default_deny {
                    "never seen to talk: the default deny of its namespace cuts it off whole"
                } else {
                    "never seen to talk: nothing is written for it"
                };
                gaps.push(Gap::new(GapKind::SilentWorkload, words::workload(name), text));
            }
        }
    }
    gaps
}

fn metadata(edge: &Edge, options: &Options) -> Option<Gap> {
    let key = &edge.key;
    let asked = !approves(key, options)
        && matches!(key.destination, Endpoint::External(ip) if sift::METADATA.contains(&ip));
    let subject = matches!(&key.source, Endpoint::Workload(name) if options.is_subject(&name.namespace));
    (asked && subject).then(|| {
        let text = "kept because it was used: whoever reaches it may get the rights of the machine; see --drop-metadata";
        Gap::new(GapKind::Metadata, words::edge(key), text)
            .settled_by(approve(key, "it needs the rights that the machine hands out"))
    })
}

/// Policies of other dialects, which are not judged here.
fn other_policies(inventory: &Inventory<'_>) -> Vec<Gap> {
    let mut others: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for (kind, meta) in &inventory.other_policies {
        *others.entry((kind, &meta.namespace)).or_default() += 1;
    }
    let gap = |((kind, namespace), count): ((&str, &str), usize)| {
        let about = if namespace.is_empty() { kind.to_owned() } else { format!("{kind} in {namespace}") };
        let text =
            format!("{count} of them, in a dialect that is not judged here: they may deny or allow more");
        Gap::new(GapKind::OtherPolicy, about, text)
    };
    others.into_iter().map(gap).collect()
}
