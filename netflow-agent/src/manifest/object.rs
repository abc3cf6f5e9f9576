//! One object of the API, from its wire form to the domain. In: `apiVersion`, `kind` and a deserializer that
//! stands on the object. Out: the `Object`, or the field that cannot be read.

use std::sync::Arc;

use serde::Deserialize;
use serde::de::Deserializer;

use super::caller::caller;
use super::convert::{
    Fault, address, addresses, container_ports, labels, meta, port, protocol, target_port, time, word,
};
use super::kind::Kind;
use super::wire::{self, Text};
use super::{
    EndpointSlice, Meta, Namespace, NetworkPolicy, Node, Object, Phase, Pod, Service, ServicePort,
    ServiceType, SliceEndpoint, SlicePort, TargetPort, Words, Workload, WorkloadKind, default, tunnel,
};

/// Why one object could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    #[error("not JSON, or not of its kind: {0}")]
    Json(#[from] serde_json::Error),
    #[error("no `apiVersion` or no `kind`")]
    NoKind,
    #[error("{kind}: {fault}")]
    Field { kind: Arc<str>, fault: Fault },
    #[error("{kind} of `{api_version}` is no longer served: use `{served}`")]
    Retired { kind: Arc<str>, api_version: Arc<str>, served: &'static str },
}

/// Reads one object as the API server serves it: the lines of a recording and the events of a watch.
/// Defaults are filled in; fields that are not read may be absent or of any shape.
pub fn object(json: &str, words: &mut Words) -> Result<Object, ObjectError> {
    let head: wire::Head<'_> = serde_json::from_str(json)?;
    let (Some(api_version), Some(kind)) = (head.api_version, head.kind) else {
        return Err(ObjectError::NoKind);
    };
    let (api_version, kind) = (words.intern(&api_version.0), words.intern(&kind.0));
    let mut deserializer = serde_json::Deserializer::from_str(json);
    convert(&api_version, &kind, &mut deserializer, words)?.map_err(|fault| match fault {
        Refusal::Field(fault) => ObjectError::Field { kind, fault },
        Refusal::Retired(served) => ObjectError::Retired { kind, api_version, served },
    })
}

/// The same for an object that is already a JSON value.
pub fn object_from_value(value: &serde_json::Value, words: &mut Words) -> Result<Object, ObjectError> {
    let text = |key: &str| value.get(key).and_then(serde_json::Value::as_str);
    let (Some(api_version), Some(kind)) = (text("apiVersion"), text("kind")) else {
        return Err(ObjectError::NoKind);
    };
    let (api_version, kind) = (words.intern(api_version), words.intern(kind));
    convert(&api_version, &kind, value, words)?.map_err(|fault| match fault {
        Refusal::Field(fault) => ObjectError::Field { kind, fault },
        Refusal::Retired(served) => ObjectError::Retired { kind, api_version, served },
    })
}

/// Why an object of readable shape is not taken.
pub(super) enum Refusal {
    Field(Fault),
    Retired(&'static str),
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self::Field(fault)
    }
}

/// The outer error is the deserializer's: the shape is wrong.
pub(super) fn convert<'de, D: Deserializer<'de>>(
    api_version: &str,
    kind: &str,
    from: D,
    words: &mut Words,
) -> Result<Result<Object, Refusal>, D::Error> {
    let which = Kind::of(api_version, kind);
    let namespaced = which.is_namespaced();
    Ok(match which {
        Kind::Pod => pod(wire::Pod::deserialize(from)?, words).map(Object::Pod),
        Kind::Namespace => namespace(wire::Head::deserialize(from)?, words).map(Object::Namespace),
        Kind::Service => service(wire::Service::deserialize(from)?, words).map(Object::Service),
        Kind::EndpointSlice => {
            slice(wire::EndpointSlice::deserialize(from)?, words).map(Object::EndpointSlice)
        }
        Kind::Node => node(wire::Node::deserialize(from)?, words).map(Object::Node),
        Kind::NetworkPolicy => policy(wire::Policy::deserialize(from)?, words).map(Object::NetworkPolicy),
        Kind::Workload(WorkloadKind::ReplicationController) => {
            controller(wire::Controller::deserialize(from)?, words).map(Object::Workload)
        }
        Kind::Workload(kind) => {
            workload(kind, wire::Workload::deserialize(from)?, words).map(Object::Workload)
        }
        Kind::Caller(kind) => caller(kind, namespaced, from, words)?.map(Object::Caller),
        Kind::OtherPolicy => meta(wire::Head::deserialize(from)?.metadata, namespaced, words)
            .map(|meta| Object::OtherPolicy { kind: words.intern(&dialect(api_version, kind)), meta }),
        Kind::Other => meta(wire::Head::deserialize(from)?.metadata, namespaced, words).map(|meta| {
            Object::Other { api_version: words.intern(api_version), kind: words.intern(kind), meta }
        }),
        Kind::Retired(served) => return Ok(Err(Refusal::Retired(served))),
    }
    .map_err(Refusal::Field))
}

/// Calico's and Antrea's `NetworkPolicy` carry their group, as kubectl writes it.
fn dialect(api_version: &str, kind: &str) -> String {
    match api_version.split_once('/') {
        Some((group, _)) if kind == "NetworkPolicy" => format!("{kind}.{group}"),
        _ => kind.to_owned(),
    }
}

fn pod(wire: wire::Pod<'_>, words: &mut Words) -> Result<Pod, Fault> {
    let (spec, status) = (wire.spec.unwrap_or_default(), wire.status.unwrap_or_default());
    let phase = match status.phase.as_ref().map(|phase| &*phase.0) {
        Some("Pending") => Phase::Pending,
        Some("Succeeded") => Phase::Succeeded,
        Some("Failed") => Phase::Failed,
        _ => Phase::Running,
    };
    let mut finished = None;
    let containers = status.container_statuses.iter().flatten();
    for container in containers.chain(status.init_container_statuses.iter().flatten()) {
        let ended = container.state.as_ref().and_then(|state| state.terminated.as_ref());
        let at =
            time("status.containerStatuses", ended.and_then(|terminated| terminated.finished_at.as_ref()))?;
        finished = finished.max(at);
    }
    let ips = |many: &Option<Vec<wire::Address<'_>>>| -> Vec<String> {
        many.iter().flatten().filter_map(|one| one.ip.as_ref()).map(|ip| ip.0.clone().into_owned()).collect()
    };
    let (pod_ips, host_ips) = (ips(&status.pod_ips), ips(&status.host_ips));
    Ok(Pod {
        meta: meta(wire.metadata, Some(true), words)?,
        node: word(spec.node_name.as_ref(), words),
        host_network: spec.host_network.unwrap_or(false),
        ips: addresses("status.podIPs", status.pod_ip.as_ref(), pod_ips.iter().map(String::as_str))?,
        host_ips: addresses("status.hostIPs", status.host_ip.as_ref(), host_ips.iter().map(String::as_str))?,
        ports: container_ports("spec", &spec, words)?,
        phase,
        started: time("status.startTime", status.start_time.as_ref())?,
        finished: finished.filter(|_| matches!(phase, Phase::Succeeded | Phase::Failed)),
    })
}

