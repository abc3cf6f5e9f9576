//! What a random cluster has of NetworkPolicy's features, so that a law that holds on a thousand clusters is
//! known to have met each of them.

use k8s_openapi::api::networking::v1::{NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::naive::{Cluster, Pod};

/// Every feature that has to occur.
pub(crate) const ALL: [&str; 30] = [
    "In",
    "NotIn",
    "Exists",
    "DoesNotExist",
    "NotIn on a key that a pod lacks",
    "a selector's empty value",
    "no namespace of a policy",
    "no podSelector",
    "no policyTypes",
    "empty policyTypes",
    "one direction",
    "both directions",
    "a rule without peers",
    "a rule without ports",
    "pods of the own namespace",
    "pods of other namespaces",
    "whole namespaces",
    "an ipBlock",
    "an IPv6 block",
    "except",
    "a port's number",
    "a port's name",
    "endPort",
    "a port without protocol",
    "a protocol without port",
    "SCTP",
    "a pod of both families",
    "a pod of IPv6 alone",
    "the host network",
    "a pod without a node",
];

/// The features of `cluster`, in any order, some more than once.
pub(crate) fn of(cluster: &Cluster) -> Vec<&'static str> {
    let mut found: Vec<&'static str> = cluster.pods.iter().flat_map(of_pod).collect();
    for policy in &cluster.policies {
        if policy.metadata.namespace.is_none() {
            found.push("no namespace of a policy");
        }
        if let Some(spec) = &policy.spec {
            of_spec(spec, &cluster.pods, &mut found);
        }
    }
    found
}

fn of_pod(pod: &Pod) -> Vec<&'static str> {
    let v4 = pod.ips.iter().any(std::net::IpAddr::is_ipv4);
    let v6 = pod.ips.iter().any(std::net::IpAddr::is_ipv6);
    let all = [
        (v4 && v6, "a pod of both families"),
        (v6 && !v4, "a pod of IPv6 alone"),
        (pod.host_network, "the host network"),
        (pod.node.is_none(), "a pod without a node"),
    ];
    all.into_iter().filter(|(is_so, _)| *is_so).map(|(_, name)| name).collect()
}

fn of_spec(spec: &NetworkPolicySpec, pods: &[Pod], found: &mut Vec<&'static str>) {
    match &spec.pod_selector {
        Some(selector) => of_selector(selector, pods, found),
        None => found.push("no podSelector"),
    }
    found.push(match spec.policy_types.as_deref() {
        None => "no policyTypes",
        Some([]) => "empty policyTypes",
        Some([_]) => "one direction",
        Some(_) => "both directions",
    });
    let ingress = spec.ingress.iter().flatten().map(|rule| (&rule.from, &rule.ports));
    let egress = spec.egress.iter().flatten().map(|rule| (&rule.to, &rule.ports));
    for (peers, ports) in ingress.chain(egress) {
        let (peers, ports) = (peers.as_deref().unwrap_or_default(), ports.as_deref().unwrap_or_default());
        if peers.is_empty() {
            found.push("a rule without peers");
        }
        if ports.is_empty() {
            found.push("a rule without ports");
        }
        for peer in peers {
            of_peer(peer, pods, found);
        }
        for port in ports {
            of_port(port, found);
        }
    }
}

fn of_peer(peer: &NetworkPolicyPeer, pods: &[Pod], found: &mut Vec<&'static str>) {
    if let Some(block) = &peer.ip_block {
        found.push("an ipBlock");
        if block.cidr.contains(':') {
            found.push("an IPv6 block");
        }
        if block.except.is_some() {
            found.push("except");
        }
        return;
    }
    found.push(match (&peer.namespace_selector, &peer.pod_selector) {
        (None, _) => "pods of the own namespace",
        (Some(_), Some(_)) => "pods of other namespaces",
        (Some(_), None) => "whole namespaces",
    });
    for selector in [&peer.namespace_selector, &peer.pod_selector].into_iter().flatten() {
        of_selector(selector, pods, found);
    }
}

fn of_selector(selector: &LabelSelector, pods: &[Pod], found: &mut Vec<&'static str>) {
    if selector.match_labels.iter().flatten().any(|(_, value)| value.is_empty()) {
        found.push("a selector's empty value");
    }
    for requirement in selector.match_expressions.iter().flatten() {
        let is_listed = ALL.iter().find(|name| **name == requirement.operator);
        found.extend(is_listed);
        if requirement.operator == "NotIn"
            && pods.iter().any(|pod| !pod.labels.contains_key(&requirement.key))
        {
            found.push("NotIn on a key that a pod lacks");
        }
    }
}

fn of_port(port: &NetworkPolicyPort, found: &mut Vec<&'static str>) {
    found.push(match &port.port {
        Some(IntOrString::Int(_)) => "a port's number",
        Some(IntOrString::String(_)) => "a port's name",
        None => "a protocol without port",
    });
    if port.end_port.is_some() {
        found.push("endPort");
    }
    match port.protocol.as_deref() {
        None => found.push("a port without protocol"),
        Some("SCTP") => found.push("SCTP"),
        Some(_) => {}
    }
}
