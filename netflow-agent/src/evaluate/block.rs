//! `ipBlock`: an address range less its exceptions. In: the text of the policy, as lenient as API servers
//! before 1.36 were (host bits, leading zeros, v4-mapped). Out: whether it holds an address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use k8s_openapi::api::networking::v1::IPBlock;

/// A range of addresses of one family, less some ranges inside it. Host bits are masked away.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Block {
    pub net: IpNet,
    pub except: Vec<IpNet>,
}

impl Block {
    /// None where the text is no range at all: it then holds no address.
    pub fn parse(block: &IPBlock) -> Option<Self> {
        let net = parse_cidr(&block.cidr)?;
        let except = block.except.iter().flatten().filter_map(|text| parse_cidr(text)).collect();
        Some(Self { net, except })
    }

    /// Families are apart: 0.0.0.0/0 holds no IPv6 address.
    pub fn contains(&self, ip: IpAddr) -> bool {
        self.net.contains(&ip) && !self.except.iter().any(|net| net.contains(&ip))
    }
}

/// Reads `address/prefix` as Go's lenient parser did: leading zeros are decimal, a v4-mapped range is IPv4.
pub fn parse_cidr(text: &str) -> Option<IpNet> {
    let (address, prefix) = text.split_once('/')?;
    if prefix.is_empty() || prefix.len() > 3 || !prefix.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let prefix: u8 = prefix.parse().ok()?;
    if address.contains(':') {
        let ip: Ipv6Addr = address.parse().ok()?;
        let net = Ipv6Net::new(ip, prefix).ok()?.trunc();
        return match net.network().to_ipv4_mapped() {
            Some(ip) if prefix >= 96 => Some(Ipv4Net::new(ip, prefix - 96).ok()?.trunc().into()),
            _ => Some(net.into()),
        };
    }
    let mut octets = [0_u8; 4];
    let mut parts = address.split('.');
    for octet in &mut octets {
        let part = parts.next()?;
        let digits = part.trim_start_matches('0');
        if part.is_empty() || part.len() > 10 || !part.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        *octet = if digits.is_empty() { 0 } else { digits.parse().ok()? };
    }
    if parts.next().is_some() {
        return None;
    }
    Some(Ipv4Net::new(Ipv4Addr::from(octets), prefix).ok()?.trunc().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_servers_before_1_36_did() {
        for (text, expected) in [
            ("10.0.0.0/8", Some("10.0.0.0/8")),
            ("10.1.2.3/8", Some("10.0.0.0/8")),
            ("010.0.0.0/08", Some("10.0.0.0/8")),
            ("::ffff:10.0.0.0/104", Some("10.0.0.0/8")),
            ("::ffff:10.1.2.3/128", Some("10.1.2.3/32")),
            ("::/0", Some("::/0")),
            ("2001:db8::1/32", Some("2001:db8::/32")),
            ("10.0.0.0", None),
            ("10.0.0.0/33", None),
            ("10.0.0/8", None),
            ("10.0.0.0.0/8", None),
            ("256.0.0.0/8", None),
            ("10.0.0.0/+8", None),
            ("/8", None),
            ("::/129", None),
            ("", None),
        ] {
            assert_eq!(parse_cidr(text).map(|net| net.to_string()).as_deref(), expected, "{text:?}");
        }
    }

    #[test]
    fn except_narrows_its_own_block_and_families_are_apart() {
        let block = Block::parse(&IPBlock {
            cidr: "0.0.0.0/0".to_owned(),
            except: Some(vec!["10.0.0.0/8".to_owned()]),
        })
        .expect("a range");
        for (ip, expected) in [("10.1.1.1", false), ("11.0.0.0", true), ("::1", false)] {
            assert_eq!(block.contains(ip.parse().expect("an address")), expected, "{ip}");
        }
    }
}
