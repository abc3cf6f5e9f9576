//! UDP by the cgroup hooks of connect, sendmsg, recvmsg, bind and release: which end opened a conversation is
//! the first direction of its socket. In: system calls with an address. Out: counts of a client or a server.
//!
//! The client's key has no local address, because a socket has none when it first sends: its cgroup and network
//! namespace say whose it is. A connect alone is no flow: a resolver probes every address of an answer so.

use core::ptr::{addr_of, null_mut, read_volatile, write_volatile};

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

use crate::account::{self, Delta, last_word, words};
use crate::maps::{self, SOCKETS, Socket, Talk, bound, role};

const IPPROTO_UDP: u32 = 17;

/// A connect that is gone sooner than this, with nothing received, was a probe.
const PROBE_NS: u64 = 100_000;

/// Ports from here on are given out by the kernel (`ip_local_port_range` by default).
pub(crate) const EPHEMERAL: u16 = 32_768;

macro_rules! word {
    ($ctx:expr, $($field:tt)+) => {
        // SAFETY: the context is valid while the program runs.
        unsafe { read_volatile(addr_of!((*$ctx).$($field)+)) }
    };
}

/// Writes one field of a socket's state. Volatile: two stores of branches that meet again would be merged into one
/// to a computed address, which the verifier refuses.
macro_rules! put {
    ($socket:ident.$($field:ident).+, $value:expr) => {{
        let value = $value;
        // SAFETY: a field behind a reference.
        unsafe { write_volatile(&raw mut $socket.$($field).+, value) }
    }};
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
    Ends {
        peer: peer::<IS_V6>(ctx),
        peer_port: peer_port(ctx),
        own,
        own_port: low_half(word!(sock, src_port)),
    }
}

