//! The whole object against the API's own type, for what the slim reading does not look at: unknown fields
//! and values of the wrong type. Kinds that k8s-openapi does not have are read without it.

use std::cell::RefCell;

use k8s_openapi::api;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::APIService;
use serde::Deserialize;

use super::node::Node;
use super::walk::{Mismatch, Unknown, Walk};
use crate::manifest::kind::Kind;
use crate::manifest::{CallerKind, WorkloadKind};

/// Unknown fields, and the first value that does not fit.
pub(super) fn check(kind: &Kind, node: &Node<'_>) -> (Vec<Unknown>, Option<Mismatch>) {
    let unknown = RefCell::new(Vec::new());
    let mismatch = typed(kind, Walk::new(node, Some(&unknown))).err();
    (unknown.into_inner(), mismatch)
}

fn typed(kind: &Kind, walk: Walk<'_, '_>) -> Result<(), Mismatch> {
    match kind {
        Kind::Pod => read::<api::core::v1::Pod>(walk),
        Kind::Namespace => read::<api::core::v1::Namespace>(walk),
        Kind::Service => read::<api::core::v1::Service>(walk),
        Kind::EndpointSlice => read::<api::discovery::v1::EndpointSlice>(walk),
        Kind::Node => read::<api::core::v1::Node>(walk),
        Kind::NetworkPolicy => read::<api::networking::v1::NetworkPolicy>(walk),
        Kind::Workload(kind) => workload(kind, walk),
        Kind::Caller(kind) => caller(*kind, walk),
        Kind::OtherPolicy | Kind::Other | Kind::Retired(_) => Ok(()),
    }
}

fn workload(kind: &WorkloadKind, walk: Walk<'_, '_>) -> Result<(), Mismatch> {
    match kind {
        WorkloadKind::Deployment => read::<api::apps::v1::Deployment>(walk),
        WorkloadKind::StatefulSet => read::<api::apps::v1::StatefulSet>(walk),
        WorkloadKind::DaemonSet => read::<api::apps::v1::DaemonSet>(walk),
        WorkloadKind::ReplicaSet => read::<api::apps::v1::ReplicaSet>(walk),
        WorkloadKind::ReplicationController => read::<api::core::v1::ReplicationController>(walk),
        WorkloadKind::Job => read::<api::batch::v1::Job>(walk),
        WorkloadKind::CronJob => read::<api::batch::v1::CronJob>(walk),
        WorkloadKind::Pod | WorkloadKind::Other(_) => Ok(()),
    }
}

fn caller(kind: CallerKind, walk: Walk<'_, '_>) -> Result<(), Mismatch> {
    use api::admissionregistration::v1 as admission;
    match kind {
        CallerKind::ValidatingWebhook => read::<admission::ValidatingWebhookConfiguration>(walk),
        CallerKind::MutatingWebhook => read::<admission::MutatingWebhookConfiguration>(walk),
        CallerKind::ConversionWebhook => read::<CustomResourceDefinition>(walk),
        CallerKind::ApiService => read::<APIService>(walk),
        CallerKind::Ingress => read::<api::networking::v1::Ingress>(walk),
        CallerKind::Gateway | CallerKind::Route | CallerKind::PodMonitor | CallerKind::ServiceMonitor => {
            Ok(())
        }
    }
}

fn read<'de, T: Deserialize<'de>>(walk: Walk<'de, '_>) -> Result<(), Mismatch> {
    T::deserialize(walk).map(drop)
}
