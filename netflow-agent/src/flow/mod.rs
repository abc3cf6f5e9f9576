//! What one end of a conversation saw. A `Flow` is what one end saw of one kind of conversation in one
//! hour; its key says which, its counters how much. Adding up follows the merge law of the recording:
//! equal keys are one flow that grew, keys that differ in `seq` are counted apart and add up.

use std::net::IpAddr;
use std::sync::Arc;

use crate::net::Protocol;
use crate::time::{Hour, Time};

pub mod orient;
mod sample;
pub mod sum;

pub use sample::Sample;

/// Which end of the conversation this flow's node held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// The local end opened it.
    Client,
    /// The remote end opened it.
    Server,
}

/// What became of it. Everything but `Established` and (with a witness) `Unanswered` is an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    Established,
    Refused,
    Timeout,
    /// UDP sent and no answer seen.
    Unanswered,
}

/// How the role of the local end is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Basis {
    /// The hooks saw the conversation begin.
    Observed,
    /// A connection older than the agent; its role was found afterwards.
    Existing,
}

/// Which conversation, seen by which end, in which hour. Addresses are never v4-mapped.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowKey {
    pub node: Arc<str>,
    pub hour: Hour,
    /// One per node, hour and start of counting from zero.
    pub seq: u32,
    pub side: Side,
    /// UID of the local pod, when the agent knew it.
    pub pod: Option<Arc<str>>,
    /// Absent only where `pod` is there: a wildcard UDP socket.
    pub local: Option<IpAddr>,
    pub remote: IpAddr,
    /// The server's port as this end saw it: at the client before DNAT, at the server its own.
    pub port: u16,
    pub protocol: Protocol,
    pub outcome: Outcome,
    pub basis: Basis,
}

/// How much was seen. Within one key counters only grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowCounters {
    /// TCP connections; for UDP, sockets that talked.
    pub connections: u64,
    pub bytes_sent: u64,
    pub bytes_received: u64,
    pub first: Time,
    pub last: Time,
}

impl FlowCounters {
    /// Another reading of the same flow: it grew, so the largest of each counter holds. Readings may come
    /// in any order and any number of times.
    pub fn merge(&mut self, other: &Self) {
        self.connections = self.connections.max(other.connections);
        self.bytes_sent = self.bytes_sent.max(other.bytes_sent);
        self.bytes_received = self.bytes_received.max(other.bytes_received);
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    pub key: FlowKey,
    pub counters: FlowCounters,
}

/// In which seconds of an hour a node's hooks were attached and drained, and what was lost, by cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coverage {
    pub node: Arc<str>,
    pub hour: Hour,
    pub seq: u32,
    pub observed_seconds: u32,
    /// Of these, seconds in which nothing was heard of pods and Services: names are as of what was told later.
    pub unheard_seconds: u32,
    /// Cause -> flows lost, e.g. `map_full`, `ring_full`.
    pub lost: std::collections::BTreeMap<Arc<str>, u64>,
}

impl Coverage {
    /// Another reading of the same node, hour and seq: the largest of each counter holds.
    pub fn merge(&mut self, other: &Self) {
        self.observed_seconds = self.observed_seconds.max(other.observed_seconds);
        self.unheard_seconds = self.unheard_seconds.max(other.unheard_seconds);
        for (cause, lost) in &other.lost {
            let held = self.lost.entry(Arc::clone(cause)).or_default();
            *held = (*held).max(*lost);
        }
    }
}
