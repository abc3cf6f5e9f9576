//! The dependency graph. In: edges. Out: ends and links, one link for each pair of ends with all its ports.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::edge::Edge;
use crate::identity::Endpoint;
use crate::net::Protocol;

pub mod dot;
pub mod mermaid;
#[cfg(test)]
mod tests;

/// Who talks to whom, by position in `ends`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    pub source: usize,
    pub destination: usize,
    /// Sorted.
    pub ports: BTreeSet<(u16, Protocol)>,
    pub connections: u64,
    /// Nothing of it was seen to be answered.
    pub unconfirmed: bool,
}

/// Ends and links, both sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Graph {
    pub ends: Vec<Endpoint>,
    pub links: Vec<Link>,
}

/// The graph of some edges.
pub fn build<'e>(edges: impl IntoIterator<Item = &'e Edge>) -> Graph {
    let mut links: BTreeMap<(&Endpoint, &Endpoint), Link> = BTreeMap::new();
    for edge in edges {
        let link = links.entry((&edge.key.source, &edge.key.destination)).or_insert_with(|| Link {
            source: 0,
            destination: 0,
            ports: BTreeSet::new(),
            connections: 0,
            unconfirmed: true,
        });
        link.ports.insert((edge.key.port, edge.key.protocol));
        link.connections = link.connections.saturating_add(edge.connections);
        link.unconfirmed &= edge.unconfirmed;
    }
    let ends: BTreeSet<&Endpoint> =
        links.keys().flat_map(|(source, destination)| [*source, *destination]).collect();
    let ends: Vec<&Endpoint> = ends.into_iter().collect();
    let position = |end: &Endpoint| ends.partition_point(|known| *known < end);
    let links = links
        .into_iter()
        .map(|((source, destination), link)| Link {
            source: position(source),
            destination: position(destination),
            ..link
        })
        .collect();
    Graph { ends: ends.into_iter().cloned().collect(), links }
}

impl Graph {
    /// Ends by namespace, sorted; those of none under `None`.
    pub fn namespaces(&self) -> BTreeMap<Option<&Arc<str>>, Vec<usize>> {
        let mut namespaces: BTreeMap<Option<&Arc<str>>, Vec<usize>> = BTreeMap::new();
        for (at, end) in self.ends.iter().enumerate() {
            namespaces.entry(crate::query::namespace(end)).or_default().push(at);
        }
        namespaces
    }
}

/// An end within its namespace.
pub(crate) fn label(end: &Endpoint) -> String {
    match end {
        Endpoint::Workload(one) => format!("{}/{}", one.kind.as_str().to_ascii_lowercase(), one.name),
        Endpoint::Service(one) => format!("service/{}", one.name),
        Endpoint::Node(name) => format!("node/{name}"),
        Endpoint::External(ip) => ip.to_string(),
        Endpoint::Unknown { ip, .. } => format!("unknown {ip}"),
    }
}

/// `8080/TCP, 53/UDP`.
pub(crate) fn ports(link: &Link) -> String {
    let ports: Vec<String> = link.ports.iter().map(|(port, protocol)| format!("{port}/{protocol}")).collect();
    ports.join(", ")
}
