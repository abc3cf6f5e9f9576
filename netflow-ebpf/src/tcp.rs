//! TCP, both ends, by one `sock_ops` program: established, closed, never came up. In: the kernel's callbacks
//! of a socket. Out: counts. Nothing runs per segment.

use core::ptr::{addr_of, read_volatile};

use aya_ebpf::EbpfContext as _;
use aya_ebpf::bindings::{
    BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB, BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB, BPF_SOCK_OPS_RTO_CB_FLAG,
    BPF_SOCK_OPS_STATE_CB, BPF_SOCK_OPS_STATE_CB_FLAG, BPF_SOCK_OPS_TCP_CONNECT_CB, bpf_sock_ops,
};
use aya_ebpf::helpers::bpf_get_netns_cookie;
use aya_ebpf::programs::SockOpsContext;
use netflow_common::Address;
use netflow_common::flow::{basis, outcome, protocol, side};
use netflow_common::loss::Loss;

use crate::account::{self, Delta, Key, Kind};
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
        BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB => established(ctx, side::CLIENT),
        BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB => established(ctx, side::SERVER),
        // 2 -> 1 and 3 -> 1 come here too, before and after `established`.
        BPF_SOCK_OPS_STATE_CB if word!(ops, __bindgen_anon_1.args[1]) == state::CLOSE => closed(ctx),
        _ => {}
    }
}

/// A SYN is about to leave: have the close reported, however it ends.
#[inline(always)]
fn begin(ctx: &SockOpsContext) {
    let (local, remote) = addresses(ctx.ops);
    if is_apart(&local, &remote) {
        watch(ctx, BPF_SOCK_OPS_STATE_CB_FLAG);
    }
}

#[inline(always)]
fn established(ctx: &SockOpsContext, side: u8) {
    let (local, remote) = addresses(ctx.ops);
    if !is_apart(&local, &remote) {
        return;
    }
    let flags = if side == side::SERVER {
        // The second flag marks the server's end for `closed`; its own callback is one a retransmission
        // timeout, and does nothing.
        BPF_SOCK_OPS_STATE_CB_FLAG | BPF_SOCK_OPS_RTO_CB_FLAG
    } else {
        BPF_SOCK_OPS_STATE_CB_FLAG
    };
    watch(ctx, flags);
    existing::mark_observed(ctx.ops);
    account::count(&key(ctx, local, remote, side, outcome::ESTABLISHED), Delta::BEGUN);
}

#[inline(always)]
fn closed(ctx: &SockOpsContext) {
    let ops = ctx.ops;
    let (local, remote) = addresses(ops);
    if !is_apart(&local, &remote) {
        return;
    }
    let before = word!(ops, __bindgen_anon_1.args[0]);
    if before == state::SYN_SENT {
        // Any segment that came back was a refusal: else it would have come up.
        let outcome = if word!(ops, segs_in) > 0 { outcome::REFUSED } else { outcome::TIMEOUT };
        account::count(&key(ctx, local, remote, side::CLIENT, outcome), Delta::BEGUN);
        return;
    }
    let side = if word!(ops, bpf_sock_ops_cb_flags) & BPF_SOCK_OPS_RTO_CB_FLAG != 0 {
        side::SERVER
    } else {
        side::CLIENT
    };
    let acked = word!(ops, bytes_acked);
    let received = word!(ops, bytes_received);
    // `bytes_acked` counts the client's SYN and our acknowledged FIN, `bytes_received` the peer's FIN.
    let fin_acked = matches!(before, state::FIN_WAIT2 | state::LAST_ACK | state::CLOSING);
    let fin_received = fin_acked || before == state::CLOSE_WAIT;
    let beside = u64::from(side == side::CLIENT) + u64::from(fin_acked);
    let delta = Delta {
        begun: 0,
        ended: 1,
        sent: acked.saturating_sub(beside),
        received: received.saturating_sub(u64::from(fin_received)),
    };
    account::count(&key(ctx, local, remote, side, outcome::ESTABLISHED), delta);
}

/// Adds callbacks to those that this socket reports; others' stay.
#[inline(always)]
fn watch(ctx: &SockOpsContext, flags: u32) {
    let set = word!(ctx.ops, bpf_sock_ops_cb_flags) | flags;
    if ctx.set_cb_flags(set as i32).is_err() {
        account::lose(Loss::Callback);
    }
}

/// Loopback and a pod's traffic to itself are no flows.
#[inline(always)]
fn is_apart(local: &Address, remote: &Address) -> bool {
    !remote.is_loopback() && !local.is_loopback() && local != remote
}

#[inline(always)]
fn key(ctx: &SockOpsContext, local: Address, remote: Address, side: u8, outcome: u8) -> Key {
    let ops = ctx.ops;
    // The local port is in host order, the remote one in network order in the upper half.
    let local_port = word!(ops, local_port) as u16;
    let remote_port = u32::from_be(word!(ops, remote_port)) as u16;
    // SAFETY: the helper takes this context.
    let netns = unsafe { bpf_get_netns_cookie(ctx.as_ptr()) };
    let port = if side == side::SERVER { local_port } else { remote_port };
    let kind = Kind { protocol: protocol::TCP, side, outcome, basis: basis::OBSERVED };
    Key::new([netns, 0], &local, &remote, port, kind)
}

/// Own and peer's address. The IPv4 words first and always, then those of IPv6 over them.
#[inline(always)]
fn addresses(ops: *mut bpf_sock_ops) -> (Address, Address) {
    let local4 = word!(ops, local_ip4);
    let remote4 = word!(ops, remote_ip4);
    if word!(ops, family) == AF_INET {
        return (Address::from_v4_word(local4), Address::from_v4_word(remote4));
    }
    let local = [
        word!(ops, local_ip6[0]),
        word!(ops, local_ip6[1]),
        word!(ops, local_ip6[2]),
        word!(ops, local_ip6[3]),
    ];
    let remote = [
        word!(ops, remote_ip6[0]),
        word!(ops, remote_ip6[1]),
        word!(ops, remote_ip6[2]),
        word!(ops, remote_ip6[3]),
    ];
    (Address::from_v6_words(local), Address::from_v6_words(remote))
}
