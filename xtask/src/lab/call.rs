//! The clients of the lab: one that asks, one that keeps a connection, one that fails as expected.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use super::dns::{self, Record};
use crate::Outcome;

const PATIENCE: Duration = Duration::from_secs(5);
const BETWEEN: Duration = Duration::from_millis(200);

/// A name or address and a port; where it is a name, the server that knows it.
#[derive(Debug, clap::Args)]
pub(super) struct Call {
    host: String,
    port: u16,
    #[arg(long)]
    dns: Option<IpAddr>,
    /// How many rounds
    #[arg(long, default_value_t = 1)]
    times: u32,
}

impl Call {
    pub(super) fn run(&self) -> Outcome {
        for _ in 0..self.times {
            for ip in self.resolve()? {
                let to = SocketAddr::new(ip, self.port);
                ask(to).map_err(|error| format!("ask {to}: {error}"))?;
            }
            std::thread::sleep(BETWEEN);
        }
        Ok(())
    }

    fn resolve(&self) -> Result<Vec<IpAddr>, Box<dyn std::error::Error>> {
        if let Ok(ip) = self.host.parse() {
            return Ok(vec![ip]);
        }
        let server = self.dns.ok_or("a name needs --dns")?;
        let mut ips = Vec::new();
        for kind in [Record::A, Record::Aaaa] {
            ips.extend(dns::query(server, &self.host, kind)?);
        }
        if ips.is_empty() { Err(format!("{} has no address", self.host).into()) } else { Ok(ips) }
    }
}

fn ask(to: SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&to, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    exchange(&mut stream)
}

fn exchange(stream: &mut TcpStream) -> io::Result<()> {
    let request = [b'?'; 64];
    stream.write_all(&request)?;
    let mut answer = [0; 64];
    stream.read_exact(&mut answer)
}

/// One connection that goes on until this program ends.
pub(super) fn hold(to: SocketAddr) -> Outcome {
    let mut stream = TcpStream::connect_timeout(&to, PATIENCE)?;
    exchange(&mut stream)?;
    println!("ready");
    loop {
        std::thread::sleep(BETWEEN);
        exchange(&mut stream)?;
    }
}

/// How a connection attempt is meant to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Expected {
    Refused,
    Timeout,
}

pub(super) fn attempt(to: SocketAddr, expected: Expected, timeout: Duration) -> Outcome {
    let Err(came) = TcpStream::connect_timeout(&to, timeout) else {
        return Err(format!("{to} answered").into());
    };
    let kind = match came.kind() {
        io::ErrorKind::ConnectionRefused => Some(Expected::Refused),
        io::ErrorKind::TimedOut => Some(Expected::Timeout),
        _ => None,
    };
    if kind == Some(expected) { Ok(()) } else { Err(format!("{to}: {came}, not {expected:?}").into()) }
}
