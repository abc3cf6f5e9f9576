//! UDP by the cgroup hooks of connect, sendmsg, recvmsg, bind and release: which end opened a conversation is
//! the first direction of its socket. In: system calls with an address. Out: counts of a client or a server.
//!
//! The client's key has no local address, because a socket has none when it first sends: its cgroup and network
//! namespace say whose it is. A connect alone is no flow: a resolver probes every address of an answer so.

use core::ptr::{addr_of, null_mut, read_volatile};

use aya_ebpf::EbpfContext as _;
use aya_ebpf::bindings::bpf_sock_addr;
use aya_ebpf::helpers::{
    bpf_get_current_cgroup_id, bpf_get_netns_cookie, bpf_ktime_get_ns, bpf_sk_storage_get,
};
use aya_ebpf::programs::{SockAddrContext, SockContext};
use aya_log_ebpf::warn;
use netflow_common::Address;
use netflow_common::flow::{basis, outcome, protocol, side};
use netflow_common::loss::Loss;

use crate::account::{self, Delta, Key, Kind};
use crate::maps::{self, SOCKETS, Socket, bound, role};

const IPPROTO_UDP: u32 = 17;

/// A connect that is gone sooner than this, with nothing received, was a probe.
const PROBE_NS: u64 = 100_000;

/// Ports from here on are given out by the kernel (`ip_local_port_range` by default).
const EPHEMERAL: u16 = 32_768;

macro_rules! word {
    ($ctx:expr, $($field:tt)+) => {
        // SAFETY: the context is valid while the program runs.
        unsafe { read_volatile(addr_of!((*$ctx).$($field)+)) }
    };
}

/// The other end, and this end as far as the socket knows it.
#[derive(Clone, Copy)]
pub(crate) struct Ends {
    peer: Address,
    peer_port: u16,
    own: Address,
    own_port: u16,
}

/// Which of the two hooks of a kind: a v4-mapped peer at an IPv6 one is an IPv4 one in every map.
pub(crate) const V4: bool = false;
pub(crate) const V6: bool = true;

#[inline(always)]
fn peer<const IS_V6: bool>(ctx: *mut bpf_sock_addr) -> Address {
    if !IS_V6 {
        return Address::from_v4_word(word!(ctx, user_ip4));
    }
    Address::from_v6_words([
        word!(ctx, user_ip6[0]),
        word!(ctx, user_ip6[1]),
        word!(ctx, user_ip6[2]),
        word!(ctx, user_ip6[3]),
    ])
}

#[inline(always)]
fn ends<const IS_V6: bool>(ctx: *mut bpf_sock_addr) -> Ends {
    // SAFETY: the socket of the context is never null in these hooks.
    let sock = unsafe { (*ctx).__bindgen_anon_1.sk };
    let own = if IS_V6 {
        Address::from_v6_words([
            word!(sock, src_ip6[0]),
            word!(sock, src_ip6[1]),
            word!(sock, src_ip6[2]),
            word!(sock, src_ip6[3]),
        ])
    } else {
        Address::from_v4_word(word!(sock, src_ip4))
    };
    Ends { peer: peer::<IS_V6>(ctx), peer_port: peer_port(ctx), own, own_port: word!(sock, src_port) as u16 }
}

#[inline(always)]
fn peer_port(ctx: *mut bpf_sock_addr) -> u16 {
    u16::from_be(word!(ctx, user_port) as u16)
}

impl Ends {
    /// Traffic to oneself, to a group, or to nobody is no flow.
    #[inline(always)]
    fn is_flow(&self) -> bool {
        !self.peer.is_loopback()
            && !self.peer.is_group()
            && !self.peer.is_unspecified()
            && !self.own.is_group()
            && self.peer_port != 0
            && self.own != self.peer
    }
}

/// One word that says peer, port and epoch, for IPv4; 0 says nothing.
#[inline(always)]
fn tag(peer: &Address, port: u16) -> u64 {
    let [a, b, c, d] = peer.words_be;
    if a | b != 0 || c != 0x0000_ffff_u32.to_be() {
        return 0;
    }
    (u64::from(d) << 32) | (u64::from(port) << 16) | u64::from(account::epoch() as u16)
}

/// A socket's state and what its keys are made of.
struct Call {
    socket: *mut Socket,
    netns: u64,
    cgroup: u64,
    ends: Ends,
}

impl Call {
    #[inline(always)]
    fn client(&self) -> Key {
        self.key(side::CLIENT, Address::UNSPECIFIED, self.ends.peer_port)
    }

    #[inline(always)]
    fn server(&self) -> Key {
        self.key(side::SERVER, self.ends.own, self.ends.own_port)
    }

