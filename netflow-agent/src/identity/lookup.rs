//! Who held an address, when. In: the inventory. Out: the holders of an address in a span of time, by hashed
//! look-ups that hand out slices sorted by time.

use std::net::IpAddr;
use std::sync::Arc;

use hashbrown::HashMap;

use super::Inventory;
use super::history::before;
use super::inventory::KnownPod;
use crate::time::Time;

/// Who holds an address. Positions are those of the inventory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Holder {
    Pod(u32),
    /// Position in `Lookup::nodes`.
    Node(u32),
}

/// An address held from one moment to another, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    pub from: Time,
    pub to: Time,
    pub holder: Holder,
    open: bool,
}

/// All holds of all addresses.
#[derive(Debug, Default)]
pub struct Lookup<'a> {
    /// Address -> its part of `holds`.
    by_ip: HashMap<IpAddr, (u32, u32)>,
    holds: Vec<Hold>,
    by_uid: HashMap<&'a str, u32>,
    /// Names of nodes, sorted.
    pub nodes: Vec<Arc<str>>,
    pod_networks: Vec<ipnet::IpNet>,
}

impl<'a> Lookup<'a> {
    pub fn of(inventory: &Inventory<'a>) -> Self {
        let mut nodes: Vec<Arc<str>> =
            inventory.nodes.iter().map(|node| Arc::clone(&node.node.object.meta.name)).collect();
        nodes.extend(inventory.pods.iter().filter_map(|pod| pod.pod.node.clone()));
        nodes.sort_unstable();
        nodes.dedup();
        let mut claims = Vec::new();
        for (at, pod) in (0u32..).zip(&inventory.pods) {
            hold_of_pod(pod, at, &nodes, &mut claims);
        }
        for node in &inventory.nodes {
            let Some(at) = node_at(&nodes, &node.node.object.meta.name) else { continue };
            for ip in node.node.object.ips.iter().chain(node.gateways) {
                let (from, to) = (node.node.from, node.node.to);
                claims.push((*ip, Hold { from, to, holder: Holder::Node(at), open: to == Time::MAX }));
            }
        }
        let by_uid = (0u32..)
            .zip(&inventory.pods)
            .flat_map(|(at, pod)| {
                let uids = [pod.pod.static_uid(), pod.pod.meta.uid.as_ref()];
                uids.into_iter().flatten().map(move |uid| (&**uid, at))
            })
            .collect();
        let mut pod_networks: Vec<ipnet::IpNet> =
            inventory.nodes.iter().flat_map(|node| node.node.object.pod_cidrs.iter().copied()).collect();
        pod_networks.sort_unstable();
        pod_networks.dedup();
        let mut lookup = Self { by_uid, nodes, pod_networks, ..Self::default() };
        lookup.index(claims);
        lookup
    }

    /// All holds of an address that meet [first, last], sorted by their begin.
    pub fn holds(&self, ip: IpAddr, first: Time, last: Time) -> impl Iterator<Item = Hold> {
        self.ever(ip).iter().copied().filter(move |hold| hold.from <= last && first <= hold.to)
    }

    /// Every hold of an address at any time.
    pub fn ever(&self, ip: IpAddr) -> &[Hold] {
        self.by_ip.get(&ip).map_or(&[], |(start, end)| &self.holds[*start as usize..*end as usize])
    }

    /// The pod of a UID.
    pub fn pod(&self, uid: &str) -> Option<u32> {
        self.by_uid.get(uid).copied()
    }

    pub fn node(&self, name: &str) -> Option<u32> {
        node_at(&self.nodes, name)
    }

    /// Whether the cluster hands out this address to pods: then it is nobody's outside.
    pub fn is_pod_network(&self, ip: IpAddr) -> bool {
        self.pod_networks.iter().any(|network| network.contains(&ip))
    }

    /// Four hundred pods tell of their node's address: holds by one holder that touch are one hold.
    fn add(&mut self, start: usize, hold: Hold) {
        let touching = self.holds[start..].iter_mut().rev().take(8).find(|known| known.holder == hold.holder);
        match touching {
            Some(known) if hold.from <= known.to => {
                known.open |= hold.open && hold.to >= known.to;
                known.to = known.to.max(hold.to);
            }
            _ => self.holds.push(hold),
        }
    }

    fn index(&mut self, mut claims: Vec<(IpAddr, Hold)>) {
        claims.sort_by_key(|(ip, hold)| (*ip, hold.from, hold.to, hold.holder));
        claims.dedup();
        self.holds.reserve_exact(claims.len());
        for group in claims.chunk_by(|(one, _), (other, _)| one == other) {
            let Some((ip, _)) = group.first() else { continue };
            let start = self.holds.len();
            for (_, hold) in group {
                self.add(start, *hold);
            }
            end_open_holds(&mut self.holds[start..]);
            // More than four thousand million holds do not fit into memory.
            let span = (
                u32::try_from(start).unwrap_or(u32::MAX),
                u32::try_from(self.holds.len()).unwrap_or(u32::MAX),
            );
            self.by_ip.insert(*ip, span);
        }
    }
}

/// A pod of its own network holds its addresses; one on the host's network lives at its node's. Either tells
/// of its node's address.
fn hold_of_pod(pod: &KnownPod<'_>, at: u32, nodes: &[Arc<str>], held: &mut Vec<(IpAddr, Hold)>) {
    let node = pod.pod.node.as_ref().and_then(|name| node_at(nodes, name));
    for hold in &pod.holds {
        let holder = if pod.pod.host_network { node.map(Holder::Node) } else { Some(Holder::Pod(at)) };
        let Some(holder) = holder else { continue };
        held.push((hold.ip, Hold { from: hold.from, to: hold.to, holder, open: hold.open }));
    }
    for ip in &pod.pod.host_ips {
        let Some(node) = node else { continue };
        held.push((*ip, Hold { from: pod.from, to: pod.to, holder: Holder::Node(node), open: true }));
    }
}

/// Holds of one address, sorted by begin: a hold without a stated end ends where another's begins, and one
/// that ends in the moment another begins has ended before.
fn end_open_holds(holds: &mut [Hold]) {
    for at in 0..holds.len() {
        let Hold { from, to, holder, open } = holds[at];
        let later = at + holds[at..].partition_point(|next| next.from <= from);
        let next = holds[later..].iter().find(|next| next.holder != holder).map(|next| next.from);
        if let Some(next) = next
            && (open || to == next)
            && to >= next
        {
            holds[at].to = before(next);
        }
    }
}

fn node_at(nodes: &[Arc<str>], name: &str) -> Option<u32> {
    nodes.binary_search_by(|known| (**known).cmp(name)).ok().and_then(|at| u32::try_from(at).ok())
}
