//! Who can reach whom, at workload level. In: a compiled cluster. Out: for each workload the ports that it may
//! reach on each other one, and the ranges of outside addresses that it may reach or be reached from.
//!
//! A pair is listed when some pod of the one may reach some pod of the other over some address family. Workloads
//! on the host network are not judged, and named. Pods without a known address are in no `ipBlock`.
//! The work grows with the pairs that are allowed, not with all pairs.

use crate::evaluate::{Cluster, Ports};
use crate::identity::WorkloadName;

mod external;
mod kind;
mod peers;
mod table;

pub use external::{Range, Ranges};
use kind::Kinds;
use table::{PortsId, Table};

/// The answer for a whole cluster. Workloads are numbered in the order of their names.
#[derive(Debug)]
pub struct Connectivity {
    workloads: Vec<WorkloadName>,
    host_network: Vec<WorkloadName>,
    table: Table,
    /// Per source: destination and ports, by ascending destination.
    rows: Vec<Vec<(u32, PortsId)>>,
    /// Per workload: from outside, to outside.
    outside: Vec<[Ranges; 2]>,
}

impl Connectivity {
    pub fn new(cluster: &Cluster) -> Self {
        let kinds = Kinds::new(cluster);
        let mut table = Table::default();
        let rows = peers::rows(cluster, &kinds, &mut table);
        let outside = external::of_workloads(cluster, &kinds);
        Self { workloads: kinds.workloads, host_network: kinds.host_network, table, rows, outside }
    }

    /// Those that are judged, in order: what sources and destinations count.
    pub fn workloads(&self) -> &[WorkloadName] {
        &self.workloads
    }

    /// Those on the host network, of which NetworkPolicy says nothing.
    pub fn host_network(&self) -> &[WorkloadName] {
        &self.host_network
    }

    /// What a workload may reach, by ascending destination. Itself means two of its pods; a bare pod is not
    /// listed as its own destination.
    pub fn from(&self, source: usize) -> impl ExactSizeIterator<Item = (usize, &Ports)> {
        let row = self.rows.get(source).map(Vec::as_slice).unwrap_or_default();
        row.iter().map(|&(destination, ports)| (destination as usize, self.table.get(ports)))
    }

    /// The ports that the source may reach on the destination, if any.
    pub fn between(&self, source: usize, destination: usize) -> Option<&Ports> {
        let row = self.rows.get(source)?;
        let at = row.binary_search_by_key(&destination, |entry| entry.0 as usize).ok()?;
        Some(self.table.get(row[at].1))
    }

    /// The outside addresses from which a workload may be reached.
    pub fn from_outside(&self, destination: usize) -> &Ranges {
        &self.outside[destination][0]
    }

    /// The outside addresses that a workload may reach.
    pub fn to_outside(&self, source: usize) -> &Ranges {
        &self.outside[source][1]
    }

    /// How many ordered pairs of workloads may talk.
    pub fn n_pairs(&self) -> usize {
        self.rows.iter().map(Vec::len).sum()
    }
}
