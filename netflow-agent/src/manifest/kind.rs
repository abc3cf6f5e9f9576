//! Which of the objects that netflow reads this is, by `apiVersion` and `kind`.

use super::{CallerKind, WorkloadKind};

/// How an object is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Pod,
    Namespace,
    Service,
    EndpointSlice,
    Node,
    NetworkPolicy,
    Workload(WorkloadKind),
    Caller(CallerKind),
    OtherPolicy,
    Other,
    /// A known kind in a group or version that no API server serves any more; holds what it is today.
    Retired(&'static str),
}

impl Kind {
    pub(super) fn of(api_version: &str, kind: &str) -> Self {
        let group = api_version.rsplit_once('/').map_or("", |(group, _version)| group);
        if is_other_policy(group, kind) {
            return Self::OtherPolicy;
        }
        match (api_version, kind) {
            ("v1", "Pod") => Self::Pod,
            ("v1", "Namespace") => Self::Namespace,
            ("v1", "Service") => Self::Service,
            ("v1", "Node") => Self::Node,
            ("v1", "ReplicationController") => Self::Workload(WorkloadKind::ReplicationController),
            ("discovery.k8s.io/v1", "EndpointSlice") => Self::EndpointSlice,
            ("networking.k8s.io/v1", "NetworkPolicy") => Self::NetworkPolicy,
            ("networking.k8s.io/v1", "Ingress") => Self::Caller(CallerKind::Ingress),
            ("apps/v1", "Deployment") => Self::Workload(WorkloadKind::Deployment),
            ("apps/v1", "StatefulSet") => Self::Workload(WorkloadKind::StatefulSet),
            ("apps/v1", "DaemonSet") => Self::Workload(WorkloadKind::DaemonSet),
            ("apps/v1", "ReplicaSet") => Self::Workload(WorkloadKind::ReplicaSet),
            ("batch/v1", "Job") => Self::Workload(WorkloadKind::Job),
            ("batch/v1", "CronJob") => Self::Workload(WorkloadKind::CronJob),
            ("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration") => {
                Self::Caller(CallerKind::ValidatingWebhook)
            }
            ("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration") => {
                Self::Caller(CallerKind::MutatingWebhook)
            }
            ("apiregistration.k8s.io/v1", "APIService") => Self::Caller(CallerKind::ApiService),
            ("apiextensions.k8s.io/v1", "CustomResourceDefinition") => {
                Self::Caller(CallerKind::ConversionWebhook)
            }
            _ => Self::of_group(group, kind),
        }
    }

    fn of_group(group: &str, kind: &str) -> Self {
        match (group, kind) {
            ("gateway.networking.k8s.io", "Gateway") => Self::Caller(CallerKind::Gateway),
            (
                "gateway.networking.k8s.io",
                "HTTPRoute" | "GRPCRoute" | "TLSRoute" | "TCPRoute" | "UDPRoute",
            ) => Self::Caller(CallerKind::Route),
            ("monitoring.coreos.com", "PodMonitor") => Self::Caller(CallerKind::PodMonitor),
            ("monitoring.coreos.com", "ServiceMonitor") => Self::Caller(CallerKind::ServiceMonitor),
            (_, "NetworkPolicy") if matches!(group, "extensions" | "networking.k8s.io") => {
                Self::Retired("networking.k8s.io/v1")
            }
            (_, "Deployment" | "DaemonSet" | "ReplicaSet" | "StatefulSet")
                if matches!(group, "extensions" | "apps") =>
            {
                Self::Retired("apps/v1")
            }
            ("batch", "Job" | "CronJob") => Self::Retired("batch/v1"),
            ("discovery.k8s.io", "EndpointSlice") => Self::Retired("discovery.k8s.io/v1"),
            ("extensions" | "networking.k8s.io", "Ingress") => Self::Retired("networking.k8s.io/v1"),
            _ => Self::Other,
        }
    }

    /// Whether an object without `metadata.namespace` lives in `default`; None: its scope is not known.
    pub(super) const fn is_namespaced(&self) -> Option<bool> {
        match self {
            Self::Pod | Self::Service | Self::EndpointSlice | Self::NetworkPolicy | Self::Workload(_) => {
                Some(true)
            }
            Self::Namespace | Self::Node => Some(false),
            Self::Caller(kind) => Some(matches!(
                kind,
                CallerKind::Ingress
                    | CallerKind::Gateway
                    | CallerKind::Route
                    | CallerKind::PodMonitor
                    | CallerKind::ServiceMonitor
            )),
            Self::OtherPolicy | Self::Other | Self::Retired(_) => None,
        }
    }
}

/// Policies that also decide what a pod may reach, in dialects that are named and not judged.
fn is_other_policy(group: &str, kind: &str) -> bool {
    match group {
        "cilium.io" => matches!(kind, "CiliumNetworkPolicy" | "CiliumClusterwideNetworkPolicy"),
        "projectcalico.org" | "crd.projectcalico.org" => {
            matches!(kind, "NetworkPolicy" | "GlobalNetworkPolicy")
        }
        "policy.networking.k8s.io" => {
            matches!(kind, "AdminNetworkPolicy" | "BaselineAdminNetworkPolicy" | "ClusterNetworkPolicy")
        }
        "security.istio.io" => matches!(kind, "AuthorizationPolicy" | "PeerAuthentication"),
        "networking.istio.io" => kind == "Sidecar",
        "crd.antrea.io" => matches!(kind, "NetworkPolicy" | "ClusterNetworkPolicy"),
        "policy.linkerd.io" => matches!(kind, "Server" | "AuthorizationPolicy" | "ServerAuthorization"),
        "k8s.ovn.org" => matches!(kind, "EgressFirewall"),
        "networking.k8s.aws" => matches!(kind, "ApplicationNetworkPolicy" | "ClusterNetworkPolicy"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_calico_policy_is_no_kubernetes_policy_of_the_same_kind() {
        for (api_version, kind, expected) in [
            ("networking.k8s.io/v1", "NetworkPolicy", Kind::NetworkPolicy),
            ("projectcalico.org/v3", "NetworkPolicy", Kind::OtherPolicy),
            ("crd.projectcalico.org/v1", "GlobalNetworkPolicy", Kind::OtherPolicy),
            ("cilium.io/v2", "CiliumNetworkPolicy", Kind::OtherPolicy),
            ("policy.networking.k8s.io/v1alpha2", "ClusterNetworkPolicy", Kind::OtherPolicy),
            ("security.istio.io/v1", "AuthorizationPolicy", Kind::OtherPolicy),
            ("extensions/v1beta1", "NetworkPolicy", Kind::Retired("networking.k8s.io/v1")),
            ("apps/v1beta2", "Deployment", Kind::Retired("apps/v1")),
            ("v1", "ConfigMap", Kind::Other),
            ("v2", "Pod", Kind::Other),
        ] {
            assert_eq!(Kind::of(api_version, kind), expected, "{api_version} {kind}");
        }
    }
}
