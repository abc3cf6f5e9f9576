//! Who is at either end of a flow. In: a flow. Out: its local end (the pod's UID first, then address and
//! time), and who held its remote address in its span.

use std::net::IpAddr;

use crate::flow::Flow;
use crate::identity::{
    CHANGED_HANDS, Class, EndId, Endpoint, Ends, Hold, Holder, Inventory, LINK_LOCAL, Lookup, NO_HOLDER,
    NO_POD, Services, class,
};
use crate::time::Time;

/// Clocks of two nodes differ by less.
const SKEW_SECONDS: i64 = 5;

/// All that a flow is asked about.
pub(super) struct World<'a, 'i> {
    pub(super) inventory: &'i Inventory<'a>,
    pub(super) lookup: Lookup<'a>,
    pub(super) services: Services<'a>,
    pub(super) ends: Ends,
}

/// No address passes from one workload to another as often as this within an hour: then nobody is asked.
const MOST_HOLDERS: usize = 64;

/// Who held an address in a span.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Peer {
    One(EndId),
    /// It changed hands: whoever's own end witnessed the flow. Empty where too many claim it.
    Several(Vec<EndId>),
    /// Nobody that is known.
    Nobody,
}

/// What a flow is before its ends are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    Between,
    /// Loopback, or to itself.
    Own,
    /// Multicast or broadcast.
    Group,
}

impl<'a, 'i> World<'a, 'i> {
    pub(super) fn of(inventory: &'i Inventory<'a>) -> Self {
        let lookup = Lookup::of(inventory);
        let mut ends = Ends::of(inventory, &lookup);
        let services = Services::of(inventory, &lookup, &mut ends);
        Self { inventory, lookup, services, ends }
    }

    pub(super) fn reach(&self, flow: &Flow) -> Reach {
        let local = flow.key.local;
        if local == Some(flow.key.remote) {
            return Reach::Own;
        }
        for ip in [Some(flow.key.remote), local].into_iter().flatten() {
            match class(ip) {
                Class::Loopback => return Reach::Own,
                Class::Multicast | Class::Broadcast => return Reach::Group,
                Class::Unspecified if ip == flow.key.remote => return Reach::Own,
                Class::Unspecified | Class::LinkLocal | Class::Unicast => {}
            }
        }
        let pod = flow.key.pod.as_deref().and_then(|uid| self.lookup.pod(uid));
        let own_address = pod.is_some_and(|pod| {
            self.lookup
                .holds(flow.key.remote, flow.counters.first, flow.counters.last)
                .any(|hold| hold.holder == Holder::Pod(pod))
        });
        if own_address { Reach::Own } else { Reach::Between }
    }

    /// The end that the flow's own node held.
    pub(super) fn local(&mut self, flow: &Flow) -> EndId {
        let local = flow.key.local.filter(|ip| !ip.is_unspecified());
        let address = local.unwrap_or_else(|| unspecified(flow.key.remote));
        if let Some(uid) = &flow.key.pod {
            if let Some(pod) = self.lookup.pod(uid) {
                return self.ends.holder(Holder::Pod(pod));
            }
            return self.nameless_pod(flow, address).unwrap_or_else(|| self.ends.unknown(address, NO_POD));
        }
        match self.peer(flow, address) {
            Peer::One(end) => end,
            Peer::Several(_) => self.ends.unknown(address, CHANGED_HANDS),
            Peer::Nobody => self.ends.unknown(address, NO_HOLDER),
        }
    }

    /// Whether it is the node's own program reaching a pod of that node, as a kubelet does.
    pub(super) fn is_probe(&self, source: EndId, flow: &Flow) -> bool {
        let node = &*flow.key.node;
        if !matches!(self.ends.get(source), Endpoint::Node(name) if **name == *node) {
            return false;
        }
        let mut holds =
            self.lookup.holds(flow.key.remote, flow.counters.first, flow.counters.last).peekable();
        let is_here = |at: u32| self.inventory.pods[at as usize].pod.node.as_deref() == Some(node);
        holds.peek().is_some() && holds.all(|hold| matches!(hold.holder, Holder::Pod(at) if is_here(at)))
    }