fn namespace(wire: wire::Head<'_>, words: &mut Words) -> Result<Namespace, Fault> {
    let mut meta = meta(wire.metadata, Some(false), words)?;
    default::namespace(&mut meta, words);
    Ok(Namespace { meta })
}

fn service(wire: wire::Service<'_>, words: &mut Words) -> Result<Service, Fault> {
    let spec = wire.spec.unwrap_or_default();
    let texts = |many: &'_ Option<Vec<Text<'_>>>| -> Vec<String> {
        many.iter().flatten().map(|text| text.0.clone().into_owned()).collect()
    };
    let (cluster_ips, external_ips) = (texts(&spec.cluster_ips), texts(&spec.external_ips));
    let balancer = wire.status.and_then(|status| status.load_balancer).unwrap_or_default();
    let balancer: Vec<String> = (balancer.ingress.iter().flatten())
        .filter_map(|one| one.ip.as_ref())
        .map(|ip| ip.0.clone().into_owned())
        .collect();
    let mut ports = Vec::new();
    for (i, wire) in spec.ports.unwrap_or_default().into_iter().enumerate() {
        let path = format!("spec.ports[{i}]");
        let number = port(&format!("{path}.port"), wire.port.unwrap_or(0))?;
        ports.push(ServicePort {
            name: word(wire.name.as_ref(), words),
            port: number,
            protocol: protocol(&path, wire.protocol.as_ref())?,
            target: match wire.target_port {
                // The API server writes the port where no target is named, or 0 or "".
                Some(target) if !default::is_unset(&target) => {
                    target_port(&format!("{path}.targetPort"), &target, words)?
                }
                _ => TargetPort::Number(number),
            },
            node_port: match wire.node_port {
                None | Some(0) => None,
                Some(number) => Some(port(&format!("{path}.nodePort"), number)?),
            },
        });
    }
    let strs = |many: &'_ [String]| many.iter().map(String::clone).collect::<Vec<_>>();
    Ok(Service {
        meta: meta(wire.metadata, Some(true), words)?,
        service_type: match spec.service_type.as_ref().map_or("", |text| &*text.0) {
            "" | "ClusterIP" => ServiceType::ClusterIp,
            "NodePort" => ServiceType::NodePort,
            "LoadBalancer" => ServiceType::LoadBalancer,
            "ExternalName" => ServiceType::ExternalName,
            other => {
                return Err(Fault::new(
                    "spec.type",
                    format!("`{}` is no type of Service", super::convert::clip(other)),
                ));
            }
        },
        cluster_ips: addresses(
            "spec.clusterIPs",
            spec.cluster_ip.as_ref(),
            strs(&cluster_ips).iter().map(String::as_str),
        )?,
        external_ips: addresses("spec.externalIPs", None, external_ips.iter().map(String::as_str))?,
        load_balancer_ips: addresses(
            "status.loadBalancer.ingress",
            spec.load_balancer_ip.as_ref(),
            balancer.iter().map(String::as_str),
        )?,
        ports,
        selector: spec.selector.filter(|pairs| !pairs.0.is_empty()).map(|pairs| labels(Some(pairs), words)),
        external_traffic_local: spec.external_traffic_policy.is_some_and(|text| text.0 == "Local"),
    })
}

