//! Network links by rtnetlink, as much as a lab of namespaces needs: bridges, veth pairs, addresses, routes.
//! No program of the machine is asked. A socket acts in the namespace it was opened in.

use std::fs::File;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketType};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

const NEW_LINK: u16 = 16;
const NEW_ADDRESS: u16 = 20;
const NEW_ROUTE: u16 = 24;
const ERROR: u16 = 2;

const REQUEST: u16 = 0x1;
const ACKNOWLEDGE: u16 = 0x4;
const EXCLUSIVE: u16 = 0x200;
const CREATE: u16 = 0x400;

const LINK_NAME: u16 = 3;
const LINK_MASTER: u16 = 10;
const LINK_INFO: u16 = 18;
const LINK_NAMESPACE: u16 = 28;
const INFO_KIND: u16 = 1;
const INFO_DATA: u16 = 2;
const VETH_PEER: u16 = 1;
const UP: u32 = 1;
/// No duplicate address detection: an address of the lab is ready at once.
const ADDRESS_NO_DAD: u8 = 0x2;

/// What a route does with the packets it takes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Route {
    Via(IpAddr),
    Blackhole,
}

/// A network namespace, alive as long as a process is in it or this is held.
#[derive(Debug)]
pub(crate) struct Namespace {
    file: File,
}

impl Namespace {
    /// The namespace that process `pid` is in.
    pub(crate) fn of(pid: u32) -> io::Result<Self> {
        Ok(Self { file: File::open(format!("/proc/{pid}/ns/net"))? })
    }

    /// Does `what` inside, on a thread of its own.
    pub(crate) fn inside<T: Send>(&self, what: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                move_into_link_name_space(self.file.as_fd(), Some(LinkNameSpaceType::Network))?;
                what()
            });
            thread.join().unwrap_or_else(|_| Err(io::Error::other("a thread of the lab panicked")))
        })
    }

    /// A socket to the links of the namespace.
    pub(crate) fn links(&self) -> io::Result<Links> {
        self.inside(|| {
            let socket = rustix::net::socket(AddressFamily::NETLINK, SocketType::RAW, None)?;
            Ok(Links { socket })
        })
    }
}

/// The links, addresses and routes of one namespace.
#[derive(Debug)]
pub(crate) struct Links {
    socket: OwnedFd,
}

impl Links {
    pub(crate) fn add_bridge(&self, name: &str) -> io::Result<()> {
        let mut message = Message::new(NEW_LINK, CREATE | EXCLUSIVE);
        message.link_header(0, 0);
        message.text(LINK_NAME, name);
        message.nest(LINK_INFO, |message| message.text(INFO_KIND, "bridge"));
        self.send(message)
    }

    /// A pair of interfaces: `name` here, `peer_name` in the namespace `peer`.
    pub(crate) fn add_veth(&self, name: &str, peer_name: &str, peer: &Namespace) -> io::Result<()> {
        let descriptor = u32::try_from(peer.file.as_raw_fd()).map_err(io::Error::other)?;
        let mut message = Message::new(NEW_LINK, CREATE | EXCLUSIVE);
        message.link_header(0, 0);
        message.text(LINK_NAME, name);
        message.nest(LINK_INFO, |message| {
            message.text(INFO_KIND, "veth");
            message.nest(INFO_DATA, |message| {
                message.nest(VETH_PEER, |message| {
                    message.link_header(0, 0);
                    message.text(LINK_NAME, peer_name);
                    message.attribute(LINK_NAMESPACE, &descriptor.to_ne_bytes());
                });
            });
        });
        self.send(message)
    }

    pub(crate) fn put_on_bridge(&self, name: &str, bridge: &str) -> io::Result<()> {
        let mut message = Message::new(NEW_LINK, 0);
        message.link_header(self.index(name)?, 0);
        message.attribute(LINK_MASTER, &self.index(bridge)?.to_ne_bytes());
        self.send(message)
    }

