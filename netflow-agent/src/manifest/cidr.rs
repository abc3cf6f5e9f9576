//! CIDRs as API servers have taken them: strictly from Kubernetes 1.36 on, and before that with host bits,
//! leading zeros and IPv4 in IPv6 form.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};

/// What Kubernetes 1.36 and newer refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Looseness {
    HostBits,
    LeadingZeros,
    MappedIpv4,
}

/// A range that some API server accepts, with its host bits cleared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    pub range: IpNet,
    pub looseness: Option<Looseness>,
}

/// None: no version of the API server takes it.
pub fn parse(text: &str) -> Option<Cidr> {
    let (ip_text, length_text) = text.split_once('/')?;
    // Go takes leading zeros in the length too.
    if length_text.is_empty()
        || length_text.len() > 4
        || !length_text.bytes().all(|byte| byte.is_ascii_digit())
    {
        return None;
    }
    let length: u8 = length_text.parse().ok()?;
    let zeros = length_text.len() > 1 && length_text.starts_with('0');
    let (ip, zeros) = match ip_text.parse::<IpAddr>() {
        Ok(ip) => (ip, zeros),
        Err(_) => (IpAddr::V4(with_zeros(ip_text)?), true),
    };
    let mapped = match ip {
        IpAddr::V6(ip) => ip.to_ipv4_mapped(),
        IpAddr::V4(_) => None,
    };
    let written = IpNet::new(ip, length).ok()?;
    let range = match (mapped, length.checked_sub(96)) {
        (Some(ip), Some(length)) => IpNet::V4(Ipv4Net::new(ip, length).ok()?).trunc(),
        _ => written.trunc(),
    };
    let looseness = if mapped.is_some() {
        Some(Looseness::MappedIpv4)
    } else if zeros {
        Some(Looseness::LeadingZeros)
    } else if written.trunc() != written {
        Some(Looseness::HostBits)
    } else {
        None
    };
    Some(Cidr { range, looseness })
}

/// `010.0.0.1`, each part in tens: what Go took before it grew strict.
fn with_zeros(text: &str) -> Option<Ipv4Addr> {
    let mut octets = [0_u8; 4];
    let mut parts = text.split('.');
    for octet in &mut octets {
        let part = parts.next()?;
        if part.is_empty() || part.len() > 16 || !part.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        *octet = part.parse().ok()?;
    }
    parts.next().is_none().then_some(Ipv4Addr::from(octets))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_what_the_older_servers_took_and_says_what_the_newer_refuse() {
        for (text, expected) in [
            ("10.0.0.0/8", Some(("10.0.0.0/8", None))),
            ("2001:db8::/32", Some(("2001:db8::/32", None))),
            ("10.1.2.3/8", Some(("10.0.0.0/8", Some(Looseness::HostBits)))),
            ("010.0.0.0/8", Some(("10.0.0.0/8", Some(Looseness::LeadingZeros)))),
            ("10.0.0.0/08", Some(("10.0.0.0/8", Some(Looseness::LeadingZeros)))),
            ("::ffff:10.0.0.0/104", Some(("10.0.0.0/8", Some(Looseness::MappedIpv4)))),
            ("0.0.0.0/0", Some(("0.0.0.0/0", None))),
            ("10.0.0.0/33", None),
            ("10.0.0.0", None),
            ("10.0.0/8", None),
            ("10.0.0.256/8", None),
            ("10.0.0.0/+8", None),
            ("/8", None),
            ("", None),
            ("2001:db8::/129", None),
        ] {
            let found = parse(text).map(|cidr| (cidr.range.to_string(), cidr.looseness));
            let expected = expected.map(|(range, looseness)| (range.to_owned(), looseness));
            assert_eq!(found, expected, "{text:?}");
        }
    }
}
