//! TCP, both ends, by one `sock_ops` program: established, closed, never came up. In: the kernel's callbacks
//! of a socket. Out: counts. Nothing runs per segment.

use core::mem::MaybeUninit;
use core::ptr::{addr_of, read_volatile};

use aya_ebpf::bindings::{
    BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB, BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB, BPF_SOCK_OPS_RETRANS_CB_FLAG,
    BPF_SOCK_OPS_RTO_CB_FLAG, BPF_SOCK_OPS_STATE_CB, BPF_SOCK_OPS_STATE_CB_FLAG, BPF_SOCK_OPS_TCP_CONNECT_CB,
    bpf_sock_ops,
};
use aya_ebpf::helpers::{bpf_get_netns_cookie, bpf_getsockopt};
use aya_ebpf::programs::SockOpsContext;
use netflow_common::Address;
use netflow_common::flow::{basis, outcome, protocol, side};
use netflow_common::loss::Loss;

use crate::account::{self, Delta, Key, last_word, words};
use crate::existing;

const AF_INET: u32 = 2;

/// States of the kernel's enum.
mod state {
    pub(crate) const SYN_SENT: u32 = 2;
    pub(crate) const FIN_WAIT2: u32 = 5;
    pub(crate) const CLOSE: u32 = 7;
    pub(crate) const CLOSE_WAIT: u32 = 8;
    pub(crate) const LAST_ACK: u32 = 9;
    pub(crate) const CLOSING: u32 = 11;
}

/// One 32-bit word of the context. Read one by one and volatile: a copy of several, or a load in each branch
/// of an `if`, becomes a computed offset, which the verifier refuses.
macro_rules! word {
    ($ops:expr, $($field:tt)+) => {
        // SAFETY: the context is valid while the program runs.
        unsafe { read_volatile(addr_of!((*$ops).$($field)+)) }
    };
}

pub(crate) fn observe(ctx: &SockOpsContext) {
    let ops = ctx.ops;
    match word!(ops, op) {
        BPF_SOCK_OPS_TCP_CONNECT_CB => begin(ctx),
        BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB => established::<{ side::CLIENT }>(ctx),
        BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB => established::<{ side::SERVER }>(ctx),
        // 2 -> 1 and 3 -> 1 come here too, before and after `established`.
        BPF_SOCK_OPS_STATE_CB if word!(ops, __bindgen_anon_1.args[1]) == state::CLOSE => closed(ctx),
        _ => {}
    }
}

/// A SYN is about to leave: have the close reported, however it ends.
#[inline(always)]
fn begin(ctx: &SockOpsContext) {
    if is_apart(ctx.ops) {
        watch(ctx, mark(side::CLIENT));
    }
}

#[inline(always)]
fn established<const SIDE: u8>(ctx: &SockOpsContext) {
    if !is_apart(ctx.ops) {
        return;
    }
    if SIDE == side::CLIENT && word!(ctx.ops, bpf_sock_ops_cb_flags) & BPF_SOCK_OPS_STATE_CB_FLAG == 0 {
        // Set when the SYN left, and gone: another program overwrites the callbacks, and may do so again.
        account::lose(Loss::Callback);
    }
    watch(ctx, mark(SIDE));
    existing::mark_observed(ctx.ops);
    count(ctx.ops, kind(SIDE, outcome::ESTABLISHED), 0, 0);
}

#[inline(always)]
fn closed(ctx: &SockOpsContext) {
    let ops = ctx.ops;
    if !is_apart(ops) {
        return;
    }
    let before = word!(ops, __bindgen_anon_1.args[0]);
    if before == state::SYN_SENT {
        // Any segment that came back was a refusal: else it would have come up.
        let outcome = if word!(ops, segs_in) > 0 { outcome::REFUSED } else { outcome::TIMEOUT };
        return count(ops, kind(side::CLIENT, outcome), 0, 0);
    }
    let flags = word!(ops, bpf_sock_ops_cb_flags) & MARKS;
    let is_server = flags == BPF_SOCK_OPS_RTO_CB_FLAG;
    if !is_server && flags != BPF_SOCK_OPS_RETRANS_CB_FLAG {
        // Not a connection that we saw begin, or another program took our mark away: no role is better than a
        // wrong one.
        return account::lose(Loss::Callback);
    }
    // `bytes_acked` counts the client's SYN and our acknowledged FIN, `bytes_received` the peer's FIN.
    let fin_acked = matches!(before, state::FIN_WAIT2 | state::LAST_ACK | state::CLOSING);
    let fin_received = fin_acked || before == state::CLOSE_WAIT;
    let sent = word!(ops, bytes_acked).saturating_sub(u64::from(!is_server) + u64::from(fin_acked));
    let received = word!(ops, bytes_received).saturating_sub(u64::from(fin_received));
    let side = if is_server { side::SERVER } else { side::CLIENT };
    count(ops, kind(side, outcome::ESTABLISHED) | ENDED, sent, received);
}

