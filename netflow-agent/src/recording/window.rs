//! Which span of time is asked for, and how much of it was observed. In: a recording, `--since` and
//! `--until`. Out: the window, and per node and hour the seconds observed and what was lost.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Flows, Observed, Recording};
use crate::flow::Coverage;
use crate::manifest::Object;
use crate::time::{Hour, Moment, Time, Window};

const HOUR: u32 = 3_600;
/// Drains do not fall on the hour.
const MINUTE: u32 = 60;

/// The window of a recording: durations count back from the end of the last covered hour, or without
/// coverage from the latest `last`; what is not given does not bound.
pub fn resolve(recording: &Recording, since: Option<Moment>, until: Option<Moment>) -> Window {
    let Ok(window) = try_resolve(recording, since, until);
    window
}

/// The same, wherever the flows are.
pub fn try_resolve<F: Flows>(
    recording: &Recording<F>,
    since: Option<Moment>,
    until: Option<Moment>,
) -> Result<Window, F::Fault> {
    let end = end(recording)?;
    Ok(Window {
        from: since.map_or(Time::MIN, |since| since.resolve(end)),
        to: until.map_or(Time::MAX, |until| until.resolve(end)),
    })
}

/// Where the recording ends.
fn end<F: Flows>(recording: &Recording<F>) -> Result<Time, F::Fault> {
    let covered =
        recording.coverage.iter().filter(|line| line.observed_seconds > 0).map(|line| line.hour.end()).max();
    if let Some(end) = covered {
        return Ok(end);
    }
    let mut latest = None;
    recording.flows.each(&mut |flow| latest = latest.max(Some(flow.counters.last)))?;
    Ok(latest.unwrap_or(Time::MAX))
}

