//! What would have broken. In: edges of a window, and how much of it is for learning. Out: the edges that are
//! new in the rest, which policies learnt before would have denied; as one split, or as a curve over the hours.

use std::collections::BTreeSet;

use crate::edge::Edge;
use crate::time::{Hour, Time};

/// Learnt up to a moment, replayed after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// The first moment of the rest.
    pub at: Time,
    /// Edges first seen before it.
    pub learnt: usize,
    /// Of these, seen again after it.
    pub seen_again: usize,
    /// Edges of the rest that were not learnt, by position; these would have been denied.
    pub broken: Vec<usize>,
}

/// Splits at a share of the window's hours, in per mille; none where there are fewer than two hours.
pub fn split(edges: &[Edge], hours: &BTreeSet<Hour>, per_mille: u32) -> Option<Split> {
    let hours: Vec<Hour> = hours.iter().copied().collect();
    let learnt = hours.len().checked_mul(per_mille as usize)? / 1_000;
    let first_of_rest = hours.get(learnt).filter(|_| learnt > 0)?;
    Some(at(edges, first_of_rest.start()))
}

/// One split for each hour but the first: what each hour would have broken had all before it been learnt.
pub fn curve(edges: &[Edge], hours: &BTreeSet<Hour>) -> Vec<Split> {
    hours.iter().skip(1).map(|hour| at(edges, hour.start())).collect()
}

fn at(edges: &[Edge], at: Time) -> Split {
    let hour = at.hour();
    let mut split = Split { at, learnt: 0, seen_again: 0, broken: Vec::new() };
    for (position, edge) in edges.iter().enumerate() {
        let before = edge.hours.first().is_some_and(|first| *first < hour);
        let after = edge.hours.last().is_some_and(|last| *last >= hour);
        split.learnt += usize::from(before);
        split.seen_again += usize::from(before && after);
        if after && !before {
            split.broken.push(position);
        }
    }
    split
}