/// What a socket keeps of its role until it closes: one of two callbacks that are rare, and do nothing here.
const MARKS: u32 = BPF_SOCK_OPS_RTO_CB_FLAG | BPF_SOCK_OPS_RETRANS_CB_FLAG;

/// The callbacks that an end is to report: its close, and the one that marks its role.
#[inline(always)]
const fn mark(side: u8) -> u32 {
    let role = if side == side::SERVER { BPF_SOCK_OPS_RTO_CB_FLAG } else { BPF_SOCK_OPS_RETRANS_CB_FLAG };
    BPF_SOCK_OPS_STATE_CB_FLAG | role
}

/// Adds callbacks to those that this socket reports; others' stay.
#[inline(always)]
fn watch(ctx: &SockOpsContext, flags: u32) {
    let set = word!(ctx.ops, bpf_sock_ops_cb_flags) | flags;
    if ctx.set_cb_flags(set.cast_signed()).is_err() {
        account::lose(Loss::Callback);
    }
}

/// The last word of a key, but for the port.
#[inline(always)]
const fn kind(side: u8, outcome: u8) -> u64 {
    last_word(0, protocol::TCP, side, outcome, basis::OBSERVED)
}

/// Beside a `kind`: a connection has ended, and none begun. In the word's padding, which stays zero in the key.
const ENDED: u64 = 1 << 63;

/// Counts for this end. One function for all events, so that the program stays small; what outlives its helper
/// calls fits into the four registers that they keep.
#[inline(never)]
fn count(ops: *mut bpf_sock_ops, kind: u64, sent: u64, received: u64) {
    let mut key = MaybeUninit::<Key>::uninit();
    clear(ops, &mut key);
    // SAFETY: the helper takes this context.
    let netns = unsafe { bpf_get_netns_cookie(ops.cast()) };
    let key = key.as_mut_ptr();
    // The local port is in host order, the remote one in network order in the upper half.
    let ports = [word!(ops, local_port), u32::from_be(word!(ops, remote_port))];
    let is_server = kind >> 24 & 0xff == u64::from(side::SERVER);
    let port = u64::from(if is_server { ports[0] } else { ports[1] } & 0xffff);
    let (local4, remote4) = (word!(ops, local_ip4), word!(ops, remote_ip4));
    let is_v4 = word!(ops, family) == AF_INET;
    // SAFETY: the key of this function; every word is written, each once.
    let key = unsafe {
        (*key).netns = netns;
        (*key).cgroup = 0;
        (*key).last = (kind & !ENDED) | port;
        if is_v4 {
            (*key).local = words(&Address::from_v4_word(local4));
            (*key).remote = words(&Address::from_v4_word(remote4));
        } else {
            (*key).local = words(&local6(ops));
            (*key).remote = words(&remote6(ops));
        }
        &*key
    };
    let ended = (kind >> 63) as u32;
    account::count(key, Delta { begun: ended ^ 1, ended, sent, received });
}

/// Makes seven words of the stack ones that may be written without a barrier each: where CAP_PERFMON is missing the
/// kernel puts one after the first write to a word, but for words that a helper has written. The call itself is
/// refused (there is no such level), and fills what it was given with zeros then.
#[inline(always)]
fn clear(ops: *mut bpf_sock_ops, key: &mut MaybeUninit<Key>) {
    const NO_LEVEL: i32 = -1;
    const LENGTH: i32 = 56;
    const { assert!(size_of::<Key>() == 56) };
    // SAFETY: the helper takes this context and writes the bytes of the key at most.
    let _refused = unsafe { bpf_getsockopt(ops.cast(), NO_LEVEL, 0, key.as_mut_ptr().cast(), LENGTH) };
}

/// Loopback and a pod's traffic to itself are no flows. The IPv4 words are read first and always: a load in each
/// branch becomes a computed offset.
#[inline(never)]
fn is_apart(ops: *mut bpf_sock_ops) -> bool {
    let (local4, remote4) = (word!(ops, local_ip4), word!(ops, remote_ip4));
    let is_apart =
        |local: Address, remote: Address| !remote.is_loopback() && !local.is_loopback() && local != remote;
    if word!(ops, family) == AF_INET {
        return is_apart(Address::from_v4_word(local4), Address::from_v4_word(remote4));
    }
    is_apart(local6(ops), remote6(ops))
}

#[inline(always)]
fn local6(ops: *mut bpf_sock_ops) -> Address {
    Address::from_v6_words([
        word!(ops, local_ip6[0]),
        word!(ops, local_ip6[1]),
        word!(ops, local_ip6[2]),
        word!(ops, local_ip6[3]),
    ])
}

#[inline(always)]
fn remote6(ops: *mut bpf_sock_ops) -> Address {
    Address::from_v6_words([
        word!(ops, remote_ip6[0]),
        word!(ops, remote_ip6[1]),
        word!(ops, remote_ip6[2]),
        word!(ops, remote_ip6[3]),
    ])
}
