//! What is older than the agent, for a bounded time, attached to `cgroup_skb`. In: packets. Out: counts of basis
//! `EXISTING`, one for each TCP connection and one for each direction of each connected UDP socket.
//!
//! A TCP socket that sends is asked for once: who has a listener on its port is the server. A UDP socket that was
//! connected before the agent, and uses send and recv, comes by no other hook: its ports tell its role, as in `udp`.

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
use crate::maps::{self, Socket, role};
use crate::udp::EPHEMERAL;

const AF_INET: u32 = 2;
const IPPROTO_TCP: u32 = 6;
const IPPROTO_UDP: u32 = 17;
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

/// The state of a socket, made where there is none.
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

/// `IS_SENT`: the packet leaves; else it has come in.
pub(crate) fn packet<const IS_SENT: bool>(ctx: &SkBuffContext) {
    // SAFETY: the context is valid while the program runs.
    let sock = unsafe { (*ctx.skb.skb).__bindgen_anon_2.sk };
    if sock.is_null() {
        return;
    }
    // SAFETY: `sock` is not null. A request or a TIME_WAIT has no full socket, and is no connection of ours.
    let sock = unsafe { bpf_sk_fullsock(sock) };
    if sock.is_null() {
        return;
    }
    match field!(sock, protocol) {
        IPPROTO_TCP if IS_SENT => segment(ctx, sock),
        // An unconnected one shows its peers to the hooks of sendmsg and recvmsg.
        IPPROTO_UDP if field!(sock, dst_port) != 0 => datagram::<IS_SENT>(ctx, sock),
        _ => {}
    }
}

#[inline(always)]
fn segment(ctx: &SkBuffContext, sock: *mut bpf_sock) {
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

/// One flow for each direction of a socket that no hook has judged. Two CPUs that send at the same instant may both
/// be the first: then it counts twice.
#[inline(always)]
fn datagram<const IS_SENT: bool>(ctx: &SkBuffContext, sock: *mut bpf_sock) {
    let Some(state) = state(sock) else { return account::lose(Loss::SocketState) };
    // SAFETY: socket storage is valid while the program runs.
    let (role, counted) =
        unsafe { (read_volatile(addr_of!((*state).role)), read_volatile(addr_of!((*state).counted))) };
    let direction = if IS_SENT { 1 } else { 2 };
    if role != role::NONE || counted & direction != 0 {
        return;
    }
    // SAFETY: as above.
    unsafe { (*state).counted = counted | direction };
    let (local, remote) = addresses(sock);
    if remote.is_loopback() || remote.is_group() || local.is_group() || local == remote {
        return;
    }
    let local_port = (field!(sock, src_port) & 0xffff) as u16;
    let remote_port = u16::from_be(field!(sock, dst_port));
    // Where the ports leave it open both ends say client, and neither is believed without the other.
    let (side, port) = if local_port < EPHEMERAL && remote_port >= EPHEMERAL {
        (side::SERVER, local_port)
    } else {
        (side::CLIENT, remote_port)
    };
    let key = key(
        ctx,
        [&local, &remote],
        last_word(port, protocol::UDP, side, outcome::ESTABLISHED, basis::EXISTING),
    );
    let (sent, received) = (u64::from(IS_SENT), u64::from(!IS_SENT));
    account::count(&key, Delta { begun: u32::from(counted == 0), ended: 0, sent, received });
}

#[inline(always)]
fn connection(ctx: &SkBuffContext, sock: *mut bpf_sock) {
    let (local, remote) = addresses(sock);
    if remote.is_loopback() || local.is_loopback() || local == remote {
        return;
    }
    let local_port = (field!(sock, src_port) & 0xffff) as u16;
    let remote_port = u16::from_be(field!(sock, dst_port));
    let (side, port) = if has_listener(ctx, &local, &remote, local_port) {
        (side::SERVER, local_port)
    } else {
        (side::CLIENT, remote_port)
    };
    let last = last_word(port, protocol::TCP, side, outcome::ESTABLISHED, basis::EXISTING);
    account::count(&key(ctx, [&local, &remote], last), Delta::BEGUN);
}

/// Kernels before 6.15 do not tell the namespace here; the local address is always known.
#[inline(always)]
fn key(ctx: &SkBuffContext, [local, remote]: [&Address; 2], last: u64) -> Key {
    // SAFETY: the helper takes this context.
    let cgroup = unsafe { bpf_skb_cgroup_id(ctx.skb.skb) };
    Key { netns: 0, cgroup, local: words(local), remote: words(remote), last }
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
    let found = unsafe { bpf_skc_lookup_tcp(ctx.skb.skb.cast(), &raw mut tuple, length, CURRENT_NETNS, 0) };
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
