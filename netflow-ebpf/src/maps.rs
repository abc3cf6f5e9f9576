//! Every map. The agent may change the sizes before it loads them.

use core::cell::UnsafeCell;
use core::ffi::c_void;
use core::ptr::{addr_of, read_volatile};

use aya_ebpf::btf_maps::SkStorage;
use aya_ebpf::macros::{btf_map, map};
use aya_ebpf::maps::{Array, HashMap, RingBuf};
use netflow_common::flow::FlowStats;
use netflow_common::loss;
use netflow_common::settings::Settings;

use crate::account::Key;

/// Room of each flow map when the agent asks for nothing else.
const ENTRIES: u32 = 32_768;

#[map]
pub(crate) static FLOWS_EVEN: HashMap<Key, FlowStats> = HashMap::with_max_entries(ENTRIES, 0);

#[map]
pub(crate) static FLOWS_ODD: HashMap<Key, FlowStats> = HashMap::with_max_entries(ENTRIES, 0);

/// What the agent tells the programs. A global and not an `Array`: the programs read it through an address in the
/// instruction, without a look-up, a key on the stack and the barrier that such a key costs.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".data.settings")]
static SETTINGS: Shared = Shared(UnsafeCell::new(Settings { epoch: 0, window: 0 }));

/// Written by the agent alone, a word at a time.
struct Shared(UnsafeCell<Settings>);

// SAFETY: programs only read it, volatile, one word at a time.
unsafe impl Sync for Shared {}

/// Which of the two flow maps is in use: an even epoch is the first.
#[inline(always)]
pub(crate) fn epoch() -> u32 {
    // SAFETY: the value of a map that lives as long as the program.
    unsafe { read_volatile(addr_of!((*SETTINGS.0.get()).epoch)) }
}

/// Whether connections older than the agent are looked for.
#[inline(always)]
pub(crate) fn is_window_open() -> bool {
    // SAFETY: as above.
    unsafe { read_volatile(addr_of!((*SETTINGS.0.get()).window)) != 0 }
}

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

/// What is known of one socket. Every hook that gets at the state of a UDP socket holds the socket's lock (the
/// kernel takes it around connect, bind, sendmsg and recvmsg) or its last reference (release), so no two of them
/// run at once on one socket. The fields of the common way come first: they share a cache line with the word that
/// the kernel keeps before them.
#[repr(C)]
pub(crate) struct Socket {
    /// Each direction's talk that was counted last, or need not be counted: the same again needs no look-up.
    pub(crate) sent: Talk,
    pub(crate) received: Talk,
    /// `role::*`.
    pub(crate) role: u8,
    /// `bound::*`.
    pub(crate) bound: u8,
    /// A server that also asks others from the same socket.
    pub(crate) both: u8,
    /// `netflow_common::flow::basis`; 0 is observed.
    pub(crate) basis: u8,
    /// What `existing` has counted already: of a TCP socket 1; of a UDP socket 1 for sent, 2 for received.
    pub(crate) counted: u8,
    pub(crate) padding: u8,
    pub(crate) pending_port: u16,
    /// The key that is being looked for. Here and not on the stack, because the kernel puts a barrier after each
    /// first write to a word of the stack where CAP_PERFMON is missing. The namespace stays between two events.
    pub(crate) key: Key,
    /// The socket's own address, as far as it was known at the last event.
    pub(crate) own: [u64; 2],
    /// Both ports of the last event.
    pub(crate) peer_port: u16,
    pub(crate) own_port: u16,
    pub(crate) padding_too: u32,
    /// Where it was last connected to, while that may still turn out to be a probe.
    pub(crate) pending: [u64; 2],
    /// When that was; 0: nothing is pending.
    pub(crate) pending_ns: u64,
}

/// With whom, in which epoch.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Talk {
    /// The peer's address, as two words.
    pub(crate) peer: [u64; 2],
    /// The peer's port, above it the epoch.
    pub(crate) port_and_epoch: u64,
}

impl Talk {
    /// With nobody: no flow has port 0.
    pub(crate) const NONE: Self = Self { peer: [0; 2], port_and_epoch: 0 };
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
