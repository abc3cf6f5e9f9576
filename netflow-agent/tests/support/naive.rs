//! NetworkPolicy as the API documentation words it, read as simply as possible. In: policies and pods as
//! the API's own types. Out: verdicts. Shares no code with the product, which is judged by it; slow on purpose.

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::networking::v1::{
    NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

pub(crate) type Labels = BTreeMap<String, String>;

#[derive(Clone, Debug, Default)]
pub(crate) struct Pod {
    pub namespace: String,
    pub name: String,
    pub labels: Labels,
    /// Name, protocol, number.
    pub ports: Vec<(String, String, u16)>,
    /// At least one.
    pub ips: Vec<IpAddr>,
    pub host_network: bool,
    pub node: Option<String>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Cluster {
    /// Labels as written: the name's own label is added here.
    pub namespaces: BTreeMap<String, Labels>,
    pub pods: Vec<Pod>,
    pub nodes: BTreeMap<String, Vec<IpAddr>>,
    pub policies: Vec<NetworkPolicy>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// By its place in `pods`.
    Pod(usize),
    Address(IpAddr),
}

/// `allowed`, `denied` or `undefined`: ingress, egress, both.
pub(crate) type Verdicts = [&'static str; 3];

/// One reading: what stands at an end, with one address.
#[derive(Clone, Copy)]
struct Side<'a> {
    /// None: nothing that selectors see.
    pod: Option<&'a Pod>,
    ip: IpAddr,
}

/// What all readings say, column by column, or `undefined`.
pub(crate) fn judge(cluster: &Cluster, from: End, to: End, port: u16, protocol: &str) -> Verdicts {
    if from == to && matches!(from, End::Pod(_)) {
        return ["allowed"; 3];
    }
    let mut all: Vec<Verdicts> = Vec::new();
    for hosts_are_pods in [true, false] {
        let (sources, targets) = (sides(cluster, from, hosts_are_pods), sides(cluster, to, hosts_are_pods));
        let mut pairs: Vec<(Side<'_>, Side<'_>)> = Vec::new();
        for &source in &sources {
            let same = targets.iter().filter(|target| target.ip.is_ipv4() == source.ip.is_ipv4());
            pairs.extend(same.map(|&target| (source, target)));
        }
        if pairs.is_empty() {
            // No family in common, so nothing is ever sent; judged by the first addresses.
            pairs.push((sources[0], targets[0]));
        }
        for (source, target) in pairs {
            for own in if source.pod.is_none() { own_node(cluster, from, target) } else { vec![false] } {
                all.push(if own { ["allowed"; 3] } else { rules(cluster, source, target, port, protocol) });
            }
        }
    }
    let column = |at: usize| {
        let first = all[0][at];
        if all.iter().all(|one| one[at] == first) { first } else { "undefined" }
    };
    [column(0), column(1), column(2)]
}

fn sides(cluster: &Cluster, end: End, hosts_are_pods: bool) -> Vec<Side<'_>> {
    match end {
        End::Address(ip) => vec![Side { pod: None, ip }],
        End::Pod(at) => {
            let pod = &cluster.pods[at];
            let seen = (!pod.host_network || hosts_are_pods).then_some(pod);
            pod.ips.iter().map(|&ip| Side { pod: seen, ip }).collect()
        }
    }
}

/// Whether what is no pod at the source is the node of the target: each answer that is possible.
fn own_node(cluster: &Cluster, from: End, target: Side<'_>) -> Vec<bool> {
    let Some(pod) = target.pod else { return vec![false] };
    let source: Option<&String> = match from {
        End::Pod(at) => cluster.pods[at].node.as_ref(),
        End::Address(ip) => match cluster.nodes.iter().find(|(_, ips)| ips.contains(&ip)) {
            Some((name, _)) => Some(name),
            None => return vec![false],
        },
    };
    match (source, &pod.node) {
        (Some(source), Some(own)) => vec![source == own],
        _ => vec![true, false],
    }
}

fn rules(cluster: &Cluster, source: Side<'_>, target: Side<'_>, port: u16, protocol: &str) -> Verdicts {
    let ingress =
        target.pod.is_none_or(|pod| allows(cluster, "Ingress", pod, source, target, port, protocol));
    let egress = source.pod.is_none_or(|pod| allows(cluster, "Egress", pod, target, target, port, protocol));
    let word = |allowed| if allowed { "allowed" } else { "denied" };
    [word(ingress), word(egress), word(ingress && egress)]
}

/// Whether the policies of one direction let `subject` talk with `peer`; `target` is who listens.
fn allows(
    cluster: &Cluster,
    direction: &str,
    subject: &Pod,
    peer: Side<'_>,
    target: Side<'_>,
    port: u16,
    protocol: &str,
) -> bool {
    let mut isolated = false;
    for policy in &cluster.policies {
        let Some(spec) = &policy.spec else { continue };
        let namespace = policy.metadata.namespace.as_deref().unwrap_or("default");
        if namespace != subject.namespace || !isolates(spec, direction) {
            continue;
        }
        if spec.pod_selector.as_ref().is_some_and(|selector| !matches(selector, &subject.labels)) {
            continue;
        }
        isolated = true;
        let ingress = spec.ingress.iter().flatten().map(|rule| (rule.from.as_deref(), rule.ports.as_deref()));
        let egress = spec.egress.iter().flatten().map(|rule| (rule.to.as_deref(), rule.ports.as_deref()));
        let allows = |(peers, ports): (Option<&[NetworkPolicyPeer]>, Option<&[NetworkPolicyPort]>)| {
            let (peers, ports) = (peers.unwrap_or_default(), ports.unwrap_or_default());
            let any_peer = peers.is_empty() || peers.iter().any(|one| is_peer(cluster, namespace, one, peer));
            any_peer && (ports.is_empty() || ports.iter().any(|one| is_port(one, target.pod, port, protocol)))
        };
        if if direction == "Ingress" { { ingress }.any(allows) } else { { egress }.any(allows) } {
            return true;
        }
    }
    !isolated
}

fn isolates(spec: &NetworkPolicySpec, direction: &str) -> bool {
    match spec.policy_types.as_deref() {
        None | Some([]) => {
            direction == "Ingress" || spec.egress.as_ref().is_some_and(|rules| !rules.is_empty())
        }
        Some(written) => written.iter().any(|one| one == direction),
    }
}

pub(crate) fn matches(selector: &LabelSelector, labels: &Labels) -> bool {
    let exact = selector.match_labels.iter().flatten();
    if !{ exact }.all(|(key, value)| labels.get(key) == Some(value)) {
        return false;
    }
    selector.match_expressions.iter().flatten().all(|one| {
        let values = one.values.as_deref().unwrap_or_default();
        let value = labels.get(&one.key);
        match one.operator.as_str() {
            "In" => value.is_some_and(|value| values.contains(value)),
            "NotIn" => value.is_none_or(|value| !values.contains(value)),
            "Exists" => value.is_some(),
            "DoesNotExist" => value.is_none(),
            _ => false,
        }
    })
}

fn is_peer(cluster: &Cluster, home: &str, item: &NetworkPolicyPeer, peer: Side<'_>) -> bool {
    if let Some(block) = &item.ip_block {
        let mut except = block.except.iter().flatten();
        return inside(&block.cidr, peer.ip) && !except.any(|cidr| inside(cidr, peer.ip));
    }
    let Some(pod) = peer.pod else { return false };
    let namespace = match &item.namespace_selector {
        None => item.pod_selector.is_some() && pod.namespace == home,
        Some(selector) => {
            let known = cluster.namespaces.get(&pod.namespace);
            if known.is_some_and(|labels| labels.get("kubernetes.io/metadata.name") == Some(&pod.namespace)) {
                return known.is_some_and(|labels| matches(selector, labels)) && of_pod(item, pod);
            }
            let mut labels = known.cloned().unwrap_or_default();
            labels.insert("kubernetes.io/metadata.name".to_owned(), pod.namespace.clone());
            matches(selector, &labels)
        }
    };
    namespace && of_pod(item, pod)
}

fn of_pod(item: &NetworkPolicyPeer, pod: &Pod) -> bool {
    item.pod_selector.as_ref().is_none_or(|selector| matches(selector, &pod.labels))
}

/// By the leading bits, so that nothing is taken from the product or its crates.
fn inside(cidr: &str, ip: IpAddr) -> bool {
    let (network, length) = cidr.split_once('/').expect("a CIDR");
    let network: IpAddr = network.parse().expect("an address");
    let length: u32 = length.parse().expect("a length");
    let leading = |bits: u128, width: u32| bits.checked_shr(width - length).unwrap_or(0);
    match (network, ip) {
        (IpAddr::V4(network), IpAddr::V4(ip)) => {
            leading(u32::from(network).into(), 32) == leading(u32::from(ip).into(), 32)
        }
        (IpAddr::V6(network), IpAddr::V6(ip)) => {
            leading(u128::from(network), 128) == leading(u128::from(ip), 128)
        }
        _ => false,
    }
}

fn is_port(item: &NetworkPolicyPort, target: Option<&Pod>, port: u16, protocol: &str) -> bool {
    if item.protocol.as_deref().unwrap_or("TCP") != protocol {
        return false;
    }
    match &item.port {
        None => true,
        Some(IntOrString::Int(first)) => {
            let last = item.end_port.unwrap_or(*first);
            (*first..=last).contains(&i32::from(port))
        }
        Some(IntOrString::String(name)) => target.is_some_and(|pod| {
            pod.ports.iter().any(|(own, of, number)| own == name && of == protocol && *number == port)
        }),
    }
}
