//! Why a rule is there. In: edges, and what was declared. Out: one piece of evidence per peer and port,
//! kept beside the rule and never part of its meaning.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::port::Port;
use crate::edge::{Edge, Witness};
use crate::flow::Basis;
use crate::identity::{Endpoint, ServiceName};
use crate::time::{Hour, Time};

/// One reason for one peer on one port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// The other end, as it was seen or declared.
    pub other: Endpoint,
    pub port: Port,
    pub why: Why,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    Observed(Observed),
    /// Allowed though not seen: what for, in words.
    Declared(Arc<str>),
}

/// What was seen of an edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    pub connections: u64,
    /// The hours it was seen in, ascending.
    pub hours: Arc<[Hour]>,
    pub first: Time,
    pub last: Time,
    pub witness: Witness,
    pub basis: Basis,
    /// UDP with no answer seen.
    pub unconfirmed: bool,
    pub via: Vec<ServiceName>,
}

impl From<&Edge> for Observed {
    fn from(edge: &Edge) -> Self {
        Self {
            connections: edge.connections,
            hours: edge.hours.iter().copied().collect(),
            first: edge.first,
            last: edge.last,
            witness: edge.witness,
            basis: edge.basis,
            unconfirmed: edge.unconfirmed,
            via: edge.via.iter().cloned().collect(),
        }
    }
}

impl Observed {
    /// The same conversations told of twice: no count is added.
    #[must_use]
    pub fn or(&self, other: &Self) -> Self {
        Self { connections: self.connections.max(other.connections), ..self.and(other) }
    }

    /// Two edges of one peer, port and direction in one line.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        let mut via = self.via.clone();
        via.extend(other.via.iter().cloned());
        via.sort();
        via.dedup();
        Self {
            connections: self.connections.saturating_add(other.connections),
            hours: if self.hours == other.hours {
                Arc::clone(&self.hours)
            } else {
                self.hours.iter().chain(&*other.hours).copied().collect::<BTreeSet<_>>().into_iter().collect()
            },
            first: self.first.min(other.first),
            last: self.last.max(other.last),
            witness: if self.witness == other.witness { self.witness } else { Witness::Both },
            basis: self.basis.min(other.basis),
            unconfirmed: self.unconfirmed && other.unconfirmed,
            via,
        }
    }
}
