//! All that the engine can be told, and all that it can answer.

use std::net::IpAddr;
use std::sync::Arc;

use crate::flow::sum::Span;
use crate::flow::{Coverage, Flow, FlowKey, Sample};
use crate::manifest::Object;
use crate::recording::Observed;
use crate::time::Time;

/// One thing that happened. The same sequence of inputs gives the same sequence of outputs.
#[derive(Clone, Debug)]
pub enum Input {
    Sample(Sample),
    /// Flows that were lost before they became samples, and why.
    Lost {
        cause: Arc<str>,
        flows: u64,
        at: Time,
    },
    Change(Box<Change>),
    /// The pod folders that the cgroup tree has now.
    Cgroups {
        folders: Vec<PodCgroup>,
        at: Time,
    },
    /// A drain is complete: the hooks were attached and drained in all of this span.
    Drained(Span),
    /// In all of this span the inventory could not be read; its drain is told of next.
    Unheard(Span),
    /// The wall clock was set back, to now.
    SetBack(SetBack),
    /// The store was lost under us: all that is still known is to be saved again.
    StoreLost,
    /// The last `Save` is on disk.
    Saved {
        at: Time,
    },
}

/// By how much the wall clock was set back, and what it says since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetBack {
    pub now: Time,
    pub milliseconds: i64,
}

impl SetBack {
    /// A time that was noted before, as the clock says it now: what lies ahead was noted by the old time.
    pub(super) fn of(self, noted: Time) -> Time {
        if noted <= self.now {
            return noted;
        }
        Time::from_milliseconds(noted.milliseconds().saturating_sub(self.milliseconds)).min(self.now)
    }
}

/// What the inventory learned. Events may come late and in any order; each carries its own time.
#[derive(Clone, Debug)]
pub enum Change {
    /// All objects of these kinds that there are at this time; others of these kinds are gone.
    Listed {
        kinds: Kinds,
        objects: Vec<Object>,
        at: Time,
    },
    Applied {
        object: Object,
        at: Time,
    },
    Deleted {
        object: Object,
        at: Time,
    },
    /// The default gateways of the agent's network namespace, and its own addresses. They are the gateways
    /// of this node's pods, and so the node's, unless the agent is on the node's own network.
    Gateways {
        ips: Vec<IpAddr>,
        seen_from: Vec<IpAddr>,
    },
}

impl Change {
    /// Nothing was heard later than now: what says so was dated by a clock that has been set back since.
    #[must_use]
    pub fn no_later_than(mut self, now: Time) -> Self {
        match &mut self {
            Self::Listed { at, .. } | Self::Applied { at, .. } | Self::Deleted { at, .. } => {
                *at = (*at).min(now);
            }
            Self::Gateways { .. } => {}
        }
        self
    }
}

/// Which kinds a list speaks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kinds {
    /// An inventory of manifests: all there is.
    All,
    /// A watch of one kind, as the API spells it.
    One(Arc<str>),
}

/// A folder of the cgroup tree that belongs to a pod: the pod's own, or one below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodCgroup {
    /// The id that the kernel gives with a socket: the folder's inode number.
    pub id: u64,
    /// The pod's UID, as the folder's name carries it.
    pub pod: Arc<str>,
    /// The kubepods folder above it: one per kubelet that has its pods on this kernel.
    pub tree: u64,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    Nothing,
    /// Write this, then answer `Saved`. When it cannot be written, do not: it comes again, grown.
    Save(Batch),
}

/// What the store has not seen yet, in a fixed order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    pub coverage: Vec<Coverage>,
    pub flows: Vec<Flow>,
    /// Rows of earlier batches that no longer hold: unanswered UDP that was answered in the same hour.
    pub answered: Vec<FlowKey>,
    /// Objects that came, changed or went: a version is known by its object and its `from`.
    pub objects: Vec<Observed>,
}

impl Batch {
    pub fn is_empty(&self) -> bool {
        self.coverage.is_empty() && self.flows.is_empty() && self.objects.is_empty()
    }
}
