//! What each group of workloads must be allowed, before it becomes rules. In: peers, ports, evidence. Out:
//! the same, sorted, one entry per group, direction, peer and port.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::evidence::{Evidence, Why};
use super::port::Port;
use super::scene::GroupId;
use crate::net::Direction;

/// A peer before it is spelled.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum PeerKey {
    Group(GroupId),
    /// All pods of a namespace.
    Namespace(Arc<str>),
    Node(Arc<str>),
    /// An address outside, covered with others of its ports.
    Address(IpAddr),
    /// A range that stands as it is.
    Range(IpNet),
    /// Any address of a family that is no pod's.
    Anywhere {
        v6: bool,
    },
}

/// Ports of one peer, with the reasons.
pub(super) type Ports = BTreeMap<Port, Vec<Evidence>>;

/// What one group may do.
#[derive(Clone, Debug, Default)]
pub(super) struct Demands {
    ingress: BTreeMap<PeerKey, Ports>,
    egress: BTreeMap<PeerKey, Ports>,
}

impl Demands {
    pub(super) fn of(&self, direction: Direction) -> &BTreeMap<PeerKey, Ports> {
        match direction {
            Direction::Ingress => &self.ingress,
            Direction::Egress => &self.egress,
        }
    }
}

/// All demands.
#[derive(Clone, Debug, Default)]
pub(super) struct Ledger {
    pub(super) subjects: BTreeMap<GroupId, Demands>,
}

impl Ledger {
    pub(super) fn add(&mut self, subject: &GroupId, direction: Direction, peer: PeerKey, evidence: Evidence) {
        let demands = match self.subjects.get_mut(subject) {
            Some(demands) => demands,
            None => self.subjects.entry(subject.clone()).or_default(),
        };
        let side = match direction {
            Direction::Ingress => &mut demands.ingress,
            Direction::Egress => &mut demands.egress,
        };
        let reasons = side.entry(peer).or_default().entry(evidence.port).or_default();
        let merged =
            reasons.iter_mut().find(|known| known.other == evidence.other).is_some_and(|known| {
                match (&mut known.why, &evidence.why) {
                    (Why::Observed(known), Why::Observed(new)) => {
                        *known = known.and(new);
                        true
                    }
                    (_, Why::Declared(_)) => true,
                    (Why::Declared(_), Why::Observed(_)) => {
                        known.why = evidence.why.clone();
                        true
                    }
                }
            });
        if !merged {
            reasons.push(evidence);
        }
    }

    /// The groups that have anything to send.
    pub(super) fn senders(&self) -> BTreeSet<GroupId> {
        let sends = |demands: &Demands| !demands.egress.is_empty();
        self.subjects.iter().filter(|(_, demands)| sends(demands)).map(|(id, _)| id.clone()).collect()
    }
}
