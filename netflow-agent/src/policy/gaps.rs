//! The gaps that the cluster itself shows. In: what was generated, edges, inventory, scene. Out: named gaps:
//! workloads that no label tells apart, namespaces and workloads that said nothing, nodes, hidden clients.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::gap::{Gap, GapKind};
use super::scene::Scene;
use super::{Options, Recommendation, sift, words};
use crate::edge::{Edge, EdgeKey};
use crate::identity::{Endpoint, Inventory, WorkloadName};
use crate::manifest::{Service, ServiceType, TargetPort};
use crate::review::{Action, End, Entry};

pub(super) fn of_scene(
    answer: &mut Recommendation,
    edges: &[Edge],
    inventory: &Inventory<'_>,
    scene: &Scene,
    options: &Options,
) {
    let mut gaps = std::mem::take(&mut answer.gaps);
    gaps.extend(groups(scene, options));
    gaps.extend(silent(edges, scene, options));
    let withheld: BTreeSet<usize> = answer.withheld.iter().map(|withheld| withheld.edge).collect();
    for (at, edge) in edges.iter().enumerate() {
        if withheld.contains(&at) {
            continue;
        }
        gaps.extend(hidden_clients(edge, inventory, options));
        if !edge.own_node {
            gaps.extend(node(edge, options));
            gaps.extend(metadata(edge, options));
        }
    }
    gaps.extend(live_policies(inventory, options));
    gaps.retain(|gap| !approved(gap, options));
    gaps.sort_by(|a, b| (a.kind, &a.about, &a.text).cmp(&(b.kind, &b.about, &b.text)));
    gaps.dedup();
    answer.gaps = gaps;
}

/// A gap whose ready-made entry stands in the review already.
fn approved(gap: &Gap, options: &Options) -> bool {
    gap.review.as_ref().is_some_and(|ready| {
        options.review.entries.iter().any(|entry| {
            (entry.action, &entry.from, &entry.to, entry.ports, entry.protocol)
                == (ready.action, &ready.from, &ready.to, ready.ports, ready.protocol)
        })
    })
}

/// An entry that approves an edge as it is.
pub(super) fn approve(key: &EdgeKey, reason: &str) -> Option<Entry> {
    Some(Entry {
        action: Action::Approve,
        from: End::of(&key.source)?,
        to: End::of(&key.destination)?,
        ports: Some(crate::net::PortRange::one(key.port)),
        protocol: Some(key.protocol),
        reason: reason.into(),
    })
}

fn groups(scene: &Scene, options: &Options) -> Vec<Gap> {
    let mut gaps = Vec::new();
    for (id, group) in scene.groups().filter(|(id, _)| options.is_subject(&id.namespace)) {
        let names: Vec<String> = group.members.iter().map(words::workload).collect();
        if let [first, others @ ..] = &names[..]
            && !others.is_empty()
        {
            let text =
                format!("no label tells it apart from {}: one policy is for all of them", others.join(", "));
            gaps.push(Gap::new(GapKind::Indistinguishable, first, text));
        }
        if group.selector.equal.is_empty() {
            let text =
                "it has no stable label of its own, so it is selected by what others have: give it one";
            gaps.push(Gap::new(GapKind::NoLabels, format!("{} in {}", names.join(", "), id.namespace), text));
        }
    }
    gaps
}

/// Namespaces and workloads that no edge touches.
fn silent(edges: &[Edge], scene: &Scene, options: &Options) -> Vec<Gap> {
    let workload = |end: &'_ Endpoint| match end {
        Endpoint::Workload(name) => Some(name.clone()),
        _ => None,
    };
    let spoke: BTreeSet<WorkloadName> = edges
        .iter()
        .flat_map(|edge| [workload(&edge.key.source), workload(&edge.key.destination)])
        .flatten()
        .collect();
    let busy: BTreeSet<&Arc<str>> = spoke.iter().map(|name| &name.namespace).collect();
    let mut gaps = Vec::new();
    for namespace in scene.populated.iter().filter(|namespace| options.is_subject(namespace)) {
        if !busy.contains(namespace) {
            let text = "it has pods and no edge was seen: its default deny rests on nothing observed";
            gaps.push(Gap::new(GapKind::SilentNamespace, format!("Namespace {namespace}"), text));
        }
    }
    for (id, group) in scene.groups().filter(|(id, _)| options.is_subject(&id.namespace)) {
        if busy.contains(&id.namespace) {
            for name in group.members.iter().filter(|name| !spoke.contains(*name)) {
                let text = "never seen to talk: only the default deny of its namespace is for it";
                gaps.push(Gap::new(GapKind::SilentWorkload, words::workload(name), text));
            }
        }
    }
    gaps
}

