//! When a version of an object was so. In: statements about one object, with what they say about time.
//! Out: a closed span for each: a stated end beats an absent one, and a version ends where the next begins.

use crate::time::{Time, Window};

/// One statement: the version is said to hold from `from` until `to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stated {
    pub(super) from: Option<Time>,
    pub(super) to: Option<Time>,
}

/// One statement settled. `open` says that nobody stated an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) from: Time,
    pub(super) to: Time,
    pub(super) open: bool,
}

/// Spans of all statements about one object, in their order. `same` tells whether two of them say the same.
pub(super) fn settle(stated: &[Stated], window: Window, same: impl Fn(usize, usize) -> bool) -> Vec<Span> {
    let earliest = stated.iter().filter_map(|statement| statement.from).min();
    let begin = |statement: &Stated| statement.from.unwrap_or(window.from);
    let mut spans = Vec::with_capacity(stated.len());
    for (at, statement) in stated.iter().enumerate() {
        let from = begin(statement);
        if let Some(to) = statement.to {
            spans.push(Span { from: from.min(to), to, open: false });
            continue;
        }
        let next = stated
            .iter()
            .enumerate()
            .filter(|(other, later)| begin(later) > from && !same(at, *other))
            .map(|(_, later)| before(begin(later)))
            .min();
        // A statement without any time, beside others that have one, speaks for the time before theirs only.
        let silent = if statement.from.is_none() { earliest.map(before) } else { None };
        let end = stated.iter().filter_map(|other| other.to).filter(|to| *to > from).max();
        let to = [next, silent.filter(|_| next.is_some()), end].into_iter().flatten().min();
        spans.push(Span { from, to: to.unwrap_or(Time::MAX), open: to.is_none() });
    }
    spans
}

/// The last moment before another begins.
pub(super) fn before(time: Time) -> Time {
    Time::from_milliseconds(time.milliseconds().saturating_sub(1))
}
