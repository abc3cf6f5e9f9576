//! Adding up flows by hour. In: what one end saw, already named, and when. Out: flows that grew since the
//! last save, with coverage beside them. Memory is bounded by `ROWS`: past it the caller saves, and counting
//! starts again from zero under the hour's next `seq`.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::{Basis, Coverage, Flow, FlowCounters, FlowKey, Outcome, Side};
use crate::net::Protocol;
use crate::time::{Hour, Time};

/// Rows held before they must be saved and counting starts anew: 16 to 20 MB.
pub const ROWS: usize = 100_000;

/// A `FlowKey` less what the sum itself knows: node, hour and seq.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Conversation {
    pub remote: IpAddr,
    pub port: u16,
    pub protocol: Protocol,
    pub side: Side,
    pub local: Option<IpAddr>,
    pub pod: Option<Arc<str>>,
    pub outcome: Outcome,
    pub basis: Basis,
}

/// How much one drain adds to a conversation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Growth {
    pub connections: u64,
    pub bytes_sent: u64,
    pub bytes_received: u64,
}

/// The time that one drain took in: samples carry no finer times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub first: Time,
    pub last: Time,
}

impl Span {
    /// How late a drain may come after the turn of the hour and still belong to the hour before.
    const LATE_MILLISECONDS: i64 = 1_000;

    /// The hour that samples of this span count in. Drains are timed to the turn of the hour, so a span
    /// that ends just past it belongs to the hour before; a drain that was stalled counts where it ended.
    fn hour(self) -> (Hour, Self) {
        let (begun, ended) = (self.first.hour(), self.last.hour());
        let late = self.last.milliseconds().saturating_sub(begun.end().milliseconds());
        if begun < ended && late < Self::LATE_MILLISECONDS {
            let last = Time::from_milliseconds(begun.end().milliseconds() - 1);
            return (begun, Self { first: self.first, last });
        }
        (ended, self)
    }

    /// The span cut at the hours, as (hour, milliseconds).
    fn by_hour(self) -> impl Iterator<Item = (Hour, i64)> {
        let (first, last) = (self.first.milliseconds(), self.last.milliseconds());
        let hours = self.first.hour().index()..=self.last.hour().index();
        hours.filter_map(move |index| {
            let hour = Hour::from_index(index);
            let from = first.max(hour.start().milliseconds());
            let to = last.min(hour.end().milliseconds());
            (from < to).then_some((hour, to - from))
        })
    }
}

/// What was not saved yet, in order: equal content is equal bytes on disk and on the wire.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unsaved {
    pub coverage: Vec<Coverage>,
    pub flows: Vec<Flow>,
    /// Rows to forget: UDP that was unanswered when it was last saved and has its answer now.
    pub answered: Vec<FlowKey>,
}

#[derive(Clone, Copy, Debug)]
struct Row {
    counters: FlowCounters,
    unsaved: bool,
    /// The store has this row from an earlier save.
    stored: bool,
}

#[derive(Debug, Default)]
struct HourSum {
    seq: u32,
    rows: BTreeMap<Conversation, Row>,
    observed_ms: i64,
    unheard_ms: i64,
    lost: BTreeMap<Arc<str>, u64>,
    /// Taken out after they were saved.
    answered: Vec<Conversation>,
    unsaved: bool,
}

/// The hours being counted: the current one, and earlier ones until they are saved.
#[derive(Debug)]
pub struct Sum {
    node: Arc<str>,
    hours: BTreeMap<Hour, HourSum>,
    /// The next unused `seq` of hours that were counted in before.
    next_seq: BTreeMap<Hour, u32>,
    n_rows: usize,
    limit: usize,
    /// Rows that one hour may have over all of its `seq`: a scan of all ports of a network is one row each.
    pub per_hour: usize,
    /// Rows begun in each hour.
    begun: BTreeMap<Hour, usize>,
}

impl Sum {
    /// `next_seq` comes from what is stored: an hour that is not in it begins at 0.
    pub fn new(node: Arc<str>, next_seq: BTreeMap<Hour, u32>, limit: usize) -> Self {
        let (hours, begun) = (BTreeMap::new(), BTreeMap::new());
        Self { node, hours, next_seq, n_rows: 0, limit, per_hour: usize::MAX, begun }
    }

