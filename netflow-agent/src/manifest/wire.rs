//! The API's JSON, only the fields that netflow reads. Text is borrowed from the input where it can be:
//! the objects of a large recording pass through here by the ten thousand.

use core::fmt;
use std::borrow::Cow;

use core::marker::PhantomData;

use k8s_openapi::api::networking::v1::NetworkPolicySpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

/// Text that is borrowed when the input has it as it stands.
#[derive(Clone, Debug, Default)]
pub(super) struct Text<'a>(pub(super) Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(TextVisitor)
    }
}

/// A map of text to text, in the order of the input; a null value is empty text, as Go reads it.
#[derive(Clone, Debug, Default)]
pub(super) struct Pairs<'a>(pub(super) Vec<(Text<'a>, Text<'a>)>);

impl<'de: 'a, 'a> Deserialize<'de> for Pairs<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PairsVisitor;
        impl<'de> Visitor<'de> for PairsVisitor {
            type Value = Pairs<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of text to text")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs<'de>, A::Error> {
                let mut pairs = Vec::new();
                while let Some((key, value)) = map.next_entry::<Text<'de>, Option<Text<'de>>>()? {
                    pairs.push((key, value.unwrap_or_default()));
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(PairsVisitor)
    }
}

/// Declares structs of optional fields, spelled as the API spells them.
macro_rules! wire {
    ($($(#[$doc:meta])* $name:ident { $($(#[$attribute:meta])* $field:ident: $type:ty),* $(,)? })*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Debug, Default, serde::Deserialize)]
            #[serde(rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
            pub(super) struct $name<'a> {
                $($(#[$attribute])* #[serde(default)] pub(super) $field: Option<$type>,)*
                #[serde(skip)]
                pub(super) borrowed: PhantomData<&'a ()>,
            }
        )*
    };
}

pub(super) use wire;

wire! {
    Head { api_version: Text<'a>, kind: Text<'a>, metadata: Meta<'a> }
    Meta {
        namespace: Text<'a>,
        name: Text<'a>,
        uid: Text<'a>,
        labels: Pairs<'a>,
        annotations: Pairs<'a>,
        creation_timestamp: Text<'a>,
        owner_references: Vec<OwnerReference<'a>>,
    }
    OwnerReference { api_version: Text<'a>, kind: Text<'a>, name: Text<'a>, uid: Text<'a>, controller: bool }
    Pod { metadata: Meta<'a>, spec: PodSpec<'a>, status: PodStatus<'a> }
    PodSpec {
        node_name: Text<'a>,
        host_network: bool,
        containers: Vec<Container<'a>>,
        init_containers: Vec<Container<'a>>,
    }
    Container { ports: Vec<DeclaredPort<'a>> }
    DeclaredPort { name: Text<'a>, container_port: i64, protocol: Text<'a> }
    PodStatus {
        #[serde(rename = "podIP")]
        pod_ip: Text<'a>,
        #[serde(rename = "podIPs")]
        pod_ips: Vec<Address<'a>>,
        #[serde(rename = "hostIP")]
        host_ip: Text<'a>,
        #[serde(rename = "hostIPs")]
        host_ips: Vec<Address<'a>>,
        phase: Text<'a>,
        start_time: Text<'a>,
        container_statuses: Vec<ContainerStatus<'a>>,
        init_container_statuses: Vec<ContainerStatus<'a>>,
    }
    Address { ip: Text<'a> }
    ContainerStatus { state: ContainerState<'a> }
    ContainerState { terminated: Terminated<'a> }
    Terminated { finished_at: Text<'a> }
    Service { metadata: Meta<'a>, spec: ServiceSpec<'a>, status: ServiceStatus<'a> }
    ServiceSpec {
        #[serde(rename = "type")]
        service_type: Text<'a>,
        #[serde(rename = "clusterIP")]
        cluster_ip: Text<'a>,
        #[serde(rename = "clusterIPs")]
        cluster_ips: Vec<Text<'a>>,
        #[serde(rename = "externalIPs")]
        external_ips: Vec<Text<'a>>,
        #[serde(rename = "loadBalancerIP")]
        load_balancer_ip: Text<'a>,
        ports: Vec<ServicePort<'a>>,
        selector: Pairs<'a>,
        external_traffic_policy: Text<'a>,
    }
    ServicePort {
        name: Text<'a>,
        port: i64,
        protocol: Text<'a>,
        target_port: IntOrString,
        node_port: i64,
    }
    ServiceStatus { load_balancer: LoadBalancer<'a> }
    LoadBalancer { ingress: Vec<Address<'a>> }
    EndpointSlice { metadata: Meta<'a>, endpoints: Vec<Endpoint<'a>>, ports: Vec<SlicePort<'a>> }
    SlicePort { name: Text<'a>, port: i64, protocol: Text<'a> }
    Endpoint {
        addresses: Vec<Text<'a>>,
        conditions: Conditions<'a>,
        target_ref: TargetReference<'a>,
        node_name: Text<'a>,
    }
    Conditions { ready: bool }
    TargetReference { kind: Text<'a>, uid: Text<'a> }
    Node { metadata: Meta<'a>, spec: NodeSpec<'a>, status: NodeStatus<'a> }
    NodeSpec {
        #[serde(rename = "podCIDR")]
        pod_cidr: Text<'a>,
        #[serde(rename = "podCIDRs")]
        pod_cidrs: Vec<Text<'a>>,
        #[serde(rename = "providerID")]
        provider_id: Text<'a>,
    }
    NodeStatus { addresses: Vec<NodeAddress<'a>> }
    NodeAddress { address: Text<'a> }
    /// Any keeper of pods but the ReplicationController.
    Workload { metadata: Meta<'a>, spec: WorkloadSpec<'a> }
    WorkloadSpec {
        selector: LabelSelector,
        template: Template<'a>,
        replicas: i64,
        schedule: Text<'a>,
        time_zone: Text<'a>,
        job_template: JobTemplate<'a>,
    }
    JobTemplate { spec: JobSpec<'a> }
    JobSpec { template: Template<'a> }
    Template { metadata: Meta<'a>, spec: PodSpec<'a> }
    /// Its selector is a plain map.
    Controller { metadata: Meta<'a>, spec: ControllerSpec<'a> }
    ControllerSpec { selector: Pairs<'a>, template: Template<'a>, replicas: i64 }
    Policy { metadata: Meta<'a>, spec: NetworkPolicySpec }
}
