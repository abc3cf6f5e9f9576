//! Callers that API objects declare and the window did not show: webhooks, aggregated APIs, ingresses,
//! monitors. Blocking them is the classic outage. In: the inventory and edges. Out: gaps, each with an entry
//! that declares the call.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::gap::{Gap, GapKind, declare};
use super::port::Port;
use super::{Options, words};
use ipnet::IpNet;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use crate::edge::Edge;
use crate::identity::{Endpoint, Inventory, WorkloadName};
use crate::manifest::{Caller, CallerKind, CallerTarget, Labels, Pod, Service, TargetPort, WorkloadKind};
use crate::net::Protocol;
use crate::review::End;

/// One gap for each declared call that no edge of its caller shows, sorted.
pub fn caller_gaps(edges: &[Edge], inventory: &Inventory<'_>, options: &Options) -> Vec<Gap> {
    let mut served: BTreeMap<(&WorkloadName, u16), Vec<&Edge>> = BTreeMap::new();
    for edge in edges {
        if let Endpoint::Workload(name) = &edge.key.destination {
            served.entry((name, edge.key.port)).or_default().push(edge);
        }
    }
    let known = Callers::of(inventory);
    let mut gaps = Vec::new();
    for caller in &inventory.callers {
        let mut targets: BTreeSet<(&WorkloadName, u16)> = BTreeSet::new();
        for target in &caller.targets {
            reached(target, inventory, &mut |workload, port| targets.extend([(workload, port)]));
        }
        let callers = known.who(caller.kind);
        for (workload, port) in targets {
            let came = served.get(&(workload, port)).map(Vec::as_slice).unwrap_or_default();
            if options.is_subject(&workload.namespace)
                && !came.iter().any(|edge| callers.may_be(edge, workload))
            {
                gaps.extend(callers.ends().into_iter().map(|from| gap(caller, from, workload, port)));
            }
        }
    }
    gaps.sort_by(|a, b| (&a.about, &a.text).cmp(&(&b.about, &b.text)));
    gaps.dedup();
    gaps
}

fn gap(caller: &Caller, from: (End, &str), workload: &WorkloadName, port: u16) -> Gap {
    let scope =
        if caller.meta.namespace.is_empty() { String::new() } else { format!("{}/", caller.meta.namespace) };
    let object = format!("{} {scope}{}", spelled(caller.kind), caller.meta.name);
    let (from, who) = from;
    let text = format!("{object} declares a call of {who} to TCP {port} that the window did not show");
    let port = Port::one(Protocol::Tcp, port);
    let entry = declare(from, End::Workload(workload.clone()), Some(port), &format!("declared by {object}"));
    Gap::new(GapKind::DeclaredCaller, words::workload(workload), text).settled_by(Some(entry))
}

const fn spelled(kind: CallerKind) -> &'static str {
    match kind {
        CallerKind::ValidatingWebhook => "ValidatingWebhookConfiguration",
        CallerKind::MutatingWebhook => "MutatingWebhookConfiguration",
        CallerKind::ConversionWebhook => "conversion webhook of CustomResourceDefinition",
        CallerKind::ApiService => "APIService",
        CallerKind::Ingress => "Ingress",
        CallerKind::Gateway => "Gateway",
        CallerKind::Route => "route",
        CallerKind::PodMonitor => "PodMonitor",
        CallerKind::ServiceMonitor => "ServiceMonitor",
    }
}

/// Who makes the declared calls, as well as it is known.
struct Callers {
    /// The API server's own addresses.
    api_server: Vec<End>,
    controllers: BTreeSet<WorkloadName>,
    scrapers: BTreeSet<WorkloadName>,
}