    /// No room for a new row until what is here was saved and `restart`ed.
    pub fn is_full(&self) -> bool {
        self.n_rows >= self.limit
    }

    /// Adds what a drain saw; false when the row is new and there is no room for it.
    #[must_use]
    pub fn add(&mut self, conversation: Conversation, growth: Growth, span: Span) -> bool {
        let (hour, span) = span.hour();
        let begun = self.begun.get(&hour).copied().unwrap_or(0);
        let full = self.is_full() || begun >= self.per_hour;
        let sum = self.hour(hour);
        if sum.grow(&conversation, growth, span) {
            return true;
        }
        let asks = conversation.protocol == Protocol::Udp && conversation.side == Side::Client;
        // Once answered in the hour, a question without its answer yet is no attempt.
        if asks && conversation.outcome == Outcome::Unanswered {
            let answered = Conversation { outcome: Outcome::Established, ..conversation.clone() };
            if sum.grow(&answered, growth, span) {
                return true;
            }
        }
        if full {
            return false;
        }
        let mut counters = FlowCounters::of(growth, span);
        let before = (asks && conversation.outcome == Outcome::Established)
            .then(|| sum.answer(&conversation, &mut counters))
            .flatten();
        sum.rows.insert(conversation, Row { counters, unsaved: true, stored: false });
        sum.unsaved = true;
        self.n_rows += usize::from(before.is_none());
        *self.begun.entry(hour).or_default() += 1;
        true
    }

    /// The hooks were attached and drained in this span.
    pub fn observe(&mut self, span: Span) {
        for (hour, milliseconds) in span.by_hour() {
            let sum = self.hour(hour);
            sum.observed_ms += milliseconds;
            sum.unsaved = true;
        }
    }

    /// In this span, which is observed too, the inventory could not be read.
    pub fn unheard(&mut self, span: Span) {
        for (hour, milliseconds) in span.by_hour() {
            self.hour(hour).unheard_ms += milliseconds;
        }
    }

    /// Flows that were lost before they could be counted.
    pub fn lose(&mut self, cause: &Arc<str>, flows: u64, span: Span) {
        if flows == 0 {
            return;
        }
        let sum = self.hour(span.hour().0);
        let lost = sum.lost.entry(Arc::clone(cause)).or_default();
        *lost = lost.saturating_add(flows);
        sum.unsaved = true;
    }

    fn hour(&mut self, hour: Hour) -> &mut HourSum {
        let next_seq = &mut self.next_seq;
        self.hours.entry(hour).or_insert_with(|| {
            let next = next_seq.entry(hour).or_default();
            let seq = *next;
            *next = next.saturating_add(1);
            HourSum { seq, ..HourSum::default() }
        })
    }

    /// All that changed since it was last saved.
    pub fn unsaved(&self) -> Unsaved {
        let mut unsaved = Unsaved::default();
        for (hour, sum) in self.hours.iter().filter(|(_, sum)| sum.unsaved) {
            unsaved.coverage.push(self.coverage(*hour, sum));
            let key = |conversation| self.key(*hour, sum.seq, conversation);
            unsaved.answered.extend(sum.answered.iter().map(key));
            for (conversation, row) in sum.rows.iter().filter(|(_, row)| row.unsaved) {
                unsaved.flows.push(Flow { key: key(conversation), counters: row.counters });
            }
        }
        unsaved.flows.sort_unstable_by(|one, other| one.key.cmp(&other.key));
        unsaved
    }

    /// What `unsaved` last gave is on disk. Hours before that of `now` are let go, and when the table is
    /// full, so is the current one: its next rows have the next `seq`.
    pub fn saved(&mut self, now: Time) {
        let full = self.is_full();
        for sum in self.hours.values_mut() {
            sum.unsaved = false;
            sum.answered.clear();
            for row in sum.rows.values_mut() {
                row.unsaved = false;
                row.stored = true;
            }
        }
        let current = now.hour();
        self.hours.retain(|hour, _| !full && *hour == current);
        self.n_rows = self.hours.values().map(|sum| sum.rows.len()).sum();
        self.begun.retain(|hour, _| *hour == current);
        // Two weeks of hours at most; the store is asked again at every start.
        while self.next_seq.len() > 512 {
            self.next_seq.pop_first();
        }
    }

