//! Counts into the flow map in use; where it is full into the ring; where that is full, counts the loss.

use core::intrinsics::{AtomicOrdering, atomic_xadd};
use core::ptr::{addr_of, addr_of_mut, read_volatile, write_volatile};

use aya_ebpf::bindings::BPF_NOEXIST;
use aya_ebpf::helpers::bpf_ktime_get_coarse_ns;
use netflow_common::event::KIND_FLOW;
use netflow_common::loss::{Loss, OVERFLOWED};
use netflow_common::{Address, FlowKey, FlowRecord, FlowStats};

use crate::maps::{FLOWS_EVEN, FLOWS_ODD, LOSSES, OVERFLOW, epoch};

/// A `FlowKey` as seven words. Written a word at a time and whole: kernels before 6.8 take parts of a word on the
/// stack for a damaged pointer without CAP_PERFMON.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Key {
    pub(crate) netns: u64,
    pub(crate) cgroup: u64,
    pub(crate) local: [u64; 2],
    pub(crate) remote: [u64; 2],
    /// Port, protocol, side, outcome, basis: see `last_word`.
    pub(crate) last: u64,
}

const _: () = assert!(size_of::<Key>() == size_of::<FlowKey>(), "the same bytes");
const _: () = assert!(size_of::<Record>() == size_of::<FlowRecord>(), "the same bytes");

/// A `FlowRecord` as words.
#[repr(C)]
struct Record {
    kind: u64,
    key: Key,
    stats: FlowStats,
}

/// The last word of a key. The object is for little-endian machines.
#[inline(always)]
pub(crate) const fn last_word(port: u16, protocol: u8, side: u8, outcome: u8, basis: u8) -> u64 {
    (port as u64)
        | ((protocol as u64) << 16)
        | ((side as u64) << 24)
        | ((outcome as u64) << 32)
        | ((basis as u64) << 40)
}

/// An address as it lies in a key.
#[inline(always)]
pub(crate) const fn words(address: &Address) -> [u64; 2] {
    let [a, b, c, d] = address.words_be;
    [a as u64 | ((b as u64) << 32), c as u64 | ((d as u64) << 32)]
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

/// Counts a datagram, once for each direction and epoch: that there were some is all that is asked of them. A flow
/// that is new to both epochs has begun, whatever `delta` says. Returns whether both directions were told before this.
#[inline(always)]
pub(crate) fn count_talk(key: &Key, mut delta: Delta) -> bool {
    let epoch = epoch();
    if let Some(stats) = find(key, epoch) {
        // SAFETY: `stats` is from a map lookup, valid while this program runs.
        let (sent, received) =
            unsafe { (read_volatile(addr_of!((*stats).sent)), read_volatile(addr_of!((*stats).received))) };
        let is_told = (delta.sent == 0 || sent != 0) && (delta.received == 0 || received != 0);
        if delta.begun != 0 || !is_told {
            add(stats, delta);
        }
        return sent != 0 && received != 0;
    }
    if find(key, epoch ^ 1).is_none() {
        delta.begun = 1;
    }
    insert(key, epoch, delta);
    false
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

/// Makes the entry of a key, which happens once an epoch.
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
        FLOWS_EVEN.insert(key, stats, u64::from(BPF_NOEXIST))
    } else {
        FLOWS_ODD.insert(key, stats, u64::from(BPF_NOEXIST))
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
