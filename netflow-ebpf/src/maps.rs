//! Every map. The agent may change the sizes before it loads them.

use core::ffi::c_void;
use core::ptr::addr_of;

use aya_ebpf::btf_maps::SkStorage;
use aya_ebpf::macros::{btf_map, map};
use aya_ebpf::maps::{Array, HashMap, RingBuf};
use netflow_common::flow::FlowStats;
use netflow_common::{Address, loss};

use crate::account::Key;

/// Room of each flow map when the agent asks for nothing else.
const ENTRIES: u32 = 32_768;

#[map]
pub(crate) static FLOWS_EVEN: HashMap<Key, FlowStats> = HashMap::with_max_entries(ENTRIES, 0);

#[map]
pub(crate) static FLOWS_ODD: HashMap<Key, FlowStats> = HashMap::with_max_entries(ENTRIES, 0);

#[map]
pub(crate) static EPOCH: Array<u32> = Array::with_max_entries(1, 0);

/// One u32: not 0 while connections older than the agent are looked for.
#[map]
pub(crate) static WINDOW: Array<u32> = Array::with_max_entries(1, 0);

#[map]
pub(crate) static OVERFLOW: RingBuf = RingBuf::with_byte_size(1 << 20, 0);

#[map]
pub(crate) static LOSSES: Array<u64> = Array::with_max_entries(loss::COUNTERS, 0);

#[btf_map]
pub(crate) static SOCKETS: SkStorage<Socket> = SkStorage::new();

/// The map of socket states, for the helpers that aya wraps for one kind of context only.
#[inline(always)]
pub(crate) fn sockets() -> *mut c_void {
    addr_of!(SOCKETS).cast_mut().cast()
}

/// What is known of one socket. Two threads of one process may write it at once: every decision is made of
/// one field, which is written whole.
#[repr(C)]
pub(crate) struct Socket {
    /// Where it was last connected to, while that may still turn out to be a probe.
    pub(crate) pending: Address,
    /// When that was; 0: nothing is pending.
    pub(crate) pending_ns: u64,
    /// Peer, port and epoch of the direction last counted: the same again needs no counting.
    pub(crate) sent: u64,
    pub(crate) received: u64,
    pub(crate) pending_port: u16,
    /// `role::*`.
    pub(crate) role: u8,
    /// `bound::*`.
    pub(crate) bound: u8,
    /// A server that also asks others from the same socket.
    pub(crate) both: u8,
    /// `netflow_common::flow::basis`; 0 is observed.
    pub(crate) basis: u8,
    /// A TCP socket that is counted already.
    pub(crate) counted: u8,
    pub(crate) padding: u8,
}

/// `Socket::role`.
pub(crate) mod role {
    pub(crate) const NONE: u8 = 0;
    pub(crate) const CLIENT: u8 = 1;
    pub(crate) const SERVER: u8 = 2;
}

/// `Socket::bound`.
pub(crate) mod bound {
    /// bind() was not seen: never called, or before the agent.
    pub(crate) const UNSEEN: u8 = 0;
    /// The process chose the port.
    pub(crate) const CHOSEN: u8 = 1;
    /// The process left the port to the kernel.
    pub(crate) const ANY: u8 = 2;
}
