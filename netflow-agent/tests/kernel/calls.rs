//! System calls beside sendto and recvfrom: many datagrams in one, and io_uring, where no call is made at all.
#![expect(unsafe_code, reason = "the standard library has neither")]

use std::mem::zeroed;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, UdpSocket};
use std::os::fd::{AsRawFd as _, RawFd};

use io_uring::{IoUring, opcode, squeue, types};
use netflow_agent::flow::{Basis, Outcome, Side};
use netflow_agent::net::Protocol;

use crate::lab::Pod;
use crate::lab_of;
use crate::observed::{Key, Observed};
use crate::udp::{bind, client, keys, server, settle};

/// One datagram's address, bytes and header, as the calls want them: pointers into boxes.
struct Message {
    address: Box<libc::sockaddr_in>,
    bytes: Box<[u8; 8]>,
    part: Box<libc::iovec>,
    header: Box<libc::msghdr>,
}

/// A structure of the kernel's, all zero.
fn zero<T>() -> T {
    // SAFETY: asked for structures of integers and pointers only: zero is a value of each.
    unsafe { zeroed() }
}

impl Message {
    fn new(to: SocketAddr) -> Self {
        let SocketAddr::V4(to) = to else { panic!("an IPv4 address") };
        let mut address: Box<libc::sockaddr_in> = Box::new(zero());
        let mut part: Box<libc::iovec> = Box::new(zero());
        let mut header: Box<libc::msghdr> = Box::new(zero());
        address.sin_family = u16::try_from(libc::AF_INET).expect("a small number");
        address.sin_port = to.port().to_be();
        address.sin_addr.s_addr = u32::from_ne_bytes(to.ip().octets());
        let mut bytes = Box::new(*b"question");
        part.iov_base = bytes.as_mut_ptr().cast();
        part.iov_len = bytes.len();
        header.msg_name = (&raw mut *address).cast();
        header.msg_namelen = u32::try_from(size_of::<libc::sockaddr_in>()).expect("a small number");
        header.msg_iov = &raw mut *part;
        header.msg_iovlen = 1;
        Self { address, bytes, part, header }
    }

    /// One to receive into.
    fn empty() -> Self {
        Self::new(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)))
    }

    fn from(&self) -> SocketAddr {
        assert_eq!((*self.bytes, self.part.iov_len), (*b"question", 8));
        let ip = Ipv4Addr::from(self.address.sin_addr.s_addr.to_ne_bytes());
        SocketAddr::V4(SocketAddrV4::new(ip, u16::from_be(self.address.sin_port)))
    }
}

/// The messages' headers in a row; they point into `messages`.
fn row(messages: &[Message]) -> Vec<libc::mmsghdr> {
    messages.iter().map(|message| libc::mmsghdr { msg_hdr: *message.header, msg_len: 0 }).collect()
}

fn send_many(socket: &UdpSocket, to: &[SocketAddr]) {
    let messages: Vec<Message> = to.iter().copied().map(Message::new).collect();
    let mut row = row(&messages);
    let count = u32::try_from(row.len()).expect("a few");
    // SAFETY: `row` holds `count` headers, whose pointers are into `messages`; both outlive the call.
    let sent = unsafe { libc::sendmmsg(socket.as_raw_fd(), row.as_mut_ptr(), count, 0) };
    assert_eq!(usize::try_from(sent), Ok(to.len()), "{}", std::io::Error::last_os_error());
}

fn receive_many(socket: &UdpSocket, count: u32) -> Vec<SocketAddr> {
    let messages: Vec<Message> = (0..count).map(|_| Message::empty()).collect();
    let mut row = row(&messages);
    // SAFETY: as above; no timeout is given.
    let got = unsafe { libc::recvmmsg(socket.as_raw_fd(), row.as_mut_ptr(), count, 0, std::ptr::null_mut()) };
    assert_eq!(u32::try_from(got), Ok(count), "{}", std::io::Error::last_os_error());
    messages.iter().map(Message::from).collect()
}

#[test]
fn datagrams_sent_and_received_many_at_once_are_each_a_flow() {
    let lab = lab_of!("calls::datagrams_sent_and_received_many_at_once_are_each_a_flow", 3);
    let (asker, one, two) = (lab.pod(0), lab.pod(1), lab.pod(2));
    let mut observed = Observed::start(&lab);
    let asking = bind(asker, "0.0.0.0:0");
    let (first, second) = (bind(one, "0.0.0.0:5300"), bind(two, "0.0.0.0:5301"));
    asker.run(|| send_many(&asking, &[one.v4(5300), two.v4(5301), one.v4(5300)]));
    one.run(|| send_many(&first, &receive_many(&first, 2)));
    two.run(|| send_many(&second, &receive_many(&second, 1)));
    asker.run(|| assert_eq!(receive_many(&asking, 3).len(), 3));
    settle(&mut observed, 4);
    let mut expected =
        [client(one.v4(5300)), client(two.v4(5301)), server(None, asker, 5300), server(None, asker, 5301)];
    expected.sort();
    assert_eq!(keys(&observed), expected);
    assert!(observed.samples.iter().all(|sample| sample.connections <= 1), "{:#?}", observed.samples);
}

