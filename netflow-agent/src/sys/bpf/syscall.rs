//! What aya does not wrap of `bpf(2)`: whole maps in one call (`BPF_MAP_LOOKUP_BATCH`, `BPF_MAP_DELETE_BATCH`) and
//! `BPF_PROG_QUERY`. In: a descriptor. Out: raw keys and values. The one file of the agent with `unsafe` in it.
#![expect(
    unsafe_code,
    reason = "aya has no batch calls; a million entries one by one cost five times the CPU"
)]

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};

/// Commands of `bpf(2)`.
const LOOKUP_BATCH: libc::c_int = 24;
const DELETE_BATCH: libc::c_int = 27;

/// The arguments of the batch commands, as `union bpf_attr` lays them out.
#[repr(C)]
struct Attributes {
    in_batch: u64,
    out_batch: u64,
    keys: u64,
    values: u64,
    count: u32,
    map_fd: u32,
    elem_flags: u64,
    flags: u64,
}

const _: () = assert!(size_of::<Attributes>() == 56, "the kernel reads this layout");

/// Buffers for one map, kept between drains. `KEY` and `VALUE` are the map's sizes.
#[derive(Debug)]
pub(super) struct Batch {
    keys: Vec<u8>,
    values: Vec<u8>,
    key_length: usize,
    value_length: usize,
}

impl Batch {
    /// How many entries one call asks for.
    const ENTRIES: usize = 4_096;

    pub(super) fn new(key_length: usize, value_length: usize) -> Self {
        Self {
            keys: vec![0; key_length * Self::ENTRIES],
            values: vec![0; value_length * Self::ENTRIES],
            key_length,
            value_length,
        }
    }

    /// Hands every entry of the map to `each`. Entries made meanwhile may be missed; none is given twice.
    pub(super) fn read(&mut self, map: BorrowedFd<'_>, mut each: impl FnMut(&[u8], &[u8])) -> io::Result<()> {
        // The kernel's cursor: a bucket's number for a hash map.
        let mut cursor: u64 = 0;
        let mut is_first = true;
        loop {
            let mut next: u64 = 0;
            let mut attributes = Attributes {
                in_batch: if is_first { 0 } else { address(&raw mut cursor) },
                out_batch: address(&raw mut next),
                keys: address(self.keys.as_mut_ptr()),
                values: address(self.values.as_mut_ptr()),
                count: u32::try_from(self.room()).unwrap_or(u32::MAX),
                map_fd: descriptor(map),
                elem_flags: 0,
                flags: 0,
            };
            let ended = match call(LOOKUP_BATCH, &mut attributes) {
                Ok(()) => false,
                // The end of the map; the last entries came with it.
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => true,
                // One bucket holds more than the buffers: nothing was written, so ask again with more room.
                Err(error) if error.raw_os_error() == Some(libc::ENOSPC) => {
                    self.grow();
                    continue;
                }
                Err(error) if error.raw_os_error() == Some(libc::EINTR) => continue,
                Err(error) => return Err(error),
            };
            let n_entries = attributes.count as usize;
            let keys = self.keys.chunks_exact(self.key_length);
            let values = self.values.chunks_exact(self.value_length);
            for (key, value) in keys.zip(values).take(n_entries) {
                each(key, value);
            }
            if ended {
                return Ok(());
            }
            cursor = next;
            is_first = false;
        }
    }

    /// Deletes these keys; one that is gone already is no error.
    pub(super) fn delete(&self, map: BorrowedFd<'_>, keys: &mut [u8]) -> io::Result<()> {
        let mut done = 0;
        let n_keys = keys.len() / self.key_length;
        while done < n_keys {
            let left = &mut keys[done * self.key_length..];
            let mut attributes = Attributes {
                in_batch: 0,
                out_batch: 0,
                keys: address(left.as_mut_ptr()),
                values: 0,
                count: u32::try_from(n_keys - done).unwrap_or(u32::MAX),
                map_fd: descriptor(map),
                elem_flags: 0,
                flags: 0,
            };
            match call(DELETE_BATCH, &mut attributes) {
                Ok(()) => return Ok(()),
                // The key after those deleted was gone already.
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {
                    done += attributes.count as usize + 1;
                }
                Err(error) if error.raw_os_error() == Some(libc::EINTR) => {
                    done += attributes.count as usize;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn room(&self) -> usize {
        self.keys.len() / self.key_length
    }

    fn grow(&mut self) {
        let room = self.room() * 2;
        self.keys.resize(room * self.key_length, 0);
        self.values.resize(room * self.value_length, 0);
    }
}

fn address<T>(pointer: *mut T) -> u64 {
    pointer as usize as u64
}

fn descriptor(map: BorrowedFd<'_>) -> u32 {
    map.as_raw_fd().cast_unsigned()
}

fn call(command: libc::c_int, attributes: &mut Attributes) -> io::Result<()> {
    // SAFETY: the kernel reads the attributes and writes as many keys and values as `count` says, into buffers
    // that hold as many and live on until the call returns.
    let result = unsafe {
        libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attributes), size_of::<Attributes>())
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Waits until no program runs that began before this call, where the kernel offers it (not with
/// `nohz_full`): returns at once otherwise.
pub(super) fn wait_for_programs() {
    /// `MEMBARRIER_CMD_GLOBAL`: a grace period of RCU, under which every program runs.
    const GLOBAL: libc::c_int = 1;
    // SAFETY: the call takes three integers and touches no memory of ours.
    unsafe { libc::syscall(libc::SYS_membarrier, GLOBAL, 0, 0) };
}

/// `BPF_CGROUP_SOCK_OPS`.
pub(super) const SOCK_OPS: u32 = 3;

/// Hands back what the allocator keeps of freed memory: glibc keeps most of what the start took for itself. It
/// stands here because raw calls do, not because the kernel side needs it.
pub(in crate::sys) fn give_memory_back() {
    // SAFETY: the call takes an integer, and touches no memory that is in use.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0)
    };
}

/// The hooks we attach to, as `enum bpf_attach_type` numbers them.
pub(super) const ATTACH_TYPES: [(u32, &str); 12] = [
    (0, "cgroup_skb ingress"),
    (1, "cgroup_skb egress"),
    (SOCK_OPS, "sock_ops"),
    (8, "bind4"),
    (9, "bind6"),
    (10, "connect4"),
    (11, "connect6"),
    (14, "sendmsg4"),
    (15, "sendmsg6"),
    (19, "recvmsg4"),
    (20, "recvmsg6"),
    (34, "sock_release"),
];

/// The arguments of `BPF_PROG_QUERY`, as far as we ask.
#[repr(C)]
struct Query {
    target_fd: u32,
    attach_type: u32,
    flags: u32,
    attach_flags: u32,
    prog_ids: u64,
    n_programs: u32,
    padding: u32,
}

/// How many programs are attached to this cgroup itself, and how they were attached.
pub(super) fn attached(cgroup: BorrowedFd<'_>, attach_type: u32) -> io::Result<(u32, u32)> {
    const PROG_QUERY: libc::c_int = 16;
    let mut query = Query {
        target_fd: descriptor(cgroup),
        attach_type,
        flags: 0,
        attach_flags: 0,
        prog_ids: 0,
        n_programs: 0,
        padding: 0,
    };
    let length = size_of::<Query>();
    // SAFETY: the kernel reads and writes the structure within its length, and no array: none is given.
    let result = unsafe { libc::syscall(libc::SYS_bpf, PROG_QUERY, &raw mut query, length) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok((query.n_programs, query.attach_flags)) }
}
