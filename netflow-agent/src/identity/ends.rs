//! Endpoints by number, so that a million flows compare and hash integers. In: pods, nodes, addresses.
//! Out: one number per distinct endpoint, and the endpoint back.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::{Endpoint, Holder, Inventory, Lookup, ServiceName};

/// The number of an endpoint; good within one `Ends` only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndId(u32);

/// All endpoints that came up.
#[derive(Debug, Default)]
pub struct Ends {
    endpoints: Vec<Endpoint>,
    pods: Vec<EndId>,
    nodes: Vec<EndId>,
    known: HashMap<Endpoint, EndId>,
    addresses: HashMap<(IpAddr, Option<&'static str>), EndId>,
}

impl Ends {
    /// With every pod as its workload; a pod on its node's network is its node.
    pub fn of(inventory: &Inventory<'_>, lookup: &Lookup<'_>) -> Self {
        let mut ends = Self::default();
        let nodes = lookup.nodes.iter().map(|name| Endpoint::Node(Arc::clone(name)));
        ends.nodes = nodes.map(|node| ends.intern(node)).collect();
        let pods = inventory.pods.iter().map(|known| match (&known.pod.node, known.pod.host_network) {
            (Some(node), true) => Endpoint::Node(Arc::clone(node)),
            _ => Endpoint::Workload(known.workload.clone()),
        });
        ends.pods = pods.map(|pod| ends.intern(pod)).collect();
        ends
    }

    pub fn get(&self, id: EndId) -> &Endpoint {
        &self.endpoints[id.0 as usize]
    }

    pub fn holder(&self, holder: Holder) -> EndId {
        match holder {
            Holder::Pod(at) => self.pods[at as usize],
            Holder::Node(at) => self.nodes[at as usize],
        }
    }

    pub fn external(&mut self, ip: IpAddr) -> EndId {
        self.address(ip, None)
    }

    pub fn unknown(&mut self, ip: IpAddr, reason: &'static str) -> EndId {
        self.address(ip, Some(reason))
    }

    pub fn service(&mut self, name: &ServiceName) -> EndId {
        self.intern(Endpoint::Service(name.clone()))
    }

    /// Position of each endpoint in their sorted order, by number.
    pub fn ranks(&self) -> Vec<u32> {
        let mut order: Vec<u32> = (0u32..).zip(&self.endpoints).map(|(at, _)| at).collect();
        order.sort_by(|one, other| self.endpoints[*one as usize].cmp(&self.endpoints[*other as usize]));
        let mut ranks = vec![0; order.len()];
        for (rank, at) in (0u32..).zip(order) {
            ranks[at as usize] = rank;
        }
        ranks
    }

    /// The place of a number in `ranks`.
    pub const fn index(id: EndId) -> usize {
        id.0 as usize
    }

    fn address(&mut self, ip: IpAddr, reason: Option<&'static str>) -> EndId {
        if let Some(id) = self.addresses.get(&(ip, reason)) {
            return *id;
        }
        let id = self.intern(match reason {
            Some(reason) => Endpoint::Unknown { ip, reason: Arc::from(reason) },
            None => Endpoint::External(ip),
        });
        self.addresses.insert((ip, reason), id);
        id
    }

    fn intern(&mut self, endpoint: Endpoint) -> EndId {
        if let Some(id) = self.known.get(&endpoint) {
            return *id;
        }
        // Four thousand million endpoints do not fit into memory.
        let id = EndId(u32::try_from(self.endpoints.len()).unwrap_or(u32::MAX));
        self.endpoints.push(endpoint.clone());
        self.known.insert(endpoint, id);
        id
    }
}
