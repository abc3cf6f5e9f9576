//! Flows joined to workloads: the dependency graph's one unit. An attempt is never an edge.

use std::collections::BTreeSet;

use crate::flow::{Basis, Outcome};
use crate::identity::{Endpoint, ServiceName};
use crate::net::Protocol;
use crate::time::{Hour, Time};

mod contested;
mod join;
mod node_port;
mod table;
#[cfg(test)]
mod tests;
mod translate;
mod witness;

pub use join::{join, try_join};
pub use node_port::NodePort;

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
    /// As the end that saw more of them counted.
    pub connections: u64,
    /// Payload from the source to the destination, and back, likewise.
    pub bytes_sent: u64,
    pub bytes_received: u64,
    /// The hours it was seen in.
    pub hours: BTreeSet<Hour>,
    pub first: Time,
    pub last: Time,
    pub basis: Basis,
    /// UDP towards a node or an external address with no answer seen.
    pub unconfirmed: bool,
    /// A node and none but its own pods: a kubelet's probe, which no policy can deny.
    pub own_node: bool,
    /// The ports of nodes that its clients dialled, by node, port and Service.
    pub node_ports: Vec<NodePort>,
}

/// What was tried and never came up, or was sent and never answered. Never an edge: a blocked sender must not
/// become an allow rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    pub key: EdgeKey,
    /// Never `Established`.
    pub outcome: Outcome,
    pub via: BTreeSet<ServiceName>,
    pub connections: u64,
    pub hours: BTreeSet<Hour>,
    pub first: Time,
    pub last: Time,
}

/// Why something seen is not taken for an edge, or not at its face value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DoubtReason {
    /// A connection older than the agent: the local end is the client only if the other end agrees. No edge.
    RoleUnconfirmed,
    /// UDP from a client to an ephemeral port that no server witnessed: an answer from a fresh socket. No edge.
    EphemeralPort,
    /// A mesh sidecar's port, and no client's record tells the true one. The edge is kept with that port.
    MeshPort,
}

impl DoubtReason {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RoleUnconfirmed => {
                "role of a connection older than the agent not confirmed by the other end"
            }
            Self::EphemeralPort => "UDP to an ephemeral port, not confirmed by the server",
            Self::MeshPort => "port of a mesh sidecar, true port not known",
        }
    }
}

/// Something seen and not believed as it stands; a gap for whoever judges the edges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doubt {
    pub key: EdgeKey,
    pub reason: DoubtReason,
    pub connections: u64,
    pub hours: BTreeSet<Hour>,
    pub first: Time,
    pub last: Time,
}

/// Flows that are no edge between two ends, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Loopback, or an address talking to itself.
    pub own: u64,
    /// Multicast and broadcast are no pod's.
    pub multicast: u64,
}

/// All flows of the window, joined. Each list is sorted by key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Joined {
    pub edges: Vec<Edge>,
    pub attempts: Vec<Attempt>,
    pub doubts: Vec<Doubt>,
    pub left_out: LeftOut,
    /// Flows in the window.
    pub flows: u64,
}