/// One kind's callers.
enum Who<'a> {
    ApiServer(&'a [End]),
    /// What they do, and where they run by custom.
    Workloads(&'a BTreeSet<WorkloadName>, &'static str, &'static str),
}

const CONTROLLERS: &[&str] = &[
    "ingress-nginx",
    "nginx-ingress",
    "traefik",
    "haproxy-ingress",
    "contour",
    "envoy",
    "kong",
    "istio-ingressgateway",
];
const SCRAPERS: &[&str] = &["prometheus", "vmagent", "alloy", "grafana-agent"];

impl Callers {
    fn of(inventory: &Inventory<'_>) -> Self {
        Self {
            api_server: api_server(inventory),
            controllers: labelled(inventory, CONTROLLERS),
            scrapers: labelled(inventory, SCRAPERS),
        }
    }

    fn who(&self, kind: CallerKind) -> Who<'_> {
        match kind {
            CallerKind::ValidatingWebhook
            | CallerKind::MutatingWebhook
            | CallerKind::ConversionWebhook
            | CallerKind::ApiService => Who::ApiServer(&self.api_server),
            CallerKind::Ingress | CallerKind::Gateway | CallerKind::Route => {
                Who::Workloads(&self.controllers, "the ingress controller", "ingress-nginx")
            }
            CallerKind::PodMonitor | CallerKind::ServiceMonitor => {
                Who::Workloads(&self.scrapers, "the metrics scraper", "monitoring")
            }
        }
    }
}

impl Who<'_> {
    /// Whether an edge may be a call of theirs. The kubelet of the pods' own node is nobody's witness.
    fn may_be(&self, edge: &Edge, server: &WorkloadName) -> bool {
        match (self, &edge.key.source) {
            (_, Endpoint::Node(_)) if edge.own_node => false,
            (Self::ApiServer(_), Endpoint::Workload(name)) => Options::SYSTEM.contains(&&*name.namespace),
            (Self::Workloads(known, ..), source) if !known.is_empty() => {
                matches!(source, Endpoint::Workload(name) if known.contains(name))
            }
            (Self::Workloads(..), Endpoint::Workload(name)) => name.namespace != server.namespace,
            (_, Endpoint::Node(_) | Endpoint::External(_)) => true,
            (_, Endpoint::Service(_) | Endpoint::Unknown { .. }) => false,
        }
    }

    /// Who would have to be let in, and who that is in words.
    fn ends(&self) -> Vec<(End, &'static str)> {
        match self {
            Self::ApiServer(ends) => ends.iter().map(|end| (end.clone(), "the API server")).collect(),
            Self::Workloads(known, what, custom) if known.is_empty() => {
                vec![(End::Namespace(Arc::from(*custom)), *what)]
            }
            Self::Workloads(known, what, _) => {
                known.iter().map(|name| (End::Workload(name.clone()), *what)).collect()
            }
        }
    }
}

/// Workloads whose name label is one of these; jobs that only install them are not meant.
fn labelled(inventory: &Inventory<'_>, names: &[&str]) -> BTreeSet<WorkloadName> {
    const KEYS: [&str; 3] = ["app.kubernetes.io/name", "app", "k8s-app"];
    let found = inventory.pods.iter().filter(|known| {
        let labels = &known.pod.meta.labels;
        let is_one = |key: &&str| labels.get(*key).is_some_and(|name| names.contains(&&**name));
        let job = matches!(known.workload.kind, WorkloadKind::Job | WorkloadKind::CronJob);
        !job && !known.pod.host_network && KEYS.iter().any(is_one)
    });
    found.map(|known| known.workload.clone()).collect()
}

/// Behind Service default/kubernetes stand the API server's addresses; any node where they are not known.
fn api_server(inventory: &Inventory<'_>) -> Vec<End> {
    let slices = inventory.slices.iter().map(|known| known.object).filter(|slice| {
        &*slice.meta.namespace == "default" && slice.service.as_deref() == Some("kubernetes")
    });
    let ips: BTreeSet<IpAddr> =
        slices.flat_map(|slice| slice.endpoints.iter().flat_map(|one| one.ips.iter().copied())).collect();
    let holder = |ip: &IpAddr| inventory.nodes.iter().find(|known| known.node.object.ips.contains(ip));
    let ends: BTreeSet<End> = ips
        .iter()
        .map(|ip| match holder(ip) {
            Some(known) => End::Node(Some(Arc::clone(&known.node.object.meta.name))),
            None => End::Block(IpNet::from(*ip)),
        })
        .collect();
    if ends.is_empty() { vec![End::Node(None)] } else { ends.into_iter().collect() }
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
