//! Key and value of the flow maps. One entry is one kind of conversation as one end saw it: the client's
//! ephemeral port is no part of it, so a thousand connections to one server are one entry.

use crate::addr::Address;

/// `FlowKey::protocol`: the numbers of IANA.
pub mod protocol {
    pub const TCP: u8 = 6;
    pub const UDP: u8 = 17;
}

/// `FlowKey::side`: which end is the local one.
pub mod side {
    pub const CLIENT: u8 = 1;
    pub const SERVER: u8 = 2;
}

/// `FlowKey::outcome`. UDP entries are all `ESTABLISHED`: their counts say whether an answer came.
pub mod outcome {
    pub const ESTABLISHED: u8 = 1;
    pub const REFUSED: u8 = 2;
    pub const TIMEOUT: u8 = 3;
}

/// `FlowKey::basis`: how the role of the local end is known.
pub mod basis {
    pub const OBSERVED: u8 = 1;
    pub const EXISTING: u8 = 2;
}

/// Which kind of conversation. Every byte is set: the kernel hashes the padding too.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowKey {
    /// Cookie of the socket's network namespace; 0 where the hook cannot know it (basis `EXISTING`).
    pub netns: u64,
    /// Id of the socket's cgroup; 0 where the hook runs outside the process (TCP).
    pub cgroup: u64,
    /// The local address; unspecified for a UDP socket bound to the wildcard.
    pub local: Address,
    pub remote: Address,
    /// The server's port, host order.
    pub port: u16,
    pub protocol: u8,
    pub side: u8,
    pub outcome: u8,
    pub basis: u8,
    pub padding: u16,
}

/// How much was seen since the entry was made. Counters only grow; 32-bit ones may wrap, so take differences.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowStats {
    /// TCP: connections established (or attempts that failed). UDP: sockets that began to talk.
    pub begun: u32,
    /// TCP: connections closed. UDP: connects that sent nothing and were gone at once (probes).
    pub ended: u32,
    /// TCP: payload bytes sent by connections that closed. UDP: more than 0 once a datagram was sent.
    pub sent: u64,
    /// TCP: payload bytes received by connections that closed. UDP: more than 0 once one came.
    pub received: u64,
    /// CLOCK_MONOTONIC_COARSE when the entry was made.
    pub first_ns: u64,
    /// CLOCK_MONOTONIC_COARSE when it was last counted into. A UDP conversation that goes on is counted once for
    /// each direction between two swaps of the maps.
    pub last_ns: u64,
}

const _: () = assert!(size_of::<FlowKey>() == 56, "no hidden padding: 8 + 8 + 16 + 16 + 8");
const _: () = assert!(size_of::<FlowStats>() == 40, "no hidden padding: 4 + 4 + 4 * 8");
