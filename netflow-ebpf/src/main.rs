//! The kernel programs: entry points, one line each. They count who talks to whom and let everything pass.
//!
//! `tcp`, `udp` and `existing` decide what an event means; `account` counts it, or counts its loss. Nothing here
//! runs per packet, but for `existing`, which is attached for a bounded time.
//!
//! On any other machine than the kernel's this is an empty program, so that the workspace builds everywhere.
#![cfg_attr(target_arch = "bpf", no_std, no_main, feature(core_intrinsics))]
#![cfg_attr(
    target_arch = "bpf",
    expect(internal_features, reason = "the stable atomics do not compile for this machine")
)]
#![cfg_attr(target_arch = "bpf", expect(unsafe_code, reason = "every kernel helper is an unsafe call"))]
#![cfg_attr(
    target_arch = "bpf",
    expect(clippy::inline_always, reason = "a call spills registers, and each spilled word costs a barrier")
)]
#![cfg_attr(
    target_arch = "bpf",
    expect(clippy::multiple_unsafe_ops_per_block, reason = "fields behind one pointer share its one reason")
)]

#[cfg(target_arch = "bpf")]
mod account;
#[cfg(target_arch = "bpf")]
mod existing;
#[cfg(target_arch = "bpf")]
mod maps;
#[cfg(target_arch = "bpf")]
mod programs;
#[cfg(target_arch = "bpf")]
mod tcp;
#[cfg(target_arch = "bpf")]
mod udp;

/// What the kernel asks before it lets a program call its GPL helpers.
#[cfg(target_arch = "bpf")]
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

/// The verifier refuses any path that could come here.
#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[cfg(not(target_arch = "bpf"))]
fn main() {}
