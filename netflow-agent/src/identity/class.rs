//! What an address can be before anyone is asked who held it. In: an address. Out: its class.

use std::net::IpAddr;

/// Kinds of address that decide what a flow to or from them may mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Somebody's: a pod, a node, a Service or a machine outside.
    Unicast,
    /// Never leaves the pod.
    Loopback,
    /// No address at all: what an unbound socket has.
    Unspecified,
    /// A group, no pod's.
    Multicast,
    /// Everybody on the network.
    Broadcast,
    /// Only good on one link; IPv6 only, since node-local DNS and the metadata service live in 169.254/16.
    LinkLocal,
}

pub fn class(ip: IpAddr) -> Class {
    match ip {
        _ if ip.is_loopback() => Class::Loopback,
        _ if ip.is_unspecified() => Class::Unspecified,
        _ if ip.is_multicast() => Class::Multicast,
        IpAddr::V4(ip) if ip.is_broadcast() => Class::Broadcast,
        IpAddr::V6(ip) if ip.is_unicast_link_local() => Class::LinkLocal,
        IpAddr::V4(_) | IpAddr::V6(_) => Class::Unicast,
    }
}

/// The broadcast address of most networks by its look. A pod may hold it where blocks are larger than /24,
/// so ask for its holder first.
pub fn looks_like_broadcast(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V4(ip) if ip.octets()[3] == 255)
}
