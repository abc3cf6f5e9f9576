//! From the growing counters of one map to what was added since the last drain. In: keys and values as read.
//! Out: differences. Remembers each entry's value while its map is in use.

use hashbrown::HashMap;
use netflow_common::{FlowKey, FlowStats};

/// What was added to one kernel entry since it was last read. Holding one means that something was added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Delta {
    pub(super) key: FlowKey,
    pub(super) begun: u64,
    pub(super) ended: u64,
    pub(super) sent: u64,
    pub(super) received: u64,
    /// When it began at the earliest and at the latest ended, on the kernel's clock.
    pub(super) first_ns: u64,
    pub(super) last_ns: u64,
    /// Whether the entry has received anything since it was made.
    pub(super) is_answered: bool,
}

impl Delta {
    /// All that a record or a new entry holds.
    pub(super) fn whole(key: FlowKey, stats: &FlowStats) -> Self {
        Self {
            key,
            begun: u64::from(stats.begun),
            ended: u64::from(stats.ended),
            sent: stats.sent,
            received: stats.received,
            first_ns: stats.first_ns,
            last_ns: stats.last_ns,
            is_answered: stats.received > 0,
        }
    }
}

/// The values of one map when it was last read.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    seen: HashMap<FlowKey, FlowStats>,
    /// When it was last read, on the kernel's clock.
    read_ns: u64,
}

/// An entry last counted into this long before the last reading cannot have changed since: the clock of the
/// entries is coarse, and a program may be interrupted between counting and writing the time.
const SLACK_NS: u64 = 1_000_000_000;

impl Ledger {
    /// Begins a reading; `now_ns` is the kernel's clock. Returns when the last one was.
    pub(super) fn begin(&mut self, now_ns: u64) -> u64 {
        std::mem::replace(&mut self.read_ns, now_ns)
    }

    /// Whether an entry with these times needs no comparing: an earlier reading took all of it.
    pub(super) fn is_old(stats: &FlowStats, last_read_ns: u64) -> bool {
        stats.last_ns.saturating_add(SLACK_NS) < last_read_ns
    }

    /// What was added to this entry; `None` when nothing was.
    pub(super) fn take(&mut self, key: FlowKey, stats: FlowStats, last_read_ns: u64) -> Option<Delta> {
        let Some(seen) = self.seen.get_mut(&key) else {
            self.seen.insert(key, stats);
            return Some(Delta::whole(key, &stats));
        };
        let before = std::mem::replace(seen, stats);
        let delta = Delta {
            key,
            begun: u64::from(stats.begun.wrapping_sub(before.begun)),
            ended: u64::from(stats.ended.wrapping_sub(before.ended)),
            sent: stats.sent.wrapping_sub(before.sent),
            received: stats.received.wrapping_sub(before.received),
            first_ns: last_read_ns.clamp(before.last_ns, stats.last_ns.max(before.last_ns)),
            last_ns: stats.last_ns,
            is_answered: stats.received > 0,
        };
        let is_nothing = delta.begun == 0 && delta.ended == 0 && delta.sent == 0 && delta.received == 0;
        (!is_nothing).then_some(delta)
    }

    /// Forgets everything: the map was emptied.
    pub(super) fn clear(&mut self) {
        self.seen = HashMap::new();
        self.read_ns = 0;
    }
}

#[cfg(test)]
mod tests {
    use netflow_common::Address;

    use super::*;

    const KEY: FlowKey = FlowKey {
        netns: 1,
        cgroup: 2,
        local: Address::UNSPECIFIED,
        remote: Address::UNSPECIFIED,
        port: 53,
        protocol: 17,
        side: 1,
        outcome: 1,
        basis: 1,
        padding: 0,
    };

    fn stats(begun: u32, sent: u64, last_ns: u64) -> FlowStats {
        FlowStats { begun, ended: 0, sent, received: 0, first_ns: 10, last_ns }
    }

    #[test]
    fn what_is_taken_adds_up_to_what_was_counted_even_when_a_counter_wraps() {
        let mut ledger = Ledger::default();
        let readings = [stats(u32::MAX - 1, 5, 20), stats(u32::MAX, 5, 30), stats(3, 9, 40), stats(3, 9, 40)];
        let taken: Vec<(u64, u64)> = readings
            .into_iter()
            .filter_map(|stats| ledger.take(KEY, stats, 25))
            .map(|delta| (delta.begun, delta.sent))
            .collect();
        assert_eq!(taken, [(u64::from(u32::MAX) - 1, 5), (1, 0), (4, 4)]);
    }

    #[test]
    fn an_entry_is_old_only_when_a_reading_long_after_its_last_count_took_it() {
        for (last_ns, last_read_ns, expected) in
            [(0, 0, false), (5, SLACK_NS, false), (5, SLACK_NS + 5, false), (5, SLACK_NS + 6, true)]
        {
            assert_eq!(
                Ledger::is_old(&stats(1, 1, last_ns), last_read_ns),
                expected,
                "{last_ns} {last_read_ns}"
            );
        }
    }

    #[test]
    fn a_difference_begins_no_earlier_than_the_entry_was_last_seen() {
        let mut ledger = Ledger::default();
        let first = ledger.take(KEY, stats(1, 0, 20), 0).expect("new");
        assert_eq!((first.first_ns, first.last_ns), (10, 20));
        let second = ledger.take(KEY, stats(2, 0, 90), 50).expect("changed");
        assert_eq!((second.first_ns, second.last_ns), (50, 90));
    }
}
