//! The addresses that a node has on its CNI's tunnels and bridges, as the CNIs write them in annotations:
//! traffic from them is the node's.

use std::net::IpAddr;

use ipnet::IpNet;

use super::wire::Pairs;

/// Annotations whose value is an address, a list of them, or an address with its prefix length.
const KEYS: [&str; 19] = [
    "flannel.alpha.coreos.com/public-ip",
    "flannel.alpha.coreos.com/public-ipv6",
    "io.cilium.network.ipv4-cilium-host",
    "io.cilium.network.ipv4-health-ip",
    "k3s.io/internal-ip",
    "network.cilium.io/ipv4-Ingress-ip",
    "network.cilium.io/ipv4-cilium-host",
    "network.cilium.io/ipv4-health-ip",
    "network.cilium.io/ipv6-Ingress-ip",
    "network.cilium.io/ipv6-cilium-host",
    "network.cilium.io/ipv6-health-ip",
    "node.antrea.io/transport-addresses",
    "projectcalico.org/IPv4Address",
    "projectcalico.org/IPv4IPIPTunnelAddr",
    "projectcalico.org/IPv4VXLANTunnelAddr",
    "projectcalico.org/IPv4WireguardInterfaceAddr",
    "projectcalico.org/IPv6Address",
    "projectcalico.org/IPv6VXLANTunnelAddr",
    "projectcalico.org/IPv6WireguardInterfaceAddr",
];

/// Flannel's VXLAN device has the first address of the node's pod range, and no annotation says so.
const FLANNEL_BACKEND: &str = "flannel.alpha.coreos.com/backend-type";

pub(super) fn addresses(annotations: &Pairs<'_>, pod_cidrs: &[IpNet]) -> Vec<IpAddr> {
    let mut found = Vec::new();
    for (key, value) in &annotations.0 {
        if KEYS.contains(&&*key.0) {
            let texts = value.0.split(',').map(|text| text.split_once('/').map_or(text, |(ip, _)| ip));
            found.extend(texts.filter_map(|text| text.trim().parse::<IpAddr>().ok()));
        } else if key.0 == FLANNEL_BACKEND && value.0 == "vxlan" {
            found.extend(pod_cidrs.iter().map(IpNet::network));
        }
    }
    found.iter().map(IpAddr::to_canonical).collect()
}