    /// Who held the remote address. A pod that got it only after the flow began is not its peer for certain:
    /// somebody who is not known had it before, and that is a change of hands too.
    pub(super) fn remote(&self, flow: &Flow) -> Peer {
        let known = self.peer(flow, flow.key.remote);
        let Peer::One(end) = known else { return known };
        let begin = self.inventory.begin.unwrap_or(Time::MIN);
        let (first, last) = (flow.counters.first.max(begin), flow.counters.last);
        let had_it = |hold: Hold| match hold.holder {
            Holder::Pod(_) => hold.from <= first.plus_seconds(SKEW_SECONDS),
            Holder::Node(_) => true,
        };
        let before = self.lookup.holds(flow.key.remote, first, last).any(had_it);
        if before { known } else { Peer::Several(vec![end]) }
    }

    /// Who held an address during a flow, at the granularity of endpoints: two pods of one workload are one.
    pub(super) fn peer(&self, flow: &Flow, ip: IpAddr) -> Peer {
        let mut first: Option<EndId> = None;
        let mut others: Vec<EndId> = Vec::new();
        let mut own_node = None;
        let mut nodes_only = true;
        for hold in self.lookup.holds(ip, flow.counters.first, flow.counters.last) {
            let end = self.ends.holder(hold.holder);
            match hold.holder {
                Holder::Node(at) if self.lookup.nodes[at as usize] == flow.key.node => own_node = Some(end),
                Holder::Node(_) => {}
                Holder::Pod(_) => nodes_only = false,
            }
            match first {
                None => first = Some(end),
                Some(known) if known == end || others.contains(&end) => {}
                Some(_) if others.len() == MOST_HOLDERS => return Peer::Several(Vec::new()),
                Some(_) => others.push(end),
            }
        }
        match (first, own_node) {
            (None, _) => Peer::Nobody,
            (Some(end), _) if others.is_empty() => Peer::One(end),
            // Bridges of different nodes may carry the same address: the one on this node answers here.
            (Some(_), Some(own)) if nodes_only => Peer::One(own),
            (Some(end), _) => {
                others.push(end);
                Peer::Several(others)
            }
        }
    }

    /// An address that nobody is known to have held: outside, or the cluster's.
    pub(super) fn stranger(&mut self, ip: IpAddr) -> EndId {
        if class(ip) == Class::LinkLocal {
            return self.ends.unknown(ip, LINK_LOCAL);
        }
        let of_cluster = self.lookup.is_pod_network(ip) || self.services.has(ip);
        if of_cluster || !self.lookup.ever(ip).is_empty() {
            return self.ends.unknown(ip, NO_HOLDER);
        }
        self.ends.external(ip)
    }

    pub(super) fn is_node(&self, ip: IpAddr, first: Time, last: Time) -> bool {
        self.lookup.holds(ip, first, last).any(|hold| matches!(hold.holder, Holder::Node(_)))
    }

    /// Objects written by hand carry no UID: then the address may tell, if its only holder is such a pod.
    fn nameless_pod(&self, flow: &Flow, address: IpAddr) -> Option<EndId> {
        let mut holds = self.lookup.holds(address, flow.counters.first, flow.counters.last);
        let hold = holds.next().filter(|_| holds.next().is_none())?;
        match hold.holder {
            Holder::Pod(at) if self.inventory.pods[at as usize].pod.meta.uid.is_none() => {
                Some(self.ends.holder(hold.holder))
            }
            Holder::Pod(_) | Holder::Node(_) => None,
        }
    }
}

fn unspecified(like: IpAddr) -> IpAddr {
    match like {
        IpAddr::V4(_) => IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED),
    }
}
