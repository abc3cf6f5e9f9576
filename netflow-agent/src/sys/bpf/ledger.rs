//! From the growing counters of one map to what was added since the last drain. In: keys and values as read.
//! Out: differences. Remembers each entry's value while its map is in use.
//!
//! The kernel hands a map over bucket by bucket, and a map in use only gains entries: what was read before comes
//! again in the same order, with the new entries between. So comparing is a walk along two lists, and nothing is
//! looked up. Were that order ever broken, keys would match what the walk could not, at the end of the reading.

use std::collections::BTreeMap;

use netflow_common::flow::{protocol, side};
use netflow_common::{FlowKey, FlowStats};

/// Whether what a UDP client sent was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Came,
    /// It may be on the way.
    Awaited,
    /// None came by the reading after.
    Overdue,
}

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
    pub(super) answer: Answer,
}

impl Delta {
    /// All that a record of the ring holds.
    pub(super) fn whole(key: FlowKey, stats: &FlowStats) -> Self {
        let answer = if stats.received > 0 { Answer::Came } else { Answer::Awaited };
        Self {
            key,
            begun: u64::from(stats.begun),
            ended: u64::from(stats.ended),
            sent: stats.sent,
            received: stats.received,
            first_ns: stats.first_ns,
            last_ns: stats.last_ns,
            answer,
        }
    }
}

/// How long a UDP client that sent waits for an answer before it is told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    OneReading,
    /// No other reading follows.
    None,
}

/// How much of an entry was handed over.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    begun: u32,
    ended: u32,
    sent: u64,
    received: u64,
    /// What is not told yet began no earlier than this.
    since_ns: u64,
    /// A UDP client sent more than this, and the last reading left it at that: its answer may be on the way.
    is_waiting: bool,
}

/// One entry as it was read.
#[derive(Clone, Copy, Debug)]
struct Entry {
    key: FlowKey,
    told: Told,
}

impl Entry {
    fn new(key: FlowKey, stats: &FlowStats) -> Self {
        Self { key, told: Told { since_ns: stats.first_ns, ..Told::default() } }
    }

    /// What is there and not told yet, of which none is older than `since_ns`; `None` when that is nothing, or
    /// may wait for its answer.
    fn tell(&mut self, stats: &FlowStats, since_ns: u64, patience: Patience) -> Option<Delta> {
        let told = self.told;
        let delta = Delta {
            key: self.key,
            begun: u64::from(stats.begun.wrapping_sub(told.begun)),
            ended: u64::from(stats.ended.wrapping_sub(told.ended)),
            sent: stats.sent.wrapping_sub(told.sent),
            received: stats.received.wrapping_sub(told.received),
            first_ns: if told.is_waiting { told.since_ns } else { since_ns.max(told.since_ns) }
                .min(stats.last_ns),
            last_ns: stats.last_ns,
            answer: if stats.received > 0 { Answer::Came } else { Answer::Overdue },
        };
        if delta.begun == 0 && delta.ended == 0 && delta.sent == 0 && delta.received == 0 {
            return None;
        }
        let is_udp_client = self.key.protocol == protocol::UDP && self.key.side == side::CLIENT;
        if is_udp_client && stats.received == 0 && patience == Patience::OneReading && !told.is_waiting {
            self.told.since_ns = delta.first_ns;
            self.told.is_waiting = true;
            return None;
        }
        let FlowStats { begun, ended, sent, received, last_ns, .. } = *stats;
        self.told = Told { begun, ended, sent, received, since_ns: last_ns, is_waiting: false };
        Some(delta)
    }
}

/// How much was told of the entries of one map, in the order of its last reading.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    known: Vec<Entry>,
    /// When that was, on the kernel's clock.
    read_ns: u64,
}

impl Ledger {
    /// Begins a reading; `now_ns` is the kernel's clock.
    pub(super) fn begin(&mut self, now_ns: u64, patience: Patience) -> Reading<'_> {
        let before_ns = std::mem::replace(&mut self.read_ns, now_ns);
        Reading { known: &mut self.known, before_ns, patience, at: 0, between: Vec::new() }
    }

    /// Forgets everything: the map was emptied.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

