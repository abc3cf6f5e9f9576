//! Waiting on a condition with a deadline; never a fixed sleep.

use std::time::Duration;

/// Asks again every few milliseconds until it is so; fails after ten seconds.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..2_000 {
        if is_so() {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("waited ten seconds in vain: {what}");
}
