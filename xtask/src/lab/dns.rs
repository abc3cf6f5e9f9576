//! DNS as the lab needs it: a server of A and AAAA records over UDP, and the query of its clients.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use crate::Outcome;

const HEADER: usize = 12;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Record {
    A = 1,
    Aaaa = 28,
}

impl Record {
    fn holds(self, ip: IpAddr) -> bool {
        ip.is_ipv4() == (self == Self::A)
    }
}

pub(super) fn serve(names: &[String]) -> Outcome {
    let mut zone = Vec::new();
    for pair in names {
        let (name, ip) = pair.split_once('=').ok_or_else(|| format!("`{pair}` is not NAME=ADDRESS"))?;
        zone.push((name.to_owned(), ip.parse::<IpAddr>()?));
    }
    let socket = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 53))?;
    println!("ready");
    let mut query = [0; 512];
    loop {
        let (n_bytes, client) = socket.recv_from(&mut query)?;
        if let Some(answer) = answer(&query[..n_bytes], &zone) {
            // A client that has gone is its own loss.
            drop(socket.send_to(&answer, client));
        }
    }
}

/// The answer to a query, or nothing where it is none.
fn answer(query: &[u8], zone: &[(String, IpAddr)]) -> Option<Vec<u8>> {
    let (name, end) = read_name(query, HEADER)?;
    let kind = match query.get(end..end + 2)? {
        [0, 1] => Record::A,
        [0, 28] => Record::Aaaa,
        _ => return None,
    };
    let ips: Vec<IpAddr> =
        zone.iter().filter(|(known, ip)| *known == name && kind.holds(*ip)).map(|(_, ip)| *ip).collect();
    let mut answer = query.get(..end + 4)?.to_vec();
    answer[2..4].copy_from_slice(&[0x81, 0x80]);
    answer[6..8].copy_from_slice(&u16::try_from(ips.len()).ok()?.to_be_bytes());
    answer[8..12].fill(0);
    for ip in ips {
        let octets = match ip {
            IpAddr::V4(ip) => ip.octets().to_vec(),
            IpAddr::V6(ip) => ip.octets().to_vec(),
        };
        // The name is the question's; class IN, five seconds.
        answer.extend([0xc0, 0x0c, 0, kind as u8, 0, 1, 0, 0, 0, 5, 0]);
        answer.push(u8::try_from(octets.len()).ok()?);
        answer.extend(octets);
    }
    Some(answer)
}

/// Asks the server for the records of a name, on a fresh socket as resolvers do.
pub(super) fn query(server: IpAddr, name: &str, kind: Record) -> io::Result<Vec<IpAddr>> {
    let local: IpAddr =
        if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((local, 0))?;
    socket.set_read_timeout(Some(Duration::from_secs(2)))?;
    let mut query = vec![0x4e, 0x46, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        query.push(u8::try_from(label.len()).map_err(io::Error::other)?);
        query.extend(label.as_bytes());
    }
    query.extend([0, 0, kind as u8, 0, 1]);
    socket.send_to(&query, SocketAddr::new(server, 53))?;
    let mut answer = [0; 512];
    let (n_bytes, _) = socket.recv_from(&mut answer)?;
    read_answer(&answer[..n_bytes]).ok_or_else(|| io::Error::other("an answer that is no DNS"))
}

fn read_answer(answer: &[u8]) -> Option<Vec<IpAddr>> {
    let n_answers = u16::from_be_bytes(answer.get(6..8)?.try_into().ok()?);
    let (_, end) = read_name(answer, HEADER)?;
    let mut at = end + 4;
    let mut ips = Vec::new();
    for _ in 0..n_answers {
        // A pointer to the name, kind, class, time to live, length.
        let len_bytes = usize::from(u16::from_be_bytes(answer.get(at + 10..at + 12)?.try_into().ok()?));
        let octets = answer.get(at + 12..at + 12 + len_bytes)?;
        if let Ok(octets) = <[u8; 4]>::try_from(octets) {
            ips.push(Ipv4Addr::from(octets).into());
        } else if let Ok(octets) = <[u8; 16]>::try_from(octets) {
            ips.push(Ipv6Addr::from(octets).into());
        }
        at += 12 + len_bytes;
    }
    Some(ips)
}

/// A name of plain labels from `at` on, and where it ends.
fn read_name(bytes: &[u8], mut at: usize) -> Option<(String, usize)> {
    let mut labels = Vec::new();
    loop {
        let len_bytes = usize::from(*bytes.get(at)?);
        at += 1;
        match len_bytes {
            0 => return Some((labels.join("."), at)),
            1..=63 => labels.push(String::from_utf8_lossy(bytes.get(at..at + len_bytes)?).into_owned()),
            _ => return None,
        }
        at += len_bytes;
    }
}
