//! Who held which address, when. In: Kubernetes objects with the times they were so. Out: the endpoint
//! behind an address in a span of time, or an explicit `Unknown` with its reason.

use std::net::IpAddr;
use std::sync::Arc;

use crate::manifest::WorkloadKind;

pub mod class;
pub mod ends;
mod history;
pub mod inventory;
pub mod lookup;
pub mod owner;
mod pod;
pub mod service;
#[cfg(test)]
mod tests;

pub use class::{Class, class};
pub use ends::{EndId, Ends};
pub use inventory::{Dated, Inventory, KnownPod};
pub use lookup::{Hold, Holder, Lookup};
pub use service::{Services, Target};

/// A workload: the topmost known owner of a pod, or the bare pod itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkloadName {
    pub namespace: Arc<str>,
    pub kind: WorkloadKind,
    pub name: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceName {
    pub namespace: Arc<str>,
    pub name: Arc<str>,
}

/// One end of an edge.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Endpoint {
    Workload(WorkloadName),
    /// A node's own address: host processes, kubelet, host-network pods.
    Node(Arc<str>),
    /// An address that no object of the cluster ever held.
    External(IpAddr),
    /// A Service whose backends are not known.
    Service(ServiceName),
    /// An address that may be the cluster's and whose holder is not known. Never guessed.
    Unknown {
        ip: IpAddr,
        reason: Arc<str>,
    },
}

/// Why an end is unknown.
pub const CHANGED_HANDS: &str = "address changed hands";
/// The cluster's address, and nobody is known to have held it then.
pub const NO_HOLDER: &str = "no known pod or node held this address then";
/// The agent named the pod by a UID that no object has.
pub const NO_POD: &str = "no object of this pod";
/// A link-local address says nothing beyond its link.
pub const LINK_LOCAL: &str = "link-local address";
