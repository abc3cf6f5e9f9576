//! The entry points: one line each, named as in `netflow_common::names`. Every one lets the call pass.
#![expect(clippy::needless_pass_by_value, reason = "so the macros call them")]

use aya_ebpf::macros::{cgroup_skb, cgroup_sock, cgroup_sock_addr, sock_ops};
use aya_ebpf::programs::{SkBuffContext, SockAddrContext, SockContext, SockOpsContext};

use crate::{existing, tcp, udp};

/// The call, the packet or the socket goes on.
const PASS: i32 = 1;

#[sock_ops]
fn netflow_tcp(ctx: SockOpsContext) -> u32 {
    tcp::observe(&ctx);
    1
}

#[cgroup_sock_addr(connect4)]
fn netflow_con4(ctx: SockAddrContext) -> i32 {
    udp::connect::<{ udp::V4 }>(&ctx);
    PASS
}

#[cgroup_sock_addr(connect6)]
fn netflow_con6(ctx: SockAddrContext) -> i32 {
    udp::connect::<{ udp::V6 }>(&ctx);
    PASS
}

#[cgroup_sock_addr(sendmsg4)]
fn netflow_send4(ctx: SockAddrContext) -> i32 {
    udp::send::<{ udp::V4 }>(&ctx);
    PASS
}

#[cgroup_sock_addr(sendmsg6)]
fn netflow_send6(ctx: SockAddrContext) -> i32 {
    udp::send::<{ udp::V6 }>(&ctx);
    PASS
}

#[cgroup_sock_addr(recvmsg4)]
fn netflow_recv4(ctx: SockAddrContext) -> i32 {
    udp::receive::<{ udp::V4 }>(&ctx);
    PASS
}

#[cgroup_sock_addr(recvmsg6)]
fn netflow_recv6(ctx: SockAddrContext) -> i32 {
    udp::receive::<{ udp::V6 }>(&ctx);
    PASS
}

#[cgroup_sock_addr(bind4)]
fn netflow_bind4(ctx: SockAddrContext) -> i32 {
    udp::bind::<true>(&ctx);
    PASS
}

#[cgroup_sock_addr(bind6)]
fn netflow_bind6(ctx: SockAddrContext) -> i32 {
    udp::bind::<true>(&ctx);
    PASS
}

#[cgroup_sock_addr(bind4)]
fn netflow_bind4q(ctx: SockAddrContext) -> i32 {
    udp::bind::<false>(&ctx);
    PASS
}

#[cgroup_sock_addr(bind6)]
fn netflow_bind6q(ctx: SockAddrContext) -> i32 {
    udp::bind::<false>(&ctx);
    PASS
}

#[cgroup_sock(sock_release)]
fn netflow_release(ctx: SockContext) -> i32 {
    udp::release(&ctx);
    PASS
}

#[cgroup_skb(egress)]
fn netflow_exist(ctx: SkBuffContext) -> i32 {
    existing::packet::<true>(&ctx);
    PASS
}

#[cgroup_skb(ingress)]
fn netflow_existin(ctx: SkBuffContext) -> i32 {
    existing::packet::<false>(&ctx);
    PASS
}
