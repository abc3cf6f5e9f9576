//! Flows joined to workloads: the dependency graph's one unit. An attempt is never an edge.

use std::collections::BTreeSet;

use crate::flow::Basis;
use crate::identity::{Endpoint, ServiceName};
use crate::net::Protocol;
use crate::time::{Hour, Time};

/// Who talks to whom, on the server pod's own port (after DNAT).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EdgeKey {
    pub source: Endpoint,
    pub destination: Endpoint,
    pub port: u16,
    pub protocol: Protocol,
}

/// Which ends saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Witness {
    Client,
    Server,
    Both,
}

/// An observed dependency and its evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge {
    pub key: EdgeKey,
    pub witness: Witness,
    /// The Services that were translated on the way, sorted.
    pub via: BTreeSet<ServiceName>,
    pub connections: u64,
    /// The hours it was seen in.
    pub hours: BTreeSet<Hour>,
    pub first: Time,
    pub last: Time,
    pub basis: Basis,
    /// UDP towards a node or an external address with no answer seen.
    pub unconfirmed: bool,
}
