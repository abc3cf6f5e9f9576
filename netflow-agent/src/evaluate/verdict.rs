//! The verdict. In: two ends of a compiled cluster and a port. Out: allowed, denied or undefined per direction.
//!
//! A connection may have several readings: one per address family in use, and for pods on the host network
//! one per model that the API documentation permits (judged as a pod; or as traffic of its node, which selectors
//! do not see). What all readings agree on is the verdict; the rest is undefined.

use std::net::IpAddr;

use super::class::{ClassId, ClassPort};
use super::cluster::Cluster;
use super::compile::{Peers, Rule, RulePorts, Side};
use super::end::{End, NodeId};
use super::set::Ports;
use super::snapshot::{Snapshot, Subject};
use super::{Judgement, Verdict};
use crate::net::{Direction, PortRange, Protocol};

/// Who talks to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pair {
    pub from: End,
    pub to: End,
    /// The ends are two pods of one kind, though only one is known: not a pod and itself.
    pub twins: bool,
}

impl Pair {
    pub const fn new(from: End, to: End) -> Self {
        Self { from, to, twins: false }
    }

    /// Both ends are one pod or template, maybe by different addresses.
    pub fn same_pod(&self) -> bool {
        !self.twins
            && matches!((self.from, self.to),
                (End::Subject { id: a, .. }, End::Subject { id: b, .. }) if a == b)
    }
}

/// The other end, as the rules of one end see it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    /// None: selectors do not see it.
    pub(crate) class: Option<ClassId>,
    /// None: the address is not known.
    pub(crate) ip: Option<IpAddr>,
}

/// One way to read a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading<'c> {
    /// What guards the source; None where no policy can select it.
    pub(crate) egress: Option<&'c Side>,
    pub(crate) ingress: Option<&'c Side>,
    pub(crate) from: Peer,
    pub(crate) to: Peer,
    /// The named container ports of the destination.
    pub(crate) ports: &'c [ClassPort],
    /// No policy can deny it: a pod to itself, or a node to its own pod.
    pub(crate) free: bool,
    /// Set where an end is on the host network.
    pub(crate) model: Option<Model>,
}

/// Whether a rule holds a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Match {
    Yes,
    No,
    /// It would, if the peer had the right address.
    Unknown,
}

pub(crate) fn judge(cluster: &Cluster, pair: Pair, port: u16, protocol: Protocol) -> Judgement {
    if let Some(reading) = plain(cluster, pair) {
        let ingress = reading.plain_verdict(Direction::Ingress, port, protocol);
        return Judgement::new(ingress, reading.plain_verdict(Direction::Egress, port, protocol));
    }
    agreed(cluster, pair, |reading| reading.judge(port, protocol))
}

/// The verdict on a port that nobody knows: allowed if all are, denied if none is.
pub(crate) fn judge_any_port(cluster: &Cluster, pair: Pair, protocol: Protocol) -> Judgement {
    let word = |sure: &Ports, possible: &Ports| {
        if sure.of(protocol).is_all() {
            Verdict::Allowed
        } else if possible.of(protocol).is_empty() {
            Verdict::Denied
        } else {
            Verdict::Undefined
        }
    };
    agreed(cluster, pair, |reading| {
        let [ingress, egress] = Direction::BOTH
            .map(|direction| [Match::Yes, Match::Unknown].map(|least| reading.ports_of(direction, least)));
        // Each end may allow some ports and the two have none in common.
        let both = [0, 1].map(|at| ingress[at].intersection(&egress[at]));
        Judgement {
            ingress: word(&ingress[0], &ingress[1]),
            egress: word(&egress[0], &egress[1]),
            verdict: word(&both[0], &both[1]),
        }
    })
}

/// The ports that every reading allows.
pub(crate) fn ports(cluster: &Cluster, pair: Pair) -> Ports {
    let mut whole: Option<Ports> = None;
    readings(cluster, pair, &mut |reading| {
        let one = reading.allowed_ports();
        whole = Some(whole.take().map_or_else(|| one.clone(), |whole| whole.intersection(&one)));
    });
    whole.unwrap_or_default()
}

/// The ports that some reading allows: over one address family or another.
pub(crate) fn reachable_ports(cluster: &Cluster, pair: Pair) -> Ports {
    let mut whole = Ports::default();
    readings(cluster, pair, &mut |reading| whole.extend(&reading.allowed_ports()));
    whole
}

