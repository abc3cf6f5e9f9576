//! Why a verdict is what it is. In: two ends of a compiled cluster and a port. Out: per direction the reason:
//! the rules that allow it, the policies that isolate and do not, or what no policy can change.

use std::net::IpAddr;

use super::cluster::Cluster;
use super::compile::{Peer as PeerItem, Peers, Rule, RulePorts};
use super::verdict::{self, Match, Model, Pair, Reading};
use super::{Judgement, Verdict};
use crate::net::{Direction, Protocol};

/// One way in which a rule allows a connection. Indices count from 0, in the policy as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleUse {
    /// Index in [`Cluster::policies`].
    pub policy: usize,
    pub direction: Direction,
    pub rule: usize,
    /// The item of `from` or `to`; None where the list is empty: anybody.
    pub peer: Option<usize>,
    /// The item of `ports`; None where the list is empty: any port.
    pub port: Option<usize>,
}

/// The reason of one direction's verdict.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// No policy can select this end.
    NotSelectable,
    /// No policy selects it in this direction.
    NotIsolated,
    /// A pod cannot be kept from its own address.
    Itself,
    /// A node always reaches its own pods.
    OwnNode,
    /// These rules allow it.
    Rules(Vec<RuleUse>),
    /// These policies isolate it, and no rule of theirs allows it.
    Isolated { policies: Vec<usize>, near: Vec<Near> },
    /// An `ipBlock` of these rules would, if the peer's address, which is not known, were in it.
    AddressUnknown(Vec<RuleUse>),
    /// Policies do not say what a Service's own address means.
    ServiceAddress,
}

/// A rule of the right direction that misses by its peers or by its ports alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Near {
    /// Index in [`Cluster::policies`].
    pub policy: usize,
    pub rule: usize,
    pub misses: Misses,
}

/// What keeps a near rule from allowing the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Misses {
    Peer,
    Port,
}

/// A verdict and, for each way to read the connection, the reasons of both directions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    pub pair: Pair,
    pub judgement: Judgement,
    /// Several where address families, or the models of the host network, are judged apart; equal ones once.
    pub readings: Vec<Reasons>,
}

/// The reasons of one reading.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reasons {
    /// The addresses it was read with, where rules name addresses; of equal readings the first.
    pub from: Option<IpAddr>,
    pub to: Option<IpAddr>,
    pub model: Option<Model>,
    pub ingress: (Verdict, Why),
    pub egress: (Verdict, Why),
}

pub(super) fn explain(cluster: &Cluster, pair: Pair, port: u16, protocol: Protocol) -> Explanation {
    let judgement = verdict::judge(cluster, pair, port, protocol);
    let mut readings: Vec<Reasons> = Vec::new();
    verdict::readings(cluster, pair, &mut |reading| {
        let reasons = Reasons {
            from: reading.from.ip,
            to: reading.to.ip,
            model: reading.model,
            ingress: reason(&reading, pair, Direction::Ingress, port, protocol),
            egress: reason(&reading, pair, Direction::Egress, port, protocol),
        };
        let same = |kept: &Reasons| kept.ingress == reasons.ingress && kept.egress == reasons.egress;
        if !readings.iter().any(same) {
            readings.push(reasons);
        }
    });
    if readings.is_empty() {
        let unsaid = (Verdict::Undefined, Why::ServiceAddress);
        let (ingress, egress) = (unsaid.clone(), unsaid);
        readings.push(Reasons { from: None, to: None, model: None, ingress, egress });
    }
    Explanation { pair, judgement, readings }
}

fn reason(
    reading: &Reading<'_>,
    pair: Pair,
    direction: Direction,
    port: u16,
    protocol: Protocol,
) -> (Verdict, Why) {
    let verdict = reading.verdict(direction, port, protocol);
    let why = match reading.side(direction) {
        _ if reading.free && pair.same_pod() => Why::Itself,
        _ if reading.free => Why::OwnNode,
        None => Why::NotSelectable,
        Some(side) if side.policies.is_empty() => Why::NotIsolated,
        Some(side) => match verdict {
            Verdict::Allowed => Why::Rules(matching(reading, direction, port, protocol, Match::Yes)),
            Verdict::Undefined => {
                Why::AddressUnknown(matching(reading, direction, port, protocol, Match::Unknown))
            }
            Verdict::Denied => Why::Isolated {
                policies: side.policies.iter().map(|&policy| policy as usize).collect(),
                near: near(reading, direction, port, protocol),
            },
        },
    };
    (verdict, why)
}

fn near(reading: &Reading<'_>, direction: Direction, port: u16, protocol: Protocol) -> Vec<Near> {
    let rules = reading.side(direction).into_iter().flat_map(|side| &side.rules);
    rules
        .filter_map(|rule| {
            let holds = rule.peers.holds(reading.peer(direction)) == Match::Yes;
            let misses = match (holds, rule.ports.contains(protocol, port, reading.ports)) {
                (true, false) => Misses::Port,
                (false, true) => Misses::Peer,
                _ => return None,
            };
            Some(Near { policy: rule.policy as usize, rule: rule.index as usize, misses })
        })
        .collect()
}

pub(super) fn uses(cluster: &Cluster, pair: Pair, port: u16, protocol: Protocol) -> Vec<RuleUse> {
    let mut found = Vec::new();
    verdict::readings(cluster, pair, &mut |reading| {
        for direction in Direction::BOTH {
            if !reading.free {
                found.extend(matching(&reading, direction, port, protocol, Match::Yes));
            }
        }
    });
    found.sort_unstable();
    found.dedup();
    found
}

/// Every rule of a direction that matches the port, and the peer in this manner.
fn matching(
    reading: &Reading<'_>,
    direction: Direction,
    port: u16,
    protocol: Protocol,
    manner: Match,
) -> Vec<RuleUse> {
    let mut found = Vec::new();
    for rule in reading.side(direction).into_iter().flat_map(|side| &side.rules) {
        for peer in peers(rule, reading, direction, manner) {
            for port in ports(rule, reading, port, protocol) {
                found.push(RuleUse {
                    policy: rule.policy as usize,
                    direction,
                    rule: rule.index as usize,
                    peer,
                    port,
                });
            }
        }
    }
    found
}

fn peers(rule: &Rule, reading: &Reading<'_>, direction: Direction, manner: Match) -> Vec<Option<usize>> {
    let Peers::Listed { items, .. } = &rule.peers else {
        return if manner == Match::Yes { vec![None] } else { Vec::new() };
    };
    let peer = reading.peer(direction);
    let held = |item: &PeerItem| match (item, peer.ip) {
        (PeerItem::Classes(classes), _) if peer.class.is_some_and(|class| classes.contains(class)) => {
            Match::Yes
        }
        (PeerItem::Block(_), None) => Match::Unknown,
        (PeerItem::Block(block), Some(ip)) if block.contains(ip) => Match::Yes,
        _ => Match::No,
    };
    (0..).zip(items).filter(|(_, item)| held(item) == manner).map(|(at, _)| Some(at)).collect()
}

fn ports(rule: &Rule, reading: &Reading<'_>, port: u16, protocol: Protocol) -> Vec<Option<usize>> {
    match &rule.ports {
        RulePorts::Any => vec![None],
        RulePorts::Listed(items) => (0..)
            .zip(items)
            .filter(|(_, item)| item.contains(protocol, port, reading.ports))
            .map(|(at, _)| Some(at))
            .collect(),
    }
}