    #[inline(always)]
    fn key(&self, side: u8, local: Address, port: u16) -> Key {
        let basis = if self.socket().basis == basis::EXISTING { basis::EXISTING } else { basis::OBSERVED };
        let kind = Kind { protocol: protocol::UDP, side, outcome: outcome::ESTABLISHED, basis };
        Key::new([self.netns, self.cgroup], &local, &self.ends.peer, port, kind)
    }

    #[inline(always)]
    fn socket(&self) -> &mut Socket {
        // SAFETY: socket storage, checked not to be null, valid while the program runs. Other CPUs may write
        // it meanwhile: see `Socket`.
        unsafe { &mut *self.socket }
    }

    /// Takes a role, and counts the first talk of the socket as begun.
    #[inline(always)]
    fn become_role(&self, role: u8, mut delta: Delta) -> Delta {
        self.socket().role = role;
        delta.begun = 1;
        delta
    }
}

#[inline(always)]
fn state(ctx: &SockAddrContext) -> Option<*mut Socket> {
    // SAFETY: the socket of the context is valid while the program runs.
    let socket = unsafe { SOCKETS.get_or_insert_ptr_mut(ctx, None) };
    if socket.is_null() {
        account::lose(Loss::SocketState);
        return None;
    }
    Some(socket)
}

#[inline(always)]
fn call(ctx: &SockAddrContext, socket: *mut Socket, ends: Ends) -> Call {
    Call {
        socket,
        // SAFETY: the helpers take this context, and none.
        netns: unsafe { bpf_get_netns_cookie(ctx.as_ptr()) },
        // SAFETY: the hooks run in the process that called.
        cgroup: unsafe { bpf_get_current_cgroup_id() },
        ends,
    }
}

#[inline(always)]
pub(crate) fn connect<const IS_V6: bool>(ctx: &SockAddrContext) {
    if word!(ctx.sock_addr, protocol) != IPPROTO_UDP {
        return;
    }
    let Some(socket) = state(ctx) else { return };
    let call = call(ctx, socket, ends::<IS_V6>(ctx.sock_addr));
    let socket = call.socket();
    // SAFETY: the helper has no preconditions.
    let now = unsafe { bpf_ktime_get_ns() };
    drop_probe(&call, now);
    socket.sent = 0;
    socket.received = 0;
    if !call.ends.is_flow() {
        return;
    }
    if socket.role != role::CLIENT && socket.bound == bound::CHOSEN && account::is_known(&call.server()) {
        // A server's own socket for one peer (DTLS, QUIC).
        let delta = call.become_role(role::SERVER, Delta::BEGUN);
        account::count(&call.server(), delta);
        return;
    }
    if socket.role == role::NONE {
        socket.role = role::CLIENT;
    }
    account::count(&call.client(), Delta::BEGUN);
    socket.pending = call.ends.peer;
    socket.pending_port = call.ends.peer_port;
    socket.pending_ns = now;
}

/// The connect before this moment was a probe if it is that young.
#[inline(always)]
fn drop_probe(call: &Call, now: u64) {
    let socket = call.socket();
    let since = socket.pending_ns;
    socket.pending_ns = 0;
    if since == 0 || now.wrapping_sub(since) >= PROBE_NS {
        return;
    }
    let ends = Ends { peer: socket.pending, peer_port: socket.pending_port, ..call.ends };
    account::count(&Call { ends, ..*call }.client(), Delta::ENDED);
}

#[inline(always)]
pub(crate) fn send<const IS_V6: bool>(ctx: &SockAddrContext) {
    let Some(socket) = state(ctx) else { return };
    let tag = tag(&peer::<IS_V6>(ctx.sock_addr), peer_port(ctx.sock_addr));
    // SAFETY: socket storage, checked not to be null.
    if tag == 0 || unsafe { read_volatile(addr_of!((*socket).sent)) } != tag {
        send_anew::<IS_V6>(ctx.sock_addr, socket, tag);
    }
}

