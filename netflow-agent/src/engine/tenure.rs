//! Who on this kernel held which address when, for naming local ends. In: the inventory's objects. Out: the
//! one holder of an address in a span of time, or none where it is not certain.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::input::SetBack;
use crate::manifest::{Node, Object, Pod};
use crate::time::Time;

/// Who a local address belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Holder {
    /// A pod of this node, by its UID.
    Pod(Arc<str>),
    /// This node itself: its host processes and host-network pods.
    Host,
    /// A pod of another node, or another node.
    Foreign,
}

#[derive(Clone, Debug)]
struct Tenure {
    holder: Holder,
    from: Time,
    to: Option<Time>,
}

/// Addresses and their holders.
#[derive(Debug)]
pub(super) struct Addresses {
    node: Arc<str>,
    held: BTreeMap<IpAddr, Vec<Tenure>>,
    /// Ranges that this node's pods have their addresses from, and those of other nodes.
    own_cidrs: Vec<IpNet>,
    other_cidrs: BTreeMap<Arc<str>, Vec<IpNet>>,
    gateways: Vec<IpAddr>,
}

impl Addresses {
    /// How long an ended tenure still names samples that come late.
    const LATE_SECONDS: i64 = 900;

    pub(super) fn new(node: Arc<str>) -> Self {
        Self {
            node,
            held: BTreeMap::new(),
            own_cidrs: Vec::new(),
            other_cidrs: BTreeMap::new(),
            gateways: Vec::new(),
        }
    }

    /// This object is so from `from` on.
    pub(super) fn begin(&mut self, object: &Object, from: Time) {
        match object {
            Object::Pod(pod) => self.begin_pod(pod, from),
            Object::Node(node) => self.begin_node(node),
            _ => {}
        }
    }

    /// This object is no more.
    pub(super) fn end(&mut self, object: &Object, at: Time) {
        match object {
            Object::Pod(pod) if !pod.host_network => {
                let holder = self.pod_holder(pod);
                let to = pod.finished.map_or(at, |finished| finished.min(at));
                for ip in &pod.ips {
                    let tenures = self.held.entry(*ip).or_default().iter_mut();
                    for tenure in tenures.filter(|it| it.to.is_none() && it.holder == holder) {
                        tenure.to = Some(to.max(tenure.from));
                    }
                }
            }
            Object::Node(node) => {
                let holder = self.node_holder(node);
                for ip in &node.ips {
                    if let Some(tenures) = self.held.get_mut(ip) {
                        tenures.retain(|tenure| tenure.holder != holder);
                    }
                }
                self.other_cidrs.remove(&node.meta.name);
            }
            _ => {}
        }
    }

    pub(super) fn set_gateways(&mut self, gateways: &[IpAddr]) {
        self.gateways = gateways.to_vec();
    }

    /// Whether a pod of this node holds this address now.
    pub(super) fn is_pods(&self, ip: IpAddr) -> bool {
        let pods = |it: &Tenure| matches!(it.holder, Holder::Pod(_)) && it.to.is_none();
        self.held.get(&ip).is_some_and(|tenures| tenures.iter().any(pods))
    }

    /// Tenures that were noted by the old time hold by the new one.
    pub(super) fn set_back(&mut self, set_back: SetBack) {
        for tenure in self.held.values_mut().flatten() {
            tenure.from = set_back.of(tenure.from);
            tenure.to = tenure.to.map(|to| set_back.of(to));
        }
    }

    /// Forgets tenures that ended long ago.
    pub(super) fn prune(&mut self, now: Time) {
        let limit = now.plus_seconds(-Self::LATE_SECONDS);
        self.held.retain(|_, tenures| {
            tenures.retain(|tenure| tenure.to.is_none_or(|to| to >= limit));
            !tenures.is_empty()
        });
    }

    /// The one holder of this address from `first` to `last`; none when nobody or several held it.
    pub(super) fn holder(&self, ip: IpAddr, first: Time, last: Time) -> Option<&Holder> {
        if self.gateways.contains(&ip) {
            return Some(&Holder::Host);
        }
        let Some(tenures) = self.held.get(&ip) else {
            return self.by_range(ip);
        };
        let mut holders = tenures
            .iter()
            .filter(|it| it.from <= last && it.to.is_none_or(|to| first <= to))
            .map(|it| &it.holder);
        let one = holders.next()?;
        holders.all(|other| other == one).then_some(one)
    }

    /// This node's own address of the same family, for sockets that name none.
    pub(super) fn own_address(&self, like: IpAddr) -> Option<IpAddr> {
        self.held
            .iter()
            .filter(|(ip, tenures)| {
                ip.is_ipv4() == like.is_ipv4() && tenures.iter().any(|it| it.holder == Holder::Host)
            })
            .map(|(ip, _)| *ip)
            .next()
    }

    fn begin_pod(&mut self, pod: &Pod, from: Time) {
        if pod.host_network {
            return;
        }
        let holder = self.pod_holder(pod);
        let over = pod.finished;
        for ip in &pod.ips {
            let tenures = self.held.entry(*ip).or_default();
            // A later word about a pod replaces what was known of it.
            tenures.retain(|tenure| tenure.holder != Holder::Foreign || holder == Holder::Foreign);
            match tenures.iter_mut().find(|tenure| tenure.holder == holder && holder != Holder::Foreign) {
                Some(tenure) => tenure.to = over,
                None => tenures.push(Tenure { holder: holder.clone(), from, to: over }),
            }
        }
    }

    fn begin_node(&mut self, node: &Node) {
        let holder = self.node_holder(node);
        if holder == Holder::Host {
            self.own_cidrs.clone_from(&node.pod_cidrs);
        } else {
            self.other_cidrs.insert(Arc::clone(&node.meta.name), node.pod_cidrs.clone());
        }
        for ip in &node.ips {
            self.held.insert(*ip, vec![Tenure { holder: holder.clone(), from: Time::MIN, to: None }]);
        }
    }

    fn pod_holder(&self, pod: &Pod) -> Holder {
        let elsewhere = pod.node.as_ref().is_some_and(|node| *node != self.node);
        match &pod.meta.uid {
            _ if elsewhere => Holder::Foreign,
            Some(uid) => Holder::Pod(Arc::clone(uid)),
            // Without a UID the address and the time say who it was; it is ours all the same.
            None => Holder::Host,
        }
    }

    fn node_holder(&self, node: &Node) -> Holder {
        if node.meta.name == self.node { Holder::Host } else { Holder::Foreign }
    }

    /// Whether this node's pods are known to have their addresses from its ranges, as not every CNI does:
    /// there is such a pod, and none has its address from elsewhere.
    fn ranges_hold(&self, like: IpAddr) -> bool {
        let mut pods = self
            .held
            .iter()
            .filter(|(ip, tenures)| {
                let ours = tenures.iter().any(|it| matches!(it.holder, Holder::Pod(_)));
                ours && ip.is_ipv4() == like.is_ipv4()
            })
            .map(|(ip, _)| self.own_cidrs.iter().any(|cidr| cidr.contains(ip)))
            .peekable();
        pods.peek().is_some() && pods.all(|within| within)
    }

    fn by_range(&self, ip: IpAddr) -> Option<&Holder> {
        let own = self.own_cidrs.iter().any(|cidr| cidr.contains(&ip));
        let other = self.other_cidrs.values().flatten().any(|cidr| cidr.contains(&ip));
        (!own && (other || self.ranges_hold(ip))).then_some(&Holder::Foreign)
    }
}
