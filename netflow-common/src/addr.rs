//! The one form of an address in the kernel: 16 bytes as on the wire, IPv4 as `::ffff:a.b.c.d`.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An address in network order; IPv4 in v4-mapped form, so that a dual-stack socket has one key.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    /// Four words as they lie in memory on the wire. Words, because the programs get them as words.
    pub words_be: [u32; 4],
}

/// The third word of every v4-mapped address.
const MAPPED_BE: u32 = 0x0000_ffff_u32.to_be();

impl Address {
    /// All zero: a wildcard socket's own address.
    pub const UNSPECIFIED: Self = Self { words_be: [0; 4] };

    /// The address whose IPv4 word is `word_be`; 0.0.0.0 becomes `UNSPECIFIED`.
    #[inline]
    #[must_use]
    pub const fn from_v4_word(word_be: u32) -> Self {
        if word_be == 0 {
            return Self::UNSPECIFIED;
        }
        Self { words_be: [0, 0, MAPPED_BE, word_be] }
    }

    /// The address of four words of the wire; `::ffff:0.0.0.0` becomes `UNSPECIFIED`.
    #[inline]
    #[must_use]
    pub const fn from_v6_words(words_be: [u32; 4]) -> Self {
        if words_be[0] == 0 && words_be[1] == 0 && words_be[2] == MAPPED_BE && words_be[3] == 0 {
            return Self::UNSPECIFIED;
        }
        Self { words_be }
    }

    #[inline]
    #[must_use]
    pub const fn is_unspecified(&self) -> bool {
        (self.words_be[0] | self.words_be[1] | self.words_be[2] | self.words_be[3]) == 0
    }

    /// 127.0.0.0/8 or ::1.
    #[inline]
    #[must_use]
    pub const fn is_loopback(&self) -> bool {
        let [a, b, c, d] = self.words_be;
        if a != 0 || b != 0 {
            return false;
        }
        (c == MAPPED_BE && u32::from_be(d) >> 24 == 127) || (c == 0 && u32::from_be(d) == 1)
    }

    /// 224.0.0.0/4 or ff00::/8, or the limited broadcast address: no one pod's.
    #[inline]
    #[must_use]
    pub const fn is_group(&self) -> bool {
        let [a, b, c, d] = self.words_be;
        if a == 0 && b == 0 && c == MAPPED_BE {
            return u32::from_be(d) >> 28 == 14 || d == u32::MAX;
        }
        u32::from_be(a) >> 24 == 0xff
    }

    /// The address as the standard library has it, never v4-mapped; `None` for the wildcard.
    #[must_use]
    pub fn to_ip(self) -> Option<IpAddr> {
        if self.is_unspecified() {
            return None;
        }
        let mut octets = [0; 16];
        for (chunk, word_be) in octets.chunks_exact_mut(4).zip(self.words_be) {
            chunk.copy_from_slice(&word_be.to_ne_bytes());
        }
        Some(IpAddr::V6(Ipv6Addr::from(octets)).to_canonical())
    }
}

impl From<Ipv4Addr> for Address {
    fn from(ip: Ipv4Addr) -> Self {
        Self::from_v4_word(u32::from_ne_bytes(ip.octets()))
    }
}

impl From<IpAddr> for Address {
    fn from(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(ip) => Self::from(ip),
            IpAddr::V6(ip) => {
                let octets = ip.octets();
                let word = |at: usize| {
                    u32::from_ne_bytes([octets[at], octets[at + 1], octets[at + 2], octets[at + 3]])
                };
                Self::from_v6_words([word(0), word(4), word(8), word(12)])
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_comes_back_as_it_went_in_and_never_v4_mapped() {
        for (text, expected) in [
            ("10.1.2.3", Some("10.1.2.3")),
            ("::ffff:10.1.2.3", Some("10.1.2.3")),
            ("fd00::1:2", Some("fd00::1:2")),
            ("0.0.0.0", None),
            ("::", None),
            ("::ffff:0.0.0.0", None),
        ] {
            let ip: IpAddr = text.parse().expect("an address");
            let expected: Option<IpAddr> = expected.map(|text| text.parse().expect("an address"));
            assert_eq!(Address::from(ip).to_ip(), expected, "{text}");
        }
    }

    #[test]
    fn loopback_and_groups_are_told_from_addresses_of_pods() {
        for (text, loopback, group) in [
            ("127.0.0.1", true, false),
            ("127.255.0.1", true, false),
            ("::1", true, false),
            ("::2", false, false),
            ("::ffff:127.0.0.1", true, false),
            ("10.0.0.1", false, false),
            ("224.0.0.251", false, true),
            ("239.255.255.255", false, true),
            ("255.255.255.255", false, true),
            ("ff02::fb", false, true),
            ("fd00::1", false, false),
        ] {
            let address = Address::from(text.parse::<IpAddr>().expect("an address"));
            assert_eq!((address.is_loopback(), address.is_group()), (loopback, group), "{text}");
        }
    }
}
