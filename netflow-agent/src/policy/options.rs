//! What the caller decides: whom to write policies for, and how addresses are covered.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use crate::edge::EdgeKey;
use crate::identity::Endpoint;
use crate::manifest::cni::Cni;
use crate::net::Direction;
use crate::review::Review;

/// How a node's address becomes a peer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Nodes {
    /// Every address of each node that was seen.
    #[default]
    Exact,
    /// These ranges, whatever node was seen.
    Ranges(Vec<IpNet>),
    /// Any address that is no pod's.
    Any,
}

/// How addresses outside the cluster become peers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum External {
    /// The smallest cover of exactly the addresses seen.
    #[default]
    Exact,
    /// At most so many blocks for each set of ports, where the borders let it.
    Budget(usize),
    /// Any address that is no pod's.
    Any,
    /// Not allowed; the edges are withheld.
    None,
}

#[derive(Clone, Debug)]
pub struct Options {
    pub directions: Vec<Direction>,
    pub default_deny: bool,
    /// Namespaces that are peers only.
    pub peers_only: BTreeSet<Arc<str>>,
    /// Write for these alone; empty: for all.
    pub namespaces: BTreeSet<Arc<str>>,
    pub nodes: Nodes,
    pub external: External,
    pub drop_metadata: bool,
    /// Names a namespace where it is proven unique.
    pub namespace_label: Option<Arc<str>>,
    pub cni: Option<Cni>,
    pub review: Review,
}

impl Nodes {
    /// Whether an address of a node is a peer by itself alone: the next node is not in it.
    pub fn is_exact(&self, ip: IpAddr) -> bool {
        match self {
            Self::Exact => true,
            Self::Ranges(ranges) => !ranges.iter().any(|range| range.contains(&ip)),
            Self::Any => false,
        }
    }
}

impl Options {
    /// Namespaces of the cluster itself: peers only, unless asked for.
    pub const SYSTEM: [&'static str; 3] = ["kube-system", "kube-public", "kube-node-lease"];

    /// Whether policies are written for this namespace.
    pub fn is_subject(&self, namespace: &str) -> bool {
        !self.peers_only.contains(namespace)
            && (self.namespaces.is_empty() || self.namespaces.contains(namespace))
    }

    /// Whether an end is a workload that policies are written for.
    pub fn concerns(&self, key: &EdgeKey) -> bool {
        let subject =
            |end: &Endpoint| matches!(end, Endpoint::Workload(name) if self.is_subject(&name.namespace));
        subject(&key.source) || subject(&key.destination)
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            directions: Direction::BOTH.to_vec(),
            default_deny: true,
            peers_only: Self::SYSTEM.iter().map(|name| Arc::from(*name)).collect(),
            namespaces: BTreeSet::new(),
            nodes: Nodes::Exact,
            external: External::Exact,
            drop_metadata: false,
            namespace_label: None,
            cni: None,
            review: Review::default(),
        }
    }
}
