//! Ends that are known by their address alone: nodes, clients that a Service hides, clients of a public Service.
//! In: an edge, the inventory. Out: the gaps that say so, each with the entry that would settle it.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::gap::{Gap, GapKind};
use super::options::External;
use super::scene::Scene;
use super::{Options, words};
use crate::edge::{Edge, EdgeKey};
use crate::identity::{Endpoint, Inventory, WorkloadName};
use crate::manifest::{Service, ServiceType, TargetPort};
use crate::net::PortRange;
use crate::review::{Action, End, Entry};

/// What is known only by an address: nodes come and go, a Service may hide who it was, and who comes from outside
/// today is not who comes tomorrow.
pub(super) fn gaps(edge: &Edge, inventory: &Inventory<'_>, scene: &Scene, options: &Options) -> Vec<Gap> {
    let key = &edge.key;
    let subject =
        |end: &Endpoint| matches!(end, Endpoint::Workload(name) if options.is_subject(&name.namespace));
    if super::gaps::approves(key, options) {
        return Vec::new();
    }
    let mut gaps: Vec<Gap> = public(edge, inventory, options).into_iter().collect();
    if let (Endpoint::Node(_), Endpoint::Workload(server)) = (&key.source, &key.destination)
        && subject(&key.destination)
    {
        for service in inventory.services.iter().filter(|known| hides_clients(known.object)) {
            if leads_to(service.object, server, edge, inventory) {
                let meta = &service.object.meta;
                let text = format!(
                    "Service {}/{} hides its clients behind the nodes (externalTrafficPolicy: Cluster): who they are is \
                     not known, and any node may forward them",
                    meta.namespace, meta.name
                );
                gaps.push(Gap::new(GapKind::HiddenClient, words::edge(key), text).settled_by(
                    super::gaps::approve(key, "clients outside the cluster come by this Service"),
                ));
            }
        }
    }
    if edge.own_node {
        return gaps;
    }
    if subject(&key.source) || subject(&key.destination) {
        gaps.extend(by_node(key, scene, options));
    }
    gaps
}

/// A node that a rule names by its addresses, or by those that no range of `--nodes` holds.
pub(super) fn by_node(key: &EdgeKey, scene: &Scene, options: &Options) -> Option<Gap> {
    let node = [&key.source, &key.destination].into_iter().find_map(|end| match end {
        Endpoint::Node(name) => Some(name),
        _ => None,
    })?;
    let exact: Vec<String> =
        scene.node_ips(node).filter(|ip| options.nodes.is_exact(*ip)).map(|ip| ip.to_string()).collect();
    let text = match options.nodes {
        _ if exact.is_empty() => return None,
        super::Nodes::Ranges(_) => format!(
            "{} of the node is in none of the ranges of --nodes and allowed by itself: wrong after the next node joins",
            exact.join(", ")
        ),
        _ => "allowed by the addresses of a node: wrong after the next node joins; see --nodes".to_owned(),
    };
    let entry = super::gaps::approve(key, "nodes of this pool are fixed");
    Some(Gap::new(GapKind::Node, words::edge(key), text).settled_by(entry))
}

/// A client outside that came by a Service which is open to all.
fn public(edge: &Edge, inventory: &Inventory<'_>, options: &Options) -> Option<Gap> {
    let key = &edge.key;
    let (Endpoint::External(ip), Endpoint::Workload(server)) = (&key.source, &key.destination) else {
        return None;
    };
    if !options.is_subject(&server.namespace) || options.external == External::Any {
        return None;
    }
    let service = inventory
        .services
        .iter()
        .find(|known| is_exposed(known.object) && leads_to(known.object, server, edge, inventory))?;
    let meta = &service.object.meta;
    let text = format!(
        "Service {}/{} is open to clients outside, and only the addresses that were seen are allowed: widen it, or \
         see --external",
        meta.namespace, meta.name
    );
    let all = if ip.is_ipv6() { IpNet::V6(Ipv6Net::default()) } else { IpNet::V4(Ipv4Net::default()) };
    let entry = Entry {
        action: Action::Widen,
        from: End::Block(all),
        to: End::Workload(server.clone()),
        ports: Some(PortRange::one(key.port)),
        protocol: Some(key.protocol),
        reason: format!("Service {}/{} is public", meta.namespace, meta.name).into(),
    };
    let about = format!("{} {}/{}", words::workload(server), key.port, key.protocol);
    Some(Gap::new(GapKind::PublicService, about, text).settled_by(Some(entry)))
}

fn is_exposed(service: &Service) -> bool {
    matches!(service.service_type, ServiceType::NodePort | ServiceType::LoadBalancer)
}

fn hides_clients(service: &Service) -> bool {
    is_exposed(service) && !service.external_traffic_local
}

/// Whether a Service selects pods of the workload and leads to the edge's port.
fn leads_to(service: &Service, server: &WorkloadName, edge: &Edge, inventory: &Inventory<'_>) -> bool {
    let Some(selector) = service.selector.as_ref().filter(|selector| !selector.is_empty()) else {
        return false;
    };
    let key = &edge.key;
    inventory.pods.iter().filter(|known| known.workload == *server).any(|known| {
        let pod = known.pod;
        let selected = pod.meta.namespace == service.meta.namespace
            && selector.iter().all(|(label, value)| pod.meta.labels.get(label) == Some(value));
        selected
            && service.ports.iter().filter(|port| port.protocol == key.protocol).any(|port| {
                match &port.target {
                    TargetPort::Number(number) => *number == key.port,
                    TargetPort::Name(name) => {
                        pod.ports.iter().any(|own| own.name.as_ref() == Some(name) && own.port == key.port)
                    }
                }
            })
    })
}
