//! Kubernetes objects, cut down to what netflow reads. In: the API's JSON or YAML. Out: the types below,
//! defaulted as the API server does, and findings that name file, document, path and reason.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::api::networking::v1::NetworkPolicySpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use crate::net::Protocol;
use crate::time::Time;

pub mod cni;

mod caller;
mod caller_wire;
pub mod cidr;
mod convert;
mod default;
mod finding;
mod kind;
mod object;
mod read;
mod tunnel;
mod validate;
mod wire;
mod words;

pub use convert::Fault;
pub use default::{NAMESPACE_NAME, network_policy as default_network_policy};
pub use finding::{Finding, Place, Severity};
pub use object::{ObjectError, object, object_from_value};
pub(crate) use read::walk::alike;
pub use read::{Manifests, Placed, read};
pub use validate::{Violation, is_label, is_namespace, object as validate};
pub use words::Words;

/// Labels of an object; keys and values interned by the reader where many objects share them.
pub type Labels = BTreeMap<Arc<str>, Arc<str>>;

/// What every object has.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Meta {
    /// Empty for cluster-scoped objects; `default` where a namespaced one names none.
    pub namespace: Arc<str>,
    pub name: Arc<str>,
    pub uid: Option<Arc<str>>,
    pub labels: Labels,
    pub annotations: Labels,
    pub created: Option<Time>,
    /// The owner with `controller: true`.
    pub owner: Option<Owner>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    pub api_version: Arc<str>,
    pub kind: Arc<str>,
    pub name: Arc<str>,
    pub uid: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContainerPort {
    pub name: Option<Arc<str>>,
    pub port: u16,
    pub protocol: Protocol,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    Pending,
    #[default]
    Running,
    Succeeded,
    Failed,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pod {
    pub meta: Meta,
    pub node: Option<Arc<str>>,
    pub host_network: bool,
    /// `status.podIPs`, never v4-mapped.
    pub ips: Vec<IpAddr>,
    pub host_ips: Vec<IpAddr>,
    /// Of all containers, init and sidecar ones too.
    pub ports: Vec<ContainerPort>,
    pub phase: Phase,
    /// `status.startTime`.
    pub started: Option<Time>,
    /// For a pod that Succeeded or Failed: its last container's `finishedAt`.
    pub finished: Option<Time>,
}

/// The kubelet's own UID of a static pod, on the pod that stands for it in the API.
const MIRROR: &str = "kubernetes.io/config.mirror";

impl Pod {
    /// What the kubelet calls a static pod, in its cgroup above all: the API knows it by another UID.
    pub fn static_uid(&self) -> Option<&Arc<str>> {
        self.meta.annotations.get(MIRROR)
    }

    /// For a pod that Succeeded or Failed: the last moment it may have had its addresses. The API tells whole
    /// seconds, cut off, and a pod still speaks in its last one.
    pub fn over(&self) -> Option<Time> {
        let finished = self.finished.filter(|_| matches!(self.phase, Phase::Succeeded | Phase::Failed))?;
        Some(Time::from_seconds(finished.seconds()).plus_seconds(1))
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Namespace {
    pub meta: Meta,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetPort {
    Number(u16),
    Name(Arc<str>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePort {
    pub name: Option<Arc<str>>,
    pub port: u16,
    pub protocol: Protocol,
    pub target: TargetPort,
    pub node_port: Option<u16>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ServiceType {
    #[default]
    ClusterIp,
    NodePort,
    LoadBalancer,
    ExternalName,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Service {
    pub meta: Meta,
    pub service_type: ServiceType,
    /// Empty for a headless Service.
    pub cluster_ips: Vec<IpAddr>,
    pub external_ips: Vec<IpAddr>,
    pub load_balancer_ips: Vec<IpAddr>,
    pub ports: Vec<ServicePort>,
    /// None: endpoints are kept by hand.
    pub selector: Option<Labels>,
    /// `externalTrafficPolicy: Local` keeps the client's address; `Cluster` may hide it.
    pub external_traffic_local: bool,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct EndpointSlice {
    pub meta: Meta,
    /// Label `kubernetes.io/service-name`.
    pub service: Option<Arc<str>>,
    pub ports: Vec<SlicePort>,
    pub endpoints: Vec<SliceEndpoint>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlicePort {
    pub name: Option<Arc<str>>,
    /// None: all ports.
    pub port: Option<u16>,
    pub protocol: Protocol,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SliceEndpoint {
    pub ips: Vec<IpAddr>,
    /// UID of the pod behind it, if one is.
    pub pod: Option<Arc<str>>,
    pub ready: bool,
    pub node: Option<Arc<str>>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Node {
    pub meta: Meta,
    /// `status.addresses` that are addresses, and the tunnel addresses that CNIs write in annotations.
    pub ips: Vec<IpAddr>,
    pub pod_cidrs: Vec<ipnet::IpNet>,
    /// `status.nodeInfo.osImage` and the like are not read.
    pub provider: Option<Arc<str>>,
}

/// Kinds of workload; `Other` carries the kind as its owner reference names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WorkloadKind {
    Deployment,
    StatefulSet,
    DaemonSet,
    ReplicaSet,
    ReplicationController,
    Job,
    CronJob,
    Pod,
    Other(Arc<str>),
}

impl WorkloadKind {
    /// The spelling of the API.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Deployment => "Deployment",
            Self::StatefulSet => "StatefulSet",
            Self::DaemonSet => "DaemonSet",
            Self::ReplicaSet => "ReplicaSet",
            Self::ReplicationController => "ReplicationController",
            Self::Job => "Job",
            Self::CronJob => "CronJob",
            Self::Pod => "Pod",
            Self::Other(kind) => kind,
        }
    }
}

/// A pod template and its keeper.
#[derive(Clone, Debug, PartialEq)]
pub struct Workload {
    pub meta: Meta,
    pub kind: WorkloadKind,
    pub selector: Option<LabelSelector>,
    pub template_labels: Labels,
    pub ports: Vec<ContainerPort>,
    pub host_network: bool,
    pub replicas: Option<u32>,
    /// A CronJob's `spec.schedule` and `timeZone`.
    pub schedule: Option<Arc<str>>,
}

/// A NetworkPolicy with the API server's defaults filled in.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NetworkPolicy {
    pub meta: Meta,
    pub spec: NetworkPolicySpec,
}

/// An object that declares a caller which a short window may not show.
#[derive(Clone, Debug, PartialEq)]
pub struct Caller {
    pub meta: Meta,
    pub kind: CallerKind,
    /// What it calls.
    pub targets: Vec<CallerTarget>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CallerKind {
    ValidatingWebhook,
    MutatingWebhook,
    ConversionWebhook,
    ApiService,
    Ingress,
    Gateway,
    Route,
    PodMonitor,
    ServiceMonitor,
}

impl CallerKind {
    /// The kind of its object; a Route may be of any protocol.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ValidatingWebhook => "ValidatingWebhookConfiguration",
            Self::MutatingWebhook => "MutatingWebhookConfiguration",
            Self::ConversionWebhook => "CustomResourceDefinition",
            Self::ApiService => "APIService",
            Self::Ingress => "Ingress",
            Self::Gateway => "Gateway",
            Self::Route => "Route",
            Self::PodMonitor => "PodMonitor",
            Self::ServiceMonitor => "ServiceMonitor",
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub enum CallerTarget {
    /// A Service and its port, by number or name.
    Service { namespace: Arc<str>, name: Arc<str>, port: Option<TargetPort> },
    /// Pods (PodMonitor) or Services (ServiceMonitor) by label, in these namespaces; none named: all.
    Selected { namespaces: Vec<Arc<str>>, selector: LabelSelector, port: Option<TargetPort> },
}

/// Any object that was read.
#[derive(Clone, Debug, PartialEq)]
pub enum Object {
    Pod(Pod),
    Namespace(Namespace),
    Service(Service),
    EndpointSlice(EndpointSlice),
    Node(Node),
    NetworkPolicy(NetworkPolicy),
    Workload(Workload),
    Caller(Caller),
    /// A policy of another dialect (Cilium, Calico, Istio, ClusterNetworkPolicy): it makes answers incomplete.
    OtherPolicy {
        kind: Arc<str>,
        meta: Meta,
    },
    /// Not read.
    Other {
        api_version: Arc<str>,
        kind: Arc<str>,
        meta: Meta,
    },
}

impl Object {
    /// The kind as the API spells it, and the metadata.
    pub fn kind_and_meta(&self) -> (&str, &Meta) {
        match self {
            Self::Pod(pod) => ("Pod", &pod.meta),
            Self::Namespace(namespace) => ("Namespace", &namespace.meta),
            Self::Service(service) => ("Service", &service.meta),
            Self::EndpointSlice(slice) => ("EndpointSlice", &slice.meta),
            Self::Node(node) => ("Node", &node.meta),
            Self::NetworkPolicy(policy) => ("NetworkPolicy", &policy.meta),
            Self::Workload(workload) => (workload.kind.as_str(), &workload.meta),
            Self::Caller(caller) => (caller.kind.as_str(), &caller.meta),
            Self::OtherPolicy { kind, meta } | Self::Other { kind, meta, .. } => (kind, meta),
        }
    }

    pub fn meta(&self) -> &Meta {
        self.kind_and_meta().1
    }

    /// `NetworkPolicy shop/allow-web`, for messages.
    pub fn title(&self) -> String {
        let (kind, meta) = self.kind_and_meta();
        match &*meta.namespace {
            "" => format!("{kind} {}", meta.name),
            namespace => format!("{kind} {namespace}/{}", meta.name),
        }
    }
}
