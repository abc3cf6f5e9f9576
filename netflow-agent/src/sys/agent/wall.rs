//! The wall clock watched by the clock that nobody sets. In: both, looked at together. Out: by how much the wall
//! clock was set since the last look, and whether it has stood long enough to be believed.

use std::time::Duration;

use super::super::clock::Mark;
use crate::time::Time;

/// More than this between two looks is no drift: the clock was set.
const STEP_MS: i64 = 1_000;
/// At boot a clock may be years off until the network tells the time.
const SETTLED: Duration = Duration::from_mins(10);

/// What was last seen of the clock.
#[derive(Debug)]
pub(super) struct Wall {
    seen: (Time, Mark),
    unset_since: Mark,
}

impl Wall {
    pub(super) fn new(now: Time, mark: Mark) -> Self {
        Self { seen: (now, mark), unset_since: mark }
    }

    /// By how many milliseconds it was set since the last look; less than 0 is back.
    pub(super) fn look(&mut self, now: Time, mark: Mark) -> Option<i64> {
        let (before, seen) = std::mem::replace(&mut self.seen, (now, mark));
        let passed = i64::try_from(mark.since(seen).as_millis()).unwrap_or(i64::MAX);
        let step = now.milliseconds().saturating_sub(before.milliseconds()).saturating_sub(passed);
        if step.saturating_abs() < STEP_MS {
            return None;
        }
        self.unset_since = mark;
        Some(step)
    }

    /// Nobody set it for long enough: what it calls old is old.
    pub(super) fn is_settled(&self) -> bool {
        self.seen.1.since(self.unset_since) >= SETTLED
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_what_the_wall_clock_went_beyond_the_other() {
        let begin = Mark::now();
        let at = |seconds: i64| Time::from_seconds(1_800_000_000 + seconds);
        let mut wall = Wall::new(at(0), begin);
        for (wall_seconds, passed, step) in [
            (10, 10, None),
            // Slewed, not set.
            (20, 20, None),
            (3_630, 30, Some(3_600_000)),
            (3_640, 40, None),
            (-86_350, 50, Some(-90_000_000)),
            (-86_340, 60, None),
        ] {
            let mark = begin.after(Duration::from_secs(passed));
            assert_eq!(wall.look(at(wall_seconds), mark), step, "after {passed} s");
        }
    }

    #[test]
    fn a_clock_is_believed_ten_minutes_after_it_was_last_set() {
        let begin = Mark::now();
        let at = |seconds: i64| Time::from_seconds(1_800_000_000 + seconds);
        let mut wall = Wall::new(at(0), begin);
        for (wall_seconds, passed, settled) in
            [(599, 599, false), (600, 600, true), (10_000, 601, false), (10_600, 1_201, true)]
        {
            let _step = wall.look(at(wall_seconds), begin.after(Duration::from_secs(passed)));
            assert_eq!(wall.is_settled(), settled, "after {passed} s");
        }
    }
}