fn slice(wire: wire::EndpointSlice<'_>, words: &mut Words) -> Result<EndpointSlice, Fault> {
    let meta = meta(wire.metadata, Some(true), words)?;
    let mut ports = Vec::new();
    for (i, wire) in wire.ports.unwrap_or_default().into_iter().enumerate() {
        let path = format!("ports[{i}]");
        ports.push(SlicePort {
            name: word(wire.name.as_ref(), words),
            port: wire.port.map(|number| port(&format!("{path}.port"), number)).transpose()?,
            protocol: protocol(&path, wire.protocol.as_ref())?,
        });
    }
    let mut endpoints = Vec::new();
    for (i, wire) in wire.endpoints.unwrap_or_default().into_iter().enumerate() {
        let texts = wire.addresses.unwrap_or_default();
        // An FQDN slice has names where the others have addresses; nothing is joined by name.
        let ips = (texts.iter().enumerate())
            .filter(|(_, text)| text.0.parse::<std::net::IpAddr>().is_ok())
            .map(|(j, text)| address(&format!("endpoints[{i}].addresses[{j}]"), &text.0))
            .collect::<Result<_, _>>()?;
        let target = wire.target_ref.unwrap_or_default();
        endpoints.push(SliceEndpoint {
            ips,
            pod: target
                .uid
                .filter(|_| target.kind.as_ref().is_some_and(|kind| kind.0 == "Pod"))
                .map(|uid| words.intern(&uid.0)),
            // Absent means ready, says the API.
            ready: wire.conditions.and_then(|conditions| conditions.ready).unwrap_or(true),
            node: word(wire.node_name.as_ref(), words),
        });
    }
    let service = meta.labels.get("kubernetes.io/service-name").cloned();
    Ok(EndpointSlice { meta, service, ports, endpoints })
}

