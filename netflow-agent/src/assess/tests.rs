//! Tables for the formulas and the verdicts, and the verdict's validation: clusters are simulated over two equal
//! windows; of the workloads called ready after the first, at most one in twenty may show a new edge in the second.

use std::collections::BTreeSet;

use super::verdict::Verdict;
use super::*;

/// A small generator of numbers with a seed: the same cases in each run.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: i64) -> i64 {
        i64::try_from(self.next() >> 1).expect("63 bits") % bound
    }
}

fn seen(hours: &[i64]) -> Sightings {
    Sightings { hours: hours.iter().copied().map(Hour::from_index).collect(), external: false }
}

fn hours(range: std::ops::Range<i64>) -> BTreeSet<Hour> {
    range.map(Hour::from_index).collect()
}

fn history(edges: Vec<Sightings>, n_hours: i64) -> History {
    let workload = WorkloadName {
        namespace: "shop".into(),
        kind: crate::manifest::WorkloadKind::Deployment,
        name: "web".into(),
    };
    History { workload: Some(workload), edges, watched: hours(0..n_hours), ..History::default() }
}

#[test]
fn chao2_agrees_with_the_formula_worked_by_hand() {
    let watched = hours(0..10);
    // Q1 = 3, Q2 = 1, m = 10: 0.9 * 3 * 2 / (2 * 2) = 1.35.
    let edges = [seen(&[1]), seen(&[2]), seen(&[3]), seen(&[1, 2]), seen(&[1, 2, 3, 4])];
    let unseen = chao2(&edges, &watched);
    assert!((unseen.estimate - 1.35).abs() < 1e-9, "{unseen:?}");
    assert!(unseen.low > 0.0 && unseen.low < 1.35 && unseen.high > 1.35, "{unseen:?}");
    // Nothing seen once: nothing to expect. An hour that was not watched is no sample.
    assert_eq!(chao2(&[seen(&[1, 2])], &watched), Unseen::default());
    assert_eq!(chao2(&[seen(&[70])], &watched), Unseen::default());
    assert_eq!(chao2(&[seen(&[1])], &BTreeSet::new()), Unseen::default());
}

#[test]
fn three_over_the_quiet_hours_bounds_the_rate() {
    assert_eq!(rule_of_three(0), None);
    assert_eq!(rule_of_three(300), Some(0.01));
}

/// The words of the verdict of one history, alone.
fn words(history: &History) -> String {
    assess(std::slice::from_ref(history)).0[0].verdict.to_string()
}

#[test]
fn each_rule_that_is_not_met_is_named() {
    let steady = || seen(&(0..336).collect::<Vec<_>>());
    let base = || history(vec![steady()], 336);
    assert_eq!(words(&base()), "ready");
    let outside = |hour: i64| Sightings { external: true, ..seen(&[hour, hour + 1]) };
    let job = |days: i64| Some(Job { seconds: days * 86_400, name: "CronJob shop/bill".into() });
    let cases = [
        (history(vec![steady()], 335), "335 of 336 hours watched"),
        (History { lost: 3, ..base() }, "3 flows were lost"),
        (History { missed: hours(336..346), ..base() }, "10 hours in which it ran not watched"),
        (History { job: job(8), ..base() }, "CronJob shop/bill runs every 8 days at the longest"),
        (history(vec![steady(), outside(260)], 336), "a new outside address as late as 1970-01-11T20:00:00Z"),
        (history(vec![steady(), seen(&[180])], 336), "a new edge as late as 1970-01-08T12:00:00Z"),
        (history(vec![steady(), seen(&[1]), seen(&[2]), seen(&[3])], 336), "about 3.0 edges more"),
        (history(vec![steady()], 0), "not observable because no hour of it was watched"),
        (
            History { missed: hours(0..1), watched_seconds: 5, ..history(vec![steady()], 0) },
            "keep watching until 1970-01-15T01:00:00Z: watched for 5 s in all, and no hour for half of it",
        ),
        (
            History { unsettled: Some("nodes come and go".into()), ..base() },
            "not observable because nodes come and go",
        ),
        (
            History { unsettled: Some("nodes come and go".into()), ..history(vec![steady()], 335) },
            "335 of 336 hours watched; nodes come and go",
        ),
        (History { obstacle: Some("it cannot be".into()), ..base() }, "not observable because it cannot be"),
    ];
    for (history, expected) in cases {
        let words = words(&history);
        assert!(words.contains(expected), "{words}");
    }
    assert_eq!(words(&History { job: job(7), ..base() }), "ready");
    assert_eq!(words(&history(vec![steady(), outside(160)], 336)), "ready");
}

#[test]
fn an_outside_set_that_grew_in_the_last_quarter_is_never_ready() {
    for hour in 252..336 {
        let edge = Sightings { external: true, ..seen(&[hour]) };
        assert!(!matches!(assess(&[history(vec![edge], 336)]).0[0].verdict, Verdict::Ready), "{hour}");
    }
}

