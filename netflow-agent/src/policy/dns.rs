//! DNS for whoever sends. In: edges to DNS servers. Out: demands over UDP and TCP to the servers that were
//! seen answering: the fallback to TCP is hardly ever observed and must work.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Options;
use super::evidence::{Evidence, Why};
use super::gap::{Gap, GapKind, declare as declare_entry};
use super::ledger::{Ledger, PeerKey};
use super::port::Port;
use super::scene::{GroupId, Scene};
use super::sift::{self, NODE_LOCAL_DNS};
use crate::edge::{Edge, EdgeKey};
use crate::identity::{Endpoint, Inventory};
use crate::net::{Direction, Protocol};
use crate::review::{Action, End};

const DNS: u16 = 53;
const NOT_SEEN: &str = "DNS, which every sender needs";
const FALLBACK: &str = "DNS falls back to it for long answers";

/// The cluster's DNS servers, each with the port it answers on.
pub(super) fn servers(
    edges: &[Edge],
    inventory: &Inventory<'_>,
    scene: &Scene,
) -> BTreeMap<(PeerKey, u16), Endpoint> {
    let marked = marked_groups(inventory, scene);
    let mut servers = BTreeMap::new();
    for edge in edges.iter().filter(|edge| edge.key.protocol != Protocol::Sctp) {
        let key = &edge.key;
        let asked = key.port == DNS || edge.via.iter().any(|service| asks_53(service, edge, inventory));
        let server = match &key.destination {
            Endpoint::Workload(name) if asked => scene.group_of(name).filter(|id| {
                let of_cluster =
                    Options::SYSTEM.contains(&&*id.namespace) || &*id.namespace == "openshift-dns";
                of_cluster || marked.contains(id)
            }),
            _ => None,
        };
        if let Some(id) = server {
            servers.insert((PeerKey::Group(id.clone()), key.port), key.destination.clone());
        }
        if key.destination == Endpoint::External(NODE_LOCAL_DNS) && key.port == DNS {
            servers.insert((PeerKey::Range(NODE_LOCAL_DNS.into()), DNS), key.destination.clone());
        }
    }
    servers
}

/// Senders whose namespaces get no rule for DNS, with what would give them one where the server is known.
pub(super) fn not_seen(ledger: &Ledger, inventory: &Inventory<'_>, scene: &Scene) -> Vec<Gap> {
    let namespaces: BTreeSet<Arc<str>> = ledger.senders().into_iter().map(|id| id.namespace).collect();
    let servers = marked_groups(inventory, scene);
    let server = servers.iter().find_map(|id| scene.group(id)).map(|group| group.members[0].clone());
    let mut gaps = Vec::new();
    for namespace in namespaces {
        let about = format!("Namespace {namespace}");
        let Some(server) = &server else {
            let text = "no DNS server was seen answering, and none is known: its senders get no rule for DNS";
            gaps.push(Gap::new(GapKind::NoDns, about, text));
            continue;
        };
        for protocol in [Protocol::Udp, Protocol::Tcp] {
            let text = format!(
                "{} was never seen answering: senders get no rule for {protocol} {DNS}",
                super::words::workload(server)
            );
            let (from, to) = (End::Namespace(Arc::clone(&namespace)), End::Workload(server.clone()));
            let entry = declare_entry(from, to, Some(Port::one(protocol, DNS)), NOT_SEEN);
            gaps.push(Gap::new(GapKind::NoDns, about.clone(), text).settled_by(Some(entry)));
        }
    }
    gaps
}

/// Workloads that carry the label of the cluster's DNS.
fn marked_groups(inventory: &Inventory<'_>, scene: &Scene) -> BTreeSet<GroupId> {
    let marks = [("k8s-app", "kube-dns"), ("app.kubernetes.io/name", "coredns")];
    let marked = inventory.pods.iter().filter(|known| {
        let label = |key| known.pod.meta.labels.get(key).map(|value: &Arc<str>| &**value);
        marks.iter().any(|(key, value)| label(*key) == Some(*value))
    });
    marked.filter_map(|known| scene.group_of(&known.workload).cloned()).collect()
}