fn node(wire: wire::Node<'_>, words: &mut Words) -> Result<Node, Fault> {
    let annotations = wire.metadata.as_ref().and_then(|meta| meta.annotations.clone());
    let (spec, status) = (wire.spec.unwrap_or_default(), wire.status.unwrap_or_default());
    let mut pod_cidrs: Vec<ipnet::IpNet> = Vec::new();
    for text in spec.pod_cidr.iter().chain(spec.pod_cidrs.iter().flatten()).filter(|text| !text.0.is_empty())
    {
        let cidr = text.0.parse().map_err(|_unparsed| Fault::new("spec.podCIDRs", "not a CIDR"))?;
        if !pod_cidrs.contains(&cidr) {
            pod_cidrs.push(cidr);
        }
    }
    // Names of the node stand among its addresses.
    let mut ips: Vec<std::net::IpAddr> = Vec::new();
    let listed = status.addresses.iter().flatten().filter_map(|one| one.address.as_ref());
    let listed =
        listed.filter_map(|text| text.0.parse::<std::net::IpAddr>().ok()).map(|ip| ip.to_canonical());
    for ip in listed.chain(tunnel::addresses(&annotations.unwrap_or_default(), &pod_cidrs)) {
        if !ips.contains(&ip) {
            ips.push(ip);
        }
    }
    let meta = meta(wire.metadata, Some(false), words)?;
    Ok(Node { meta, ips, pod_cidrs, provider: word(spec.provider_id.as_ref(), words) })
}

fn policy(wire: wire::Policy<'_>, words: &mut Words) -> Result<NetworkPolicy, Fault> {
    let mut spec = wire.spec.unwrap_or_default();
    default::network_policy(&mut spec);
    Ok(NetworkPolicy { meta: meta(wire.metadata, Some(true), words)?, spec })
}

fn workload(kind: WorkloadKind, wire: wire::Workload<'_>, words: &mut Words) -> Result<Workload, Fault> {
    let meta = meta(wire.metadata, Some(true), words)?;
    let spec = wire.spec.unwrap_or_default();
    let (path, template) = match kind {
        WorkloadKind::CronJob => (
            "spec.jobTemplate.spec.template",
            spec.job_template.and_then(|job| job.spec).and_then(|job| job.template),
        ),
        _ => ("spec.template", spec.template),
    };
    let schedule = spec.schedule.map(|schedule| match spec.time_zone {
        Some(zone) => words.intern(&format!("{} {}", schedule.0, zone.0)),
        None => words.intern(&schedule.0),
    });
    let replicas = spec.replicas.and_then(|replicas| u32::try_from(replicas).ok());
    kept(meta, kind, path, template, words).map(|kept| Workload {
        selector: spec.selector,
        replicas,
        schedule,
        ..kept
    })
}

fn controller(wire: wire::Controller<'_>, words: &mut Words) -> Result<Workload, Fault> {
    let meta = meta(wire.metadata, Some(true), words)?;
    let spec = wire.spec.unwrap_or_default();
    let kept = kept(meta, WorkloadKind::ReplicationController, "spec.template", spec.template, words)?;
    // The API server takes the template's labels where no selector is given.
    let pairs = spec.selector.map_or_else(
        || kept.template_labels.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect(),
        |pairs| pairs.0.into_iter().map(|(key, value)| (key.0.into_owned(), value.0.into_owned())).collect(),
    );
    let selector = k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector {
        match_labels: Some(pairs),
        ..Default::default()
    };
    let replicas = spec.replicas.and_then(|replicas| u32::try_from(replicas).ok());
    Ok(Workload { selector: Some(selector), replicas, ..kept })
}

/// What every workload has: the template of its pods.
fn kept(
    meta: Meta,
    kind: WorkloadKind,
    path: &str,
    template: Option<wire::Template<'_>>,
    words: &mut Words,
) -> Result<Workload, Fault> {
    let template = template.unwrap_or_default();
    let spec = template.spec.unwrap_or_default();
    Ok(Workload {
        meta,
        kind,
        selector: None,
        template_labels: labels(template.metadata.and_then(|meta| meta.labels), words),
        ports: container_ports(&format!("{path}.spec"), &spec, words)?,
        host_network: spec.host_network.unwrap_or(false),
        replicas: None,
        schedule: None,
    })
}
