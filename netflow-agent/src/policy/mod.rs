//! From edges to a rule set that knows no dialect. In: edges, the inventory, options, the review. Out: one
//! policy per workload with the evidence of each rule, default denies, what was withheld and named gaps.
//! Every edge that is not withheld is allowed by the result, and nothing else but what is declared.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ipnet::IpNet;

use crate::edge::EdgeKey;
use crate::identity::WorkloadName;
use crate::manifest::Meta;
use crate::net::Direction;

pub mod cover;
pub mod evidence;
pub mod gap;
pub mod label;
pub mod name;
pub mod port;
pub mod selector;
pub mod words;

mod caller;
mod declare;
mod dns;
mod existing;
mod exposed;
mod gaps;
mod generate;
mod ledger;
mod node_port;
mod observed;
mod options;
mod scene;
mod score;
mod service_port;
mod sift;
#[cfg(test)]
mod tests;
mod today;

pub use caller::caller_gaps;
pub use evidence::{Evidence, Observed, Why};
pub use existing::existing_gaps;
pub use gap::{Gap, GapKind};
pub use generate::generate;
pub use observed::observed_gaps;
pub use options::{External, Nodes, Options};
pub use port::Port;
pub use score::{Counted, Score};
pub use selector::Selector;
pub use today::{Today, today};

/// The label by which our policies are known as ours.
pub const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "netflow");

/// Where clouds answer which rights a machine has.
pub const METADATA_SERVICE: std::net::IpAddr = sift::METADATA[0];

/// Whether an object was written by us.
pub fn is_ours(meta: &Meta) -> bool {
    meta.labels.get(MANAGED_BY.0).is_some_and(|value| &**value == MANAGED_BY.1)
}

/// An edge that is not allowed, and by whose will.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Withheld {
    /// Position among the edges.
    pub edge: usize,
    /// Only this way of it, to or from a node that was dialled; the edge itself is allowed.
    pub way: Option<EdgeKey>,
    pub reason: Arc<str>,
}

impl Withheld {
    /// Whether nothing of the edge is allowed.
    pub const fn is_whole(&self) -> bool {
        self.way.is_none()
    }
}

/// What to apply, and what it does not settle.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recommendation {
    /// Workload policies by namespace and name, then the default denies.
    pub policies: Vec<Policy>,
    /// Sorted by kind, subject and text.
    pub gaps: Vec<Gap>,
    pub withheld: Vec<Withheld>,
    /// Who is written for: workloads of subject namespaces that a policy can select.
    pub workloads: usize,
    /// Positions of edges with an end that nobody can name.
    pub not_judged: Vec<usize>,
    /// Positions of edges from a pod's own node.
    pub probes: Vec<usize>,
    /// Positions of entries of the review that met nothing.
    pub unused_entries: Vec<usize>,
    /// Gaps that the review lives with, counted by the position of the decision.
    pub accepted: BTreeMap<usize, usize>,
    pub score: Score,
    pub counted: Counted,
    /// Who has a node as a peer by its exact address, which nobody approved: the next node is not in it.
    pub by_node_address: BTreeSet<WorkloadName>,
}

/// Who a rule lets talk.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Peer {
    /// Pods; a namespace of `None` is the policy's own.
    Pods { namespace: Option<NamespaceLabel>, selector: Selector },
    /// Addresses.
    Block { cidr: IpNet, except: Vec<IpNet> },
}

/// The one label that names a namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NamespaceLabel {
    pub key: Arc<str>,
    pub value: Arc<str>,
}

/// These peers on these ports; all peers were seen on, or declared for, exactly these ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    pub direction: Direction,
    /// Sorted, never empty.
    pub peers: Vec<Peer>,
    /// Sorted, never empty.
    pub ports: Vec<Port>,
    /// Sorted by other end and port.
    pub evidence: Vec<Evidence>,
}

/// What one workload may do, or the default deny of a namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    pub namespace: Arc<str>,
    pub name: String,
    /// The workloads it selects: one, unless no label tells them apart; none for a default deny.
    pub workloads: Vec<WorkloadName>,
    pub selector: Selector,
    /// What it isolates.
    pub directions: Vec<Direction>,
    /// Ingress first, then by ports and peers.
    pub rules: Vec<Rule>,
}

impl Policy {
    pub fn is_default_deny(&self) -> bool {
        self.workloads.is_empty()
    }
}
