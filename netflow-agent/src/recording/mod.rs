//! The one interchange format: JSON Lines of coverage, objects and flows. In: lines. Out: a `Recording`,
//! merged by the law of `flow`; and back, byte for byte the same for the same content.

use std::net::IpAddr;
use std::sync::Arc;

use crate::flow::{Coverage, Flow};
use crate::manifest::Object;
use crate::time::Time;

pub mod flows;
mod line;
pub mod merge;
pub mod object;
pub mod read;
pub mod row;
#[cfg(test)]
pub(crate) mod shelves;
pub mod spill;
#[cfg(test)]
mod tests;
pub mod window;
pub mod write;

pub use flows::Flows;
pub use merge::Merge;
pub use read::{Notes, ReadError, Reader, read};
pub use spill::{Spilling, Spilt};
pub use window::{CoverageSummary, NodeCoverage, resolve, try_resolve};
pub use write::{write, write_spilt};

/// A Kubernetes object and when it was so.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    pub from: Option<Time>,
    pub to: Option<Time>,
    /// On a Node: its pods' default gateways.
    pub gateways: Vec<IpAddr>,
    pub object: Arc<Object>,
}

/// What agents saw: flows and coverage merged, objects with their times. The order of each means nothing.
/// `F` is where the flows are kept.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recording<F = Vec<Flow>> {
    pub coverage: Vec<Coverage>,
    pub objects: Vec<Observed>,
    pub flows: F,
}
