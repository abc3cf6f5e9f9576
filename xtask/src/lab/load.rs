//! The load generator of the benchmarks: both ends of a conversation in one thread, so that its CPU clock is the
//! packet path. Prints how much was done and the CPU time it took, in nanoseconds.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use rustix::time::{ClockId, clock_gettime};

use super::cgroup;
use crate::Outcome;

/// What is done over and over, and what is counted of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    /// One TCP connection, one way: bytes
    Stream,
    /// A request and its answer on one TCP connection: pairs
    Request,
    /// Connect, request, answer, close: connections
    Connect,
    /// UDP on connected sockets: datagrams
    Connected,
    /// UDP with addresses, one peer: datagrams
    Addressed,
    /// UDP with addresses, each end one of a thousand peers of the other: datagrams
    Peers,
}

#[derive(Debug, clap::Args)]
pub(super) struct Load {
    #[arg(value_enum)]
    kind: Kind,
    /// The server's address
    to: IpAddr,
    /// The process in the server's network namespace
    #[arg(long)]
    server_net: u32,
    /// The server's cgroup2 folder
    #[arg(long)]
    server_cgroup: PathBuf,
    #[arg(long)]
    milliseconds: u64,
    /// At most so many a second; 0 is as fast as it goes
    #[arg(long, default_value_t = 0)]
    rate: u64,
}

/// Sockets, and one step of the load: returns how much it did.
type Step = Box<dyn FnMut() -> io::Result<u64>>;

const MESSAGE: [u8; 64] = [b'm'; 64];
const N_PEERS: u16 = 1_000;
const FIRST_PORT: u16 = 20_000;

impl Load {
    /// `own` is this process's cgroup2 folder, left for the server's while its sockets are made.
    pub(super) fn run(&self, own: Option<&PathBuf>) -> Outcome {
        let here = std::fs::File::open("/proc/thread-self/ns/net")?;
        let there = std::fs::File::open(format!("/proc/{}/ns/net", self.server_net))?;
        cgroup::enter(&self.server_cgroup)?;
        move_into_link_name_space(there.as_fd(), Some(LinkNameSpaceType::Network))?;
        let server = Server::open(self.kind, self.to)?;
        move_into_link_name_space(here.as_fd(), Some(LinkNameSpaceType::Network))?;
        if let Some(own) = own {
            cgroup::enter(own)?;
        }
        let mut step = server.step(self.kind)?;
        let (done, cpu) = self.repeat(&mut step)?;
        println!("{done} {}", cpu.as_nanos());
        Ok(())
    }

    fn repeat(&self, step: &mut Step) -> io::Result<(u64, Duration)> {
        let begin = Instant::now();
        let before = cpu();
        let end = Duration::from_millis(self.milliseconds);
        let (mut done, mut steps) = (0, 0_u64);
        while begin.elapsed() < end {
            for _ in 0..16 {
                done += step()?;
                steps += 1;
            }
            if let Some(due) = (steps * 1_000).checked_div(self.rate) {
                std::thread::sleep(Duration::from_millis(due).saturating_sub(begin.elapsed()));
            }
        }
        Ok((done, cpu().saturating_sub(before)))
    }
}

fn cpu() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    let part = |number: i64| u64::try_from(number).unwrap_or(0);
    Duration::from_secs(part(now.tv_sec)) + Duration::from_nanos(part(now.tv_nsec))
}

/// The server's sockets, made in its namespace and cgroup.
enum Server {
    Tcp(TcpListener),
    Udp(Vec<UdpSocket>),
}

impl Server {
    fn open(kind: Kind, ip: IpAddr) -> io::Result<Self> {
        Ok(match kind {
            Kind::Stream | Kind::Request | Kind::Connect => Self::Tcp(TcpListener::bind((ip, 8080))?),
            Kind::Connected | Kind::Addressed => Self::Udp(vec![UdpSocket::bind((ip, FIRST_PORT))?]),
            Kind::Peers => {
                let ports = FIRST_PORT..FIRST_PORT + N_PEERS;
                Self::Udp(ports.map(|port| UdpSocket::bind((ip, port))).collect::<io::Result<_>>()?)
            }
        })
    }

