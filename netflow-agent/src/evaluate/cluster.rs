//! Policies compiled for a snapshot, and the questions one may ask. In: two ends or parties, a port.
//! Out: judgements, the rules that were used, sets of ports. Answers do not depend on the order of policies.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Judgement;
use super::compile::Sides;
use super::end::{End, Party, SubjectId};
use super::explain::{self, Explanation, RuleUse};
use super::set::Ports;
use super::snapshot::Snapshot;
use super::verdict::{self, Pair};
use crate::edge::EdgeKey;
use crate::manifest::{NetworkPolicy, TargetPort};
use crate::net::{Direction, Protocol};

/// A snapshot under one set of policies. Cheap to make again with other policies.
#[derive(Debug)]
pub struct Cluster {
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) policies: Arc<[NetworkPolicy]>,
    pub(crate) sides: Sides,
}

impl Cluster {
    /// Policies may be defaulted or not. What an API server refuses matches nothing.
    pub fn compile(snapshot: Arc<Snapshot>, policies: impl Into<Arc<[NetworkPolicy]>>) -> Self {
        let policies = policies.into();
        let sides = Sides::new(&snapshot, &policies);
        Self { snapshot, policies, sides }
    }

    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// In the order they were given: what [`RuleUse::policy`] counts.
    pub fn policies(&self) -> &[NetworkPolicy] {
        &self.policies
    }

