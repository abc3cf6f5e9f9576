//! Services by their ports on nodes. In: a client's flow to a node's address that leads to a Service. Out: the node
//! and port that were dialled, kept beside the edge to the pods: who translates, and where, decides what a policy sees.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Edge, EdgeKey};
use crate::flow::Flow;
use crate::identity::{EndId, Endpoint, Ends, ServiceName};
use crate::time::{Hour, Time};

/// A Service's port on a node by which clients came. kube-proxy translates on the node that has the address, so from
/// any other node the packet leaves the client's pod for the node, and comes to the server's from there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodePort {
    pub node: Arc<str>,
    pub port: u16,
    pub service: ServiceName,
    /// The node's address takes the place of the client's (`externalTrafficPolicy: Cluster`).
    pub hides_client: bool,
    pub connections: u64,
    pub hours: BTreeSet<Hour>,
    pub first: Time,
    pub last: Time,
}

impl NodePort {
    /// From the client to the node.
    pub fn dialled(&self, edge: &EdgeKey) -> EdgeKey {
        let destination = Endpoint::Node(Arc::clone(&self.node));
        EdgeKey { source: edge.source.clone(), destination, port: self.port, protocol: edge.protocol }
    }

    /// From the node to the server, where the server is a pod and sees the node. Not observed at this end.
    pub fn forwarded(&self, edge: &EdgeKey) -> Option<EdgeKey> {
        let is_pod = matches!(edge.destination, Endpoint::Workload(_));
        let source = Endpoint::Node(Arc::clone(&self.node));
        (self.hides_client && is_pod).then(|| EdgeKey { source, ..edge.clone() })
    }
}

impl Edge {
    /// What its client's end must allow besides the edge itself: the nodes that it dialled.
    pub fn ways(&self) -> impl Iterator<Item = EdgeKey> {
        self.node_ports.iter().map(|one| one.dialled(&self.key))
    }
}

/// How a client's flow came to its server: by which Service, and by the ports of which nodes, if by those.
#[derive(Clone, Debug)]
pub(super) struct Way {
    pub(super) service: EndId,
    pub(super) nodes: Vec<EndId>,
    pub(super) hides_client: bool,
}

/// A node's port under construction.
#[derive(Clone, Debug)]
pub(super) struct Dialled {
    node: EndId,
    port: u16,
    service: EndId,
    hides_client: bool,
    connections: u64,
    hours: BTreeSet<Hour>,
    first: Time,
    last: Time,
}

impl Dialled {
    pub(super) fn add(all: &mut Vec<Self>, way: &Way, flow: &Flow) {
        for node in &way.nodes {
            let port = flow.key.port;
            let counters = &flow.counters;
            let same = |one: &&mut Self| (one.node, one.port, one.service) == (*node, port, way.service);
            if let Some(one) = all.iter_mut().find(same) {
                one.hides_client |= way.hides_client;
                one.connections = one.connections.saturating_add(counters.connections);
                one.hours.insert(flow.key.hour);
                one.first = one.first.min(counters.first);
                one.last = one.last.max(counters.last);
            } else {
                all.push(Self {
                    node: *node,
                    port,
                    service: way.service,
                    hides_client: way.hides_client,
                    connections: counters.connections,
                    hours: BTreeSet::from([flow.key.hour]),
                    first: counters.first,
                    last: counters.last,
                });
            }
        }
    }

    /// By name, sorted.
    pub(super) fn named(all: Vec<Self>, ends: &Ends) -> Vec<NodePort> {
        let named = all.into_iter().filter_map(|one| match (ends.get(one.node), ends.get(one.service)) {
            (Endpoint::Node(node), Endpoint::Service(service)) => Some(NodePort {
                node: Arc::clone(node),
                port: one.port,
                service: service.clone(),
                hides_client: one.hides_client,
                connections: one.connections,
                hours: one.hours,
                first: one.first,
                last: one.last,
            }),
            _ => None,
        });
        let mut named: Vec<NodePort> = named.collect();
        named.sort_by(|a, b| (&a.node, a.port, &a.service).cmp(&(&b.node, b.port, &b.service)));
        named
    }
}
