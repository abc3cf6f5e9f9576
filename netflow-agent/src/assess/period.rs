//! The longest time between two runs of a CronJob. In: its schedule. Out: seconds.

use std::str::FromStr;

use croner::Cron;

use crate::time::Time;

/// Long enough to see each month once, and every day of the week in it.
const SPAN_SECONDS: i64 = 366 * 86_400;
/// Of a schedule that runs seldom, so many runs are looked at.
const LEAST_RUNS: usize = 3;
/// Runs looked at, at most: each hour of a year.
const MOST_RUNS: usize = 366 * 24;

/// The longest gap between runs after `from`, to the hour; nothing for a schedule that cannot be read or that
/// never runs. A time zone behind it (as `manifest::Workload` writes it) moves runs, not gaps.
pub fn longest_seconds(schedule: &str, from: Time) -> Option<i64> {
    let start = jiff::Timestamp::from_second(from.seconds()).ok()?.to_zoned(jiff::tz::TimeZone::UTC);
    let cron = Cron::from_str(&hourly(schedule)?).ok()?;
    let mut longest = None;
    let mut last: Option<i64> = None;
    for (n_runs, run) in cron.iter_after(start).take(MOST_RUNS).enumerate() {
        let at = run.timestamp().as_second();
        if let Some(last) = last {
            longest = longest.max(Some(at - last));
        }
        if n_runs >= LEAST_RUNS && at - from.seconds() > SPAN_SECONDS {
            break;
        }
        last = Some(at);
    }
    longest
}

/// The schedule with its minutes set to the full hour, so that one that runs each minute is not counted out run
/// by run; and without a time zone.
fn hourly(schedule: &str) -> Option<String> {
    let mut words: Vec<&str> = schedule
        .split_whitespace()
        .filter(|word| !word.starts_with("TZ=") && !word.starts_with("CRON_TZ="))
        .collect();
    let first = words.first()?;
    if first.starts_with('@') {
        return Some((*first).to_owned());
    }
    words.truncate(5);
    if words.len() < 5 {
        return None;
    }
    words[0] = "0";
    Some(words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_gap_of_a_schedule_counts() {
        let from: Time = "2026-11-20T10:30:00Z".parse().expect("a time");
        let (hour, day) = (3_600, 86_400);
        for (schedule, expected) in [
            ("* * * * *", Some(hour)),
            ("*/5 * * * *", Some(hour)),
            ("30 3 * * *", Some(day)),
            ("30 3 * * * Europe/Berlin", Some(day)),
            ("CRON_TZ=Europe/Berlin 30 3 * * *", Some(day)),
            ("* 9-17 * * 1-5", Some(2 * day + 16 * hour)),
            ("0 0 * * 0", Some(7 * day)),
            ("@weekly", Some(7 * day)),
            ("0 0 1 * *", Some(31 * day)),
            ("@yearly", Some(366 * day)),
            ("", None),
            ("every day", None),
            ("99 99 * * *", None),
        ] {
            assert_eq!(longest_seconds(schedule, from), expected, "{schedule:?}");
        }
    }
}