    /// What was saved is gone: all that is here is to be saved again.
    pub fn unsave(&mut self) {
        for sum in self.hours.values_mut() {
            sum.unsaved = true;
            for row in sum.rows.values_mut() {
                (row.unsaved, row.stored) = (true, false);
            }
        }
    }

    fn coverage(&self, hour: Hour, sum: &HourSum) -> Coverage {
        let seconds = |milliseconds: i64| {
            let seconds = ((milliseconds + 500) / 1_000).clamp(0, 3_600);
            u32::try_from(seconds).unwrap_or(3_600)
        };
        Coverage {
            node: Arc::clone(&self.node),
            hour,
            seq: sum.seq,
            observed_seconds: seconds(sum.observed_ms),
            unheard_seconds: seconds(sum.unheard_ms),
            lost: sum.lost.clone(),
        }
    }

    fn key(&self, hour: Hour, seq: u32, conversation: &Conversation) -> FlowKey {
        FlowKey {
            node: Arc::clone(&self.node),
            hour,
            seq,
            side: conversation.side,
            pod: conversation.pod.clone(),
            local: conversation.local,
            remote: conversation.remote,
            port: conversation.port,
            protocol: conversation.protocol,
            outcome: conversation.outcome,
            basis: conversation.basis,
        }
    }
}

impl HourSum {
    fn grow(&mut self, conversation: &Conversation, growth: Growth, span: Span) -> bool {
        let Some(row) = self.rows.get_mut(conversation) else { return false };
        row.counters.add(growth, span);
        row.unsaved = true;
        self.unsaved = true;
        true
    }

    /// An answer came: what was sent before it, in this hour, is part of the same conversation.
    fn answer(&mut self, now: &Conversation, counters: &mut FlowCounters) -> Option<()> {
        let before = Conversation { outcome: Outcome::Unanswered, ..now.clone() };
        let row = self.rows.remove(&before)?;
        let FlowCounters { connections, bytes_sent, bytes_received, first, last } = row.counters;
        counters.add(Growth { connections, bytes_sent, bytes_received }, Span { first, last });
        if row.stored {
            self.answered.push(before);
        }
        Some(())
    }
}

impl FlowCounters {
    const fn of(growth: Growth, span: Span) -> Self {
        Self {
            connections: growth.connections,
            bytes_sent: growth.bytes_sent,
            bytes_received: growth.bytes_received,
            first: span.first,
            last: span.last,
        }
    }

