//! Ends and edges in words, as they stand in comments, gaps and summaries.

use crate::edge::EdgeKey;
use crate::identity::{Endpoint, WorkloadName};

/// `Deployment shop/frontend`.
pub fn workload(name: &WorkloadName) -> String {
    format!("{} {}/{}", name.kind.as_str(), name.namespace, name.name)
}

pub fn endpoint(end: &Endpoint) -> String {
    match end {
        Endpoint::Workload(name) => workload(name),
        Endpoint::Node(name) => format!("Node {name}"),
        Endpoint::External(ip) if super::sift::METADATA.contains(ip) => format!("metadata service {ip}"),
        Endpoint::External(ip) if *ip == super::sift::NODE_LOCAL_DNS => format!("node-local DNS {ip}"),
        Endpoint::External(ip) => format!("external {ip}"),
        Endpoint::Service(name) => format!("Service {}/{}", name.namespace, name.name),
        Endpoint::Unknown { ip, .. } => format!("unknown {ip}"),
    }
}

/// `Deployment shop/frontend -> StatefulSet shop/db:5432/TCP`.
pub fn edge(key: &EdgeKey) -> String {
    format!("{} -> {} {}/{}", endpoint(&key.source), endpoint(&key.destination), key.port, key.protocol)
}
