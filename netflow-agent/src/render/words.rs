//! Small phrases that several texts share. In: a port item or a set of ports. Out: how a person would say it.

use k8s_openapi::api::networking::v1::NetworkPolicyPort;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

/// An item of a policy's `ports`: `TCP 80`, `UDP 5000-5010`, `TCP http`, `SCTP any`.
pub(super) fn policy_port(item: &NetworkPolicyPort) -> String {
    let protocol = item.protocol.as_deref().unwrap_or("TCP");
    match (&item.port, item.end_port) {
        (None, _) => format!("{protocol} any"),
        (Some(IntOrString::Int(first)), Some(last)) => format!("{protocol} {first}-{last}"),
        (Some(IntOrString::Int(port)), None) => format!("{protocol} {port}"),
        (Some(IntOrString::String(name)), _) => format!("{protocol} {name}"),
    }
}

/// `1 node`, `2 nodes`.
pub fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("{number} {noun}") } else { format!("{number} {noun}s") }
}
