//! What NetworkPolicy v1 means. In: policies, and a [`Snapshot`] of pods, templates, namespaces and nodes.
//! Out: verdicts of three values, each with its deciding policies and rules. Total on any input.
//!
//! ```text
//! objects -> Snapshot::new -> Cluster::compile(snapshot, policies) -> judge | edge | ports | explain | uses
//! ```
//!
//! * An [`End`] is one pod, template, node or address; a [`Party`] is what a name stands for: one end, or all
//!   pods of a workload. `Snapshot::resolve` finds the party of a name that a person typed,
//!   `Snapshot::party` that of an [`Endpoint`](crate::identity::Endpoint).
//! * [`Cluster::judge`] is the verdict between two ends, [`Cluster::between`] between two parties,
//!   [`Cluster::edge`] on an observed edge: what all pods agree on, else undefined.
//! * [`Cluster::uses`] and [`Cluster::edge_uses`] say which rule, peer and port of which policy allowed it:
//!   what no edge uses is unused.
//! * [`Cluster::explain`] is the same for people, with the reason of a denial.
//! * [`Cluster::ports`] is the whole set of ports that one end may reach on another.

pub mod assertion;
pub mod batch;
pub mod block;
pub mod cluster;
pub mod end;
pub mod explain;
pub mod set;
pub mod snapshot;

pub(crate) mod class;
pub(crate) mod compile;
mod intern;
mod selector;
pub(crate) mod space;
pub(crate) mod verdict;

pub use cluster::Cluster;
pub use compile::{isolates, rules};
pub use end::{End, EndName, Party};
pub use explain::{Explanation, Misses, Near, Reasons, RuleUse, Why};
pub use set::{PortSet, Ports};
pub use snapshot::Snapshot;
pub use verdict::{Model, Pair};

/// What policies say of a connection, or of one direction of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    Allowed,
    Denied,
    /// NetworkPolicy leaves it to the implementation, or it hangs on what is not known (an address).
    Undefined,
}

impl Verdict {
    /// The spelling of the batch format.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Denied => "denied",
            Self::Undefined => "undefined",
        }
    }

    /// Both must allow: one denial denies whatever the other says.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Denied, _) | (_, Self::Denied) => Self::Denied,
            (Self::Allowed, Self::Allowed) => Self::Allowed,
            _ => Self::Undefined,
        }
    }

    /// Two readings of one question: what they do not agree on is undefined.
    #[must_use]
    pub fn agreed(self, other: Self) -> Self {
        if self == other { self } else { Self::Undefined }
    }
}

impl core::fmt::Display for Verdict {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.pad(self.as_str())
    }
}

/// The verdict on one connection: the destination's ingress, the source's egress, and both together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Judgement {
    pub ingress: Verdict,
    pub egress: Verdict,
    pub verdict: Verdict,
}

impl Judgement {
    pub const ALLOWED: Self = Self::new(Verdict::Allowed, Verdict::Allowed);
    pub const UNDEFINED: Self = Self::new(Verdict::Undefined, Verdict::Undefined);

    pub const fn new(ingress: Verdict, egress: Verdict) -> Self {
        Self { ingress, egress, verdict: ingress.and(egress) }
    }

    /// Two readings (address families, models of the host network, pods of a workload), column by column.
    #[must_use]
    pub fn agreed(self, other: Self) -> Self {
        Self {
            ingress: self.ingress.agreed(other.ingress),
            egress: self.egress.agreed(other.egress),
            verdict: self.verdict.agreed(other.verdict),
        }
    }
}
