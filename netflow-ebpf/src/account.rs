//! Counts into the flow map in use; where it is full into the ring; where that is full, counts the loss.

use core::intrinsics::{AtomicOrdering, atomic_xadd};
use core::ptr::{addr_of_mut, write_volatile};

use aya_ebpf::bindings::BPF_NOEXIST;
use aya_ebpf::helpers::bpf_ktime_get_coarse_ns;
use netflow_common::event::KIND_FLOW;
use netflow_common::loss::{Loss, OVERFLOWED};
use netflow_common::{Address, FlowKey, FlowRecord, FlowStats};

use crate::maps::{EPOCH, FLOWS_EVEN, FLOWS_ODD, LOSSES, OVERFLOW};

/// A `FlowKey` as seven words. Written whole: kernels before 6.8 take parts of a word on the stack for a damaged
/// pointer without CAP_PERFMON, and every first write to the stack costs a barrier there.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Key([u64; 7]);

const _: () = assert!(size_of::<Key>() == size_of::<FlowKey>(), "the same bytes");
const _: () = assert!(size_of::<Record>() == size_of::<FlowRecord>(), "the same bytes");

/// A `FlowRecord` as words.
#[repr(C)]
struct Record {
    kind: u64,
    key: Key,
    stats: FlowStats,
}

/// The last word of a key, but for the port. The object is for little-endian machines.
#[derive(Clone, Copy)]
pub(crate) struct Kind {
    pub(crate) protocol: u8,
    pub(crate) side: u8,
    pub(crate) outcome: u8,
    pub(crate) basis: u8,
}

impl Key {
    #[inline(always)]
    pub(crate) fn new(owner: [u64; 2], local: &Address, remote: &Address, port: u16, kind: Kind) -> Self {
        let [a, b] = words(local);
        let [c, d] = words(remote);
        let last = u64::from(port)
            | (u64::from(kind.protocol) << 16)
            | (u64::from(kind.side) << 24)
            | (u64::from(kind.outcome) << 32)
            | (u64::from(kind.basis) << 40);
        Self([owner[0], owner[1], a, b, c, d, last])
    }
}

#[inline(always)]
fn words(address: &Address) -> [u64; 2] {
    let [a, b, c, d] = address.words_be;
    [u64::from(a) | (u64::from(b) << 32), u64::from(c) | (u64::from(d) << 32)]
}

/// What one event adds to an entry.
#[derive(Clone, Copy)]
pub(crate) struct Delta {
    pub(crate) begun: u32,
    pub(crate) ended: u32,
    pub(crate) sent: u64,
    pub(crate) received: u64,
}

impl Delta {
    pub(crate) const BEGUN: Self = Self { begun: 1, ended: 0, sent: 0, received: 0 };
    pub(crate) const ENDED: Self = Self { begun: 0, ended: 1, sent: 0, received: 0 };
    pub(crate) const SENT: Self = Self { begun: 0, ended: 0, sent: 1, received: 0 };
    pub(crate) const RECEIVED: Self = Self { begun: 0, ended: 0, sent: 0, received: 1 };
}

/// Which of the two maps is in use: it changes with each swap.
#[inline(always)]
pub(crate) fn epoch() -> u32 {
    EPOCH.get(0).copied().unwrap_or(0)
}

#[inline(always)]
fn find(key: &Key, epoch: u32) -> Option<*mut FlowStats> {
    if epoch & 1 == 0 { FLOWS_EVEN.get_ptr_mut(key) } else { FLOWS_ODD.get_ptr_mut(key) }
}

/// Whether this flow was counted in this epoch or the one before.
#[inline(always)]
pub(crate) fn is_known(key: &Key) -> bool {
    FLOWS_EVEN.get_ptr(key).is_some() || FLOWS_ODD.get_ptr(key).is_some()
}

/// Adds `delta` to the entry of `key`.
#[inline(always)]
pub(crate) fn count(key: &Key, delta: Delta) {
    let epoch = epoch();
    match find(key, epoch) {
        Some(stats) => add(stats, delta),
        None => insert(key, epoch, delta),
    }
}

/// Adds `delta`; a flow that is new to both epochs has begun, whatever `delta` says.
#[inline(always)]
pub(crate) fn count_talk(key: &Key, mut delta: Delta) {
    let epoch = epoch();
    if let Some(stats) = find(key, epoch) {
        return add(stats, delta);
    }
    if find(key, epoch ^ 1).is_none() {
        delta.begun = 1;
    }
    insert(key, epoch, delta);
}

/// Adds one to the counter of something lost.
#[inline(always)]
pub(crate) fn lose(loss: Loss) {
    bump(loss.index());
}

#[inline(always)]
fn bump(index: u32) {
    if let Some(counter) = LOSSES.get_ptr_mut(index) {
        // SAFETY: a pointer from a map lookup, valid while this program runs.
        unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(counter, 1) };
    }
}

#[inline(always)]
fn add(stats: *mut FlowStats, delta: Delta) {
    // SAFETY: `stats` is from a map lookup, and entries of a map in use are never deleted; each field is
    // aligned (asserted by its layout), and concurrent writers only ever add.
    unsafe {
        if delta.begun != 0 {
            atomic_xadd::<u32, u32, { AtomicOrdering::Relaxed }>(addr_of_mut!((*stats).begun), delta.begun);
        }
        if delta.ended != 0 {
            atomic_xadd::<u32, u32, { AtomicOrdering::Relaxed }>(addr_of_mut!((*stats).ended), delta.ended);
        }
        if delta.sent != 0 {
            atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(addr_of_mut!((*stats).sent), delta.sent);
        }
        if delta.received != 0 {
            atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(
                addr_of_mut!((*stats).received),
                delta.received,
            );
        }
        write_volatile(addr_of_mut!((*stats).last_ns), bpf_ktime_get_coarse_ns());
    }
}

/// Out of line in spirit: a key is inserted once an epoch.
#[inline(always)]
fn insert(key: &Key, epoch: u32, delta: Delta) {
    // SAFETY: the helper has no preconditions.
    let now = unsafe { bpf_ktime_get_coarse_ns() };
    let stats = FlowStats {
        begun: delta.begun,
        ended: delta.ended,
        sent: delta.sent,
        received: delta.received,
        first_ns: now,
        last_ns: now,
    };
    let inserted = if epoch & 1 == 0 {
        FLOWS_EVEN.insert(key, &stats, u64::from(BPF_NOEXIST))
    } else {
        FLOWS_ODD.insert(key, &stats, u64::from(BPF_NOEXIST))
    };
    if inserted.is_ok() {
        return;
    }
    // Another CPU made the entry meanwhile, or there is no room.
    match find(key, epoch) {
        Some(stats) => add(stats, delta),
        None => overflow(key, &stats),
    }
}

#[inline(always)]
fn overflow(key: &Key, stats: &FlowStats) {
    if let Some(mut entry) = OVERFLOW.reserve::<Record>(0) {
        entry.write(Record { kind: u64::from(KIND_FLOW), key: *key, stats: *stats });
        entry.submit(0);
        bump(OVERFLOWED);
    } else if stats.begun == 0 && stats.ended != 0 {
        lose(Loss::CloseRingFull);
    } else {
        lose(Loss::RingFull);
    }
}
