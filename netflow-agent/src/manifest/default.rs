//! What the API server writes where a manifest is silent.

use k8s_openapi::api::networking::v1::{NetworkPolicyPort, NetworkPolicySpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{Meta, Words};

/// The label that every Namespace has; the API server writes it over whatever the manifest says.
pub const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";

pub(super) fn namespace(meta: &mut Meta, words: &mut Words) {
    meta.labels.insert(words.intern(NAMESPACE_NAME), meta.name.clone());
}

/// Pod selector, policy types, and the protocol of each port.
pub fn network_policy(spec: &mut NetworkPolicySpec) {
    spec.pod_selector.get_or_insert_default();
    if spec.policy_types.as_ref().is_none_or(Vec::is_empty) {
        let mut types = vec!["Ingress".to_owned()];
        if spec.egress.as_ref().is_some_and(|rules| !rules.is_empty()) {
            types.push("Egress".to_owned());
        }
        spec.policy_types = Some(types);
    }
    let ingress = spec.ingress.iter_mut().flatten().filter_map(|rule| rule.ports.as_mut());
    let egress = spec.egress.iter_mut().flatten().filter_map(|rule| rule.ports.as_mut());
    for port in ingress.chain(egress).flatten() {
        protocol(port);
    }
}

/// Only a missing protocol is defaulted: an empty one is refused.
fn protocol(port: &mut NetworkPolicyPort) {
    port.protocol.get_or_insert_with(|| "TCP".to_owned());
}

/// Whether a Service's target port says nothing.
pub(super) fn is_unset(target: &IntOrString) -> bool {
    match target {
        IntOrString::Int(number) => *number == 0,
        IntOrString::String(name) => name.is_empty(),
    }
}