fn is_subject(end: &Endpoint, options: &Options) -> bool {
    matches!(end, Endpoint::Workload(name) if options.is_subject(&name.namespace))
}

/// A Service may hide behind a node who called, the node of the pod itself included.
fn hidden_clients(edge: &Edge, inventory: &Inventory<'_>, options: &Options) -> Vec<Gap> {
    let key = &edge.key;
    let (Endpoint::Node(_), Endpoint::Workload(server)) = (&key.source, &key.destination) else {
        return Vec::new();
    };
    if !is_subject(&key.destination, options) {
        return Vec::new();
    }
    let hiding = inventory
        .services
        .iter()
        .map(|known| known.object)
        .filter(|service| hides_clients(service) && leads_to(service, server, edge, inventory));
    let gap = |service: &Service| {
        let meta = &service.meta;
        let text = format!(
            "Service {}/{} hides its clients behind the nodes (externalTrafficPolicy: Cluster): who they are is \
             not known",
            meta.namespace, meta.name
        );
        Gap::new(GapKind::HiddenClient, words::edge(key), text)
            .settled_by(approve(key, "clients outside the cluster come by this Service"))
    };
    hiding.map(gap).collect()
}

/// Edges with a node: nodes come and go.
fn node(edge: &Edge, options: &Options) -> Option<Gap> {
    let key = &edge.key;
    let with_node = matches!(key.source, Endpoint::Node(_)) || matches!(key.destination, Endpoint::Node(_));
    let subject = is_subject(&key.source, options) || is_subject(&key.destination, options);
    (with_node && subject && options.nodes == super::Nodes::Exact).then(|| {
        let text = "allowed by the addresses of a node: wrong after the next node joins; see --nodes";
        Gap::new(GapKind::Node, words::edge(key), text)
            .settled_by(approve(key, "nodes of this pool are fixed"))
    })
}

fn hides_clients(service: &Service) -> bool {
    let exposed = matches!(service.service_type, ServiceType::NodePort | ServiceType::LoadBalancer);
    exposed && !service.external_traffic_local
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

fn metadata(edge: &Edge, options: &Options) -> Option<Gap> {
    let key = &edge.key;
    let asked = matches!(key.destination, Endpoint::External(ip) if sift::METADATA.contains(&ip));
    let subject = matches!(&key.source, Endpoint::Workload(name) if options.is_subject(&name.namespace));
    (asked && subject).then(|| {
        let text = "kept because it was used: whoever reaches it may get the rights of the machine; see --drop-metadata";
        Gap::new(GapKind::Metadata, words::edge(key), text)
            .settled_by(approve(key, "it needs the rights that the machine hands out"))
    })
}

/// Policies that are there already: they filtered what could be seen, and they add to what we allow.
fn live_policies(inventory: &Inventory<'_>, options: &Options) -> Vec<Gap> {
    let mut gaps = Vec::new();
    let mut others: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for policy in inventory.policies.iter().filter(|policy| options.is_subject(&policy.meta.namespace)) {
        if !super::is_ours(&policy.meta) {
            let about = format!("NetworkPolicy {}/{}", policy.meta.namespace, policy.meta.name);
            let text =
                "in force in the window: what it denied could not be seen, and what it allows stays allowed";
            gaps.push(Gap::new(GapKind::LivePolicy, about, text));
        }
    }
    for (kind, meta) in &inventory.other_policies {
        *others.entry((kind, &meta.namespace)).or_default() += 1;
    }
    for ((kind, namespace), count) in others {
        let about = if namespace.is_empty() { kind.to_owned() } else { format!("{kind} in {namespace}") };
        let text =
            format!("{count} of them, in a dialect that is not judged here: they may deny or allow more");
        gaps.push(Gap::new(GapKind::OtherPolicy, about, text));
    }
    gaps
}
