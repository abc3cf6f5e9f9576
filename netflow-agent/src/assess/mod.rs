//! How sure the picture is. In: edges with the hours they were seen in, what was watched, what ran. Out: per
//! workload and in total the figures and one verdict in words.
//!
//! Hours are the samples, not connections: traffic is bursty, and a thousand connections of one minute are one
//! sighting. Two figures stand beside each verdict and never decide it alone, because both take hours to be
//! alike and independent, which daily and weekly jobs are not:
//! - the rule of three: after `m` hours without a new edge, new edges come at most at 3/m an hour (95 %);
//! - Chao2: a lower bound for the number of edges that were not seen, with its 95 % interval.
//!
//! What decides is in `verdict`: two whole weeks watched, nothing lost, every job seen twice, quiet since half
//! of the time, outside addresses quiet for the last quarter; and a check of these very rules on the first half
//! of the window against the second: where they would have been wrong too often, nothing is called ready.

use std::collections::BTreeSet;

use crate::identity::WorkloadName;
use crate::time::{Hour, Time};

pub mod backtest;
mod coverage;
mod period;
#[cfg(test)]
mod tests;
mod unseen;
mod verdict;

pub use coverage::histories;
pub use period::longest_seconds;
pub use unseen::{Unseen, chao2, rule_of_three};
pub use verdict::{HalfTime, Verdict, assess};

/// When one edge of a workload was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sightings {
    /// Never empty.
    pub hours: BTreeSet<Hour>,
    /// The other end is an address outside the cluster.
    pub external: bool,
}

impl Sightings {
    /// The hour in which it was new.
    pub fn first(&self) -> Option<Hour> {
        self.hours.first().copied()
    }
}

/// A CronJob and the longest time between two of its runs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Job {
    pub seconds: i64,
    /// `CronJob namespace/name`.
    pub name: String,
}

/// What the window shows of one workload, or of all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// None: the whole window.
    pub workload: Option<WorkloadName>,
    pub edges: Vec<Sightings>,
    /// Hours in which every node that ran it was watched for at least half of the time.
    pub watched: BTreeSet<Hour>,
    /// Hours in which it ran, or may have run, and that does not hold.
    pub missed: BTreeSet<Hour>,
    /// Flows lost on the nodes that ran it.
    pub lost: u64,
    /// The CronJob with the longest period that is part of it.
    pub job: Option<Job>,
    /// Why no window can show it, if so.
    pub obstacle: Option<String>,
}

/// What is known of one workload's completeness, or of all.
#[derive(Clone, Debug, PartialEq)]
pub struct Assessment {
    pub workload: Option<WorkloadName>,
    pub n_edges: usize,
    pub hours_watched: usize,
    pub hours_missed: usize,
    pub lost: u64,
    /// The hour in which the newest of its edges was first seen.
    pub last_new: Option<Hour>,
    /// Watched hours since then.
    pub quiet_hours: usize,
    /// New edges an hour, at most, at 95 %; nothing where no hour was watched since.
    pub new_an_hour: Option<f64>,
    pub unseen: Unseen,
    pub job: Option<Job>,
    pub verdict: Verdict,
}

/// The start of the first hour and the end of the last.
fn span(hours: &BTreeSet<Hour>) -> Option<(Time, Time)> {
    Some((hours.first()?.start(), hours.last()?.end()))
}
