//! How many edges there may be that no hour showed. Formulas: Chao, Biometrics 43 (1987) 783-791, in the
//! bias-corrected form; variance and interval as in the EstimateS user's guide, appendix B. The rule of three:
//! Hanley and Lippman-Hand, JAMA 249 (1983) 1743-1745.

use std::collections::BTreeSet;

use super::Sightings;
use crate::time::Hour;

/// Chao2's estimate of what was not seen, with its 95 % interval. A lower bound where hours are not alike.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Unseen {
    pub estimate: f64,
    pub low: f64,
    pub high: f64,
}

/// From in how many of `watched` hours each edge was seen; an edge in an hour not watched counts for nothing.
pub fn chao2(edges: &[Sightings], watched: &BTreeSet<Hour>) -> Unseen {
    let seen_in: Vec<usize> = edges
        .iter()
        .map(|edge| edge.hours.intersection(watched).count())
        .filter(|hours| *hours > 0)
        .collect();
    let count = |times: usize| real(seen_in.iter().filter(|hours| **hours == times).count());
    let (n_hours, once, twice) = (real(watched.len()), count(1), count(2));
    if n_hours < 1.0 || once < 1.0 {
        return Unseen::default();
    }
    let share = (n_hours - 1.0) / n_hours;
    let seen = real(seen_in.len());
    let estimate = share * once * (once - 1.0) / (2.0 * (twice + 1.0));
    let variance = if twice > 0.0 {
        let next = twice + 1.0;
        share * once * (once - 1.0) / (2.0 * next)
            + share.powi(2) * once * (2.0 * once - 1.0).powi(2) / (4.0 * next.powi(2))
            + share.powi(2) * once.powi(2) * twice * (once - 1.0).powi(2) / (4.0 * next.powi(4))
    } else {
        share * once * (once - 1.0) / 2.0 + share.powi(2) * once * (2.0 * once - 1.0).powi(2) / 4.0
            - share.powi(2) * once.powi(4) / (4.0 * (seen + estimate))
    };
    interval(estimate, variance.max(0.0))
}

/// The interval is log-normal, so that it never reaches below what was seen.
fn interval(estimate: f64, variance: f64) -> Unseen {
    if estimate <= 0.0 {
        return Unseen { estimate: 0.0, low: 0.0, high: 1.96 * variance.sqrt() };
    }
    let factor = (1.96 * (1.0 + variance / estimate.powi(2)).ln().sqrt()).exp();
    Unseen { estimate, low: estimate / factor, high: estimate * factor }
}

/// New edges an hour, at most, at 95 %, after so many hours without one; nothing after none.
pub fn rule_of_three(quiet_hours: usize) -> Option<f64> {
    (quiet_hours > 0).then(|| 3.0 / real(quiet_hours))
}

#[expect(clippy::cast_precision_loss, reason = "counts of hours and edges are far below 2^52")]
const fn real(count: usize) -> f64 {
    count as f64
}
