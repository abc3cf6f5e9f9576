//! What would have broken. In: the hours of a window, and how much of it is for learning. Out: the moments at
//! which to split it: once, or before each hour but the first. Learning and replaying is the caller's.

use std::collections::BTreeSet;

use crate::time::{Hour, Time};

/// Splits at a share of the window's hours, in per mille: the first moment of the rest. None where either part
/// would be empty.
pub fn split(hours: &BTreeSet<Hour>, per_mille: u32) -> Option<Time> {
    let learnt = hours.len().checked_mul(per_mille as usize)? / 1_000;
    let first_of_rest = hours.iter().nth(learnt).filter(|_| learnt > 0)?;
    Some(first_of_rest.start())
}

/// At most so many splits, evenly spread, the earliest first; each is before an hour that is not the first.
pub fn curve(hours: &BTreeSet<Hour>, most: usize) -> Vec<Time> {
    let splits: Vec<Time> = hours.iter().skip(1).map(|hour| hour.start()).collect();
    let every = splits.len().div_ceil(most.max(1)).max(1);
    splits.into_iter().step_by(every).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hours(n_hours: i64) -> BTreeSet<Hour> {
        (0..n_hours).map(Hour::from_index).collect()
    }

    #[test]
    fn a_split_leaves_hours_on_both_sides_or_is_none() {
        for (n_hours, per_mille, expected) in [
            (10, 700, Some(7)),
            (10, 50, None),
            (2, 500, Some(1)),
            (1, 700, None),
            (0, 700, None),
            (10, 999, Some(9)),
        ] {
            let at = split(&hours(n_hours), per_mille);
            assert_eq!(at.map(|at| at.hour().index()), expected, "{n_hours} hours, {per_mille}");
        }
    }

    #[test]
    fn a_curve_has_a_point_for_each_hour_but_the_first_or_every_nth() {
        let at = |n_hours, most| -> Vec<i64> {
            curve(&hours(n_hours), most).iter().map(|at| at.hour().index()).collect()
        };
        assert_eq!(at(4, 100), [1, 2, 3]);
        assert_eq!(at(8, 3), [1, 4, 7]);
        assert_eq!(at(1, 3), [0_i64; 0]);
    }
}
