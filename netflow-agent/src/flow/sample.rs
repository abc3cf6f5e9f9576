//! What one drain took from one kernel entry: the raw end of a conversation, not yet named.

use std::net::IpAddr;

use crate::net::Protocol;
use crate::time::Time;

use super::{Basis, Outcome, Side};

/// The difference of one kernel entry between two drains. Holding one means that the kernel saw it happen:
/// nothing in it is guessed. Addresses are never v4-mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Cookie of the local end's network namespace; absent for basis `Existing`.
    pub netns: Option<u64>,
    /// Id (inode number) of the local process's cgroup; absent for TCP that the hooks saw begin.
    pub cgroup: Option<u64>,
    /// Absent for a UDP socket bound to the wildcard.
    pub local: Option<IpAddr>,
    pub remote: IpAddr,
    /// The server's port as this end saw it.
    pub port: u16,
    pub protocol: Protocol,
    pub side: Side,
    pub outcome: Outcome,
    pub basis: Basis,
    /// TCP connections begun since the last drain; for UDP, sockets that began to talk.
    pub connections: u64,
    /// Payload of the TCP connections that closed since the last drain; 0 for UDP.
    pub bytes_sent: u64,
    pub bytes_received: u64,
    /// TCP connections of this entry that are open now. A sample with no new connection and one open tells
    /// that the flow goes on: one is given at least once an hour.
    pub open: u64,
    pub first: Time,
    pub last: Time,
}

#[cfg(test)]
impl Sample {
    /// A TCP connection that a client opened, for tests to make their own of.
    pub(crate) fn opened(local: IpAddr, remote: IpAddr, port: u16, [first, last]: [Time; 2]) -> Self {
        Self {
            netns: None,
            cgroup: None,
            local: Some(local),
            remote,
            port,
            protocol: Protocol::Tcp,
            side: Side::Client,
            outcome: Outcome::Established,
            basis: Basis::Observed,
            connections: 1,
            bytes_sent: 10,
            bytes_received: 20,
            open: 0,
            first,
            last,
        }
    }
}