fn agreed(cluster: &Cluster, pair: Pair, judge: impl Fn(Reading<'_>) -> Judgement) -> Judgement {
    let mut whole: Option<Judgement> = None;
    readings(cluster, pair, &mut |reading| {
        let one = judge(reading);
        whole = Some(whole.map_or(one, |whole| whole.agreed(one)));
    });
    whole.unwrap_or(Judgement::UNDEFINED)
}

/// The only reading of most pairs: two pods whose rules name no address.
fn plain(cluster: &Cluster, pair: Pair) -> Option<Reading<'_>> {
    let (End::Subject { id: a, .. }, End::Subject { id: b, .. }) = (pair.from, pair.to) else {
        return None;
    };
    if a == b {
        return None;
    }
    let plain = &cluster.snapshot.plain;
    let (source, destination) = (plain[a.0 as usize]?, plain[b.0 as usize]?);
    let egress = cluster.sides.of(source, Direction::Egress);
    let ingress = cluster.sides.of(destination, Direction::Ingress);
    if egress.has_blocks || ingress.has_blocks {
        return None;
    }
    Some(Reading {
        egress: Some(egress),
        ingress: Some(ingress),
        from: Peer { class: Some(source), ip: None },
        to: Peer { class: Some(destination), ip: None },
        ports: &cluster.snapshot.classes[destination as usize].ports,
        free: false,
        model: None,
    })
}

/// How an implementation may treat pods on the host network: the API documentation permits both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Model {
    /// Like any other pod.
    AsPod,
    /// As its node: selectors do not see it.
    AsNode,
}

/// Calls `each` with every reading of a connection; with none where a Service's address is an end.
pub(crate) fn readings<'c>(cluster: &'c Cluster, pair: Pair, each: &mut dyn FnMut(Reading<'c>)) {
    let Pair { from, to, .. } = pair;
    if matches!(from, End::Service(_)) || matches!(to, End::Service(_)) {
        return;
    }
    let snapshot = &*cluster.snapshot;
    let (source, destination) = (subject(snapshot, from), subject(snapshot, to));
    let itself = pair.same_pod() && source.is_some_and(|source| !source.is_template());
    let on_host = |subject: Option<&Subject>| subject.is_some_and(|subject| subject.host_network);
    let models: &[Model] = if on_host(source) || on_host(destination) {
        &[Model::AsPod, Model::AsNode]
    } else {
        &[Model::AsPod]
    };
    for &model in models {
        let selectable = |subject: Option<&'c Subject>| {
            subject.filter(|subject| model == Model::AsPod || !subject.host_network)
        };
        let (source, destination) = (selectable(source), selectable(destination));
        let reading = Reading {
            egress: source.map(|source| cluster.sides.of(source.class, Direction::Egress)),
            ingress: destination.map(|pod| cluster.sides.of(pod.class, Direction::Ingress)),
            from: Peer { class: source.map(|source| source.class), ip: None },
            to: Peer { class: destination.map(|destination| destination.class), ip: None },
            ports: destination.map_or(&[], |pod| &*snapshot.classes[pod.class as usize].ports),
            free: itself,
            model: models.get(1).map(|_| model),
        };
        let own_node = match (source, destination) {
            (None, Some(pod)) => own_node(snapshot, from, pod),
            _ => Some(false),
        };
        if own_node != Some(false) {
            each(Reading { free: true, ..reading });
        }
        if own_node != Some(true) {
            each_address(snapshot, from, to, reading, each);
        }
    }
}

fn subject(snapshot: &Snapshot, end: End) -> Option<&Subject> {
    match end {
        End::Subject { id, .. } => Some(snapshot.subject(id)),
        End::Node { .. } | End::Address(_) | End::Service(_) => None,
    }
}

/// Whether `from` is the node that `pod` runs on; None where the nodes are not known.
fn own_node(snapshot: &Snapshot, from: End, pod: &Subject) -> Option<bool> {
    let node: Option<NodeId> = match from {
        End::Node { id, .. } => Some(id),
        End::Subject { id, .. } => snapshot.subject(id).node,
        End::Address(_) | End::Service(_) => return Some(false),
    };
    Some(node? == pod.node?)
}

/// One reading per pair of addresses of one family.
fn each_address<'c>(
    snapshot: &Snapshot,
    from: End,
    to: End,
    reading: Reading<'c>,
    each: &mut dyn FnMut(Reading<'c>),
) {
    let (sources, destinations) = (addresses(snapshot, &from), addresses(snapshot, &to));
    let mut at = |from: Option<IpAddr>, to: Option<IpAddr>| {
        each(Reading {
            from: Peer { ip: from, ..reading.from },
            to: Peer { ip: to, ..reading.to },
            ..reading
        });
    };
    let mut common = false;
    for &source in sources {
        for &destination in destinations.iter().filter(|ip| ip.is_ipv4() == source.is_ipv4()) {
            common = true;
            at(Some(source), Some(destination));
        }
    }
    if common {
        return;
    }
    match (sources, destinations) {
        ([], []) => at(None, None),
        ([], known) => known.iter().for_each(|&ip| at(None, Some(ip))),
        (known, []) => known.iter().for_each(|&ip| at(Some(ip), None)),
        // No family in common: nothing can be sent, and each end is judged by its first address.
        ([source, ..], [destination, ..]) => at(Some(*source), Some(*destination)),
    }
}

