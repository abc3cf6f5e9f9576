//! One verdict a workload, in words. In: its history. Out: ready, keep watching until, or not observable.

use std::collections::BTreeSet;
use std::fmt;

use super::unseen::{chao2, rule_of_three};
use super::{Assessment, History, Sightings, span};
use crate::time::{Hour, Time};

/// Two whole weeks: what runs weekly was then seen twice.
const LEAST_HOURS: usize = 14 * 24;
/// Of the hours it ran in, so many per cent may have gone unwatched.
const MISSED_PERCENT: usize = 2;
/// Of the workloads that looked ready at half-time, so many per cent may have shown a new edge since.
const WRONG_PERCENT: usize = 5;

/// Whether the window is enough for one workload. Of several reasons to wait the one that takes longest is first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Ready,
    /// With today's picture it cannot be ready earlier.
    KeepWatching {
        until: Time,
        because: String,
    },
    NotObservable {
        because: String,
    },
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready => f.write_str("ready"),
            Self::KeepWatching { until, because } => write!(f, "keep watching until {until}: {because}"),
            Self::NotObservable { because } => write!(f, "not observable because {because}"),
        }
    }
}

/// The rules, checked on the window itself: who looked ready at its middle, and of those, who then showed an
/// edge that was new.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HalfTime {
    pub looked_ready: usize,
    pub then_new: usize,
}

impl HalfTime {
    /// Whether the rules would have been wrong too often to be believed for the whole window.
    pub const fn refutes(self) -> bool {
        self.then_new * 100 > self.looked_ready * WRONG_PERCENT
    }
}

/// Each history's figures and verdict, in the order given, and the check of the rules.
pub fn assess(histories: &[History]) -> (Vec<Assessment>, HalfTime) {
    let half_time = half_time(histories);
    let mut assessments: Vec<Assessment> = histories.iter().map(|history| one(history, half_time)).collect();
    whole_is_not_readier(&mut assessments);
    (assessments, half_time)
}

/// The whole window is ready only where every workload is.
fn whole_is_not_readier(assessments: &mut [Assessment]) {
    let each = assessments.iter().filter(|one| one.workload.is_some());
    let not_ready: Vec<&Verdict> =
        each.map(|one| &one.verdict).filter(|verdict| **verdict != Verdict::Ready).collect();
    if not_ready.is_empty() {
        return;
    }
    let because = format!("{} of its workloads are not ready", not_ready.len());
    let latest = not_ready.iter().filter_map(|verdict| match verdict {
        Verdict::KeepWatching { until, .. } => Some(*until),
        Verdict::Ready | Verdict::NotObservable { .. } => None,
    });
    let verdict = match latest.max() {
        Some(until) => Verdict::KeepWatching { until, because },
        None => Verdict::NotObservable { because },
    };
    for whole in assessments.iter_mut().filter(|one| one.workload.is_none()) {
        if whole.verdict == Verdict::Ready {
            whole.verdict = verdict.clone();
        }
    }
}

fn one(history: &History, half_time: HalfTime) -> Assessment {
    let last_new = history.edges.iter().filter_map(Sightings::first).max();
    let quiet_hours = match last_new {
        Some(hour) => history.watched.iter().filter(|watched| **watched > hour).count(),
        None => history.watched.len(),
    };
    Assessment {
        workload: history.workload.clone(),
        n_edges: history.edges.len(),
        hours_watched: history.watched.len(),
        watched_seconds: history.watched_seconds,
        hours_missed: history.missed.len(),
        lost: history.lost,
        last_new,
        quiet_hours,
        new_an_hour: rule_of_three(quiet_hours),
        unseen: chao2(&history.edges, &history.watched),
        job: history.job.clone(),
        verdict: verdict(history, half_time),
    }
}

fn verdict(history: &History, half_time: HalfTime) -> Verdict {
    if let Some(because) = &history.obstacle {
        return Verdict::NotObservable { because: because.clone() };
    }
    let Some((begin, end)) = span(&history.watched) else {
        if let Some((_, end)) = span(&history.missed) {
            let until = end.plus_seconds(seconds(LEAST_HOURS));
            let because = format!(
                "watched for {} in all, and no hour for half of it: {LEAST_HOURS} hours are needed",
                duration(history.watched_seconds)
            );
            return Verdict::KeepWatching { until, because };
        }
        return Verdict::NotObservable { because: "no hour of it was watched".to_owned() };
    };
    let mut waits = waits(history, begin, end, LEAST_HOURS);
    if half_time.refutes() {
        let HalfTime { looked_ready, then_new } = half_time;
        let because = format!(
            "of {looked_ready} workloads that looked ready half-way, {then_new} then showed a new edge: this \
             cluster is not steady enough yet"
        );
        waits.push((after(end, begin, 1, 2), because));
    }
    waits.sort_by(|a, b| b.cmp(a));
    match (waits.first(), &history.unsettled) {
        (None, None) => Verdict::Ready,
        (None, Some(because)) => Verdict::NotObservable { because: because.clone() },
        (Some(&(until, _)), unsettled) => {
            let reasons: Vec<String> =
                waits.into_iter().map(|(_, because)| because).chain(unsettled.clone()).collect();
            Verdict::KeepWatching { until, because: reasons.join("; ") }
        }
    }
}

