//! How tight the policies are. In: what is demanded, edges, the scene. Out: how many connections between
//! workloads are allowed, how many of these were never seen, and how many there are without any policy.

use std::collections::{BTreeMap, BTreeSet};

use super::ledger::{Ledger, PeerKey, Ports};
use super::port::Port;
use super::scene::{GroupId, Scene};
use super::{Options, Withheld};
use crate::edge::Edge;
use crate::identity::{Endpoint, Inventory, WorkloadName};
use crate::net::Direction;

/// Counted in triples: source workload, destination workload, port. Ports of a destination are those that
/// its containers declare, those it was seen on and those that are declared for it; two workloads of `peers_only` namespaces do not count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Score {
    /// Allowed by what is generated, a range of ports once.
    pub allowed: u64,
    /// Of these, never seen.
    pub never_seen: u64,
    /// Allowed where no policy is.
    pub open: u64,
}

impl Score {
    /// Allowed and never seen over allowed, in per cent; none where nothing is allowed.
    pub fn slack(self) -> Option<f64> {
        percent(self.never_seen, self.allowed)
    }

    /// The same without any policy.
    pub fn open_slack(self) -> Option<f64> {
        percent(self.open.saturating_sub(self.allowed - self.never_seen), self.open)
    }
}

pub(super) fn percent(part: u64, whole: u64) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "a figure of three digits for people")]
    (whole > 0).then(|| part as f64 * 100.0 / whole as f64)
}

/// The ports of each workload that the score counts.
pub type Counted = BTreeMap<WorkloadName, BTreeSet<Port>>;

type Triple<'a> = (&'a GroupId, &'a GroupId, Port);

pub(super) fn score(
    ledger: &Ledger,
    edges: &[Edge],
    withheld: &[Withheld],
    inventory: &Inventory<'_>,
    scene: &Scene,
    options: &Options,
) -> (Score, Counted) {
    let whole = withheld.iter().filter(|one| one.is_whole());
    let withheld: BTreeSet<usize> = whole.map(|one| one.edge).collect();
    let mut seen: BTreeSet<Triple<'_>> = BTreeSet::new();
    let mut ports = declared_ports(inventory, scene);
    for (at, edge) in edges.iter().enumerate() {
        let (Some(source), Some(destination)) =
            (group(&edge.key.source, scene), group(&edge.key.destination, scene))
        else {
            continue;
        };
        let port = Port::one(edge.key.protocol, edge.key.port);
        ports.entry(destination).or_default().insert(port);
        if !withheld.contains(&at) {
            seen.insert((source, destination, port));
        }
    }
    let subject = |id: &GroupId| options.is_subject(&id.namespace);
    let egress = demanded(ledger, scene, Direction::Egress);
    let ingress = demanded(ledger, scene, Direction::Ingress);
    for (_, destination, port) in egress.iter().chain(&ingress) {
        ports.entry(destination).or_default().insert(*port);
    }
    let isolates = |direction| options.directions.contains(&direction);
    let mut allowed: BTreeSet<Triple<'_>> = BTreeSet::new();
    for triple in &ingress {
        if !subject(triple.0) || !isolates(Direction::Egress) || egress.contains(triple) {
            allowed.insert(*triple);
        }
    }
    for triple in egress {
        if !subject(triple.1) || !isolates(Direction::Ingress) {
            allowed.insert(triple);
        }
    }
    let sizes: Vec<(u64, bool)> =
        scene.groups().map(|(id, group)| (group.members.len() as u64, subject(&id))).collect();
    let all: u64 = sizes.iter().map(|(members, _)| members).sum();
    let subjects: u64 = sizes.iter().filter(|(_, subject)| *subject).map(|(members, _)| members).sum();
    let open = ports
        .iter()
        .map(|(id, ports)| ports.len() as u64 * if subject(id) { all } else { subjects })
        .fold(0, u64::saturating_add);
    let never_seen = allowed.iter().filter(|triple| !seen.contains(*triple)).count() as u64;
    let each = |(id, ports): (&GroupId, BTreeSet<Port>)| {
        let members = scene.group(id).map(|group| group.members.clone()).unwrap_or_default();
        members.into_iter().map(move |member| (member, ports.clone()))
    };
    let counted = ports.into_iter().flat_map(each).collect();
    (Score { allowed: allowed.len() as u64, never_seen, open }, counted)
}

fn group<'s>(end: &Endpoint, scene: &'s Scene) -> Option<&'s GroupId> {
    match end {
        Endpoint::Workload(name) => scene.group_of(name),
        _ => None,
    }
}

fn declared_ports<'s>(inventory: &Inventory<'_>, scene: &'s Scene) -> BTreeMap<&'s GroupId, BTreeSet<Port>> {
    let mut ports: BTreeMap<&GroupId, BTreeSet<Port>> = BTreeMap::new();
    for known in &inventory.pods {
        if let Some(id) = scene.group_of(&known.workload) {
            let declared = known.pod.ports.iter().map(|port| Port::one(port.protocol, port.port));
            ports.entry(id).or_default().extend(declared);
        }
    }
    ports
}

/// The triples that one direction of the demands allows.
fn demanded<'s>(ledger: &'s Ledger, scene: &'s Scene, direction: Direction) -> BTreeSet<Triple<'s>> {
    let mut triples = BTreeSet::new();
    let mut add = |subject: &'s GroupId, other: &'s GroupId, ports: &Ports| {
        let ends = if direction == Direction::Egress { (subject, other) } else { (other, subject) };
        triples.extend(ports.keys().map(|port| (ends.0, ends.1, *port)));
    };
    for (subject, demands) in &ledger.subjects {
        for (peer, ports) in demands.of(direction) {
            match peer {
                PeerKey::Group(other) => add(subject, other, ports),
                PeerKey::Namespace(namespace) => {
                    for other in scene.ids().filter(|id| id.namespace == *namespace) {
                        add(subject, other, ports);
                    }
                }
                PeerKey::Node(_) | PeerKey::Address(_) | PeerKey::Range(_) | PeerKey::Anywhere { .. } => {}
            }
        }
    }
    triples
}
