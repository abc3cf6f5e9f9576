//! What `cargo xtask bench capture` measures ours against, and no release contains: a flow agent that looks at every
//! packet at tc, as the common ones do, and programs that do nothing at the hooks that ours are at.
//!
//! The first is as cheap as such an agent can be: IPv4 alone, one look-up and four words written a packet, a new flow
//! when there is none, a record in the ring when the map is full.
#![cfg_attr(target_arch = "bpf", no_std, no_main, feature(core_intrinsics))]
#![cfg_attr(
    target_arch = "bpf",
    expect(internal_features, reason = "the stable atomics do not compile for this machine")
)]
#![cfg_attr(target_arch = "bpf", expect(unsafe_code, reason = "every kernel helper is an unsafe call"))]
#![cfg_attr(
    target_arch = "bpf",
    expect(clippy::inline_always, reason = "the verifier follows packet pointers best within a function")
)]
#![cfg_attr(
    target_arch = "bpf",
    expect(clippy::multiple_unsafe_ops_per_block, reason = "fields behind one pointer share its one reason")
)]

#[cfg(target_arch = "bpf")]
mod hooks {
    //! The hooks that ours are at.

    use aya_ebpf::macros::{cgroup_sock, cgroup_sock_addr, sock_ops};
    use aya_ebpf::programs::{SockAddrContext, SockContext, SockOpsContext};

    #[sock_ops]
    fn nothing_tcp(_ctx: SockOpsContext) -> u32 {
        1
    }

    #[cgroup_sock_addr(connect4)]
    fn nothing_con4(_ctx: SockAddrContext) -> i32 {
        1
    }

    #[cgroup_sock_addr(sendmsg4)]
    fn nothing_send4(_ctx: SockAddrContext) -> i32 {
        1
    }

    #[cgroup_sock_addr(recvmsg4)]
    fn nothing_recv4(_ctx: SockAddrContext) -> i32 {
        1
    }

    #[cgroup_sock_addr(bind4)]
    fn nothing_bind4(_ctx: SockAddrContext) -> i32 {
        1
    }

    #[cgroup_sock(sock_release)]
    fn nothing_release(_ctx: SockContext) -> i32 {
        1
    }
}

#[cfg(target_arch = "bpf")]
mod packets {
    //! Every packet, by its five-tuple.
    #![expect(clippy::needless_pass_by_value, reason = "so the macros call them")]

    use core::intrinsics::{AtomicOrdering, atomic_xadd};
    use core::ptr::{addr_of_mut, read_unaligned, write_volatile};

    use aya_ebpf::bindings::{BPF_NOEXIST, TC_ACT_UNSPEC};
    use aya_ebpf::helpers::bpf_ktime_get_ns;
    use aya_ebpf::macros::{classifier, map};
    use aya_ebpf::maps::{HashMap, RingBuf};
    use aya_ebpf::programs::TcContext;

    #[repr(C)]
    #[derive(Clone, Copy)]
    struct Tuple {
        source: u64,
        destination: u64,
        ports_and_protocol: u64,
    }

    #[repr(C)]
    #[derive(Clone, Copy)]
    struct Counts {
        packets: u64,
        bytes: u64,
        first_ns: u64,
        last_ns: u64,
        tcp_flags: u64,
    }

    #[map]
    static FLOWS: HashMap<Tuple, Counts> = HashMap::with_max_entries(100_000, 0);

    #[map]
    static RING: RingBuf = RingBuf::with_byte_size(1 << 20, 0);

    #[classifier]
    fn per_packet(ctx: TcContext) -> i32 {
        // A packet that is not of TCP or UDP over IPv4 is left out.
        let _left_out = count(&ctx);
        TC_ACT_UNSPEC
    }

    /// What lies at `offset` of the packet.
    #[inline(always)]
    fn at<T>(ctx: &TcContext, offset: usize) -> Option<T> {
        let begin = ctx.data() + offset;
        if begin + size_of::<T>() > ctx.data_end() {
            return None;
        }
        // SAFETY: within the packet, as just asked.
        Some(unsafe { read_unaligned(begin as *const T) })
    }

    #[inline(always)]
    fn count(ctx: &TcContext) -> Option<()> {
        const IPV4: u16 = 0x0800;
        const HEADER: usize = 14;
        const SEGMENT: usize = HEADER + 20;
        if u16::from_be(at(ctx, 12)?) != IPV4 {
            return None;
        }
        let protocol: u8 = at(ctx, HEADER + 9)?;
        let (source, destination): (u32, u32) = (at(ctx, HEADER + 12)?, at(ctx, HEADER + 16)?);
        let ports: u32 = match protocol {
            6 | 17 => at(ctx, SEGMENT)?,
            _ => return None,
        };
        let flags: u8 = if protocol == 6 { at(ctx, SEGMENT + 13)? } else { 0 };
        let tuple = Tuple {
            source: u64::from(source),
            destination: u64::from(destination),
            ports_and_protocol: u64::from(ports) | u64::from(protocol) << 32,
        };
        // SAFETY: the helper has no preconditions.
        let now = unsafe { bpf_ktime_get_ns() };
        let bytes = u64::from(ctx.len());
        if let Some(counts) = FLOWS.get_ptr_mut(tuple) {
            // SAFETY: from a map look-up, valid while this program runs.
            unsafe {
                atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(addr_of_mut!((*counts).packets), 1);
                atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(addr_of_mut!((*counts).bytes), bytes);
                write_volatile(addr_of_mut!((*counts).last_ns), now);
                (*counts).tcp_flags |= u64::from(flags);
            }
            return Some(());
        }
        let counts = Counts { packets: 1, bytes, first_ns: now, last_ns: now, tcp_flags: u64::from(flags) };
        if FLOWS.insert(tuple, counts, u64::from(BPF_NOEXIST)).is_err()
            && let Some(mut record) = RING.reserve::<(Tuple, Counts)>(0)
        {
            record.write((tuple, counts));
            record.submit(0);
        }
        Some(())
    }
}

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