/// Whether the Service that was translated offers this edge's port as 53.
fn asks_53(service: &crate::identity::ServiceName, edge: &Edge, inventory: &Inventory<'_>) -> bool {
    inventory.services.iter().any(|known| {
        let object = known.object;
        object.meta.namespace == service.namespace
            && object.meta.name == service.name
            && object.ports.iter().any(|port| port.port == DNS && port.protocol == edge.key.protocol)
    })
}

/// Adds what was not seen: UDP and TCP to every server, for each sender among the subjects, and for whoever
/// was seen to ask one that is a subject itself.
pub(super) fn demand(
    ledger: &mut Ledger,
    edges: &[Edge],
    servers: &BTreeMap<(PeerKey, u16), Endpoint>,
    scene: &Scene,
    options: &Options,
    used: &mut [bool],
) {
    let mut senders = ledger.senders();
    senders.extend(askers(edges, servers, scene));
    for sender in senders {
        let Some(group) = scene.group(&sender) else { continue };
        for ((server, port), other) in servers {
            for protocol in [Protocol::Udp, Protocol::Tcp] {
                let source = Endpoint::Workload(group.members[0].clone());
                let key = EdgeKey { source, destination: other.clone(), port: *port, protocol };
                if refused(&key, options, used) {
                    continue;
                }
                let seen = |protocol| {
                    let ports =
                        ledger.subjects.get(&sender).and_then(|all| all.of(Direction::Egress).get(server));
                    ports.is_some_and(|ports| ports.contains_key(&Port::one(protocol, *port)))
                };
                if seen(protocol) {
                    continue;
                }
                let why = if protocol == Protocol::Tcp { FALLBACK } else { NOT_SEEN };
                declare(ledger, scene, options, &sender, server, &key, why);
            }
        }
    }
}

/// Workloads that were seen to ask a server.
fn askers<'s>(
    edges: &'s [Edge],
    servers: &'s BTreeMap<(PeerKey, u16), Endpoint>,
    scene: &'s Scene,
) -> impl Iterator<Item = GroupId> {
    let asked = |edge: &&Edge| {
        servers.iter().any(|((_, port), server)| edge.key.port == *port && edge.key.destination == *server)
    };
    edges.iter().filter(asked).filter_map(|edge| match &edge.key.source {
        Endpoint::Workload(name) => scene.group_of(name).cloned(),
        _ => None,
    })
}

/// The review's deny and ignore hold for what is declared as well.
fn refused(key: &EdgeKey, options: &Options, used: &mut [bool]) -> bool {
    let refusing =
        options.review.meeting(key).find(|(_, entry)| matches!(entry.action, Action::Deny | Action::Ignore));
    refusing.is_some_and(|(at, _)| {
        used[at] = true;
        true
    })
}

/// Both ends of a declared edge, where they are subjects.
pub(super) fn declare(
    ledger: &mut Ledger,
    scene: &Scene,
    options: &Options,
    sender: &GroupId,
    server: &PeerKey,
    key: &EdgeKey,
    why: &str,
) {
    let port = Port::one(key.protocol, key.port);
    let declared = |other: &Endpoint| Evidence { other: other.clone(), port, why: Why::Declared(why.into()) };
    if options.is_subject(&sender.namespace) && options.directions.contains(&Direction::Egress) {
        ledger.add(sender, Direction::Egress, server.clone(), declared(&key.destination));
    }
    if let PeerKey::Group(id) = server
        && options.is_subject(&id.namespace)
        && options.directions.contains(&Direction::Ingress)
    {
        for peer in sift::peers(&key.source, scene, options).into_iter().flatten() {
            ledger.add(id, Direction::Ingress, peer, declared(&key.source));
        }
    }
}