#[inline(always)]
fn peer_port(ctx: *mut bpf_sock_addr) -> u16 {
    u16::from_be(low_half(word!(ctx, user_port)))
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

/// With whom this call talks, and in which epoch.
#[inline(always)]
fn talk<const IS_V6: bool>(ctx: *mut bpf_sock_addr) -> Talk {
    let port_and_epoch = u64::from(peer_port(ctx)) | (u64::from(maps::epoch()) << 16);
    Talk { peer: words(&peer::<IS_V6>(ctx)), port_and_epoch }
}

#[inline(always)]
const fn low_half(word: u32) -> u16 {
    (word & 0xffff) as u16
}

#[inline(always)]
#[expect(clippy::mut_from_ref, reason = "the kernel's memory: the context only says whose")]
fn state(ctx: &SockAddrContext) -> Option<&mut Socket> {
    // SAFETY: the socket of the context is valid while the program runs.
    let socket = unsafe { SOCKETS.get_or_insert_ptr_mut(ctx, None) };
    // SAFETY: socket storage, valid while the program runs, and no other program has it: see `Socket`.
    let socket = unsafe { socket.as_mut() };
    if socket.is_none() {
        account::lose(Loss::SocketState);
    }
    socket
}

impl Socket {
    /// Writes down whose socket it is, in the process that calls.
    #[inline(always)]
    fn name(&mut self, ctx: *mut bpf_sock_addr) {
        if self.key.netns == 0 {
            // SAFETY: the helper takes this context. A socket never leaves its namespace.
            self.key.netns = unsafe { bpf_get_netns_cookie(ctx.cast()) };
        }
        // SAFETY: the hooks run in the process that called.
        self.key.cgroup = unsafe { bpf_get_current_cgroup_id() };
    }

    /// Writes down both ends of what is to be judged.
    #[inline(always)]
    fn meet(&mut self, ends: &Ends) {
        self.key.remote = words(&ends.peer);
        self.own = words(&ends.own);
        put!(self.peer_port, ends.peer_port);
        put!(self.own_port, ends.own_port);
    }

    /// Turns the key into that of a client of the peer's port.
    #[inline(always)]
    fn be_client(&mut self) {
        self.key.local = [0; 2];
        self.key.last =
            last_word(self.peer_port, protocol::UDP, side::CLIENT, outcome::ESTABLISHED, self.basis());
    }

    /// Turns the key into that of a server on the own port.
    #[inline(always)]
    fn be_server(&mut self) {
        self.key.local = self.own;
        self.key.last =
            last_word(self.own_port, protocol::UDP, side::SERVER, outcome::ESTABLISHED, self.basis());
    }

    #[inline(always)]
    fn basis(&self) -> u8 {
        if self.basis == basis::EXISTING { basis::EXISTING } else { basis::OBSERVED }
    }

    /// The connect before this moment was a probe if it is that young. The key is left that of its client.
    #[inline(always)]
    fn drop_probe(&mut self) {
        let since = self.pending_ns;
        if since == 0 {
            return;
        }
        put!(self.pending_ns, 0);
        // SAFETY: the helper has no preconditions.
        let now = unsafe { bpf_ktime_get_ns() };
        if now.wrapping_sub(since) < PROBE_NS {
            self.key.remote = self.pending;
            put!(self.peer_port, self.pending_port);
            self.be_client();
            account::count(&self.key, Delta::ENDED);
        }
    }
}

#[inline(always)]
pub(crate) fn connect<const IS_V6: bool>(ctx: &SockAddrContext) {
    if word!(ctx.sock_addr, protocol) != IPPROTO_UDP {
        return;
    }
    let Some(socket) = state(ctx) else { return };
    // Before the key is another's.
    socket.drop_probe();
    socket.sent = Talk::NONE;
    socket.received = Talk::NONE;
    let ends = ends::<IS_V6>(ctx.sock_addr);
    if !ends.is_flow() {
        return;
    }
    socket.meet(&ends);
    socket.pending = socket.key.remote;
    put!(socket.pending_port, ends.peer_port);
    socket.name(ctx.sock_addr);
    if socket.role != role::CLIENT && socket.bound == bound::CHOSEN {
        socket.be_server();
        if account::is_known(&socket.key) {
            // A server's own socket for one peer (DTLS, QUIC).
            put!(socket.role, role::SERVER);
            return account::count(&socket.key, Delta::BEGUN);
        }
    }
    if socket.role == role::NONE {
        put!(socket.role, role::CLIENT);
    }
    socket.be_client();
    // SAFETY: the helper has no preconditions.
    put!(socket.pending_ns, unsafe { bpf_ktime_get_ns() });
    account::count(&socket.key, Delta::BEGUN);
}

#[inline(always)]
pub(crate) fn send<const IS_V6: bool>(ctx: &SockAddrContext) {
    let Some(socket) = state(ctx) else { return };
    if socket.sent != talk::<IS_V6>(ctx.sock_addr) {
        talk_anew::<IS_V6, true>(ctx.sock_addr, socket);
    }
}

#[inline(always)]
pub(crate) fn receive<const IS_V6: bool>(ctx: &SockAddrContext) {
    let Some(socket) = state(ctx) else { return };
    if socket.received != talk::<IS_V6>(ctx.sock_addr) {
        talk_anew::<IS_V6, false>(ctx.sock_addr, socket);
    }
}

/// A datagram with another peer than the last of this direction, or in another epoch. A function of its own, so
/// that the common way needs no room on the stack. All that has to outlive a helper call lies in the socket's state:
/// there are four registers for it otherwise, and each word that is spilled costs a barrier.
#[inline(never)]
fn talk_anew<const IS_V6: bool, const IS_SENT: bool>(ctx: *mut bpf_sock_addr, socket: &mut Socket) {
    let talk = talk::<IS_V6>(ctx);
    if IS_SENT {
        socket.sent = talk;
    } else {
        socket.received = talk;
    }
    let ends = ends::<IS_V6>(ctx);
    if !ends.is_flow() {
        return;
    }
    socket.meet(&ends);
    socket.name(ctx);
    let begun = u32::from(socket.role == role::NONE);
    if IS_SENT {
        socket.sends();
    } else if !socket.receives() {
        // Judged anew each time: it may become a peer that this socket has asked.
        put!(socket.received.port_and_epoch, 0);
        return;
    }
    let delta = if IS_SENT { Delta { begun, ..Delta::SENT } } else { Delta { begun, ..Delta::RECEIVED } };
    if account::count_talk(&socket.key, delta) && socket.both == 0 {
        // Both directions are told: the answer, which belongs to the same flow, need not be looked up.
        if IS_SENT {
            socket.received = socket.sent;
        } else {
            socket.sent = socket.received;
        }
    }
}

impl Socket {
    /// Judges the datagram to the peer just met; the key becomes that of the flow it belongs to.
    #[inline(always)]
    fn sends(&mut self) {
        let is_to_client = self.peer_port >= EPHEMERAL;
        match self.role {
            role::CLIENT => {}
            role::SERVER => {
                self.be_server();
                if self.is_returned()
                    || (is_to_client && self.peer_port != self.own_port)
                    || account::is_known(&self.key)
                {
                    return;
                }
                put!(self.both, 1);
            }
            _ if self.bound == bound::UNSEEN && self.own_port < EPHEMERAL && is_to_client => {
                put!(self.role, role::SERVER);
                put!(self.basis, basis::EXISTING);
                return self.be_server();
            }
            _ => put!(self.role, role::CLIENT),
        }
        self.be_client();
    }

    /// Judges the datagram from the peer just met, as `sends` does; `false` when it is to be left out.
    #[inline(always)]
    fn receives(&mut self) -> bool {
        if self.role == role::NONE {
            if self.bound == bound::UNSEEN && self.own_port >= EPHEMERAL && self.peer_port < EPHEMERAL {
                put!(self.role, role::CLIENT);
                put!(self.basis, basis::EXISTING);
                self.be_client();
                return true;
            }
            put!(self.role, role::SERVER);
        } else if self.role == role::CLIENT || self.both != 0 {
            self.be_client();
            if self.is_returned() || account::is_known(&self.key) {
                put!(self.pending_ns, 0);
                return true;
            }
            if self.role == role::CLIENT && self.bound != bound::CHOSEN {
                // A reply from another address (TFTP, anycast, a socket load balancer).
                return false;
            }
        }
        self.be_server();
        true
    }

    /// Whether the last datagram of the other direction was with this peer too, in this epoch, and so of the same
    /// flow. A server that also asks may have answered this peer, or asked it: there only the maps tell.
    #[inline(always)]
    fn is_returned(&self) -> bool {
        self.both == 0 && self.sent == self.received
    }
}

/// `SAYS_SO`: whether it puts a failure into words. Kernels before 6.16 refuse the words without CAP_PERFMON.
#[inline(always)]
pub(crate) fn bind<const SAYS_SO: bool>(ctx: &SockAddrContext) {
    if word!(ctx.sock_addr, protocol) != IPPROTO_UDP {
        return;
    }
    let port = peer_port(ctx.sock_addr);
    match state(ctx) {
        Some(socket) => socket.bound = if port == 0 { bound::ANY } else { bound::CHOSEN },
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
    // SAFETY: socket storage, valid while the program runs; nobody else holds the socket any more.
    if let Some(socket) = unsafe { socket.as_mut() } {
        socket.drop_probe();
    }
}
