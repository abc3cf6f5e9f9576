//! A program that wants its cgroup for itself: attached with no flags, the old way.

use std::fs::File;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::path::Path;

use aya::programs::SockOps;

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/netflow.o"));

/// A sock_ops program of somebody else: ours, with maps of its own.
pub(crate) fn stranger() -> aya::Ebpf {
    let mut ebpf = aya::Ebpf::load(OBJECT).expect("load");
    sock_ops(&mut ebpf).load().expect("load the program");
    ebpf
}

pub(crate) fn sock_ops(ebpf: &mut aya::Ebpf) -> &mut SockOps {
    ebpf.program_mut("netflow_tcp").expect("the program").try_into().expect("of this kind")
}

/// Attaches a stranger to the folder so that no other program may join; it stays as long as the folder.
#[expect(unsafe_code, reason = "a raw bpf(2) call: nothing safe attaches like this any more")]
pub(crate) fn occupy(cgroup: &Path) {
    const PROG_ATTACH: libc::c_int = 8;
    const SOCK_OPS: i32 = 3;
    let folder = File::open(cgroup).expect("the lab's folder");
    let mut stranger = stranger();
    let program = sock_ops(&mut stranger).fd().expect("loaded").as_fd().as_raw_fd();
    let attributes: [i32; 4] = [folder.as_raw_fd(), program, SOCK_OPS, 0];
    let length = size_of_val(&attributes);
    // SAFETY: the kernel reads four integers, as many as `length` says.
    let result = unsafe { libc::syscall(libc::SYS_bpf, PROG_ATTACH, attributes.as_ptr(), length) };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
}