/// A reading under way: a place in the ledger, whose entries are compared with those that come.
#[derive(Debug)]
pub(super) struct Reading<'l> {
    known: &'l mut Vec<Entry>,
    /// When the one before began.
    before_ns: u64,
    patience: Patience,
    /// The entry that comes next, if none is new.
    at: usize,
    /// Those that came before the one that was next, and where that was. All are new when that one still comes.
    between: Vec<(usize, FlowKey, FlowStats)>,
}

impl Reading<'_> {
    /// What was added to this entry; `None` when nothing was, or when `end` is to tell.
    pub(super) fn take(&mut self, key: FlowKey, stats: FlowStats) -> Option<Delta> {
        match self.known.get_mut(self.at) {
            Some(entry) if entry.key == key => {
                self.at += 1;
                entry.tell(&stats, self.before_ns, self.patience)
            }
            Some(_next) => {
                self.between.push((self.at, key, stats));
                None
            }
            // All that was known has come.
            None => {
                let mut entry = Entry::new(key, &stats);
                let delta = entry.tell(&stats, 0, self.patience);
                self.known.push(entry);
                self.at += 1;
                delta
            }
        }
    }

    /// Ends the reading, and tells of the entries that `take` kept back.
    pub(super) fn end(self, mut each: impl FnMut(&Delta)) {
        let Self { known, before_ns, patience, at, between } = self;
        // Empty where the order held and the reading was not broken off.
        let mut passed_by: BTreeMap<FlowKey, Entry> =
            known.drain(at..).map(|entry| (entry.key, entry)).collect();
        let tell = |(at, key, stats): (usize, FlowKey, FlowStats)| {
            let (mut entry, since_ns) = match passed_by.remove(&key) {
                Some(entry) => (entry, before_ns),
                None => (Entry::new(key, &stats), 0),
            };
            entry.tell(&stats, since_ns, patience).iter().for_each(&mut each);
            (at, entry)
        };
        insert(known, &between.into_iter().map(tell).collect::<Vec<_>>());
        // They may come again in the next reading.
        known.extend(passed_by.into_values());
    }
}

/// Puts each of these before the one at its place.
fn insert(known: &mut Vec<Entry>, between: &[(usize, Entry)]) {
    let mut from = known.len();
    known.extend(between.iter().map(|(_, entry)| *entry));
    let mut to = known.len();
    for (at, entry) in between.iter().rev() {
        to -= from - at;
        known.copy_within(*at..from, to);
        from = *at;
        to -= 1;
        known[to] = *entry;
    }
}

#[cfg(test)]
mod tests {
    use netflow_common::Address;
    use proptest::prelude::*;

    use super::*;

    const KEY: FlowKey = FlowKey {
        netns: 1,
        cgroup: 2,
        local: Address::UNSPECIFIED,
        remote: Address::UNSPECIFIED,
        port: 53,
        protocol: protocol::TCP,
        side: side::CLIENT,
        outcome: 1,
        basis: 1,
        padding: 0,
    };

    fn stats(begun: u32, sent: u64, last_ns: u64) -> FlowStats {
        FlowStats { begun, ended: 0, sent, received: 0, first_ns: 10, last_ns }
    }

    /// What one reading of these entries tells.
    fn read(ledger: &mut Ledger, entries: &[(FlowKey, FlowStats)], now_ns: u64) -> Vec<Delta> {
        let mut told = Vec::new();
        let mut reading = ledger.begin(now_ns, Patience::OneReading);
        told.extend(entries.iter().filter_map(|(key, stats)| reading.take(*key, *stats)));
        reading.end(|delta| told.push(*delta));
        told
    }