/// What one node's agent watched in the window.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeCoverage {
    /// Hour -> seconds in which the hooks were attached and drained. An hour that is not here was not observed.
    pub hours: BTreeMap<Hour, u32>,
    /// Hour -> seconds of these in which nothing was heard of pods and Services.
    pub unheard: BTreeMap<Hour, u32>,
    /// Cause -> flows lost.
    pub lost: BTreeMap<Arc<str>, u64>,
    /// Hours of the summary in which this node says nothing.
    pub missing: BTreeSet<Hour>,
    /// Hours of which it watched a part only -> the seconds that there were to watch.
    pub partial: BTreeMap<Hour, u32>,
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
        let Ok(summary) = Self::try_of(recording, window);
        summary
    }

    /// The same, wherever the flows are.
    pub fn try_of<F: Flows>(recording: &Recording<F>, window: Window) -> Result<Self, F::Fault> {
        let mut seen: BTreeMap<Arc<str>, (Time, Time)> = BTreeMap::new();
        recording.flows.each(&mut |flow| {
            let (first, last) = (flow.counters.first, flow.counters.last);
            if !window.meets(first, last) {
                return;
            }
            match seen.get_mut(&flow.key.node) {
                Some(span) => *span = (span.0.min(first), span.1.max(last)),
                None => drop(seen.insert(Arc::clone(&flow.key.node), (first, last))),
            }
        })?;
        let first = seen.values().map(|(first, _)| *first).min();
        let last = seen.values().map(|(_, last)| *last).max();
        let span = first.zip(last);
        let mut summary = Self { assumed: recording.coverage.is_empty(), ..Self::default() };
        if summary.assumed {
            summary.assume(seen.into_keys(), span, window);
            return Ok(summary);
        }
        summary.add_covered(&recording.coverage, window);
        for name in seen.keys() {
            summary.add_node(name);
        }
        summary.add_known_nodes(&recording.objects, window);
        summary.bound(window, span, &Lives::of(&recording.objects));
        Ok(summary)
    }

    fn add_covered(&mut self, lines: &[Coverage], window: Window) {
        for line in lines {
            // An hour holds its start and not its end.
            if !window.meets(line.hour.start(), before(line.hour.end())) {
                continue;
            }
            let node = self.nodes.entry(Arc::clone(&line.node)).or_default();
            if line.observed_seconds > 0 {
                let seconds = node.hours.entry(line.hour).or_default();
                *seconds = seconds.saturating_add(line.observed_seconds).min(HOUR);
            }
            if line.unheard_seconds > 0 {
                let seconds = node.unheard.entry(line.hour).or_default();
                *seconds = seconds.saturating_add(line.unheard_seconds).min(HOUR);
            }
            for (cause, lost) in &line.lost {
                let total = node.lost.entry(Arc::clone(cause)).or_default();
                *total = total.saturating_add(*lost);
            }
        }
    }

    /// Every node watched every hour of the span, each to the minute, and lost nothing. Coverage that is assumed
    /// is taken as full; where nothing at all was observed nothing is complete.
    pub fn is_complete(&self) -> bool {
        let whole = |node: &NodeCoverage| {
            node.missing.is_empty() && node.partial.is_empty() && node.lost.values().all(|lost| *lost == 0)
        };
        self.span.is_some() && self.nodes.values().all(whole)
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

    fn assume(&mut self, names: impl Iterator<Item = Arc<str>>, flows: Option<(Time, Time)>, window: Window) {
        self.span = flows.map(|(from, to)| (from.max(window.from), to.min(window.to)));
        let hours = self.hours();
        for name in names {
            let hours = hours.iter().map(|hour| (*hour, HOUR)).collect();
            self.nodes.insert(name, NodeCoverage { hours, ..NodeCoverage::default() });
        }
    }

    fn add_known_nodes(&mut self, objects: &[Observed], window: Window) {
        for observed in objects {
            if !window.meets(observed.from.unwrap_or(Time::MIN), observed.to.unwrap_or(Time::MAX)) {
                continue;
            }
            match &*observed.object {
                Object::Node(node) => self.add_node(&node.meta.name),
                Object::Pod(pod) => pod.node.iter().for_each(|name| self.add_node(name)),
                Object::EndpointSlice(slice) => {
                    slice
                        .endpoints
                        .iter()
                        .filter_map(|one| one.node.as_ref())
                        .for_each(|name| self.add_node(name));
                }
                _ => {}
            }
        }
    }

    fn add_node(&mut self, name: &Arc<str>) {
        if !self.nodes.contains_key(name) {
            self.nodes.insert(Arc::clone(name), NodeCoverage::default());
        }
    }

    fn bound(&mut self, window: Window, flows: Option<(Time, Time)>, lives: &Lives<'_>) {
        let covered = || self.nodes.values().flat_map(|node| node.hours.keys());
        let (Some(first), Some(last)) = (covered().min(), covered().max()) else { return };
        let from = if window.from == Time::MIN { first.start() } else { window.from };
        let to = if window.to == Time::MAX { last.end() } else { window.to };
        self.span = Some((from, to));
        let hours = self.hours();
        let seconds: BTreeMap<Hour, u32> =
            hours.iter().map(|hour| (*hour, self.seconds_of(*hour, window, flows))).collect();
        for (name, node) in &mut self.nodes {
            let was_there = |hour: &Hour| lives.meet(name, *hour);
            // A window that ends with an hour's first seconds asks nothing of that hour.
            let due = |hour: &Hour| node.hours.is_empty() || seconds[hour] > MINUTE;
            node.missing = hours
                .iter()
                .filter(|hour| !node.hours.contains_key(hour) && was_there(hour) && due(hour))
                .copied()
                .collect();
            let cut = node.hours.iter().filter(|(hour, watched)| {
                seconds.get(hour).is_some_and(|all| lives.inside(name, **hour) && **watched + MINUTE < *all)
            });
            node.partial = cut.map(|(hour, _)| (*hour, seconds[hour])).collect();
        }
    }

    /// The seconds of an hour that there were to watch. Where the window has no bound of its own, the first hour
    /// begins and the last one ends with what is known of it: by the node that watched longest, and by flows.
    fn seconds_of(&self, hour: Hour, window: Window, flows: Option<(Time, Time)>) -> u32 {
        let Some((from, to)) = self.span else { return 0 };
        let best = self.nodes.values().filter_map(|node| node.hours.get(&hour)).max().copied().unwrap_or(0);
        let (start, end) = (hour.start(), hour.end());
        let (open, opens) = (
            window.to == Time::MAX && hour == before(to).hour(),
            window.from == Time::MIN && hour == from.hour(),
        );
        let (first, last) = flows.unwrap_or((end, start));
        let between = |from: Time, to: Time| {
            let seconds = to.min(end).seconds() - from.max(start).seconds();
            u32::try_from(seconds).unwrap_or(0)
        };
        match (opens, open) {
            (false, false) => between(from, to),
            (true, false) => between(start.max(from), to).min(best.max(between(first, to))),
            (false, true) => between(from, to).min(best.max(between(from, last))),
            (true, true) => best.max(between(first, last)),
        }
    }
}

/// When nodes were there, by what their objects say: nobody watches a node before it exists.
#[derive(Default)]
struct Lives<'r>(BTreeMap<&'r str, (Time, Time)>);

impl<'r> Lives<'r> {
    fn of(objects: &'r [Observed]) -> Self {
        let mut lives = BTreeMap::new();
        for observed in objects {
            if let Object::Node(node) = &*observed.object {
                let (from, to) = (node.meta.created.unwrap_or(Time::MIN), observed.to.unwrap_or(Time::MAX));
                let life = lives.entry(&*node.meta.name).or_insert((from, to));
                *life = (life.0.min(from), life.1.max(to));
            }
        }
        Self(lives)
    }

    fn meet(&self, name: &str, hour: Hour) -> bool {
        self.0.get(name).is_none_or(|(from, to)| *from < hour.end() && hour.start() <= *to)
    }

    /// All of the hour.
    fn inside(&self, name: &str, hour: Hour) -> bool {
        self.0.get(name).is_none_or(|(from, to)| *from <= hour.start() && hour.end() <= *to)
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
