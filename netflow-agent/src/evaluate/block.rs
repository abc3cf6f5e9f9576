//! `ipBlock`: an address range less its exceptions. In: the text of the policy, as lenient as API servers
//! before 1.36 were (host bits, leading zeros, v4-mapped). Out: whether it holds an address.

use std::net::IpAddr;

use ipnet::IpNet;
use k8s_openapi::api::networking::v1::IPBlock;

use crate::manifest::cidr;

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

/// The range that any API server ever took this text for.
fn parse_cidr(text: &str) -> Option<IpNet> {
    cidr::parse(text).map(|cidr| cidr.range)
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