    #[test]
    fn what_is_taken_adds_up_to_what_was_counted_even_when_a_counter_wraps() {
        let mut ledger = Ledger::default();
        let readings = [stats(u32::MAX - 1, 5, 20), stats(u32::MAX, 5, 30), stats(3, 9, 40), stats(3, 9, 40)];
        let taken: Vec<(u64, u64)> = readings
            .into_iter()
            .flat_map(|stats| read(&mut ledger, &[(KEY, stats)], 25))
            .map(|delta| (delta.begun, delta.sent))
            .collect();
        assert_eq!(taken, [(u64::from(u32::MAX) - 1, 5), (1, 0), (4, 4)]);
    }

    #[test]
    fn a_difference_begins_no_earlier_than_the_entry_was_last_seen() {
        let mut ledger = Ledger::default();
        let first = read(&mut ledger, &[(KEY, stats(1, 0, 20))], 50);
        assert_eq!((first[0].first_ns, first[0].last_ns), (10, 20));
        let second = read(&mut ledger, &[(KEY, stats(2, 0, 90))], 100);
        assert_eq!((second[0].first_ns, second[0].last_ns), (50, 90));
    }

    #[test]
    fn a_udp_sender_waits_one_reading_for_its_answer_where_another_follows() {
        let key = FlowKey { protocol: protocol::UDP, ..KEY };
        let answered = |received| FlowStats { received, ..stats(2, 2, 90) };
        for (then, expected) in [(stats(1, 1, 20), Answer::Overdue), (answered(1), Answer::Came)] {
            let mut ledger = Ledger::default();
            assert_eq!(read(&mut ledger, &[(key, stats(1, 1, 20))], 50), []);
            let told = read(&mut ledger, &[(key, then)], 100);
            assert_eq!((told.len(), told[0].answer, told[0].begun), (1, expected, u64::from(then.begun)));
            assert_eq!((told[0].first_ns, told[0].last_ns), (10, then.last_ns), "from when it asked");
            assert_eq!(read(&mut ledger, &[(key, then)], 150), []);
            // Once answered, what it sends is told at once.
            let more = FlowStats { begun: 3, last_ns: 160, ..then };
            assert_eq!(read(&mut ledger, &[(key, more)], 200).len(), usize::from(expected == Answer::Came));
        }
        let mut last = Ledger::default();
        let mut reading = last.begin(50, Patience::None);
        let told = reading.take(key, stats(1, 1, 20)).map(|delta| delta.answer);
        assert_eq!(told, Some(Answer::Overdue), "nobody reads it again");
    }

    proptest! {
        /// Readings of a map that gains entries anywhere, and of one that loses some, changes their order or is
        /// broken off: every entry's differences add up to its value.
        #[test]
        fn whatever_the_order_nothing_is_counted_twice_or_missed(
            readings in prop::collection::vec(prop::collection::vec((0_u64..24, 0_u32..3), 0..24), 1..8),
            is_in_order in any::<bool>(),
        ) {
            let mut ledger = Ledger::default();
            let (mut counted, mut told) = (BTreeMap::new(), BTreeMap::new());
            for (now_ns, reading) in (1..).zip(readings) {
                let mut order: Vec<u64> = reading.iter().map(|(netns, _)| *netns).collect();
                if is_in_order {
                    // As the kernel does: whatever was there is there, new ones somewhere between.
                    order = order.into_iter().chain(counted.keys().copied()).collect();
                    order.sort_unstable();
                }
                let mut met = std::collections::BTreeSet::new();
                order.retain(|netns| met.insert(*netns));
                for (netns, more) in &reading {
                    *counted.entry(*netns).or_insert(0) += more;
                }
                let entries: Vec<_> =
                    order.iter().map(|netns| (FlowKey { netns: *netns, ..KEY }, stats(counted[netns], 0, 20))).collect();
                for delta in read(&mut ledger, &entries, now_ns) {
                    *told.entry(delta.key.netns).or_insert(0) += delta.begun;
                }
                for netns in order {
                    prop_assert_eq!(told.get(&netns).copied().unwrap_or(0), u64::from(counted[&netns]));
                }
            }
        }
    }
}
