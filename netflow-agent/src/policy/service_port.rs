//! Plugins that judge before a Service is translated. In: an edge that went by a Service. Out: a demand for
//! the Service's own port where it differs from the pod's, since such a plugin checks that one.

use std::sync::Arc;

use super::Options;
use super::evidence::{Evidence, Why};
use super::ledger::{Ledger, PeerKey};
use super::port::Port;
use crate::edge::Edge;
use crate::identity::Inventory;
use crate::manifest::cni::Cni;
use crate::manifest::{Service, TargetPort};
use crate::net::Direction;

pub(super) fn add(
    ledger: &mut Ledger,
    edge: &Edge,
    source: &[PeerKey],
    destination: &[PeerKey],
    inventory: &Inventory<'_>,
    options: &Options,
) {
    if options.cni != Some(Cni::AwsVpcCni) || !options.directions.contains(&Direction::Egress) {
        return;
    }
    let services = inventory.services.iter().filter(|known| {
        let meta = &known.object.meta;
        edge.via.iter().any(|via| via.namespace == meta.namespace && via.name == meta.name)
    });
    let ports: Vec<u16> = services.flat_map(|known| ports(known.object, edge, inventory)).collect();
    for subject in source {
        let PeerKey::Group(id) = subject else { continue };
        if !options.is_subject(&id.namespace) {
            continue;
        }
        for (port, peer) in ports.iter().flat_map(|port| destination.iter().map(move |peer| (*port, peer))) {
            let why =
                Why::Declared(Arc::from("the Service's port, which aws-vpc-cni checks before translation"));
            let port = Port::one(edge.key.protocol, port);
            let evidence = Evidence { other: edge.key.destination.clone(), port, why };
            ledger.add(id, Direction::Egress, peer.clone(), evidence);
        }
    }
}

/// The Service's ports that lead to the edge's and differ from it.
fn ports(service: &Service, edge: &Edge, inventory: &Inventory<'_>) -> Vec<u16> {
    let key = &edge.key;
    let leads = |target: &TargetPort| match target {
        TargetPort::Number(number) => *number == key.port,
        TargetPort::Name(name) => inventory.pods.iter().any(|known| {
            let ports = &known.pod.ports;
            let named = |port: &crate::manifest::ContainerPort| {
                port.name.as_ref() == Some(name) && port.port == key.port && port.protocol == key.protocol
            };
            known.pod.meta.namespace == service.meta.namespace && ports.iter().any(named)
        }),
    };
    let of_edge = service.ports.iter().filter(|port| port.protocol == key.protocol && leads(&port.target));
    of_edge.map(|port| port.port).filter(|port| *port != key.port).collect()
}
