//! Sets of ports: of one protocol ([`PortSet`]), and of all three ([`Ports`]). In: ranges. Out: unions,
//! intersections and differences in one canonical form, so equal sets are equal values.

use core::fmt;

use crate::net::{PortRange, Protocol};

/// Ports of one protocol: sorted ranges that neither overlap nor touch, within 1-65535.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortSet(Vec<PortRange>);

impl PortSet {
    pub fn all() -> Self {
        Self(vec![PortRange::ALL])
    }

    pub fn of(range: PortRange) -> Self {
        let mut set = Self::default();
        set.insert(range);
        set
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn is_all(&self) -> bool {
        self.0.first() == Some(&PortRange::ALL)
    }

    pub fn ranges(&self) -> &[PortRange] {
        &self.0
    }

    /// How many ports are in it.
    pub fn len(&self) -> u32 {
        self.0.iter().map(|range| u32::from(range.last) - u32::from(range.first) + 1).sum()
    }

    pub fn contains(&self, port: u16) -> bool {
        self.0.iter().any(|range| range.contains(port))
    }

    /// Adds a range; one that ends before it begins adds nothing, and port 0 is no port.
    pub fn insert(&mut self, range: PortRange) {
        let range = PortRange { first: range.first.max(1), last: range.last };
        if range.first > range.last {
            return;
        }
        let touches = |kept: &PortRange| {
            u32::from(kept.first) <= u32::from(range.last) + 1
                && u32::from(range.first) <= u32::from(kept.last) + 1
        };
        let mut merged = range;
        self.0.retain(|kept| {
            if touches(kept) {
                merged.first = merged.first.min(kept.first);
                merged.last = merged.last.max(kept.last);
                return false;
            }
            true
        });
        let at = self.0.partition_point(|kept| kept.first < merged.first);
        self.0.insert(at, merged);
    }

    pub fn extend(&mut self, other: &Self) {
        for range in &other.0 {
            self.insert(*range);
        }
    }

    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let mut both = Vec::new();
        for a in &self.0 {
            for b in &other.0 {
                let (first, last) = (a.first.max(b.first), a.last.min(b.last));
                if first <= last {
                    both.push(PortRange { first, last });
                }
            }
        }
        Self(both)
    }

    /// What is here and not in `other`.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        let mut left = Vec::new();
        for range in &self.0 {
            let mut first = Some(range.first);
            for cut in other.0.iter().filter(|cut| cut.last >= range.first && cut.first <= range.last) {
                match first {
                    Some(from) if from < cut.first => {
                        left.push(PortRange { first: from, last: cut.first - 1 });
                    }
                    _ => {}
                }
                first = cut.last.checked_add(1);
            }
            if let Some(first) = first.filter(|first| *first <= range.last) {
                left.push(PortRange { first, last: range.last });
            }
        }
        Self(left)
    }
}

impl fmt::Display for PortSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_all() {
            return f.write_str("all");
        }
        for (index, range) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            if range.first == range.last {
                write!(f, "{comma}{}", range.first)?;
            } else {
                write!(f, "{comma}{}-{}", range.first, range.last)?;
            }
        }
        Ok(())
    }
}

/// Ports of all three protocols.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ports([PortSet; 3]);

const fn index(protocol: Protocol) -> usize {
    match protocol {
        Protocol::Tcp => 0,
        Protocol::Udp => 1,
        Protocol::Sctp => 2,
    }
}

impl Ports {
    pub fn all() -> Self {
        Self([PortSet::all(), PortSet::all(), PortSet::all()])
    }

    pub fn is_empty(&self) -> bool {
        self.0.iter().all(PortSet::is_empty)
    }

    pub fn is_all(&self) -> bool {
        self.0.iter().all(PortSet::is_all)
    }

    pub fn of(&self, protocol: Protocol) -> &PortSet {
        &self.0[index(protocol)]
    }

    pub fn contains(&self, protocol: Protocol, port: u16) -> bool {
        self.of(protocol).contains(port)
    }

    pub fn insert(&mut self, protocol: Protocol, range: PortRange) {
        self.0[index(protocol)].insert(range);
    }

    pub fn extend(&mut self, other: &Self) {
        for (mine, theirs) in self.0.iter_mut().zip(&other.0) {
            mine.extend(theirs);
        }
    }

    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let [a, b, c] = &other.0;
        Self([self.0[0].intersection(a), self.0[1].intersection(b), self.0[2].intersection(c)])
    }

    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        let [a, b, c] = &other.0;
        Self([self.0[0].minus(a), self.0[1].minus(b), self.0[2].minus(c)])
    }

    /// Every range with its protocol, in the order TCP, UDP, SCTP, then by port.
    pub fn ranges(&self) -> impl Iterator<Item = (Protocol, PortRange)> + '_ {
        Protocol::ALL
            .into_iter()
            .flat_map(|protocol| self.of(protocol).ranges().iter().map(move |range| (protocol, *range)))
    }
}

/// `TCP 80,443 UDP 53`, `all`, or `none`.
impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_all() {
            return f.write_str("all");
        }
        if self.is_empty() {
            return f.write_str("none");
        }
        let mut space = "";
        for protocol in Protocol::ALL {
            if !self.of(protocol).is_empty() {
                write!(f, "{space}{protocol} {}", self.of(protocol))?;
                space = " ";
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(ranges: &[(u16, u16)]) -> PortSet {
        let mut set = PortSet::default();
        for &(first, last) in ranges {
            set.insert(PortRange { first, last });
        }
        set
    }

    #[test]
    fn a_set_has_one_form() {
        for (ranges, text) in [
            (&[(80, 80), (81, 81)][..], "80-81"),
            (&[(81, 81), (80, 80)], "80-81"),
            (&[(1, 10), (20, 30), (5, 25)], "1-30"),
            (&[(0, 65535)], "all"),
            (&[(1, 40000), (40001, 65535)], "all"),
            (&[(9, 8)], ""),
            (&[(0, 0)], ""),
            (&[(65535, 65535), (443, 443)], "443,65535"),
        ] {
            assert_eq!(set(ranges).to_string(), text, "{ranges:?}");
        }
    }

    #[test]
    fn difference_and_intersection_are_exact() {
        let universe = [(1, 100), (200, 300), (65000, 65535)];
        for other in [&[][..], &[(1, 65535)], &[(50, 250)], &[(1, 1), (100, 100)], &[(65535, 65535)]] {
            let (a, b) = (set(&universe), set(other));
            let (minus, both) = (a.minus(&b), a.intersection(&b));
            for port in 1..=u16::MAX {
                assert_eq!(minus.contains(port), a.contains(port) && !b.contains(port), "{port} {other:?}");
                assert_eq!(both.contains(port), a.contains(port) && b.contains(port), "{port} {other:?}");
            }
            let mut whole = minus;
            whole.extend(&both);
            assert_eq!(whole, a);
        }
    }
}
