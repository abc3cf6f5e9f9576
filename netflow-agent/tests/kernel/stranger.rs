//! Another sock_ops program that sets a socket's callbacks without keeping others': what it costs is counted.
#![expect(unsafe_code, reason = "raw bpf(2) calls: a program of four instructions needs no compiler")]

use std::fs::File;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};

use netflow_agent::flow::{Outcome, Side};

use crate::lab::Lab;
use crate::lab_of;
use crate::observed::{NOW, Observed};

const SOCK_OPS_PROGRAM: u32 = 13;
const SOCK_OPS_HOOK: u32 = 3;

/// `r2 = 0; bpf_sock_ops_cb_flags_set(r1, r2); return 1`, at every callback.
const OVERWRITE: [u64; 4] = [0x0000_0000_0000_02b7, 0x0000_003b_0000_0085, 0x0000_0001_0000_00b7, 0x95];

fn bpf(command: i32, attributes: &[u64]) -> OwnedFd {
    // SAFETY: the kernel reads as many bytes as are there.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, command, attributes.as_ptr(), size_of_val(attributes)) };
    assert!(result >= 0, "{}", std::io::Error::last_os_error());
    let descriptor = RawFd::try_from(result).expect("a descriptor");
    // SAFETY: a descriptor that the kernel has just given out.
    unsafe { OwnedFd::from_raw_fd(descriptor) }
}

/// Attaches it to the lab, until what is returned is dropped.
fn overwriting(lab: &Lab) -> [OwnedFd; 2] {
    const PROG_LOAD: i32 = 5;
    const LINK_CREATE: i32 = 28;
    let licence = c"GPL";
    let n_instructions = OVERWRITE.len() as u64;
    let program = bpf(
        PROG_LOAD,
        &[
            u64::from(SOCK_OPS_PROGRAM) | (n_instructions << 32),
            OVERWRITE.as_ptr() as u64,
            licence.as_ptr() as u64,
        ],
    );
    let folder = File::open(lab.cgroup()).expect("the lab's folder");
    let number = |fd: RawFd| u64::try_from(fd).expect("a descriptor");
    let link = bpf(
        LINK_CREATE,
        &[number(program.as_raw_fd()) | (number(folder.as_raw_fd()) << 32), u64::from(SOCK_OPS_HOOK)],
    );
    [program, link]
}

fn connect_once(lab: &Lab) {
    let (client, server) = (lab.pod(0), lab.pod(1));
    let listener = server.run(|| TcpListener::bind(server.v4(80)).expect("listen"));
    drop(client.run(|| TcpStream::connect(server.v4(80)).expect("connect")));
    drop(listener.accept().expect("accept"));
}

/// The connection is there with both its ends, the close that went unseen is counted, and nothing stays open.
fn assert_counted(observed: &mut Observed) {
    observed.until("both ends", |observed| observed.flows.len() >= 2);
    observed.drain();
    let sides: Vec<_> = observed.flows.keys().map(|key| (key.0, key.3, key.5)).collect();
    let end = |side| (side, 80, Outcome::Established);
    assert_eq!(sides, [end(Side::Client), end(Side::Server)], "{:#?}", observed.flows);
    assert_eq!(observed.connections(|_| true), 2);
    assert!(observed.lost["callback"] >= 1, "{:?}", observed.lost);
    let drained = observed.capture.drain(NOW).expect("drain");
    assert_eq!(drained.samples, [], "nothing is told of again");
}

#[test]
fn callbacks_that_a_program_after_ours_overwrites_are_counted() {
    let lab = lab_of!("stranger::callbacks_that_a_program_after_ours_overwrites_are_counted", 2);
    let mut observed = Observed::start(&lab);
    let _stranger = overwriting(&lab);
    connect_once(&lab);
    assert_counted(&mut observed);
}

#[test]
fn callbacks_that_a_program_before_ours_overwrites_are_counted() {
    let lab = lab_of!("stranger::callbacks_that_a_program_before_ours_overwrites_are_counted", 2);
    let _stranger = overwriting(&lab);
    let mut observed = Observed::start(&lab);
    connect_once(&lab);
    assert_counted(&mut observed);
}

#[test]
fn doctor_counts_the_stranger_and_says_what_it_could_cost() {
    let lab = lab_of!("stranger::doctor_counts_the_stranger_and_says_what_it_could_cost", 0);
    let found = || {
        let checks = netflow_agent::sys::bpf::require::check(Some(lab.cgroup()));
        checks.into_iter().find(|check| check.name == "programs").expect("a check of this").found
    };
    assert!(!found().contains("sock_ops"), "{}", found());
    let _stranger = overwriting(&lab);
    assert!(found().contains("1 of them at sock_ops"), "{}", found());
    assert!(found().contains("`callback`"), "{}", found());
}
