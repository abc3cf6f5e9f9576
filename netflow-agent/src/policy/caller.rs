//! Callers that API objects declare and the window did not show: webhooks, aggregated APIs, ingresses,
//! monitors. Blocking them is the classic outage. In: the inventory and edges. Out: gaps, each with an entry
//! that declares the call.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::gap::{Gap, GapKind, declare};
use super::port::Port;
use super::{Options, words};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use crate::edge::Edge;
use crate::identity::{Endpoint, Inventory, WorkloadName};
use crate::manifest::{Caller, CallerKind, CallerTarget, Labels, Pod, Service, TargetPort};
use crate::net::Protocol;
use crate::review::End;

/// One gap for each declared call that no edge shows, sorted.
pub fn caller_gaps(edges: &[Edge], inventory: &Inventory<'_>, options: &Options) -> Vec<Gap> {
    let served: BTreeSet<(&WorkloadName, u16)> = edges
        .iter()
        .filter_map(|edge| match &edge.key.destination {
            Endpoint::Workload(name) => Some((name, edge.key.port)),
            _ => None,
        })
        .collect();
    let mut gaps = Vec::new();
    for caller in &inventory.callers {
        let mut targets: BTreeSet<(&WorkloadName, u16)> = BTreeSet::new();
        for target in &caller.targets {
            reached(target, inventory, &mut |workload, port| targets.extend([(workload, port)]));
        }
        for (workload, port) in targets {
            if options.is_subject(&workload.namespace) && !served.contains(&(workload, port)) {
                gaps.push(gap(caller, workload, port, inventory));
            }
        }
    }
    gaps.sort_by(|a, b| (&a.about, &a.text).cmp(&(&b.about, &b.text)));
    gaps.dedup();
    gaps
}

fn gap(caller: &Caller, workload: &WorkloadName, port: u16, inventory: &Inventory<'_>) -> Gap {
    let scope =
        if caller.meta.namespace.is_empty() { String::new() } else { format!("{}/", caller.meta.namespace) };
    let object = format!("{:?} {scope}{}", caller.kind, caller.meta.name);
    let text = format!("{object} declares a call to TCP {port} that the window did not show");
    let from = source(caller.kind, inventory);
    let port = Port::one(Protocol::Tcp, port);
    let entry = declare(from, End::Workload(workload.clone()), Some(port), &format!("declared by {object}"));
    Gap::new(GapKind::DeclaredCaller, words::workload(workload), text).settled_by(Some(entry))
}

/// Who would call, as well as it is known.
fn source(kind: CallerKind, inventory: &Inventory<'_>) -> End {
    let labelled = |names: &[&str]| {
        let found = inventory.pods.iter().find(|known| {
            let name = known.pod.meta.labels.get("app.kubernetes.io/name");
            name.is_some_and(|name| names.contains(&&**name))
        });
        found.map(|known| End::Workload(known.workload.clone()))
    };
    match kind {
        CallerKind::ValidatingWebhook
        | CallerKind::MutatingWebhook
        | CallerKind::ConversionWebhook
        | CallerKind::ApiService => End::Node(None),
        CallerKind::Ingress | CallerKind::Gateway | CallerKind::Route => {
            labelled(&["ingress-nginx", "traefik", "haproxy-ingress", "contour", "envoy", "kong"])
                .unwrap_or_else(|| End::Namespace(Arc::from("ingress-nginx")))
        }
        CallerKind::PodMonitor | CallerKind::ServiceMonitor => {
            labelled(&["prometheus"]).unwrap_or_else(|| End::Namespace(Arc::from("monitoring")))
        }
    }
}

/// Every workload and pod port that a declared target leads to.
fn reached<'i>(
    target: &CallerTarget,
    inventory: &'i Inventory<'_>,
    found: &mut dyn FnMut(&'i WorkloadName, u16),
) {
    match target {
        CallerTarget::Service { namespace, name, port } => {
            for service in inventory.services.iter().map(|known| known.object) {
                if service.meta.namespace == *namespace && service.meta.name == *name {
                    behind(service, port.as_ref(), inventory, found);
                }
            }
        }
        CallerTarget::Selected { namespaces, selector, port } => {
            let here = |namespace: &Arc<str>| namespaces.is_empty() || namespaces.contains(namespace);
            for known in inventory.pods.iter().filter(|known| here(&known.pod.meta.namespace)) {
                if selects(selector, &known.pod.meta.labels) {
                    port.iter()
                        .flat_map(|port| numbers(port, known.pod))
                        .for_each(|port| found(&known.workload, port));
                }
            }
            for service in inventory.services.iter().map(|known| known.object) {
                if here(&service.meta.namespace) && selects(selector, &service.meta.labels) {
                    behind(service, port.as_ref(), inventory, found);
                }
            }
        }
    }
}

fn behind<'i>(
    service: &Service,
    wanted: Option<&TargetPort>,
    inventory: &'i Inventory<'_>,
    found: &mut dyn FnMut(&'i WorkloadName, u16),
) {
    let Some(selector) = service.selector.as_ref().filter(|selector| !selector.is_empty()) else { return };
    let asked = service.ports.iter().filter(|port| match wanted {
        None => true,
        Some(TargetPort::Number(number)) => port.port == *number,
        Some(TargetPort::Name(name)) => port.name.as_ref() == Some(name),
    });
    let asked: Vec<&TargetPort> = asked.map(|port| &port.target).collect();
    for known in inventory.pods.iter().filter(|known| known.pod.meta.namespace == service.meta.namespace) {
        let labels = &known.pod.meta.labels;
        if selector.iter().all(|(key, value)| labels.get(key) == Some(value)) {
            asked
                .iter()
                .flat_map(|port| numbers(port, known.pod))
                .for_each(|port| found(&known.workload, port));
        }
    }
}

fn numbers(port: &TargetPort, pod: &Pod) -> Vec<u16> {
    match port {
        TargetPort::Number(number) => vec![*number],
        TargetPort::Name(name) => {
            pod.ports.iter().filter(|own| own.name.as_ref() == Some(name)).map(|own| own.port).collect()
        }
    }
}

/// A label selector as the API reads it; an unknown operator matches nothing.
fn selects(selector: &LabelSelector, labels: &Labels) -> bool {
    let value = |key: &str| labels.get(key).map(|value: &Arc<str>| &**value);
    let pairs = selector.match_labels.iter().flatten().all(|(key, wanted)| value(key) == Some(wanted));
    pairs
        && selector.match_expressions.iter().flatten().all(|wanted| {
            let listed = |value: &str| wanted.values.iter().flatten().any(|one| one == value);
            match wanted.operator.as_str() {
                "In" => value(&wanted.key).is_some_and(listed),
                "NotIn" => !value(&wanted.key).is_some_and(listed),
                "Exists" => value(&wanted.key).is_some(),
                "DoesNotExist" => value(&wanted.key).is_none(),
                _ => false,
            }
        })
}