/// Every rule that is not met, with the moment from which on it could be.
fn waits(history: &History, begin: Time, end: Time, least_hours: usize) -> Vec<(Time, String)> {
    let mut waits = Vec::new();
    let watched = history.watched.len();
    if watched < least_hours {
        let because = format!("{watched} of {least_hours} hours watched");
        waits.push((end.plus_seconds(seconds(least_hours - watched)), because));
    }
    let fresh = end.plus_seconds(seconds(least_hours));
    if history.lost > 0 {
        waits.push((fresh, format!("{} flows were lost", history.lost)));
    }
    let missed = history.missed.len();
    if missed * 100 > (missed + watched) * MISSED_PERCENT {
        let hours = if missed == 1 { "1 hour" } else { &format!("{missed} hours") };
        waits.push((fresh, format!("{hours} in which it ran not watched")));
    }
    if let Some(job) = &history.job
        && begin.plus_seconds(job.seconds.saturating_mul(2)) > end
    {
        let because = job.to_string();
        waits.push((begin.plus_seconds(job.seconds.saturating_mul(2)), because));
    }
    let newest = |external| newest(&history.edges, external);
    if let Some(hour) = newest(true).filter(|hour| after(begin, hour.start(), 4, 3) > end) {
        let because = format!("a new outside address as late as {hour}");
        waits.push((after(begin, hour.start(), 4, 3), because));
    }
    if let Some(hour) = newest(true).max(newest(false)).filter(|hour| after(begin, hour.start(), 2, 1) > end)
    {
        waits.push((after(begin, hour.start(), 2, 1), format!("a new edge as late as {hour}")));
    }
    let unseen = chao2(&history.edges, &history.watched).estimate;
    if unseen >= 0.5 {
        let because = format!("about {unseen:.1} edges more are to be expected");
        waits.push((after(end, begin, 1, 4), because));
    }
    waits
}

/// The hour in which the newest edge was first seen.
fn newest(edges: &[Sightings], external: bool) -> Option<Hour> {
    edges.iter().filter(|edge| edge.external == external).filter_map(Sightings::first).max()
}

/// `from` and so many parts of the time between the two.
fn after(from: Time, other: Time, parts: i64, of: i64) -> Time {
    let between = (from.seconds() - other.seconds()).abs();
    from.plus_seconds(between.saturating_mul(parts) / of)
}

fn seconds(hours: usize) -> i64 {
    i64::try_from(hours).unwrap_or(i64::MAX).saturating_mul(3_600)
}

/// A time that was watched: hours, or what there is of one.
pub fn duration(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3_600),
    }
}

/// A period in days or hours.
pub fn words(seconds: i64) -> String {
    if seconds == i64::MAX {
        return "unknown".to_owned();
    }
    let hours = seconds / 3_600;
    let s = |count: i64| if count == 1 { "" } else { "s" };
    if hours % 24 == 0 {
        format!("{} day{}", hours / 24, s(hours / 24))
    } else {
        format!("{hours} hour{}", s(hours))
    }
}

/// Applies the rules to the first half of the window and looks for what was new in the second.
fn half_time(histories: &[History]) -> HalfTime {
    let mut found = HalfTime::default();
    for history in histories.iter().filter(|history| history.workload.is_some()) {
        let Some((begin, end)) = span(&history.watched) else { continue };
        let middle = Time::from_seconds(begin.seconds().midpoint(end.seconds())).hour();
        let first = until(history, middle);
        let Some((first_begin, first_end)) = span(&first.watched) else { continue };
        if history.obstacle.is_none() && waits(&first, first_begin, first_end, LEAST_HOURS / 2).is_empty() {
            found.looked_ready += 1;
            let new = |edge: &Sightings| edge.first().is_some_and(|hour| hour >= middle);
            found.then_new += usize::from(history.edges.iter().any(new));
        }
    }
    found
}

/// What it would have been before that hour.
fn until(history: &History, middle: Hour) -> History {
    let before = |hours: &BTreeSet<Hour>| hours.range(..middle).copied().collect::<BTreeSet<_>>();
    let edges = history
        .edges
        .iter()
        .map(|edge| Sightings { hours: before(&edge.hours), external: edge.external })
        .filter(|edge| !edge.hours.is_empty())
        .collect();
    History { edges, watched: before(&history.watched), missed: before(&history.missed), ..history.clone() }
}
