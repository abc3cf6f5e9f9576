//! Random clusters with every feature of NetworkPolicy, small enough that names and labels often meet.
//! Out: the naive evaluator's cluster, and the product's objects of the same.

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::networking::v1::{
    IPBlock, NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer,
    NetworkPolicyPort, NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use netflow_agent::manifest;
use proptest::collection::{btree_map, vec};
use proptest::option::weighted;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::naive::{Cluster, Labels, Pod};

const NAMESPACES: [&str; 3] = ["default", "shop", "ops"];
pub(crate) const PORTS: [u16; 7] = [1, 80, 81, 443, 8080, 30000, 65535];
pub(crate) const PROTOCOLS: [&str; 3] = ["TCP", "UDP", "SCTP"];
const PORT_NAMES: [&str; 3] = ["http", "metrics", "dns"];
const KEYS: [&str; 3] = ["app", "tier", "kubernetes.io/metadata.name"];
const VALUES: [&str; 4] = ["", "a", "b", "shop"];
const CIDRS: [&str; 12] = [
    "0.0.0.0/0",
    "10.0.0.0/8",
    "10.0.1.0/24",
    "10.0.1.2/32",
    "10.0.1.77/31",
    "192.168.0.0/16",
    "192.168.0.1/32",
    "203.0.113.0/25",
    "::/0",
    "fd00::/16",
    "fd00:1::2/128",
    "2001:db8::/33",
];
/// Addresses that no pod has: outside, of both families, and the two nodes.
pub(crate) const OUTSIDE: [&str; 6] =
    ["203.0.113.1", "203.0.113.200", "2001:db8::1", "192.168.0.1", "192.168.0.2", "fd00:ffff::1"];

fn labels() -> impl Strategy<Value = Labels> {
    btree_map(select(&KEYS[..2]).prop_map(str::to_owned), select(&VALUES[..3]).prop_map(str::to_owned), 0..3)
}

fn selector() -> impl Strategy<Value = LabelSelector> {
    let key = || select(&KEYS[..]).prop_map(str::to_owned);
    let value = || select(&VALUES[..]).prop_map(str::to_owned);
    let requirement = (key(), select(&["In", "NotIn", "Exists", "DoesNotExist"][..]), vec(value(), 1..3))
        .prop_map(|(key, operator, values)| LabelSelectorRequirement {
            key,
            operator: operator.to_owned(),
            values: operator.ends_with("In").then_some(values),
        });
    (weighted(0.5, btree_map(key(), value(), 0..2)), weighted(0.4, vec(requirement, 0..2)))
        .prop_map(|(match_labels, match_expressions)| LabelSelector { match_labels, match_expressions })
}

fn peer() -> impl Strategy<Value = NetworkPolicyPeer> {
    let block = (select(&CIDRS[..]), subsequence(&CIDRS[..], 0..3)).prop_map(|(cidr, except)| {
        let except: Vec<String> = except.into_iter().map(str::to_owned).collect();
        let except = (!except.is_empty()).then_some(except);
        NetworkPolicyPeer { ip_block: Some(IPBlock { cidr: cidr.to_owned(), except }), ..Default::default() }
    });
    let pods = (weighted(0.5, selector()), selector(), any::<bool>()).prop_map(|(namespaces, pods, both)| {
        let pod_selector = (both || namespaces.is_none()).then_some(pods);
        NetworkPolicyPeer { ip_block: None, namespace_selector: namespaces, pod_selector }
    });
    prop_oneof![1 => block, 3 => pods]
}

fn port() -> impl Strategy<Value = NetworkPolicyPort> {
    let number = (select(&PORTS[..]), weighted(0.3, 0..400_i32)).prop_map(|(first, more)| {
        let first = i32::from(first);
        (Some(IntOrString::Int(first)), more.map(|more| (first + more).min(65535)))
    });
    let name = select(&PORT_NAMES[..]).prop_map(|name| (Some(IntOrString::String(name.to_owned())), None));
    let protocol = weighted(0.7, select(&PROTOCOLS[..]).prop_map(str::to_owned));
    (protocol, prop_oneof![4 => number, 2 => name, 1 => Just((None, None))])
        .prop_map(|(protocol, (port, end_port))| NetworkPolicyPort { end_port, port, protocol })
}

fn policy() -> impl Strategy<Value = NetworkPolicy> {
    let rules =
        || weighted(0.7, vec((weighted(0.8, vec(peer(), 0..3)), weighted(0.7, vec(port(), 0..3))), 0..3));
    let types = weighted(0.6, subsequence(&["Ingress", "Egress"][..], 0..=2));
    (weighted(0.8, select(&NAMESPACES[..])), weighted(0.8, selector()), types, rules(), rules()).prop_map(
        |(namespace, pod_selector, types, ingress, egress)| NetworkPolicy {
            metadata: ObjectMeta { namespace: namespace.map(str::to_owned), ..Default::default() },
            spec: Some(NetworkPolicySpec {
                pod_selector,
                policy_types: types.map(|types| types.into_iter().map(str::to_owned).collect()),
                ingress: ingress.map(|rules| {
                    let rule = |(from, ports)| NetworkPolicyIngressRule { from, ports };
                    rules.into_iter().map(rule).collect()
                }),
                egress: egress.map(|rules| {
                    let rule = |(to, ports)| NetworkPolicyEgressRule { to, ports };
                    rules.into_iter().map(rule).collect()
                }),
            }),
        },
    )
}

/// Namespace, labels, named ports, families (bit 0: v4, bit 1: v6), host network, node.
type Sketch = (&'static str, Labels, Vec<(&'static str, &'static str, u16)>, u8, bool, Option<bool>);

fn sketch() -> impl Strategy<Value = Sketch> {
    let ports = vec((select(&PORT_NAMES[..]), select(&PROTOCOLS[..]), select(&PORTS[..])), 0..3);
    let host = proptest::bool::weighted(0.1);
    (select(&NAMESPACES[..]), labels(), ports, 1..4_u8, host, weighted(0.8, any::<bool>()))
}

fn pod(at: usize, (namespace, labels, ports, families, host_network, node): Sketch) -> Pod {
    let node = node.or(host_network.then_some(true));
    let number = at + 1;
    let mut ips: Vec<IpAddr> = Vec::new();
    if host_network {
        ips.push(if node == Some(true) { OUTSIDE[3] } else { OUTSIDE[4] }.parse().expect("an address"));
    } else {
        if families & 1 != 0 {
            ips.push(format!("10.0.{}.{number}", number % 2).parse().expect("an address"));
        }
        if families & 2 != 0 {
            ips.push(format!("fd00:{}::{number}", number % 2).parse().expect("an address"));
        }
    }
    Pod {
        namespace: namespace.to_owned(),
        name: format!("pod-{number}"),
        labels,
        ports: ports.into_iter().map(|(name, of, port)| (name.to_owned(), of.to_owned(), port)).collect(),
        ips,
        host_network,
        node: node.map(|first| if first { "node-1" } else { "node-2" }.to_owned()),
    }
}

/// Clusters of up to six pods and six policies.
pub(crate) fn clusters() -> impl Strategy<Value = Cluster> {
    let namespaces = btree_map(select(&NAMESPACES[..]).prop_map(str::to_owned), labels(), 0..3);
    (namespaces, vec(sketch(), 1..7), vec(policy(), 0..7)).prop_map(|(namespaces, sketches, policies)| {
        let address = |text: &str| vec![text.parse().expect("an address")];
        let nodes = [("node-1", OUTSIDE[3]), ("node-2", OUTSIDE[4])];
        Cluster {
            namespaces,
            pods: sketches.into_iter().enumerate().map(|(at, sketch)| pod(at, sketch)).collect(),
            nodes: nodes.iter().map(|(name, ip)| ((*name).to_owned(), address(ip))).collect(),
            policies,
        }
    })
}

fn meta(namespace: &str, name: &str, labels: &Labels) -> manifest::Meta {
    let labels: BTreeMap<_, _> =
        labels.iter().map(|(key, value)| (key.as_str().into(), value.as_str().into())).collect();
    manifest::Meta { namespace: namespace.into(), name: name.into(), labels, ..Default::default() }
}

/// The same cluster as the product's objects, policies apart.
pub(crate) fn objects(cluster: &Cluster) -> (Vec<manifest::Object>, Vec<manifest::NetworkPolicy>) {
    let mut objects = Vec::new();
    for (name, labels) in &cluster.namespaces {
        objects.push(manifest::Object::Namespace(manifest::Namespace { meta: meta("", name, labels) }));
    }
    for (name, ips) in &cluster.nodes {
        let meta = meta("", name, &Labels::new());
        objects.push(manifest::Object::Node(manifest::Node { meta, ips: ips.clone(), ..Default::default() }));
    }
    for pod in &cluster.pods {
        let ports = pod.ports.iter().map(|(name, protocol, port)| manifest::ContainerPort {
            name: Some(name.as_str().into()),
            port: *port,
            protocol: protocol.parse().expect("a protocol"),
        });
        objects.push(manifest::Object::Pod(manifest::Pod {
            meta: meta(&pod.namespace, &pod.name, &pod.labels),
            node: pod.node.as_deref().map(Into::into),
            host_network: pod.host_network,
            ips: pod.ips.clone(),
            ports: ports.collect(),
            ..Default::default()
        }));
    }
    let policies = cluster.policies.iter().enumerate().map(|(at, policy)| manifest::NetworkPolicy {
        meta: meta(
            policy.metadata.namespace.as_deref().unwrap_or("default"),
            &format!("policy-{at}"),
            &Labels::new(),
        ),
        spec: policy.spec.clone().unwrap_or_default(),
    });
    (objects, policies.collect())
}