#[test]
fn a_cluster_that_went_on_to_surprise_is_ready_nowhere() {
    let steady = || seen(&(0..800).collect::<Vec<_>>());
    let quiet = || history(vec![steady()], 800);
    let (assessments, half_time) = assess(&[quiet(), history(vec![steady(), seen(&[390])], 800)]);
    // The second had something new too late to look ready half-way, and nothing since.
    assert_eq!(half_time, HalfTime { looked_ready: 1, then_new: 0 });
    assert!(assessments.iter().all(|one| one.verdict == Verdict::Ready));
    let (assessments, half_time) = assess(&[quiet(), history(vec![steady(), seen(&[400])], 800)]);
    assert_eq!(half_time, HalfTime { looked_ready: 2, then_new: 1 });
    assert!(assessments.iter().all(|one| matches!(one.verdict, Verdict::KeepWatching { .. })));
}

/// The hours of one edge over two windows.
fn edge(dice: &mut Dice, n_hours: i64) -> Vec<i64> {
    const HALF_YEAR: i64 = 182 * 24;
    let phase = dice.below(HALF_YEAR);
    let every = |period| (0..n_hours).filter(|hour| (hour + phase) % period == 0).collect();
    match dice.below(20) {
        // Bursts of some hours, with pauses of an hour to three weeks between them.
        0..=9 => {
            let pause = 1 << dice.below(9);
            let mut hours = Vec::new();
            let mut hour = -dice.below(4 * pause);
            while hour < n_hours {
                let length = 1 + dice.below(4);
                hours.extend(hour..hour + length);
                hour += length + 1 + dice.below(2 * pause);
            }
            hours.retain(|hour| (0..n_hours).contains(hour));
            hours
        }
        10..=13 => every(24),
        14..=18 => every(7 * 24),
        // One-off, as far as any window shows.
        _ => every(HALF_YEAR),
    }
}

/// The edges of one workload over two windows. One in eight wanders: it meets someone new every few days.
fn workload(dice: &mut Dice, n_hours: i64) -> Vec<Vec<i64>> {
    let mut edges: Vec<_> = (0..=dice.below(4)).map(|_| edge(dice, n_hours)).collect();
    if dice.below(8) == 0 {
        let pause = 24 * (1 + dice.below(6));
        let mut hour = dice.below(2 * pause);
        while hour < n_hours {
            edges.push((hour..n_hours.min(hour + 3)).collect());
            hour += 1 + dice.below(2 * pause);
        }
    }
    edges
}

struct Found {
    workloads: usize,
    ready: usize,
    surprised: usize,
}

/// Many clusters over two equal windows, judged after the first by `is_ready`.
fn validate(is_ready: impl Fn(&Assessment) -> bool) -> Found {
    let mut dice = Dice(20_261_120);
    let mut found = Found { workloads: 0, ready: 0, surprised: 0 };
    for _ in 0..60 {
        let n_hours = (2 + dice.below(3)) * 7 * 24;
        let full: Vec<_> = (0..50).map(|_| workload(&mut dice, 2 * n_hours)).collect();
        let histories: Vec<_> = full
            .iter()
            .map(|edges| {
                let first = |hours: &Vec<i64>| {
                    seen(&hours.iter().copied().filter(|hour| *hour < n_hours).collect::<Vec<_>>())
                };
                let edges = edges.iter().map(first).filter(|edge| !edge.hours.is_empty()).collect();
                history(edges, n_hours)
            })
            .collect();
        for (assessment, edges) in assess(&histories).0.iter().zip(&full) {
            found.workloads += 1;
            if is_ready(assessment) {
                found.ready += 1;
                let new = |hours: &Vec<i64>| hours.first().is_some_and(|hour| *hour >= n_hours);
                found.surprised += usize::from(edges.iter().any(new));
            }
        }
    }
    found
}

#[test]
fn of_those_called_ready_at_most_one_in_twenty_shows_a_new_edge() {
    let found = validate(|assessment| assessment.verdict == Verdict::Ready);
    let Found { workloads, ready, surprised } = found;
    println!(
        "simulated {workloads} workloads: {ready} called ready, {surprised} of them then showed a new edge"
    );
    assert!(surprised * 20 <= ready, "{surprised} of {ready}");
    // A rule that never says ready would pass too.
    assert!(ready * 4 >= workloads, "{ready} of {workloads}");
}

#[test]
fn the_estimators_alone_would_be_wrong_more_often() {
    let rules = validate(|assessment| assessment.verdict == Verdict::Ready);
    let alone = validate(|assessment| assessment.unseen.estimate < 0.5);
    println!(
        "by Chao2 alone: {} of {} wrong; by the rules: {} of {}",
        alone.surprised, alone.ready, rules.surprised, rules.ready
    );
    assert!(alone.surprised * rules.ready > rules.surprised * alone.ready);
}