/// The addresses that an end may use; empty where they are not known.
fn addresses<'a>(snapshot: &'a Snapshot, end: &'a End) -> &'a [IpAddr] {
    match end {
        End::Subject { ip: Some(ip), .. }
        | End::Node { ip: Some(ip), .. }
        | End::Address(ip)
        | End::Service(ip) => core::slice::from_ref(ip),
        End::Node { id, ip: None } => &snapshot.nodes[id.0 as usize].ips,
        End::Subject { id, ip: None } => {
            let subject = snapshot.subject(*id);
            match subject.node {
                Some(node) if subject.ips.is_empty() && subject.host_network => {
                    &snapshot.nodes[node.0 as usize].ips
                }
                _ => &subject.ips,
            }
        }
    }
}

impl<'c> Reading<'c> {
    pub(crate) fn side(&self, direction: Direction) -> Option<&'c Side> {
        match direction {
            Direction::Ingress => self.ingress,
            Direction::Egress => self.egress,
        }
    }

    /// The end that the rules of a direction judge.
    pub(crate) fn peer(&self, direction: Direction) -> Peer {
        match direction {
            Direction::Ingress => self.from,
            Direction::Egress => self.to,
        }
    }

    fn judge(&self, port: u16, protocol: Protocol) -> Judgement {
        let ingress = self.verdict(Direction::Ingress, port, protocol);
        Judgement::new(ingress, self.verdict(Direction::Egress, port, protocol))
    }

    pub(crate) fn verdict(&self, direction: Direction, port: u16, protocol: Protocol) -> Verdict {
        let Some(side) = self.side(direction).filter(|side| !self.free && !side.policies.is_empty()) else {
            return Verdict::Allowed;
        };
        let peer = self.peer(direction);
        let mut verdict = Verdict::Denied;
        for rule in &side.rules {
            if rule.ports.contains(protocol, port, self.ports) {
                match rule.peers.holds(peer) {
                    Match::Yes => return Verdict::Allowed,
                    Match::Unknown => verdict = Verdict::Undefined,
                    Match::No => {}
                }
            }
        }
        verdict
    }

    /// As [`Self::verdict`], where no rule names addresses and both ends are pods that selectors see.
    fn plain_verdict(&self, direction: Direction, port: u16, protocol: Protocol) -> Verdict {
        let (Some(side), peer) = (self.side(direction), self.peer(direction)) else {
            return Verdict::Allowed;
        };
        let Some(class) = peer.class.filter(|_| !side.policies.is_empty()) else {
            return Verdict::Allowed;
        };
        let allowed = side.bounds.iter().zip(&side.rules).any(|(bounds, rule)| {
            bounds.contains(&class)
                && rule.peers.holds(peer) == Match::Yes
                && rule.ports.contains(protocol, port, self.ports)
        });
        if allowed { Verdict::Allowed } else { Verdict::Denied }
    }

    pub(crate) fn allowed_ports(&self) -> Ports {
        self.ports_of(Direction::Egress, Match::Yes)
            .intersection(&self.ports_of(Direction::Ingress, Match::Yes))
    }

    /// The ports of the destination that one direction allows; with `Match::Unknown` also those that it may.
    pub(crate) fn ports_of(&self, direction: Direction, least: Match) -> Ports {
        let Some(side) = self.side(direction).filter(|side| !self.free && !side.policies.is_empty()) else {
            return Ports::all();
        };
        let peer = self.peer(direction);
        let mut ports = Ports::default();
        for rule in &side.rules {
            let held = rule.peers.holds(peer);
            if held == Match::Yes || held == least {
                rule.add_ports(self.ports, &mut ports);
            }
        }
        ports
    }
}

impl Rule {
    /// Adds every port that the rule means at a destination with these named ports.
    pub(crate) fn add_ports(&self, destination: &[ClassPort], ports: &mut Ports) {
        match &self.ports {
            RulePorts::Any => *ports = Ports::all(),
            RulePorts::Listed(items) => {
                let mut add = |protocol, range: PortRange| ports.insert(protocol, range);
                items.iter().for_each(|item| item.each(destination, &mut add));
            }
        }
    }
}

impl Peers {
    pub(crate) fn holds(&self, peer: Peer) -> Match {
        let Self::Listed { classes, blocks, .. } = self else {
            return Match::Yes;
        };
        if peer.class.is_some_and(|class| classes.contains(class)) {
            return Match::Yes;
        }
        match peer.ip {
            None if !blocks.is_empty() => Match::Unknown,
            Some(ip) if blocks.iter().any(|block| block.contains(ip)) => Match::Yes,
            _ => Match::No,
        }
    }
}
