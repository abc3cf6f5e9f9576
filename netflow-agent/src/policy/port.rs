//! Ports of a rule, and the grouping that never makes a cross product. In: which peer was seen on which
//! ports. Out: peers with *equal* port sets together, so that no peer gets a port that only another used.

use std::collections::{BTreeMap, BTreeSet};

use crate::net::{PortRange, Protocol};

/// A port, or a range of them, of one protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Port {
    pub protocol: Protocol,
    pub range: PortRange,
}

impl Port {
    pub const fn one(protocol: Protocol, port: u16) -> Self {
        Self { protocol, range: PortRange::one(port) }
    }

    pub const fn contains(self, protocol: Protocol, port: u16) -> bool {
        self.protocol as u8 == protocol as u8 && self.range.contains(port)
    }
}

/// Peers by their port set: one rule each, sorted by ports, then peers.
pub fn group<P: Ord + Clone>(peers: &BTreeMap<P, BTreeSet<Port>>) -> BTreeMap<BTreeSet<Port>, Vec<P>> {
    let mut rules: BTreeMap<BTreeSet<Port>, Vec<P>> = BTreeMap::new();
    for (peer, ports) in peers {
        rules.entry(without_covered(ports)).or_default().push(peer.clone());
    }
    rules
}

/// A single port inside a widened range adds nothing.
fn without_covered(ports: &BTreeSet<Port>) -> BTreeSet<Port> {
    let inside = |small: &Port, large: &Port| {
        small != large
            && small.protocol == large.protocol
            && large.range.first <= small.range.first
            && small.range.last <= large.range.last
    };
    ports.iter().filter(|port| !ports.iter().any(|other| inside(port, other))).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn tcp(port: u16) -> Port {
        Port::one(Protocol::Tcp, port)
    }

    #[test]
    fn only_equal_port_sets_share_a_rule() {
        let peers: BTreeMap<&str, BTreeSet<Port>> = BTreeMap::from([
            ("a", BTreeSet::from([tcp(1)])),
            ("b", BTreeSet::from([tcp(2)])),
            ("c", BTreeSet::from([tcp(1), tcp(2)])),
            ("d", BTreeSet::from([tcp(1)])),
            ("e", BTreeSet::from([Port::one(Protocol::Udp, 1)])),
        ]);
        let rules: Vec<Vec<&str>> = group(&peers).into_values().collect();
        assert_eq!(rules, [vec!["a", "d"], vec!["c"], vec!["b"], vec!["e"]]);
    }

    #[test]
    fn a_port_inside_a_range_is_not_listed_twice() {
        let range = Port { protocol: Protocol::Tcp, range: PortRange { first: 1, last: 9 } };
        let kept = without_covered(&BTreeSet::from([tcp(5), range, Port::one(Protocol::Udp, 5)]));
        assert_eq!(kept, BTreeSet::from([range, Port::one(Protocol::Udp, 5)]));
    }
}
