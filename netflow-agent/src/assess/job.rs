//! CronJobs that the window was too short for. In: histories. Out: one gap for each CronJob whose longest period
//! exceeds the window.

use core::fmt;

use super::{History, Job, period_words, span};
use crate::policy::{Gap, GapKind, words};

impl fmt::Display for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What is told of a schedule that nobody can read, or that never comes.
        if self.seconds == i64::MAX {
            return write!(f, "{} has a schedule that cannot be read", self.name);
        }
        write!(f, "{} runs every {} at the longest", self.name, period_words(self.seconds))
    }
}

/// In the order of the histories, of which the first says what was watched at all.
pub fn job_gaps(histories: &[History]) -> Vec<Gap> {
    let all = histories.iter().find(|history| history.workload.is_none());
    let length = all.and_then(|all| {
        let hours = all.watched.union(&all.missed).copied().collect();
        let (begin, end) = span(&hours)?;
        Some(end.seconds() - begin.seconds())
    });
    let mut gaps = Vec::new();
    for history in histories {
        let (Some(name), Some(job)) = (&history.workload, &history.job) else { continue };
        if job.seconds <= length.unwrap_or(0) {
            continue;
        }
        let ran = if history.watched.is_empty() && history.missed.is_empty() {
            "it was not seen to run, so declare in the review what it needs"
        } else {
            "what it does in other runs was not seen"
        };
        let window = period_words(length.unwrap_or(0));
        let every = match job.seconds {
            i64::MAX => "it has a schedule that cannot be read".to_owned(),
            seconds => format!("it runs every {} at the longest", period_words(seconds)),
        };
        let text = format!("{every}, and the window has {window}: {ran}");
        gaps.push(Gap::new(GapKind::CronJob, words::workload(name), text));
    }
    gaps
}
