//! What people declared or widened. In: entries of the review. Out: demands marked as declared. An entry to
//! widen counts only where an edge was seen inside it.

use std::sync::Arc;

use super::Options;
use super::evidence::{Evidence, Why};
use super::gap::{Gap, GapKind};
use super::ledger::{Ledger, PeerKey};
use super::port::Port;
use super::scene::{GroupId, Scene};
use super::sift;
use crate::edge::Edge;
use crate::identity::{Endpoint, WorkloadName};
use crate::manifest::WorkloadKind;
use crate::manifest::cni::Cni;
use crate::net::{Direction, PortRange, Protocol};
use crate::review::{Action, End, Entry};

pub(super) fn apply(
    ledger: &mut Ledger,
    allowed: &[&Edge],
    scene: &Scene,
    options: &Options,
    used: &mut [bool],
) -> Vec<Gap> {
    let mut gaps = Vec::new();
    for (at, entry) in options.review.entries.iter().enumerate() {
        let wanted = match entry.action {
            Action::Declare => true,
            // What is withheld is no reason to allow more of it.
            Action::Widen => allowed.iter().any(|edge| entry.meets(&edge.key)),
            Action::Approve | Action::Deny | Action::Ignore => false,
        };
        if wanted {
            used[at] = both_ends(ledger, entry, scene, options);
            if options.cni == Some(Cni::Cilium) {
                let gap = not_on_cilium(entry, scene);
                used[at] |= gap.is_some();
                gaps.extend(gap);
            }
        }
    }
    gaps
}

/// What an entry names that no selector can express there: nodes, and pods by their addresses.
fn not_on_cilium(entry: &Entry, scene: &Scene) -> Option<Gap> {
    let by_address = |end: &End| match end {
        End::Node(_) => true,
        End::Block(block) => scene.taken.iter().any(|ip| block.contains(ip)),
        End::Workload(_) | End::Namespace(_) | End::Any => false,
    };
    (by_address(&entry.from) || by_address(&entry.to))
        .then(|| Gap::new(GapKind::NotExpressible, format!("review: {entry}"), sift::ON_CILIUM))
}

/// False where the entry names no subject, or an end that is not in the cluster.
fn both_ends(ledger: &mut Ledger, entry: &Entry, scene: &Scene, options: &Options) -> bool {
    let (Some(source), Some(destination)) =
        (peer(&entry.from, scene, options), peer(&entry.to, scene, options))
    else {
        return false;
    };
    let mut any = false;
    let ends = [
        (Direction::Ingress, &entry.to, &source, &entry.from),
        (Direction::Egress, &entry.from, &destination, &entry.to),
    ];
    for (direction, subject, peers, other) in ends {
        for id in subjects(subject, scene).into_iter().filter(|id| options.is_subject(&id.namespace)) {
            if !options.directions.contains(&direction) {
                continue;
            }
            for (peer, port) in peers.iter().flat_map(|peer| ports(entry).map(move |port| (peer, port))) {
                let why = Why::Declared(
                    format!("{} in the review: {}", entry.action.as_str(), entry.reason).into(),
                );
                ledger.add(&id, direction, peer.clone(), Evidence { other: spelled(other), port, why });
                any = true;
            }
        }
    }
    any
}

fn ports(entry: &Entry) -> impl Iterator<Item = Port> + use<> {
    let range = entry.ports.unwrap_or(PortRange { first: 1, last: u16::MAX });
    let protocols = entry.protocol.map_or_else(|| Protocol::ALL.to_vec(), |protocol| vec![protocol]);
    protocols.into_iter().map(move |protocol| Port { protocol, range })
}

/// The groups that an end names.
fn subjects(end: &End, scene: &Scene) -> Vec<GroupId> {
    match end {
        End::Workload(name) => scene.group_of(name).cloned().into_iter().collect(),
        End::Namespace(namespace) => {
            scene.groups().filter(|(id, _)| id.namespace == *namespace).map(|(id, _)| id).collect()
        }
        End::Block(_) | End::Node(_) | End::Any => Vec::new(),
    }
}

fn peer(end: &End, scene: &Scene, options: &Options) -> Option<Vec<PeerKey>> {
    match end {
        End::Workload(name) => sift::peers(&Endpoint::Workload(name.clone()), scene, options),
        End::Namespace(namespace) => Some(vec![PeerKey::Namespace(Arc::clone(namespace))]),
        End::Block(block) => Some(vec![PeerKey::Range(*block)]),
        End::Node(_) if options.cni == Some(Cni::Cilium) => Some(Vec::new()),
        End::Node(Some(name)) => sift::peers(&Endpoint::Node(Arc::clone(name)), scene, options),
        End::Node(None) => {
            let all = scene
                .nodes()
                .filter_map(|name| sift::peers(&Endpoint::Node(Arc::clone(name)), scene, options));
            Some(all.flatten().collect())
        }
        End::Any => None,
    }
}

/// The end as evidence names it.
fn spelled(end: &End) -> Endpoint {
    match end {
        End::Workload(name) => Endpoint::Workload(name.clone()),
        End::Block(block) if block.prefix_len() == block.max_prefix_len() => Endpoint::External(block.addr()),
        End::Node(Some(name)) => Endpoint::Node(Arc::clone(name)),
        End::Namespace(namespace) => Endpoint::Workload(WorkloadName {
            namespace: Arc::clone(namespace),
            kind: WorkloadKind::Other("Namespace".into()),
            name: "*".into(),
        }),
        other => Endpoint::Node(other.to_string().into()),
    }
}
