//! Services by their ports on nodes. In: edges that are allowed, with the node ports that their clients dialled. Out:
//! egress demands for the nodes, beside those for the pods: where kube-proxy translates, the client's end sees the node
//! unless it is its own; other plugins see the pods. What a server's end would see of it is a gap, and never guessed.

use std::collections::{BTreeMap, BTreeSet};

use super::evidence::{Evidence, Observed, Why};
use super::gap::{Gap, GapKind, declare};
use super::ledger::{Ledger, PeerKey};
use super::port::Port;
use super::scene::Scene;
use super::sift::{self, Refusal};
use super::{Options, Withheld, exposed, words};
use crate::edge::{Edge, EdgeKey, NodePort, Witness};
use crate::identity::ServiceName;
use crate::net::Direction;
use crate::review::End;

/// From a client to the port of a node.
struct Dialled<'e> {
    /// Position of the first edge that came by it.
    edge: usize,
    service: &'e ServiceName,
    seen: Observed,
}

/// Adds what the edges at these positions need; gaps and what is withheld go to the lists.
pub(super) fn demand(
    ledger: &mut Ledger,
    edges: &[Edge],
    allowed: &[usize],
    scene: &Scene,
    options: &Options,
    used: &mut [bool],
    (gaps, withheld): (&mut Vec<Gap>, &mut Vec<Withheld>),
) {
    for (key, dialled) in dialled(edges, allowed) {
        if !options.concerns(&key) {
            continue;
        }
        match sift::way(&key, scene, options, used) {
            Ok((source, nodes)) => {
                add(ledger, &key, &dialled.seen, (&source, &nodes), options);
                if options.directions.contains(&Direction::Egress) && !super::gaps::approves(&key, options) {
                    gaps.extend(named(&key, dialled.service, scene, options));
                }
            }
            Err(Refusal { reason, not_expressible }) => {
                let gap = |text| Gap::new(GapKind::NotExpressible, words::edge(&key), text);
                gaps.extend(not_expressible.map(gap));
                withheld.push(Withheld { edge: dialled.edge, way: Some(key), reason });
            }
        }
    }
    gaps.extend(hidden(edges, allowed, options));
}

/// Every node and port once, in order: several backends of one Service share it.
fn dialled<'e>(edges: &'e [Edge], allowed: &[usize]) -> BTreeMap<EdgeKey, Dialled<'e>> {
    let mut all: BTreeMap<EdgeKey, Dialled<'e>> = BTreeMap::new();
    for &at in allowed {
        for one in &edges[at].node_ports {
            let seen = observed(one);
            all.entry(one.dialled(&edges[at].key))
                .and_modify(|known| known.seen = known.seen.or(&seen))
                .or_insert(Dialled { edge: at, service: &one.service, seen });
        }
    }
    all
}

fn observed(one: &NodePort) -> Observed {
    Observed {
        connections: one.connections,
        hours: one.hours.iter().copied().collect(),
        first: one.first,
        last: one.last,
        witness: Witness::Client,
        basis: crate::flow::Basis::Observed,
        unconfirmed: false,
        via: vec![one.service.clone()],
    }
}

fn add(
    ledger: &mut Ledger,
    key: &EdgeKey,
    seen: &Observed,
    (clients, nodes): (&[PeerKey], &[PeerKey]),
    options: &Options,
) {
    if !options.directions.contains(&Direction::Egress) {
        return;
    }
    let port = Port::one(key.protocol, key.port);
    for client in clients {
        let PeerKey::Group(id) = client else { continue };
        for node in nodes.iter().filter(|_| options.is_subject(&id.namespace)) {
            let why = Why::Observed(seen.clone());
            let evidence = Evidence { other: key.destination.clone(), port, why };
            ledger.add(id, Direction::Egress, node.clone(), evidence);
        }
    }
}

fn named(key: &EdgeKey, service: &ServiceName, scene: &Scene, options: &Options) -> Vec<Gap> {
    let text = format!(
        "Service {}/{} was dialled by its port on a node: an egress policy sees the node or the pods behind, as the \
         network plugin has it, so both are allowed",
        service.namespace, service.name
    );
    let entry = super::gaps::approve(key, "it is meant to dial this node");
    let mut gaps = vec![Gap::new(GapKind::NodePort, words::edge(key), text).settled_by(entry)];
    gaps.extend(exposed::by_node(key, scene, options));
    gaps
}

/// Servers whose own end told nothing of the client: there the node may stand in its place.
fn hidden(edges: &[Edge], allowed: &[usize], options: &Options) -> Vec<Gap> {
    let mut gaps = Vec::new();
    let mut told: Option<BTreeSet<&EdgeKey>> = None;
    for edge in allowed.iter().map(|at| &edges[*at]).filter(|edge| edge.witness == Witness::Client) {
        for one in &edge.node_ports {
            let Some(key) = one.forwarded(&edge.key).filter(|key| options.concerns(key)) else { continue };
            let told = told.get_or_insert_with(|| edges.iter().map(|edge| &edge.key).collect());
            if told.contains(&key) || !options.directions.contains(&Direction::Ingress) {
                continue;
            }
            let text = format!(
                "Service {}/{} hides the clients of its port on this node (externalTrafficPolicy: Cluster), and the \
                 servers' end was not seen: no rule lets the node in",
                one.service.namespace, one.service.name
            );
            let ends = End::of(&key.source).zip(End::of(&key.destination));
            let port = Port::one(key.protocol, key.port);
            let entry = ends.map(|(from, to)| declare(from, to, Some(port), "it forwards to this Service"));
            gaps.push(Gap::new(GapKind::HiddenClient, words::edge(&key), text).settled_by(entry));
        }
    }
    gaps
}
