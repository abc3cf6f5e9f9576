//! What a difference of a kernel entry means: samples. In: differences, and which drain they are of. Out: samples
//! with wall-clock times. Pure; it knows which connections are open, and holds a UDP sender that came by the ring
//! back for one drain, because its answer may be on the way. For those of the maps the ledger does that.

use std::collections::BTreeMap;

use netflow_common::FlowKey;
use netflow_common::flow::{basis, outcome, protocol, side};

use crate::flow::{Basis, Outcome, Sample, Side};
use crate::net::Protocol;
use crate::time::Time;

use super::ledger::{Answer, Delta};

/// Turns the kernel's clock into wall-clock time: both at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    pub(super) now: Time,
    pub(super) now_ns: u64,
}

impl Clock {
    fn time(self, ns: u64) -> Time {
        let ago = i64::try_from(self.now_ns.saturating_sub(ns) / 1_000_000).unwrap_or(i64::MAX);
        Time::from_milliseconds(self.now.milliseconds().saturating_sub(ago))
    }
}

/// A UDP client that sent, and of which no answer is known yet.
#[derive(Clone, Copy, Debug)]
struct Held {
    begun: u64,
    ended: u64,
    sent: u64,
    first_ns: u64,
    last_ns: u64,
    /// The drain that first saw it.
    drain: u64,
}

impl Held {
    fn sample(&self, key: &FlowKey, clock: Clock) -> Option<Sample> {
        let begun = self.begun.saturating_sub(self.ended);
        sample(key, clock, begun, (0, 0), 0, (self.first_ns, self.last_ns))
    }

    /// Nothing when it was only connected and gone at once: a resolver's probe is no traffic.
    fn unanswered(&self, key: &FlowKey, clock: Clock) -> Option<Sample> {
        let is_traffic = self.begun > self.ended || self.sent > 0;
        let sample = is_traffic.then(|| self.sample(key, clock)).flatten()?;
        Some(Sample { outcome: Outcome::Unanswered, ..sample })
    }
}

/// What has to be remembered between drains.
#[derive(Debug, Default)]
pub(super) struct Interpreter {
    /// TCP connections open now, by entry; an entry without any is not here.
    open: BTreeMap<FlowKey, u64>,
    held: BTreeMap<FlowKey, Held>,
    drain: u64,
}

impl Interpreter {
    /// Takes one difference; a sample comes of it now, later or never.
    pub(super) fn take(&mut self, delta: &Delta, clock: Clock, samples: &mut Vec<Sample>) {
        match (delta.key.protocol, delta.key.side) {
            (protocol::TCP, _) => {
                let open = self.count_open(delta);
                let bytes = (delta.sent, delta.received);
                samples.extend(sample(
                    &delta.key,
                    clock,
                    delta.begun,
                    bytes,
                    open,
                    (delta.first_ns, delta.last_ns),
                ));
            }
            (protocol::UDP, side::CLIENT) => self.take_udp_client(delta, clock, samples),
            _ => {
                let times = (delta.first_ns, delta.last_ns);
                samples.extend(sample(&delta.key, clock, delta.begun, (0, 0), 0, times));
            }
        }
    }

    fn count_open(&mut self, delta: &Delta) -> u64 {
        if delta.key.outcome != outcome::ESTABLISHED || delta.key.basis != basis::OBSERVED {
            return 0;
        }
        let before = self.open.get(&delta.key).copied().unwrap_or(0);
        // A connection of the agent before this one may close too.
        let open = (before + delta.begun).saturating_sub(delta.ended);
        if open == 0 {
            self.open.remove(&delta.key);
        } else {
            self.open.insert(delta.key, open);
        }
        open
    }

    fn take_udp_client(&mut self, delta: &Delta, clock: Clock, samples: &mut Vec<Sample>) {
        let fresh =
            Held { begun: 0, ended: 0, sent: 0, first_ns: delta.first_ns, last_ns: 0, drain: self.drain };
        let held = self.held.remove(&delta.key).unwrap_or(fresh);
        let held = Held {
            begun: held.begun + delta.begun,
            ended: held.ended + delta.ended,
            sent: held.sent + delta.sent,
            first_ns: held.first_ns.min(delta.first_ns),
            last_ns: held.last_ns.max(delta.last_ns),
            drain: held.drain,
        };
        match delta.answer {
            Answer::Came => samples.extend(held.sample(&delta.key, clock)),
            Answer::Overdue => samples.extend(held.unanswered(&delta.key, clock)),
            Answer::Awaited => drop(self.held.insert(delta.key, held)),
        }
    }

    /// Ends a drain: UDP senders held since an earlier one were not answered.
    pub(super) fn end_drain(&mut self, clock: Clock, samples: &mut Vec<Sample>) {
        let drain = self.drain;
        self.drain += 1;
        self.release(clock, samples, |held| held.drain < drain);
    }

    /// Ends the capture: nobody waits for answers any more.
    pub(super) fn finish(&mut self, clock: Clock, samples: &mut Vec<Sample>) {
        self.release(clock, samples, |_held| true);
    }

    fn release(&mut self, clock: Clock, samples: &mut Vec<Sample>, is_due: impl Fn(&Held) -> bool) {
        self.held.retain(|key, held| {
            let is_due = is_due(held);
            if is_due {
                samples.extend(held.unanswered(key, clock));
            }
            !is_due
        });
    }

    /// Tells again of every connection that is open, whether or not it said anything since `from`.
    pub(super) fn tell_open(&self, clock: Clock, from: Time, samples: &mut Vec<Sample>) {
        for (key, &open) in &self.open {
            let found = sample(key, clock, 0, (0, 0), open, (clock.now_ns, clock.now_ns));
            samples.extend(found.map(|sample| Sample { first: from.min(clock.now), ..sample }));
        }
    }

    /// Ends of connections were lost, so what is open is not known any more.
    pub(super) fn forget_open(&mut self) {
        self.open.clear();
    }
}

/// The sample of a key; `None` when the key is not one that our programs make.
fn sample(
    key: &FlowKey,
    clock: Clock,
    connections: u64,
    (bytes_sent, bytes_received): (u64, u64),
    open: u64,
    (first_ns, last_ns): (u64, u64),
) -> Option<Sample> {
    Some(Sample {
        netns: (key.netns != 0).then_some(key.netns),
        cgroup: (key.cgroup != 0).then_some(key.cgroup),
        local: key.local.to_ip(),
        remote: key.remote.to_ip()?,
        port: key.port,
        protocol: match key.protocol {
            protocol::TCP => Protocol::Tcp,
            protocol::UDP => Protocol::Udp,
            _ => return None,
        },
        side: match key.side {
            side::CLIENT => Side::Client,
            side::SERVER => Side::Server,
            _ => return None,
        },
        outcome: match key.outcome {
            outcome::ESTABLISHED => Outcome::Established,
            outcome::REFUSED => Outcome::Refused,
            outcome::TIMEOUT => Outcome::Timeout,
            _ => return None,
        },
        basis: match key.basis {
            basis::OBSERVED => Basis::Observed,
            basis::EXISTING => Basis::Existing,
            _ => return None,
        },
        connections,
        bytes_sent,
        bytes_received,
        open,
        first: clock.time(first_ns),
        last: clock.time(last_ns),
    })
}

#[cfg(test)]
mod tests;
