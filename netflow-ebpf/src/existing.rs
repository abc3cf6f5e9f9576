//! TCP connections older than the agent, for a bounded time: attached to `cgroup_skb` egress, it asks for each
//! socket once whether its port has a listener. In: a segment that leaves. Out: a count of basis `EXISTING`.

use core::ptr::{addr_of, null_mut, read_volatile};

use aya_ebpf::bindings::{BPF_SK_STORAGE_GET_F_CREATE, bpf_sock, bpf_sock_ops, bpf_sock_tuple};
use aya_ebpf::helpers::{
    bpf_sk_fullsock, bpf_sk_release, bpf_sk_storage_get, bpf_skb_cgroup_id, bpf_skc_lookup_tcp,
};
use aya_ebpf::programs::SkBuffContext;
use netflow_common::Address;
use netflow_common::flow::{basis, outcome, protocol, side};
use netflow_common::loss::Loss;

use crate::account::{self, Delta, Key, last_word, words};
use crate::maps::{self, Socket};

const AF_INET: u32 = 2;
const IPPROTO_TCP: u32 = 6;
const LISTEN: u32 = 10;
const CURRENT_NETNS: u64 = u64::MAX;

/// The third word of a v4-mapped address.
const MAPPED_BE: u32 = 0x0000_ffff_u32.to_be();

macro_rules! field {
    ($sock:expr, $($field:tt)+) => {
        // SAFETY: a socket that the kernel handed to this program, checked not to be null.
        unsafe { read_volatile(addr_of!((*$sock).$($field)+)) }
    };
}

/// The state of a TCP socket, made where there is none.
#[inline(always)]
fn state(sock: *mut bpf_sock) -> Option<*mut Socket> {
    // SAFETY: the map is one of socket storage, and the helper checks the socket.
    let state = unsafe {
        bpf_sk_storage_get(maps::sockets(), sock.cast(), null_mut(), u64::from(BPF_SK_STORAGE_GET_F_CREATE))
    };
    (!state.is_null()).then_some(state.cast())
}

/// Notes on a socket that `tcp` saw come up, so that its segments are not taken for an older connection's. Only
/// while the window is open: no connection pays for it afterwards.
#[inline(always)]
pub(crate) fn mark_observed(ops: *mut bpf_sock_ops) {
    if !maps::is_window_open() {
        return;
    }
    // SAFETY: the context is valid while the program runs.
    let sock = unsafe { (*ops).__bindgen_anon_2.sk };
    if sock.is_null() {
        return;
    }
    if let Some(state) = state(sock) {
        // SAFETY: socket storage is valid while the program runs.
        unsafe { (*state).counted = 1 };
    }
}

pub(crate) fn segment(ctx: &SkBuffContext) {
    // SAFETY: the context is valid while the program runs.
    let sock = unsafe { (*ctx.skb.skb).__bindgen_anon_2.sk };
    if sock.is_null() {
        return;
    }
    // SAFETY: `sock` is not null. A request or a TIME_WAIT has no full socket, and is no connection of ours.
    let sock = unsafe { bpf_sk_fullsock(sock) };
    if sock.is_null() || field!(sock, protocol) != IPPROTO_TCP {
        return;
    }
    // Established, or closing: not a SYN, and not a listener's reset.
    if !matches!(field!(sock, state), 1 | 4 | 5 | 8 | 9 | 11) {
        return;
    }
    let Some(state) = state(sock) else { return account::lose(Loss::SocketState) };
    // SAFETY: socket storage is valid while the program runs.
    if unsafe { read_volatile(addr_of!((*state).counted)) } != 0 {
        return;
    }
    // SAFETY: as above.
    unsafe { (*state).counted = 1 };
    connection(ctx, sock);
}

#[inline(always)]
fn connection(ctx: &SkBuffContext, sock: *mut bpf_sock) {
    let (local, remote) = addresses(sock);
    if remote.is_loopback() || local.is_loopback() || local == remote {
        return;
    }
    let local_port = field!(sock, src_port) as u16;
    let remote_port = u16::from_be(field!(sock, dst_port));
    let (side, port) = if has_listener(ctx, &local, &remote, local_port) {
        (side::SERVER, local_port)
    } else {
        (side::CLIENT, remote_port)
    };
    // Kernels before 6.15 do not tell the namespace here; the local address is always known.
    // SAFETY: the helper takes this context.
    let cgroup = unsafe { bpf_skb_cgroup_id(ctx.skb.skb) };
    let last = last_word(port, protocol::TCP, side, outcome::ESTABLISHED, basis::EXISTING);
    let key = Key { netns: 0, cgroup, local: words(&local), remote: words(&remote), last };
    account::count(&key, Delta::BEGUN);
}

/// Whether somebody listens on the local port. The remote port is asked for as 0, so that the connection itself
/// is not what is found.
#[inline(always)]
fn has_listener(ctx: &SkBuffContext, local: &Address, remote: &Address, local_port: u16) -> bool {
    // SAFETY: plain integers: zero is a value.
    let mut tuple: bpf_sock_tuple = unsafe { core::mem::zeroed() };
    let length = if local.words_be[2] == MAPPED_BE && local.words_be[0] == 0 && local.words_be[1] == 0 {
        tuple.__bindgen_anon_1.ipv4.saddr = remote.words_be[3];
        tuple.__bindgen_anon_1.ipv4.daddr = local.words_be[3];
        tuple.__bindgen_anon_1.ipv4.dport = local_port.to_be();
        12
    } else {
        tuple.__bindgen_anon_1.ipv6.saddr = remote.words_be;
        tuple.__bindgen_anon_1.ipv6.daddr = local.words_be;
        tuple.__bindgen_anon_1.ipv6.dport = local_port.to_be();
        36
    };
    // SAFETY: the tuple is initialized for the length given.
    let found = unsafe { bpf_skc_lookup_tcp(ctx.skb.skb.cast(), &mut tuple, length, CURRENT_NETNS, 0) };
    if found.is_null() {
        return false;
    }
    let listens = field!(found, state) == LISTEN;
    // SAFETY: the reference taken by the look-up, given back once.
    unsafe { bpf_sk_release(found.cast()) };
    listens
}

#[inline(always)]
fn addresses(sock: *mut bpf_sock) -> (Address, Address) {
    if field!(sock, family) == AF_INET {
        return (Address::from_v4_word(field!(sock, src_ip4)), Address::from_v4_word(field!(sock, dst_ip4)));
    }
    let local = [
        field!(sock, src_ip6[0]),
        field!(sock, src_ip6[1]),
        field!(sock, src_ip6[2]),
        field!(sock, src_ip6[3]),
    ];
    let remote = [
        field!(sock, dst_ip6[0]),
        field!(sock, dst_ip6[1]),
        field!(sock, dst_ip6[2]),
        field!(sock, dst_ip6[3]),
    ];
    (Address::from_v6_words(local), Address::from_v6_words(remote))
}