    fn add(&mut self, growth: Growth, span: Span) {
        self.connections = self.connections.saturating_add(growth.connections);
        self.bytes_sent = self.bytes_sent.saturating_add(growth.bytes_sent);
        self.bytes_received = self.bytes_received.saturating_add(growth.bytes_received);
        self.first = self.first.min(span.first);
        self.last = self.last.max(span.last);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum() -> Sum {
        Sum::new("node-a".into(), BTreeMap::new(), ROWS)
    }

    fn asked(outcome: Outcome) -> Conversation {
        Conversation {
            remote: [10, 0, 0, 2].into(),
            port: 53,
            protocol: Protocol::Udp,
            side: Side::Client,
            local: Some([10, 0, 0, 1].into()),
            pod: None,
            outcome,
            basis: Basis::Observed,
        }
    }

    fn span(first: &str, last: &str) -> Span {
        let time = |text: &str| format!("2026-11-20T{text}Z").parse().expect("a time");
        Span { first: time(first), last: time(last) }
    }

    const ONE: Growth = Growth { connections: 1, bytes_sent: 2, bytes_received: 3 };

    #[test]
    fn a_drain_just_past_the_hour_counts_in_the_hour_before() {
        for (first, last, hour, ends) in [
            ("10:59:40", "10:59:50", "10:00:00", "10:59:50"),
            ("10:59:50", "11:00:00.004", "10:00:00", "10:59:59.999"),
            // Stalled: where it ended, and its own times.
            ("10:59:50", "11:00:40", "11:00:00", "11:00:40"),
            ("11:00:00", "11:00:10", "11:00:00", "11:00:10"),
        ] {
            let mut sum = sum();
            assert!(sum.add(asked(Outcome::Established), ONE, span(first, last)));
            let flow = sum.unsaved().flows.remove(0);
            assert_eq!(flow.key.hour.start(), span(hour, hour).first, "{first} to {last}");
            assert_eq!(flow.counters.last, span(ends, ends).first, "{first} to {last}");
        }
    }

    #[test]
    fn covered_seconds_are_cut_at_the_hours() {
        let mut sum = sum();
        sum.observe(span("09:59:30", "11:00:15"));
        let covered: Vec<(String, u32)> =
            sum.unsaved().coverage.iter().map(|it| (it.hour.to_string(), it.observed_seconds)).collect();
        let hour = |hour: &str| format!("2026-11-20T{hour}:00:00Z");
        assert_eq!(covered, [(hour("09"), 30), (hour("10"), 3_600), (hour("11"), 15)]);
    }

    #[test]
    fn seconds_in_which_nothing_was_heard_are_cut_at_the_hours_too() {
        let mut sum = sum();
        sum.unheard(span("09:59:40", "10:00:20"));
        sum.observe(span("09:59:30", "10:00:30"));
        let told: Vec<(u32, u32)> =
            sum.unsaved().coverage.iter().map(|it| (it.observed_seconds, it.unheard_seconds)).collect();
        assert_eq!(told, [(30, 20), (30, 20)]);
    }

    /// The wall clock goes back an hour: the hour that was left is counted again from zero, under a new seq.
    #[test]
    fn a_clock_stepped_back_takes_a_new_seq() {
        let mut sum = sum();
        assert!(sum.add(asked(Outcome::Established), ONE, span("10:30:00", "10:30:10")));
        sum.saved(span("11:00:00", "11:00:00").last);
        assert!(sum.add(asked(Outcome::Established), ONE, span("10:30:10", "10:30:20")));
        assert_eq!(sum.unsaved().flows[0].key.seq, 1);
        assert_eq!(sum.unsaved().flows[0].counters.connections, 1);
    }

    #[test]
    fn an_answer_takes_the_question_with_it() {
        let mut sum = sum();
        assert!(sum.add(asked(Outcome::Unanswered), ONE, span("10:00:00", "10:00:10")));
        sum.saved(span("10:00:10", "10:00:10").last);
        assert!(sum.add(asked(Outcome::Established), ONE, span("10:00:10", "10:00:20")));
        assert!(sum.add(asked(Outcome::Unanswered), ONE, span("10:00:20", "10:00:30")));
        let unsaved = sum.unsaved();
        assert_eq!(unsaved.answered.len(), 1, "the stored row of the question goes");
        assert_eq!(unsaved.flows.len(), 1);
        assert_eq!(unsaved.flows[0].key.outcome, Outcome::Established);
        assert_eq!(unsaved.flows[0].counters.connections, 3);
        assert_eq!(unsaved.flows[0].counters.first, span("10:00:00", "10:00:00").first);
        sum.saved(span("10:00:30", "10:00:30").last);
        assert_eq!(sum.n_rows, 1);
        assert_eq!(sum.unsaved(), Unsaved::default());
    }

    #[test]
    fn a_question_that_stays_unanswered_is_never_established() {
        let mut sum = sum();
        assert!(sum.add(asked(Outcome::Unanswered), ONE, span("10:00:00", "10:00:10")));
        assert!(sum.add(asked(Outcome::Unanswered), ONE, span("10:00:10", "10:00:20")));
        let flows = sum.unsaved().flows;
        assert_eq!(flows.len(), 1);
        assert_eq!((flows[0].key.outcome, flows[0].counters.connections), (Outcome::Unanswered, 2));
    }
}
