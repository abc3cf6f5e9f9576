//! Which edges were asked for. In: edges, and a filter by namespace, end, port and protocol. Out: those that
//! match, in their order. The window is the join's.

use std::net::IpAddr;
use std::sync::Arc;

use crate::edge::{EdgeKey, Joined};
use crate::evaluate::EndName;
use crate::identity::{Endpoint, Inventory, WorkloadName};
use crate::manifest::WorkloadKind;
use crate::net::Protocol;

#[cfg(test)]
mod tests;

/// What to keep. Every list that is not empty must match, by any of its items.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Either end is in one of these.
    pub namespaces: Vec<Arc<str>>,
    /// Either end is one of these.
    pub ends: Vec<Wanted>,
    pub from: Vec<Wanted>,
    pub to: Vec<Wanted>,
    pub ports: Vec<u16>,
    pub protocols: Vec<Protocol>,
}

/// An end as a person named it, with all that the name may stand for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    endpoints: Vec<Endpoint>,
    ip: Option<IpAddr>,
}

impl Wanted {
    /// A pod stands for its workload, or for its node where it lives on the node's network; an address for
    /// itself and for whoever held it.
    pub fn of(name: &EndName, inventory: &Inventory<'_>) -> Self {
        let mut endpoints = Vec::new();
        for known in &inventory.pods {
            let meant = match name {
                EndName::Address(ip) => known.holds.iter().any(|hold| hold.ip == *ip),
                EndName::Workload(WorkloadName { namespace, kind: WorkloadKind::Pod, name }) => {
                    known.pod.meta.namespace == *namespace && known.pod.meta.name == *name
                }
                EndName::Workload(_) => false,
            };
            if meant {
                endpoints.push(match (&known.pod.node, known.pod.host_network) {
                    (Some(node), true) => Endpoint::Node(Arc::clone(node)),
                    _ => Endpoint::Workload(known.workload.clone()),
                });
            }
        }
        let ip = match name {
            EndName::Address(ip) => {
                let nodes = inventory
                    .nodes
                    .iter()
                    .filter(|node| node.node.object.ips.contains(ip) || node.gateways.contains(ip));
                endpoints.extend(nodes.map(|node| Endpoint::Node(Arc::clone(&node.node.object.meta.name))));
                Some(*ip)
            }
            EndName::Workload(workload) => {
                // A ReplicaSet or a Job stands for the workload that keeps it.
                let kept = inventory.workloads.iter().zip(&inventory.templates);
                let owners = kept.filter(|(own, _)| {
                    own.kind == workload.kind
                        && own.meta.name == workload.name
                        && own.meta.namespace == workload.namespace
                });
                endpoints.extend(owners.map(|(_, owner)| Endpoint::Workload(owner.clone())));
                endpoints.push(Endpoint::Workload(workload.clone()));
                None
            }
        };
        endpoints.sort_unstable();
        endpoints.dedup();
        Self { endpoints, ip }
    }

    fn is(&self, endpoint: &Endpoint) -> bool {
        match endpoint {
            Endpoint::External(ip) | Endpoint::Unknown { ip, .. } if Some(*ip) == self.ip => true,
            _ => self.endpoints.binary_search(endpoint).is_ok(),
        }
    }
}

impl Filter {
    /// Drops what does not match.
    pub fn keep(&self, joined: &mut Joined) {
        joined.edges.retain(|one| self.matches(&one.key));
        joined.attempts.retain(|one| self.matches(&one.key));
        joined.doubts.retain(|one| self.matches(&one.key));
    }

    pub fn matches(&self, key: &EdgeKey) -> bool {
        let either = |test: &dyn Fn(&Endpoint) -> bool| test(&key.source) || test(&key.destination);
        let any =
            |wanted: &[Wanted], end: &Endpoint| wanted.is_empty() || wanted.iter().any(|one| one.is(end));
        let in_namespace = |end: &Endpoint| namespace(end).is_some_and(|own| self.namespaces.contains(own));
        (self.namespaces.is_empty() || either(&in_namespace))
            && (self.ends.is_empty() || either(&|end| self.ends.iter().any(|one| one.is(end))))
            && any(&self.from, &key.source)
            && any(&self.to, &key.destination)
            && (self.ports.is_empty() || self.ports.contains(&key.port))
            && (self.protocols.is_empty() || self.protocols.contains(&key.protocol))
    }
}

/// The namespace that an end lives in.
pub fn namespace(end: &Endpoint) -> Option<&Arc<str>> {
    match end {
        Endpoint::Workload(workload) => Some(&workload.namespace),
        Endpoint::Service(service) => Some(&service.namespace),
        Endpoint::Node(_) | Endpoint::External(_) | Endpoint::Unknown { .. } => None,
    }
}
