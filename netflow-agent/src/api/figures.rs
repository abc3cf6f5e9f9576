//! What the agent says of itself: one reading of its state, taken after every drain. Health and metrics are
//! functions of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::engine::Seen;
use crate::time::Time;

/// The agent's state at one moment. Counters are since its start.
#[derive(Clone, Debug, Default, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a gauge of its own; none excludes another")]
pub struct Figures {
    pub node: Arc<str>,
    /// The programs are attached.
    pub attached: bool,
    /// All kinds of the inventory were read once.
    pub inventory_known: bool,
    /// The last read of the inventory failed.
    pub inventory_stale: bool,
    pub seen: Seen,
    /// Flows lost in the kernel, by cause.
    pub lost: BTreeMap<&'static str, u64>,
    pub overflowed: u64,
    pub drains: u64,
    pub drain_failures: u64,
    pub last_drain: Option<Time>,
    /// Of all drains, in nanoseconds.
    pub drain_ns: u64,
    pub map_entries: u64,
    pub map_capacity: u64,
    /// Batches written, and writes that failed.
    pub saves: u64,
    pub save_failures: u64,
    /// The last write failed: what it held waits in memory.
    pub store_failing: bool,
    pub store_bytes: u64,
    pub objects: BTreeMap<String, u64>,
    pub covered_seconds: u64,
    /// Times that the wall clock was set, forward or back, by more than a second.
    pub clock_steps: u64,
}

/// How long after a drain the agent still counts as alive, in intervals.
const LATE: u32 = 6;

impl Figures {
    /// The loop goes round: a drain was tried lately, whether it worked or not.
    pub fn is_alive(&self, since_turn: Duration, interval: Duration) -> bool {
        since_turn <= interval.saturating_mul(LATE).max(Duration::from_secs(30))
    }

    /// Why the agent is not ready; nothing when it is. A full disk does not make it unready: it goes on
    /// capturing, and restarting it would lose what waits.
    pub fn unready(&self) -> Vec<&'static str> {
        let reasons = [
            (!self.attached, "the programs are not attached"),
            (self.drains == 0, "nothing was drained yet"),
            (!self.inventory_known, "the inventory was not read yet"),
        ];
        reasons.into_iter().filter(|(holds, _)| *holds).map(|(_, reason)| reason).collect()
    }
}

/// The figures that a person asks for first, as one JSON object.
pub fn status(figures: &Figures) -> String {
    let reasons = figures.unready();
    let objects: serde_json::Map<String, serde_json::Value> =
        figures.objects.iter().map(|(kind, count)| (kind.clone(), (*count).into())).collect();
    let status = serde_json::json!({
        "node": &*figures.node,
        "version": env!("CARGO_PKG_VERSION"),
        "ready": reasons.is_empty(),
        "reasons": reasons,
        "covered_seconds": figures.covered_seconds,
        "last_drain": figures.last_drain.map(|at| at.to_string()),
        "lost": figures.lost,
        "foreign": figures.seen.foreign,
        "store_bytes": figures.store_bytes,
        "store_failing": figures.store_failing,
        "objects": objects,
    });
    format!("{status}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_means_attached_drained_and_inventory_known() {
        let mut figures = Figures::default();
        assert_eq!(figures.unready().len(), 3);
        figures.attached = true;
        figures.drains = 1;
        figures.inventory_known = true;
        figures.store_failing = true;
        assert!(figures.unready().is_empty());
    }

    #[test]
    fn a_loop_that_stands_still_is_not_alive() {
        let figures = Figures::default();
        let interval = Duration::from_secs(10);
        assert!(figures.is_alive(Duration::from_mins(1), interval));
        assert!(!figures.is_alive(Duration::from_secs(61), interval));
        assert!(figures.is_alive(Duration::from_secs(30), Duration::from_millis(100)));
    }
}
