//! A claim per finding: a case that raises it and a near miss that does not.

use std::sync::Arc;

use super::*;
use crate::evaluate::{Cluster, Snapshot};
use crate::manifest::{Object, read};

/// The findings of manifests, in the short form of the fixtures below.
pub(super) fn findings(text: &str, options: &Options<'_>) -> Vec<Finding> {
    let manifests = read("m.yaml", text.as_bytes());
    let objects: Vec<&Object> = manifests.objects.iter().map(|placed| &placed.object).collect();
    let policies: Vec<_> = objects
        .iter()
        .filter_map(|object| match object {
            Object::NetworkPolicy(policy) => Some(policy.clone()),
            _ => None,
        })
        .collect();
    let cluster = Cluster::compile(Arc::new(Snapshot::new(objects.iter().copied())), policies);
    let scene = Scene::new(&cluster, objects);
    audit(&scene, &manifests.findings, options)
}

/// One finding of this id in the first text, none in the second.
pub(super) fn check(id: &str, raised: &str, near_miss: &str) {
    check_with(id, &Options::default(), raised, near_miss);
}

/// As [`check`], for a finding that hangs on more than the objects.
pub(super) fn check_with(id: &str, options: &Options<'_>, raised: &str, near_miss: &str) {
    let with = |text: &str| -> Vec<String> {
        findings(text, options)
            .into_iter()
            .filter(|found| found.id == id)
            .map(|found| format!("{}: {}", found.object, found.reason))
            .collect()
    };
    assert_eq!(with(raised).len(), 1, "{id} raised: {:?}", with(raised));
    assert_eq!(with(near_miss), [""; 0], "{id}: near miss");
}

pub(super) fn pod(namespace: &str, name: &str, labels: &str, rest: &str) -> String {
    format!(
        "---\n{{apiVersion: v1, kind: Pod, metadata: {{name: {name}, namespace: {namespace}, labels: {{{labels}}}}}, \
         spec: {{{rest}}}}}\n"
    )
}

pub(super) fn serving(namespace: &str, name: &str, ports: &str) -> String {
    let container = format!("containers: [{{name: a, image: a, ports: [{ports}]}}]");
    pod(namespace, name, &format!("app: {name}"), &container)
}

pub(super) fn policy(namespace: &str, name: &str, spec: &str) -> String {
    format!(
        "---\n{{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {{name: {name}, namespace: \
         {namespace}}}, spec: {{{spec}}}}}\n"
    )
}

pub(super) fn namespace(name: &str, labels: &str) -> String {
    format!("---\n{{apiVersion: v1, kind: Namespace, metadata: {{name: {name}, labels: {{{labels}}}}}}}\n")
}