/// Not the peer that this socket talked with last, or not in this epoch. A function of its own, so that the
/// common way spills nothing: without CAP_PERFMON every spill costs a barrier.
#[inline(never)]
fn send_anew<const IS_V6: bool>(ctx: *mut bpf_sock_addr, socket: *mut Socket, tag: u64) {
    let ctx = &SockAddrContext::new(ctx);
    let ends = ends::<IS_V6>(ctx.sock_addr);
    if !ends.is_flow() {
        return;
    }
    let call = call(ctx, socket, ends);
    let socket = call.socket();
    let ephemeral = ends.peer_port >= EPHEMERAL;
    let mut delta = Delta::SENT;
    let as_server = match socket.role {
        role::CLIENT => false,
        role::SERVER => {
            let reply = (ephemeral && ends.peer_port != ends.own_port)
                || (tag != 0 && socket.received == tag)
                || account::is_known(&call.server());
            if !reply {
                socket.both = 1;
            }
            reply
        }
        _ if socket.bound == bound::UNSEEN && ends.own_port < EPHEMERAL && ephemeral => {
            socket.basis = basis::EXISTING;
            delta = call.become_role(role::SERVER, delta);
            true
        }
        _ => {
            delta = call.become_role(role::CLIENT, delta);
            false
        }
    };
    let key = if as_server { call.server() } else { call.client() };
    account::count_talk(&key, delta);
    socket.sent = tag;
}

#[inline(always)]
pub(crate) fn receive<const IS_V6: bool>(ctx: &SockAddrContext) {
    let Some(socket) = state(ctx) else { return };
    let tag = tag(&peer::<IS_V6>(ctx.sock_addr), peer_port(ctx.sock_addr));
    // SAFETY: socket storage, checked not to be null.
    if tag == 0 || unsafe { read_volatile(addr_of!((*socket).received)) } != tag {
        receive_anew::<IS_V6>(ctx.sock_addr, socket, tag);
    }
}

/// Not the peer that this socket talked with last, or not in this epoch. A function of its own, so that the
/// common way spills nothing: without CAP_PERFMON every spill costs a barrier.
#[inline(never)]
fn receive_anew<const IS_V6: bool>(ctx: *mut bpf_sock_addr, socket: *mut Socket, tag: u64) {
    let ctx = &SockAddrContext::new(ctx);
    let ends = ends::<IS_V6>(ctx.sock_addr);
    if !ends.is_flow() {
        return;
    }
    let call = call(ctx, socket, ends);
    let socket = call.socket();
    let mut delta = Delta::RECEIVED;
    let as_server = match socket.role {
        role::NONE
            if socket.bound == bound::UNSEEN && ends.own_port >= EPHEMERAL && ends.peer_port < EPHEMERAL =>
        {
            socket.basis = basis::EXISTING;
            delta = call.become_role(role::CLIENT, delta);
            false
        }
        role::NONE => {
            delta = call.become_role(role::SERVER, delta);
            true
        }
        role if (role == role::CLIENT || socket.both != 0)
            && ((tag != 0 && socket.sent == tag) || account::is_known(&call.client())) =>
        {
            socket.pending_ns = 0;
            false
        }
        // A reply from another address (TFTP, anycast, a socket load balancer).
        role::CLIENT if socket.bound != bound::CHOSEN => return,
        _ => true,
    };
    let key = if as_server { call.server() } else { call.client() };
    account::count_talk(&key, delta);
    socket.received = tag;
}

/// `SAYS_SO`: whether it puts a failure into words. Kernels before 6.16 refuse the words without CAP_PERFMON.
#[inline(always)]
pub(crate) fn bind<const SAYS_SO: bool>(ctx: &SockAddrContext) {
    if word!(ctx.sock_addr, protocol) != IPPROTO_UDP {
        return;
    }
    let port = peer_port(ctx.sock_addr);
    match state(ctx) {
        // SAFETY: socket storage, checked not to be null.
        Some(socket) => unsafe { (*socket).bound = if port == 0 { bound::ANY } else { bound::CHOSEN } },
        None if SAYS_SO => warn!(ctx, "no memory for the state of a UDP socket"),
        None => {}
    }
}

#[inline(always)]
pub(crate) fn release(ctx: &SockContext) {
    if word!(ctx.sock, protocol) != IPPROTO_UDP {
        return;
    }
    // SAFETY: this hook hands the socket itself; nothing is created.
    let socket = unsafe { bpf_sk_storage_get(maps::sockets(), ctx.as_ptr(), null_mut(), 0) }.cast::<Socket>();
    if socket.is_null() {
        return;
    }
    // SAFETY: socket storage, checked not to be null.
    if unsafe { read_volatile(addr_of!((*socket).pending_ns)) } == 0 {
        return;
    }
    let ends = Ends { peer: Address::UNSPECIFIED, peer_port: 0, own: Address::UNSPECIFIED, own_port: 0 };
    let call = Call {
        socket,
        // SAFETY: the helpers take this context, and none.
        netns: unsafe { bpf_get_netns_cookie(ctx.as_ptr()) },
        // SAFETY: a socket is released by a process.
        cgroup: unsafe { bpf_get_current_cgroup_id() },
        ends,
    };
    // SAFETY: the helper has no preconditions.
    drop_probe(&call, unsafe { bpf_ktime_get_ns() });
}
