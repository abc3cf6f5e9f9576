//! What an API server refuses of an object that could be read. In: one object with defaults. Out: each
//! violation with its path; a warning where only some versions refuse.

mod name;
mod peer;
mod policy;
mod selector;

use super::{Labels, Meta, Object, Severity, Workload, WorkloadKind};

/// One reason to refuse the object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Within the object.
    pub path: String,
    pub reason: String,
    pub severity: Severity,
}

/// Collects violations under a growing path.
#[derive(Debug, Default)]
struct Report(Vec<Violation>);

impl Report {
    fn error(&mut self, path: impl Into<String>, reason: impl Into<String>) {
        self.0.push(Violation { path: path.into(), reason: reason.into(), severity: Severity::Error });
    }

    fn warning(&mut self, path: impl Into<String>, reason: impl Into<String>) {
        self.0.push(Violation { path: path.into(), reason: reason.into(), severity: Severity::Warning });
    }

    /// Takes the reason of a check that failed.
    fn check(&mut self, path: &str, result: Result<(), String>) {
        if let Err(reason) = result {
            self.error(path, reason);
        }
    }
}

/// Whether a namespace may have this name.
pub fn is_namespace(text: &str) -> bool {
    name::label(text).is_ok()
}

/// Whether an object may carry this label.
pub fn is_label(key: &str, value: &str) -> bool {
    name::key(key).is_ok() && name::value(value).is_ok()
}

/// All violations, in the order of the object's fields.
pub fn object(object: &Object) -> Vec<Violation> {
    let mut report = Report::default();
    match object {
        Object::NetworkPolicy(policy) => {
            meta(&policy.meta, name::subdomain, &mut report);
            policy::spec(&policy.spec, &mut report);
        }
        Object::Namespace(namespace) => meta(&namespace.meta, name::label, &mut report),
        Object::Service(service) => meta(&service.meta, name::label, &mut report),
        Object::Pod(pod) => {
            // A Pod may be named by the server, from `generateName`.
            meta(&pod.meta, name::subdomain_or_none, &mut report);
            container_ports(&pod.ports, &mut report);
        }
        Object::Workload(workload) => kept(workload, &mut report),
        Object::EndpointSlice(slice) => meta(&slice.meta, name::subdomain_or_none, &mut report),
        Object::Node(node) => meta(&node.meta, name::subdomain, &mut report),
        // Their kinds have rules of their own; only what all objects share is judged.
        Object::Caller(caller) => labels("metadata.labels", &caller.meta.labels, &mut report),
        Object::OtherPolicy { meta, .. } | Object::Other { meta, .. } => {
            labels("metadata.labels", &meta.labels, &mut report);
        }
    }
    report.0
}

fn meta(meta: &Meta, named: fn(&str) -> Result<(), String>, report: &mut Report) {
    report.check("metadata.name", named(&meta.name));
    if !meta.namespace.is_empty() {
        report.check("metadata.namespace", name::label(&meta.namespace));
    }
    labels("metadata.labels", &meta.labels, report);
    for key in meta.annotations.keys() {
        report.check("metadata.annotations", name::key(&key.to_lowercase()));
    }
}

fn labels(path: &str, labels: &Labels, report: &mut Report) {
    for (key, value) in labels {
        report.check(path, name::key(key));
        report.check(&format!("{path}.{key}"), name::value(value));
    }
}

fn kept(workload: &Workload, report: &mut Report) {
    let named = match workload.kind {
        WorkloadKind::Job => name::subdomain_or_none,
        _ => name::subdomain,
    };
    meta(&workload.meta, named, report);
    let template = match workload.kind {
        WorkloadKind::CronJob => "spec.jobTemplate.spec.template.metadata.labels",
        _ => "spec.template.metadata.labels",
    };
    labels(template, &workload.template_labels, report);
    container_ports(&workload.ports, report);
    if let Some(chosen) = &workload.selector {
        selector::selector("spec.selector", chosen, report);
    }
    let selects = matches!(
        workload.kind,
        WorkloadKind::Deployment
            | WorkloadKind::StatefulSet
            | WorkloadKind::DaemonSet
            | WorkloadKind::ReplicaSet
            | WorkloadKind::ReplicationController
    );
    if !selects {
        return;
    }
    let wanted = workload.selector.as_ref().and_then(|selector| selector.match_labels.as_ref());
    let expressions = workload.selector.as_ref().and_then(|selector| selector.match_expressions.as_ref());
    if wanted.is_none_or(std::collections::BTreeMap::is_empty) && expressions.is_none_or(Vec::is_empty) {
        report.error("spec.selector", format!("empty: a {} needs one", workload.kind.as_str()));
    }
    for (key, value) in wanted.into_iter().flatten() {
        if workload.template_labels.get(key.as_str()).map(|found| &**found) != Some(value) {
            let reason = format!("the template's labels have no `{key}: {value}`");
            report.error("spec.selector.matchLabels", reason);
        }
    }
}

fn container_ports(ports: &[super::ContainerPort], report: &mut Report) {
    for port in ports {
        if let Some(name) = &port.name {
            report.check("spec.containers", name::port(name));
        }
    }
}
