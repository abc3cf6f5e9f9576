//! Outside addresses. In: the rules of each kind of pod. Out: ranges of addresses with the ports that they may
//! reach, or be reached on; every address is in at most one range, and equal neighbours are one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Subnets, Ipv6Subnets};

use super::kind::Kinds;
use crate::evaluate::class::ClassPort;
use crate::evaluate::compile::{Peers, Rule, Side};
use crate::evaluate::{Cluster, Ports};
use crate::net::Direction;

/// Addresses of one family with the same ports.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Range {
    pub first: IpAddr,
    pub last: IpAddr,
    pub ports: Ports,
}

impl Range {
    /// The fewest CIDRs that are this range.
    pub fn cidrs(&self) -> Vec<IpNet> {
        match (self.first, self.last) {
            (IpAddr::V4(first), IpAddr::V4(last)) => {
                Ipv4Subnets::new(first, last, 0).map(IpNet::V4).collect()
            }
            (IpAddr::V6(first), IpAddr::V6(last)) => {
                Ipv6Subnets::new(first, last, 0).map(IpNet::V6).collect()
            }
            _ => Vec::new(),
        }
    }
}

/// What is open to outside addresses: sorted, IPv4 first; addresses in no range have no ports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges(Vec<Range>);

const V4: (IpAddr, IpAddr) = (IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V4(Ipv4Addr::BROADCAST));
const V6: (IpAddr, IpAddr) = (IpAddr::V6(Ipv6Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::from_bits(u128::MAX)));

impl Ranges {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> core::slice::Iter<'_, Range> {
        self.0.iter()
    }

    pub fn ports(&self, ip: IpAddr) -> Option<&Ports> {
        let at = self.0.partition_point(|range| range.last < ip);
        self.0.get(at).filter(|range| range.first <= ip).map(|range| &range.ports)
    }

    /// Cuts the space at every given address and asks for the ports of each piece.
    fn cut(cuts: &mut Vec<IpAddr>, mut ports: impl FnMut(IpAddr) -> Ports) -> Self {
        cuts.extend([V4.0, V6.0]);
        cuts.sort_unstable();
        cuts.dedup();
        let mut ranges: Vec<Range> = Vec::new();
        for (at, &first) in cuts.iter().enumerate() {
            let last = match cuts.get(at + 1) {
                Some(next) if next.is_ipv4() == first.is_ipv4() => before(*next),
                _ if first.is_ipv4() => V4.1,
                _ => V6.1,
            };
            let ports = ports(first);
            match ranges.last_mut() {
                Some(kept) if kept.ports == ports && after(kept.last) == Some(first) => kept.last = last,
                _ if ports.is_empty() => {}
                _ => ranges.push(Range { first, last, ports }),
            }
        }
        Self(ranges)
    }

    /// Piece by piece, the result of `combine` on the ports of both.
    #[must_use]
    pub fn zip(&self, other: &Self, combine: impl Fn(&Ports, &Ports) -> Ports) -> Self {
        let mut cuts = Vec::new();
        for range in self.0.iter().chain(&other.0) {
            cuts.push(range.first);
            cuts.extend(after(range.last));
        }
        let none = Ports::default();
        Self::cut(&mut cuts, |ip| combine(self.ports(ip).unwrap_or(&none), other.ports(ip).unwrap_or(&none)))
    }

    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        self.zip(other, |a, b| {
            let mut whole = a.clone();
            whole.extend(b);
            whole
        })
    }

    /// What is open here and not there.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        self.zip(other, Ports::minus)
    }
}

impl<'a> IntoIterator for &'a Ranges {
    type Item = &'a Range;
    type IntoIter = core::slice::Iter<'a, Range>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

fn before(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => Ipv4Addr::from_bits(ip.to_bits().saturating_sub(1)).into(),
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits().saturating_sub(1)).into(),
    }
}

/// None after the last address of a family.
fn after(ip: IpAddr) -> Option<IpAddr> {
    match ip {
        IpAddr::V4(ip) => Some(Ipv4Addr::from_bits(ip.to_bits().checked_add(1)?).into()),
        IpAddr::V6(ip) => Some(Ipv6Addr::from_bits(ip.to_bits().checked_add(1)?).into()),
    }
}

/// Per workload: from outside, to outside.
pub(super) fn of_workloads(cluster: &Cluster, kinds: &Kinds) -> Vec<[Ranges; 2]> {
    let mut outside = vec![<[Ranges; 2]>::default(); kinds.workloads.len()];
    for kind in &kinds.list {
        let class = &cluster.snapshot().classes[kind.class as usize];
        let families = families(cluster, kind.pod);
        let whole = &mut outside[kind.workload as usize];
        for direction in Direction::BOTH {
            let side = cluster.sides.of(kind.class, direction);
            // A name means a port of the destination; nothing outside has one.
            let named: &[ClassPort] = if direction == Direction::Ingress { &class.ports } else { &[] };
            let mut ranges = of_side(side, named);
            ranges.0.retain(|range| families[usize::from(range.first.is_ipv6())]);
            let kept = &mut whole[direction as usize];
            *kept = if kept.is_empty() { ranges } else { kept.union(&ranges) };
        }
    }
    outside
}

/// Whether a pod may use IPv4, and IPv6: both where its addresses are not known.
fn families(cluster: &Cluster, pod: crate::evaluate::end::SubjectId) -> [bool; 2] {
    let ips = &cluster.snapshot().subject(pod).ips;
    [false, true].map(|v6| ips.is_empty() || ips.iter().any(|ip| ip.is_ipv6() == v6))
}

fn of_side(side: &Side, named: &[ClassPort]) -> Ranges {
    let mut cuts = Vec::new();
    for block in side.rules.iter().flat_map(|rule| rule.peers.blocks()) {
        for net in block.except.iter().chain([&block.net]) {
            cuts.push(net.network());
            cuts.extend(after(net.broadcast()));
        }
    }
    let rules: Vec<(&Rule, Ports)> = side
        .rules
        .iter()
        .filter(|rule| matches!(&rule.peers, Peers::Any) || !rule.peers.blocks().is_empty())
        .map(|rule| {
            let mut ports = Ports::default();
            rule.add_ports(named, &mut ports);
            (&**rule, ports)
        })
        .collect();
    Ranges::cut(&mut cuts, |ip| {
        if side.policies.is_empty() {
            return Ports::all();
        }
        let mut whole = Ports::default();
        for (rule, ports) in &rules {
            let holds = match &rule.peers {
                Peers::Any => true,
                Peers::Listed { blocks, .. } => blocks.iter().any(|block| block.contains(ip)),
            };
            if holds {
                whole.extend(ports);
            }
        }
        whole
    })
}