/// Submits one request and waits for its result.
fn request(ring: &mut IoUring, entry: &squeue::Entry) -> i32 {
    // SAFETY: what the entry points to outlives this call, which waits for the end of the request.
    unsafe { ring.submission().push(entry) }.expect("room for one");
    ring.submit_and_wait(1).expect("submit");
    let result = ring.completion().next().expect("a result").result();
    assert!(result >= 0, "{}", std::io::Error::from_raw_os_error(-result));
    result
}

fn ring_send(ring: &mut IoUring, socket: RawFd, to: SocketAddr) {
    let message = Message::new(to);
    request(ring, &opcode::SendMsg::new(types::Fd(socket), &raw const *message.header).build());
}

fn ring_receive(ring: &mut IoUring, socket: RawFd) -> SocketAddr {
    let mut message = Message::empty();
    request(ring, &opcode::RecvMsg::new(types::Fd(socket), &raw mut *message.header).build());
    message.from()
}

/// Why there is no io_uring here.
fn no_ring() -> Option<String> {
    IoUring::new(2)
        .err()
        .map(|error| format!("needs io_uring (Linux 5.1, kernel.io_uring_disabled=0): {error}"))
}

#[test]
fn datagrams_by_io_uring_are_seen_as_those_by_system_calls() {
    let lab = lab_of!("calls::datagrams_by_io_uring_are_seen_as_those_by_system_calls", 2);
    if let Some(reason) = no_ring() {
        return crate::skip::skip("kernel::calls::datagrams_by_io_uring", &reason);
    }
    let (asker, answerer) = (lab.pod(0), lab.pod(1));
    let mut observed = Observed::start(&lab);
    let (asking, answering) = (bind(asker, "0.0.0.0:0"), bind(answerer, "0.0.0.0:5300"));
    let within = |pod: &Pod, what: &(dyn Fn(&mut IoUring) + Sync)| {
        pod.run(|| what(&mut IoUring::new(2).expect("a ring")));
    };
    within(asker, &|ring| ring_send(ring, asking.as_raw_fd(), answerer.v4(5300)));
    within(answerer, &|ring| {
        let from = ring_receive(ring, answering.as_raw_fd());
        ring_send(ring, answering.as_raw_fd(), from);
    });
    within(asker, &|ring| assert_eq!(ring_receive(ring, asking.as_raw_fd()), answerer.v4(5300)));
    settle(&mut observed, 2);
    assert_eq!(keys(&observed), [client(answerer.v4(5300)), server(None, asker, 5300)]);
    for sample in &observed.samples {
        let pod = if sample.side == Side::Client { asker } else { answerer };
        assert_eq!(sample.cgroup, Some(pod.cgroup_id()), "{sample:?}");
    }
}

#[test]
fn a_connection_made_by_io_uring_is_one_flow_with_both_ends() {
    let lab = lab_of!("calls::a_connection_made_by_io_uring_is_one_flow_with_both_ends", 2);
    if let Some(reason) = no_ring() {
        return crate::skip::skip("kernel::calls::a_connection_made_by_io_uring", &reason);
    }
    let (near, far) = (lab.pod(0), lab.pod(1));
    let mut observed = Observed::start(&lab);
    let listener = far.run(|| TcpListener::bind(far.v4(8080)).expect("listen"));
    near.run(|| {
        let socket =
            rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::STREAM, None)
                .expect("a socket");
        let mut ring = IoUring::new(2).expect("a ring");
        let fd = types::Fd(socket.as_raw_fd());
        let to = Message::new(far.v4(8080));
        let (name, length) = (to.header.msg_name.cast_const().cast(), to.header.msg_namelen);
        request(&mut ring, &opcode::Connect::new(fd, name, length).build());
        assert_eq!(request(&mut ring, &opcode::Send::new(fd, to.bytes.as_ptr(), 8).build()), 8);
    });
    drop(listener.accept().expect("accept"));
    let key = |side, local: Ipv4Addr, remote: Ipv4Addr| -> Key {
        (side, Some(local.into()), remote.into(), 8080, Protocol::Tcp, Outcome::Established, Basis::Observed)
    };
    let expected = [key(Side::Client, near.ip4, far.ip4), key(Side::Server, far.ip4, near.ip4)];
    observed.until("both ends, closed", |observed| {
        observed.flows.len() == 2 && observed.flows.values().all(|counts| counts.open == 0)
    });
    assert_eq!(keys(&observed), expected);
    assert_eq!(observed.flows[&expected[0]].sent, 8);
}