    fn step(self, kind: Kind) -> io::Result<Step> {
        match (self, kind) {
            (Self::Tcp(listener), Kind::Stream) => stream(&listener),
            (Self::Tcp(listener), Kind::Request) => request(&listener),
            (Self::Tcp(listener), _) => connect(listener),
            (Self::Udp(mut servers), Kind::Connected) => connected(servers.remove(0)),
            (Self::Udp(servers), Kind::Peers) => peers(servers),
            (Self::Udp(mut servers), _) => addressed(servers.remove(0)),
        }
    }
}

fn pair(listener: &TcpListener) -> io::Result<(TcpStream, TcpStream)> {
    let near = TcpStream::connect(listener.local_addr()?)?;
    let far = listener.accept()?.0;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    Ok((near, far))
}

fn stream(listener: &TcpListener) -> io::Result<Step> {
    let (mut near, mut far) = pair(listener)?;
    near.set_nonblocking(true)?;
    far.set_nonblocking(true)?;
    let mut bytes = vec![0; 65_536];
    Ok(Box::new(move || {
        while would_go(near.write(&bytes))?.is_some() {}
        let mut total = 0;
        while let Some(length) = would_go(far.read(&mut bytes))? {
            total += length as u64;
        }
        Ok(total)
    }))
}

/// `None` when the socket can go no further now.
fn would_go(result: io::Result<usize>) -> io::Result<Option<usize>> {
    match result {
        Ok(length) => Ok(Some(length)),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

fn request(listener: &TcpListener) -> io::Result<Step> {
    let (mut near, mut far) = pair(listener)?;
    Ok(Box::new(move || {
        exchange(&mut near, &mut far)?;
        Ok(1)
    }))
}

fn exchange(near: &mut TcpStream, far: &mut TcpStream) -> io::Result<()> {
    let mut bytes = [0; MESSAGE.len()];
    near.write_all(&MESSAGE)?;
    far.read_exact(&mut bytes)?;
    far.write_all(&bytes)?;
    near.read_exact(&mut bytes)
}

fn connect(listener: TcpListener) -> io::Result<Step> {
    let to = listener.local_addr()?;
    Ok(Box::new(move || {
        let mut near = TcpStream::connect(to)?;
        let mut far = listener.accept()?.0;
        exchange(&mut near, &mut far)?;
        // The server closes first, so that the client's port is free again at once.
        drop(far);
        drop(near);
        Ok(1)
    }))
}

fn any(ip: IpAddr) -> SocketAddr {
    SocketAddr::new(if ip.is_ipv4() { [0; 4].into() } else { [0_u16; 8].into() }, 0)
}

fn connected(server: UdpSocket) -> io::Result<Step> {
    let to = server.local_addr()?;
    let client = UdpSocket::bind(any(to.ip()))?;
    client.connect(to)?;
    server.connect(client.local_addr()?)?;
    let mut bytes = [0; 64];
    Ok(Box::new(move || {
        client.send(&MESSAGE)?;
        server.recv(&mut bytes)?;
        server.send(&MESSAGE)?;
        client.recv(&mut bytes)?;
        Ok(2)
    }))
}

fn ask(client: &UdpSocket, server: &UdpSocket, to: SocketAddr) -> io::Result<()> {
    let mut bytes = [0; 64];
    client.send_to(&MESSAGE, to)?;
    let (_, from) = server.recv_from(&mut bytes)?;
    server.send_to(&MESSAGE, from)?;
    client.recv_from(&mut bytes)?;
    Ok(())
}

fn addressed(server: UdpSocket) -> io::Result<Step> {
    let to = server.local_addr()?;
    let client = UdpSocket::bind(any(to.ip()))?;
    Ok(Box::new(move || {
        ask(&client, &server, to)?;
        Ok(2)
    }))
}

fn peers(servers: Vec<UdpSocket>) -> io::Result<Step> {
    let addresses = servers.iter().map(UdpSocket::local_addr).collect::<io::Result<Vec<_>>>()?;
    let clients =
        addresses.iter().map(|to| UdpSocket::bind(any(to.ip()))).collect::<io::Result<Vec<_>>>()?;
    let mut at = 0;
    // In turns one client that asks a thousand servers, and one server that a thousand clients ask.
    Ok(Box::new(move || {
        at = (at + 1) % servers.len();
        ask(&clients[0], &servers[at], addresses[at])?;
        ask(&clients[at], &servers[0], addresses[0])?;
        Ok(4)
    }))
}
