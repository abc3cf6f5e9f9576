//! The C library's own resolver in a pod: it connects a UDP socket to every address of an answer, with the port that
//! was asked for, and sends nothing there.
#![expect(unsafe_code, reason = "the standard library looks names up, but with no port to probe")]

use std::net::{Ipv4Addr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use netflow_agent::flow::{Outcome, Side};
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
use rustix::thread::{UnshareFlags, unshare_unsafe};

use crate::lab::Pod;
use crate::lab_of;
use crate::observed::Observed;
use crate::udp::{bind, client, server, settle};

const LOOKUPS: u64 = 20;

/// What the name stands for: nobody has these addresses, and nobody is to be asked there.
const ADDRESSES: [Ipv4Addr; 3] =
    [Ipv4Addr::new(10, 77, 0, 201), Ipv4Addr::new(10, 77, 0, 202), Ipv4Addr::new(10, 77, 0, 203)];

/// The answer to a query: the addresses where IPv4 ones are asked for, else none.
fn answer(query: &[u8]) -> Option<Vec<u8>> {
    let (id, rest) = (query.get(..2)?, query.get(12..)?);
    let name = rest.iter().position(|&length| length == 0)? + 1;
    let question = rest.get(..name + 4)?;
    let is_v4 = question[name..] == [0, 1, 0, 1];
    let found = if is_v4 { &ADDRESSES[..] } else { &[] };
    let count = u8::try_from(found.len()).ok()?;
    let mut answer = [id, &[0x81, 0x80, 0, 1, 0, count, 0, 0, 0, 0], question].concat();
    for address in found {
        // The name of the question, an address of the internet, for a minute, four bytes.
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
        answer.extend(address.octets());
    }
    Some(answer)
}

fn serve(pod: &Pod, socket: &UdpSocket, is_over: &AtomicBool) {
    socket.set_read_timeout(Some(Duration::from_millis(50))).expect("a socket's timeout");
    pod.run(|| {
        let mut bytes = [0; 512];
        while !is_over.load(Ordering::Acquire) {
            let Ok((length, from)) = socket.recv_from(&mut bytes) else { continue };
            let answer = answer(&bytes[..length]).expect("a query");
            socket.send_to(&answer, from).expect("the answer");
        }
    });
}

/// Gives the calling thread an `/etc` of its own, which names this server.
fn ask_only(server: &Pod) {
    // SAFETY: no other thread relies on this one's view of the file system.
    unsafe { unshare_unsafe(UnshareFlags::FS | UnshareFlags::NEWNS) }.expect("a mount namespace");
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .expect("keep mounts to us");
    mount("tmpfs", "/etc", "tmpfs", MountFlags::empty(), None).expect("an empty /etc");
    std::fs::write("/etc/resolv.conf", format!("nameserver {}\n", server.ip4)).expect("resolv.conf");
    std::fs::write("/etc/nsswitch.conf", "hosts: dns\n").expect("nsswitch.conf");
}

/// How many addresses the C library finds for a name, with the port of HTTPS.
fn look_up() -> usize {
    let mut found = std::ptr::null_mut();
    // SAFETY: strings that end in zero, no hints, and a place for the list.
    let result =
        unsafe { libc::getaddrinfo(c"app.test".as_ptr(), c"443".as_ptr(), std::ptr::null(), &raw mut found) };
    assert_eq!(result, 0, "getaddrinfo");
    let mut n_found = 0;
    let mut next = found;
    // SAFETY: a list that the library made, not freed yet.
    while let Some(entry) = unsafe { next.as_ref() } {
        n_found += usize::from(entry.ai_socktype == libc::SOCK_STREAM);
        next = entry.ai_next;
    }
    // SAFETY: the same list, freed once.
    unsafe { libc::freeaddrinfo(found) };
    n_found
}

#[test]
fn what_getaddrinfo_probes_is_no_flow_and_what_it_asks_is_one() {
    let lab = lab_of!("resolver::what_getaddrinfo_probes_is_no_flow_and_what_it_asks_is_one", 2);
    let (asker, resolver) = (lab.pod(0), lab.pod(1));
    let mut observed = Observed::start(&lab);
    let socket = bind(resolver, "0.0.0.0:53");
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| serve(resolver, &socket, &is_over));
        asker.run(|| {
            ask_only(resolver);
            for _ in 0..LOOKUPS {
                assert_eq!(look_up(), ADDRESSES.len());
            }
        });
        is_over.store(true, Ordering::Release);
    });
    settle(&mut observed, 2);
    let (probes, queries): (Vec<_>, Vec<_>) = observed.flows.iter().partition(|(key, _)| key.3 == 443);
    let queries: Vec<_> = queries.into_iter().map(|(key, _)| *key).collect();
    assert_eq!(queries, [client(resolver.v4(53)), server(None, asker, 53)]);
    // A probe that was held up for longer than a probe lasts counts as unanswered: never as an edge, and rarely.
    assert!(
        probes.iter().all(|(key, _)| (key.0, key.5) == (Side::Client, Outcome::Unanswered)),
        "{probes:#?}"
    );
    let n_slow: u64 = probes.iter().map(|(_, counts)| counts.connections).sum();
    assert!(n_slow < LOOKUPS * 3 / 2, "{n_slow} of {} probes were taken for senders", LOOKUPS * 3);
}
