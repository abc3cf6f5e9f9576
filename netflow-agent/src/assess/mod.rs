//! How sure the picture is. In: edges with the hours they were seen in, what was watched, what ran. Out: per
//! workload and in total the figures and one verdict in words.
//!
//! Hours are the samples, not connections: traffic is bursty, and a thousand connections of one minute are one
//! sighting. Two figures stand beside each verdict and never decide it alone, because both take hours to be
//! alike and independent, which daily and weekly jobs are not:
//! - the rule of three: after `m` hours without a new edge, new edges come at most at 3/m an hour (95 %);
//! - Chao2: a lower bound for the number of edges that were not seen, with its 95 % interval. Of `m` watched hours
//!   and edges seen in one hour only (`Q1`) or in two (`Q2`): `(m - 1) / m * Q1 * (Q1 - 1) / (2 * (Q2 + 1))`.
//!
//! What decides is in `verdict`, and its words mean:
//! - *ready*: two whole weeks watched and not more than 2 % of the hours missed, nothing lost, every CronJob's period
//!   twice in the window, no new edge in the second half of the time and no new outside address in its last quarter
//!   (where that is stricter), less than half an edge still to be expected by Chao2, no node as a peer by its address
//!   alone; and the split check did not refute these rules: they are applied to the first half of the window, and
//!   where more than one in twenty of those that looked ready then met a new edge, nothing is called ready;
//! - *keep watching until*: with today's picture all of this cannot be so earlier;
//! - *not observable because*: no window shows it (host network, never ran), or a person must decide (nodes).

use std::collections::BTreeSet;

use crate::identity::WorkloadName;
use crate::time::{Hour, Time};

pub mod backtest;
mod coverage;
mod job;
mod period;
#[cfg(test)]
mod tests;
mod unseen;
mod verdict;

pub use coverage::histories;
pub use job::job_gaps;
pub use period::longest_seconds;
pub use unseen::{Unseen, chao2, rule_of_three};
pub use verdict::{HalfTime, Verdict, assess, duration, words as period_words};

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
    /// How long it was watched in all these hours, to the second.
    pub watched_seconds: u64,
    /// Flows lost on the nodes that ran it.
    pub lost: u64,
    /// The CronJob with the longest period that is part of it.
    pub job: Option<Job>,
    /// Why no window can show it, if so.
    pub obstacle: Option<String>,
    /// What no window settles, and a person can: not ready until then.
    pub unsettled: Option<String>,
}

/// What is known of one workload's completeness, or of all.
#[derive(Clone, Debug, PartialEq)]
pub struct Assessment {
    pub workload: Option<WorkloadName>,
    pub n_edges: usize,
    pub hours_watched: usize,
    pub watched_seconds: u64,
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
