//! What the user may read in the live cluster: pods and Services of now, workloads, policies, and the
//! objects that declare callers. In: a client with the user's own rights. Out: objects, and the kinds that
//! were not to be read. A kind that the cluster does not have is nothing to tell of.

use std::collections::BTreeSet;

use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, ListParams, TypeMeta};
use serde_json::Value;

use super::Error;

/// Group, version, kind and plural.
type Listed = (&'static str, &'static str, &'static str, &'static str);

/// What verdicts are about: who is there, and every policy that decides, in whatever dialect.
const JUDGED: &[Listed] = &[
    ("", "v1", "Pod", "pods"),
    ("", "v1", "Namespace", "namespaces"),
    ("", "v1", "Node", "nodes"),
    ("", "v1", "Service", "services"),
    ("", "v1", "ReplicationController", "replicationcontrollers"),
    ("apps", "v1", "Deployment", "deployments"),
    ("apps", "v1", "StatefulSet", "statefulsets"),
    ("apps", "v1", "DaemonSet", "daemonsets"),
    ("apps", "v1", "ReplicaSet", "replicasets"),
    ("batch", "v1", "Job", "jobs"),
    ("batch", "v1", "CronJob", "cronjobs"),
    ("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies"),
    ("cilium.io", "v2", "CiliumNetworkPolicy", "ciliumnetworkpolicies"),
    ("cilium.io", "v2", "CiliumClusterwideNetworkPolicy", "ciliumclusterwidenetworkpolicies"),
    ("crd.projectcalico.org", "v1", "NetworkPolicy", "networkpolicies"),
    ("crd.projectcalico.org", "v1", "GlobalNetworkPolicy", "globalnetworkpolicies"),
    ("policy.networking.k8s.io", "v1alpha1", "AdminNetworkPolicy", "adminnetworkpolicies"),
    ("policy.networking.k8s.io", "v1alpha1", "BaselineAdminNetworkPolicy", "baselineadminnetworkpolicies"),
    ("policy.networking.k8s.io", "v1alpha2", "ClusterNetworkPolicy", "clusternetworkpolicies"),
    ("security.istio.io", "v1", "AuthorizationPolicy", "authorizationpolicies"),
];

/// What makes other answers better where it can be read, and their gaps named where not.
const DECLARING: &[Listed] = &[
    ("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices"),
    ("networking.k8s.io", "v1", "Ingress", "ingresses"),
    (
        "admissionregistration.k8s.io",
        "v1",
        "ValidatingWebhookConfiguration",
        "validatingwebhookconfigurations",
    ),
    ("admissionregistration.k8s.io", "v1", "MutatingWebhookConfiguration", "mutatingwebhookconfigurations"),
    ("apiregistration.k8s.io", "v1", "APIService", "apiservices"),
    ("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions"),
    ("gateway.networking.k8s.io", "v1", "Gateway", "gateways"),
    ("gateway.networking.k8s.io", "v1", "HTTPRoute", "httproutes"),
    ("monitoring.coreos.com", "v1", "PodMonitor", "podmonitors"),
    ("monitoring.coreos.com", "v1", "ServiceMonitor", "servicemonitors"),
];

/// How much is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// What verdicts hang on.
    Judged,
    /// That, and what declares callers.
    All,
}

/// Objects in memory at once.
const PAGE: u32 = 250;

/// A kind that could not be read, and why.
#[derive(Debug)]
pub struct Unread {
    pub kind: &'static str,
    pub error: Error,
}

/// Reads the kinds of `scope`, in the cluster or else, where the user may not, in `namespace`; each object goes
/// to `take` as the API server serves it. An error: the API server does not answer at all.
pub async fn read(
    client: &Client,
    scope: Scope,
    namespace: Option<&str>,
    take: &mut dyn FnMut(Value),
) -> Result<Vec<Unread>, Error> {
    let served = served(client).await?;
    let mut unread = Vec::new();
    let more = if scope == Scope::All { DECLARING } else { &[] };
    for &(group, version, kind, plural) in JUDGED.iter().chain(more) {
        // Without the right to list it, a kind that the cluster lacks would be refused, not missing.
        let known = served.as_ref().is_none_or(|served| served.contains(&(group.into(), version.into())));
        if !known && !group.is_empty() {
            continue;
        }
        let resource =
            ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural);
        let whole = Api::all_with(client.clone(), &resource);
        let mut outcome = list(&whole, &resource, take).await;
        if let (Err(kube::Error::Api(status)), Some(namespace)) = (&outcome, namespace)
            && status.code == 403
            && !matches!(kind, "Namespace" | "Node")
        {
            let one = Api::namespaced_with(client.clone(), namespace, &resource);
            outcome = list(&one, &resource, take).await;
            if outcome.is_ok() {
                // The rest of the cluster stays unread.
                unread.push(Unread { kind, error: Error::OneNamespace { namespace: namespace.to_owned() } });
            }
        }
        match outcome {
            Ok(()) => {}
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(source) => {
                let error = Error::Api { op: "list", object: plural.to_owned(), source: Box::new(source) };
                unread.push(Unread { kind, error });
            }
        }
    }
    Ok(unread)
}

/// The groups and versions that the API server serves; None where the user may not ask.
async fn served(client: &Client) -> Result<Option<BTreeSet<(String, String)>>, Error> {
    match client.list_api_groups().await {
        Ok(list) => Ok(Some(
            { list.groups.into_iter() }
                .flat_map(|group| {
                    let name = group.name;
                    group.versions.into_iter().map(move |version| (name.clone(), version.version))
                })
                .collect(),
        )),
        Err(kube::Error::Api(status)) if status.code != 401 => Ok(None),
        Err(source) => {
            Err(Error::Api { op: "ask for", object: "the API groups".to_owned(), source: Box::new(source) })
        }
    }
}

async fn list(
    api: &Api<DynamicObject>,
    resource: &ApiResource,
    take: &mut dyn FnMut(Value),
) -> Result<(), kube::Error> {
    let mut parameters = ListParams::default().limit(PAGE);
    loop {
        let page = api.list(&parameters).await?;
        for mut object in page.items {
            object.types =
                Some(TypeMeta { api_version: resource.api_version.clone(), kind: resource.kind.clone() });
            object.metadata.managed_fields = None;
            take(serde_json::to_value(object).map_err(kube::Error::SerdeError)?);
        }
        match page.metadata.continue_ {
            Some(next) if !next.is_empty() => parameters = parameters.continue_token(&next),
            _ => return Ok(()),
        }
    }
}
