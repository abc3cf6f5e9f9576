//! The one interchange format: JSON Lines of coverage, objects and flows. In: lines. Out: a `Recording`,
//! merged by the law of `flow`; and back, byte for byte the same for the same content.

use std::net::IpAddr;
use std::sync::Arc;

use crate::flow::{Coverage, Flow};
use crate::manifest::Object;
use crate::time::Time;

pub mod feed;
mod line;
pub mod merge;
pub mod object;
pub mod read;
#[cfg(test)]
mod tests;
pub mod window;
pub mod write;

pub use feed::Feed;
pub use merge::Merge;
pub use read::{Notes, ReadError, Reader, read};
pub use window::{CoverageSummary, NodeCoverage, resolve};
pub use write::write;

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
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recording {
    pub coverage: Vec<Coverage>,
    pub objects: Vec<Observed>,
    pub flows: Vec<Flow>,
}