    pub(crate) fn set_up(&self, name: &str) -> io::Result<()> {
        let mut message = Message::new(NEW_LINK, 0);
        message.link_header(self.index(name)?, UP);
        self.send(message)
    }

    pub(crate) fn add_address(&self, name: &str, ip: IpAddr, prefix: u8) -> io::Result<()> {
        let mut message = Message::new(NEW_ADDRESS, CREATE | EXCLUSIVE);
        let flags = if ip.is_ipv6() { ADDRESS_NO_DAD } else { 0 };
        message.bytes(&[family(ip), prefix, flags, 0]);
        message.bytes(&self.index(name)?.to_ne_bytes());
        message.attribute(2, &octets(ip));
        message.attribute(1, &octets(ip));
        self.send(message)
    }

    /// A route to `ip/prefix`.
    pub(crate) fn add_route(&self, ip: IpAddr, prefix: u8, route: Route) -> io::Result<()> {
        let mut message = Message::new(NEW_ROUTE, CREATE | EXCLUSIVE);
        let kind = if matches!(route, Route::Blackhole) { 6 } else { 1 };
        // Family, prefix, source prefix, service; table main, by an administrator, everywhere; kind; flags.
        message.bytes(&[family(ip), prefix, 0, 0, 254, 4, 0, kind, 0, 0, 0, 0]);
        message.attribute(1, &octets(ip));
        if let Route::Via(gateway) = route {
            message.attribute(5, &octets(gateway));
        }
        self.send(message)
    }

    fn index(&self, name: &str) -> io::Result<u32> {
        Ok(rustix::net::netdevice::name_to_index(&self.socket, name)?)
    }

    /// Sends one request and reads the kernel's answer to it.
    fn send(&self, message: Message) -> io::Result<()> {
        rustix::net::send(&self.socket, &message.finish(), SendFlags::empty())?;
        let mut answer = [0_u8; 4096];
        let (n_bytes, _) = rustix::net::recv(&self.socket, &mut answer, RecvFlags::empty())?;
        let word = |at: usize| answer[..n_bytes].get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
        let kind = answer[..n_bytes].get(4..6).and_then(|bytes| bytes.try_into().ok());
        match (kind.map(u16::from_ne_bytes), word(16).map(i32::from_ne_bytes)) {
            (Some(ERROR), Some(0)) => Ok(()),
            (Some(ERROR), Some(code)) => Err(io::Error::from_raw_os_error(-code)),
            _ => Err(io::Error::other("an answer that is no acknowledgement")),
        }
    }
}

fn family(ip: IpAddr) -> u8 {
    if ip.is_ipv4() { 2 } else { 10 }
}

fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

/// A netlink request under construction; every part is padded to four bytes.
struct Message {
    bytes: Vec<u8>,
}

impl Message {
    fn new(kind: u16, flags: u16) -> Self {
        let mut bytes = vec![0; 16];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes[6..8].copy_from_slice(&(REQUEST | ACKNOWLEDGE | flags).to_ne_bytes());
        Self { bytes }
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    /// `struct ifinfomsg`: which link, and the flags to set.
    fn link_header(&mut self, index: u32, flags: u32) {
        for word in [0, index, flags, flags] {
            self.bytes(&word.to_ne_bytes());
        }
    }

    fn attribute(&mut self, kind: u16, value: &[u8]) {
        self.nest(kind, |message| message.bytes.extend_from_slice(value));
    }

    fn text(&mut self, kind: u16, value: &str) {
        self.nest(kind, |message| {
            message.bytes.extend_from_slice(value.as_bytes());
            message.bytes.push(0);
        });
    }

    fn nest(&mut self, kind: u16, content: impl FnOnce(&mut Self)) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 2]);
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        content(self);
        let len_bytes = u16::try_from(self.bytes.len() - start).unwrap_or(u16::MAX);
        self.bytes[start..start + 2].copy_from_slice(&len_bytes.to_ne_bytes());
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    fn finish(mut self) -> Vec<u8> {
        let len_bytes = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        self.bytes[..4].copy_from_slice(&len_bytes.to_ne_bytes());
        self.bytes
    }
}