    /// The policies that select this pod or template in a direction, by index; none: it is not isolated.
    pub fn selecting(
        &self,
        subject: SubjectId,
        direction: Direction,
    ) -> impl ExactSizeIterator<Item = usize> + '_ {
        let class = self.snapshot.subject(subject).class;
        self.sides.of(class, direction).policies.iter().map(|&policy| policy as usize)
    }

    /// The verdict on a connection between two ends, to a port of the destination itself (after DNAT).
    pub fn judge(&self, from: End, to: End, port: u16, protocol: Protocol) -> Judgement {
        verdict::judge(self, Pair::new(from, to), port, protocol)
    }

    /// The verdict between two parties: what all their pods agree on, else undefined. A port name is that of
    /// each destination pod; where it has none of that name, all its ports must agree.
    pub fn between(&self, from: &Party, to: &Party, port: &TargetPort, protocol: Protocol) -> Judgement {
        let mut whole: Option<Judgement> = None;
        for pair in self.pairs(from, to) {
            let one = match port {
                TargetPort::Number(port) => verdict::judge(self, pair, *port, protocol),
                TargetPort::Name(name) => {
                    let ports = self.port_numbers(pair.to, name, protocol).into_iter();
                    ports
                        .map(|port| verdict::judge(self, pair, port, protocol))
                        .reduce(Judgement::agreed)
                        .unwrap_or_else(|| verdict::judge_any_port(self, pair, protocol))
                }
            };
            whole = Some(whole.map_or(one, |whole| whole.agreed(one)));
        }
        whole.unwrap_or(Judgement::UNDEFINED)
    }

    /// The verdict on every port at once: allowed if all ports of the protocol are, denied if none is.
    pub fn any_port(&self, from: &Party, to: &Party, protocol: Protocol) -> Judgement {
        let judged =
            self.pairs(from, to).into_iter().map(|pair| verdict::judge_any_port(self, pair, protocol));
        judged.reduce(Judgement::agreed).unwrap_or(Judgement::UNDEFINED)
    }

    /// The verdict on an edge: what all pods of both workloads agree on. None: an end cannot be judged
    /// (unknown, a Service without backends, or not in the snapshot).
    pub fn edge(&self, edge: &EdgeKey) -> Option<Judgement> {
        let from = self.snapshot.party(&edge.source)?;
        let to = self.snapshot.party(&edge.destination)?;
        Some(self.between(&from, &to, &TargetPort::Number(edge.port), edge.protocol))
    }

    /// Every rule that allows the connection, with the peer and port items that match it; in the order of
    /// policies. One connection may use several: a rule is needed when some edge uses it alone.
    pub fn uses(&self, from: End, to: End, port: u16, protocol: Protocol) -> Vec<RuleUse> {
        explain::uses(self, Pair::new(from, to), port, protocol)
    }

    /// The first rule of one direction that allows a connection between two pods or templates whose rules name
    /// no address.
    pub(crate) fn first_use(
        &self,
        from: SubjectId,
        to: SubjectId,
        direction: Direction,
        port: u16,
        protocol: Protocol,
    ) -> Option<RuleUse> {
        let [from, to] = [from, to].map(|id| self.snapshot.subject(id).class);
        let (own, other) = match direction {
            Direction::Ingress => (to, from),
            Direction::Egress => (from, to),
        };
        let ports = &self.snapshot.classes[to as usize].ports;
        let peer = verdict::Peer { class: Some(other), ip: None };
        let mut rules = self.sides.of(own, direction).rules.iter();
        let rule = rules.find(|rule| {
            rule.ports.contains(protocol, port, ports) && rule.peers.holds(peer) == verdict::Match::Yes
        })?;
        let (policy, rule) = (rule.policy as usize, rule.index as usize);
        Some(RuleUse { policy, direction, rule, peer: None, port: None })
    }

    /// As [`Self::uses`] for an edge: what any pair of its pods uses, sorted.
    pub fn edge_uses(&self, edge: &EdgeKey) -> BTreeSet<RuleUse> {
        let (Some(from), Some(to)) =
            (self.snapshot.party(&edge.source), self.snapshot.party(&edge.destination))
        else {
            return BTreeSet::new();
        };
        let pairs = self.pairs(&from, &to);
        pairs.into_iter().flat_map(|pair| explain::uses(self, pair, edge.port, edge.protocol)).collect()
    }

    /// The verdict between two parties with its reasons, one explanation for each pair of pods that policies
    /// can tell apart.
    pub fn explain(&self, from: &Party, to: &Party, port: u16, protocol: Protocol) -> Vec<Explanation> {
        let pairs = self.pairs(from, to).into_iter();
        pairs.map(|pair| explain::explain(self, pair, port, protocol)).collect()
    }

    /// All ports of `to` that `from` may reach. Ports whose verdict is undefined are not in it.
    pub fn ports(&self, from: End, to: End) -> Ports {
        verdict::ports(self, Pair::new(from, to))
    }

    /// As [`Self::ports`], for what every pair of their pods may reach.
    pub fn ports_between(&self, from: &Party, to: &Party) -> Ports {
        let ports = self.pairs(from, to).into_iter().map(|pair| verdict::ports(self, pair));
        ports.reduce(|whole, one| whole.intersection(&one)).unwrap_or_default()
    }

    /// The numbers behind a port name at a destination.
    pub fn port_numbers(&self, to: End, name: &str, protocol: Protocol) -> Vec<u16> {
        let (End::Subject { id, .. }, Some(name)) = (to, self.snapshot.words.get(name)) else {
            return Vec::new();
        };
        let class = &self.snapshot.classes[self.snapshot.subject(id).class as usize];
        let own = class.ports.iter().filter(|own| own.name == Some(name) && own.protocol == protocol);
        own.map(|own| own.port).collect()
    }

    /// The pairs of ends that policies can tell apart, in order.
    pub(super) fn pairs(&self, from: &Party, to: &Party) -> Vec<Pair> {
        let by_node = from.ends.iter().any(|end| !matches!(end, End::Subject { .. }));
        let (sources, destinations) = (self.distinct(from, false), self.distinct(to, by_node));
        let replicated = from.replicated && to.replicated;
        let mut pairs = Vec::new();
        for &from in &sources {
            for &to in &destinations {
                if !replicated || from != to {
                    pairs.push(Pair::new(from, to));
                }
            }
        }
        // One known pod of a workload that talks to itself: two of its kind are meant.
        if pairs.is_empty() {
            pairs.extend(sources.first().map(|&end| Pair { twins: true, ..Pair::new(end, end) }));
        }
        pairs
    }

    /// Pods that no policy can tell apart are there twice at most, since a workload's pods reach each other;
    /// `by_node` keeps those of different nodes.
    fn distinct(&self, party: &Party, by_node: bool) -> Vec<End> {
        let mut seen = BTreeSet::new();
        let mut kept = Vec::new();
        for &end in &party.ends {
            let End::Subject { id, ip: None } = end else {
                kept.push(end);
                continue;
            };
            let subject = self.snapshot.subject(id);
            let places: Vec<_> = subject.ips.iter().map(|ip| self.sides.space.place(*ip)).collect();
            let node = (by_node || subject.host_network).then_some(subject.node);
            let key = (subject.class, places, subject.host_network, node);
            if seen.insert((key.clone(), 0)) || seen.insert((key, 1)) {
                kept.push(end);
            }
        }
        kept
    }
}
