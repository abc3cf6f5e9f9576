//! Which span of time is asked for, and how much of it was observed. In: a recording, `--since` and
//! `--until`. Out: the window, and per node and hour the seconds observed and what was lost.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Recording;
use crate::manifest::Object;
use crate::time::{Hour, Moment, Time, Window};

/// The window of a recording: durations count back from the end of the last covered hour, or without
/// coverage from the latest `last`; what is not given does not bound.
pub fn resolve(recording: &Recording, since: Option<Moment>, until: Option<Moment>) -> Window {
    let end = end(recording);
    Window {
        from: since.map_or(Time::MIN, |since| since.resolve(end)),
        to: until.map_or(Time::MAX, |until| until.resolve(end)),
    }
}

/// Where the recording ends.
pub fn end(recording: &Recording) -> Time {
    let covered =
        recording.coverage.iter().filter(|line| line.observed_seconds > 0).map(|line| line.hour.end()).max();
    covered.or_else(|| recording.flows.iter().map(|flow| flow.counters.last).max()).unwrap_or(Time::MAX)
}

/// What one node's agent watched in the window.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeCoverage {
    /// Hour -> seconds in which the hooks were attached and drained. An hour that is not here was not observed.
    pub hours: BTreeMap<Hour, u32>,
    /// Cause -> flows lost.
    pub lost: BTreeMap<Arc<str>, u64>,
    /// Hours of the summary in which this node says nothing.
    pub missing: BTreeSet<Hour>,
}

/// What was watched in the window, by node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CoverageSummary {
    /// The recording has no coverage line: it is taken as fully covered from its first to its last flow.
    pub assumed: bool,
    /// From the first moment that anyone covered to the last, within the window.
    pub span: Option<(Time, Time)>,
    /// Every node that covered an hour, recorded a flow, or is known by its object or its pods.
    pub nodes: BTreeMap<Arc<str>, NodeCoverage>,
}

impl CoverageSummary {
    pub fn of(recording: &Recording, window: Window) -> Self {
        let mut summary = Self { assumed: recording.coverage.is_empty(), ..Self::default() };
        let in_window =
            recording.flows.iter().filter(|flow| window.meets(flow.counters.first, flow.counters.last));
        if summary.assumed {
            summary.assume(
                in_window.map(|flow| (&flow.key.node, flow.counters.first, flow.counters.last)),
                window,
            );
            return summary;
        }
        for line in &recording.coverage {
            // An hour holds its start and not its end.
            if !window.meets(line.hour.start(), before(line.hour.end())) {
                continue;
            }
            let node = summary.nodes.entry(Arc::clone(&line.node)).or_default();
            let seconds = node.hours.entry(line.hour).or_default();
            *seconds = seconds.saturating_add(line.observed_seconds).min(3_600);
            for (cause, lost) in &line.lost {
                let total = node.lost.entry(Arc::clone(cause)).or_default();
                *total = total.saturating_add(*lost);
            }
        }
        for flow in in_window {
            if !summary.nodes.contains_key(&flow.key.node) {
                summary.nodes.insert(Arc::clone(&flow.key.node), NodeCoverage::default());
            }
        }
        summary.add_known_nodes(recording, window);
        summary.bound(window);
        summary
    }

    /// Every node watched every hour of the span and lost nothing; an hour between the first and the last was
    /// watched to the minute. Coverage that is assumed is taken as full.
    pub fn is_complete(&self) -> bool {
        const MINUTE: u32 = 60;
        let Some((from, to)) = self.span else { return self.nodes.is_empty() };
        let (first, last) = (from.hour(), before(to).hour());
        self.nodes.values().all(|node| {
            let whole =
                |(hour, seconds): (&Hour, &u32)| *hour == first || *hour == last || seconds + MINUTE >= 3_600;
            node.missing.is_empty()
                && node.lost.values().all(|lost| *lost == 0)
                && node.hours.iter().all(whole)
        })
    }

    /// Node-hours observed, and node-hours that there were.
    pub fn node_hours(&self) -> (usize, usize) {
        let observed = self.nodes.values().map(|node| node.hours.len()).sum();
        let missing: usize = self.nodes.values().map(|node| node.missing.len()).sum();
        (observed, observed + missing)
    }

    /// Cause -> flows lost, over all nodes.
    pub fn lost(&self) -> BTreeMap<&str, u64> {
        let mut all: BTreeMap<&str, u64> = BTreeMap::new();
        for (cause, lost) in self.nodes.values().flat_map(|node| &node.lost).filter(|(_, lost)| **lost > 0) {
            let total = all.entry(cause).or_default();
            *total = total.saturating_add(*lost);
        }
        all
    }

    /// All hours of the span.
    pub fn hours(&self) -> BTreeSet<Hour> {
        let Some((from, to)) = self.span else { return BTreeSet::new() };
        hours_between(from, to)
    }

    fn assume<'a>(&mut self, flows: impl Iterator<Item = (&'a Arc<str>, Time, Time)>, window: Window) {
        let mut names: BTreeSet<&Arc<str>> = BTreeSet::new();
        for (node, first, last) in flows {
            names.insert(node);
            let (from, to) = self.span.unwrap_or((first, last));
            self.span = Some((from.min(first), to.max(last)));
        }
        self.span = self.span.map(|(from, to)| (from.max(window.from), to.min(window.to)));
        let hours = self.hours();
        for name in names {
            let node = NodeCoverage {
                hours: hours.iter().map(|hour| (*hour, 3_600)).collect(),
                ..NodeCoverage::default()
            };
            self.nodes.insert(Arc::clone(name), node);
        }
    }

    fn add_known_nodes(&mut self, recording: &Recording, window: Window) {
        for observed in &recording.objects {
            let alive = window.meets(observed.from.unwrap_or(Time::MIN), observed.to.unwrap_or(Time::MAX));
            let name = match &*observed.object {
                Object::Node(node) => Some(&node.meta.name),
                Object::Pod(pod) => pod.node.as_ref(),
                _ => None,
            };
            if let Some(name) = name.filter(|name| alive && !self.nodes.contains_key(*name)) {
                self.nodes.insert(Arc::clone(name), NodeCoverage::default());
            }
        }
    }

    fn bound(&mut self, window: Window) {
        let covered = || self.nodes.values().flat_map(|node| node.hours.keys());
        let (Some(first), Some(last)) = (covered().min(), covered().max()) else { return };
        let from = if window.from == Time::MIN { first.start() } else { window.from };
        let to = if window.to == Time::MAX { last.end() } else { window.to.min(last.end()) };
        self.span = Some((from, to));
        let hours = self.hours();
        for node in self.nodes.values_mut() {
            node.missing = hours.iter().filter(|hour| !node.hours.contains_key(hour)).copied().collect();
        }
    }
}

/// The hours that a span meets; a span that ends on the hour does not meet the hour that begins there.
fn hours_between(from: Time, to: Time) -> BTreeSet<Hour> {
    /// A year and a day: a window of centuries must not become a list of its hours.
    const MOST: i64 = 366 * 24;
    let first = from.hour().index();
    let last = if to > from { before(to).hour().index() } else { first };
    let first = first.max(last.saturating_sub(MOST));
    (first..=last).map(Hour::from_index).collect()
}

fn before(time: Time) -> Time {
    Time::from_milliseconds(time.milliseconds().saturating_sub(1))
}
