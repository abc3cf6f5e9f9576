//! A Kubernetes object as the API server would serve it, with the fields that netflow reads. In: an `Object`.
//! Out: JSON that reads back as the same `Object`.

use serde_json::{Map, Value, json};

use crate::manifest::{
    Caller, CallerKind, CallerTarget, ContainerPort, EndpointSlice, Labels, Meta, Node, Object, Phase, Pod,
    Service, ServiceType, TargetPort, Workload, WorkloadKind,
};

/// The object as JSON.
pub fn to_json(object: &Object) -> Value {
    let (api_version, kind) = type_of(object);
    let mut json = Fields::default();
    json.put("apiVersion", api_version);
    json.put("kind", kind);
    json.put("metadata", metadata(object.meta()));
    match object {
        Object::Pod(one) => pod(&mut json, one),
        Object::Service(one) => service(&mut json, one),
        Object::EndpointSlice(one) => slice(&mut json, one),
        Object::Node(one) => node(&mut json, one),
        Object::NetworkPolicy(one) => json.put("spec", serde_json::to_value(&one.spec).unwrap_or_default()),
        Object::Workload(one) => workload(&mut json, one),
        Object::Caller(one) => caller(&mut json, one),
        Object::Namespace(_) | Object::OtherPolicy { .. } | Object::Other { .. } => {}
    }
    json.value()
}

/// A JSON object under construction: what is empty or absent is left out.
#[derive(Default)]
struct Fields(Map<String, Value>);

impl Fields {
    fn put(&mut self, key: &str, value: impl Into<Value>) {
        let value = value.into();
        let empty = match &value {
            Value::Null => true,
            Value::Array(items) => items.is_empty(),
            Value::Object(fields) => fields.is_empty(),
            Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
        };
        if !empty {
            self.0.insert(key.to_owned(), value);
        }
    }

    fn put_text(&mut self, key: &str, text: Option<&str>) {
        self.put(key, text.map_or(Value::Null, Value::from));
    }

    fn value(self) -> Value {
        Value::Object(self.0)
    }
}

fn type_of(object: &Object) -> (&str, &str) {
    match object {
        Object::Pod(_) => ("v1", "Pod"),
        Object::Namespace(_) => ("v1", "Namespace"),
        Object::Service(_) => ("v1", "Service"),
        Object::EndpointSlice(_) => ("discovery.k8s.io/v1", "EndpointSlice"),
        Object::Node(_) => ("v1", "Node"),
        Object::NetworkPolicy(_) => ("networking.k8s.io/v1", "NetworkPolicy"),
        Object::Workload(one) => (workload_version(&one.kind), one.kind.as_str()),
        Object::Caller(one) => caller_type(one.kind),
        Object::OtherPolicy { kind, .. } => other_policy(kind),
        Object::Other { api_version, kind, .. } => (api_version, kind),
    }
}

fn workload_version(kind: &WorkloadKind) -> &'static str {
    match kind {
        WorkloadKind::Job | WorkloadKind::CronJob => "batch/v1",
        WorkloadKind::ReplicationController | WorkloadKind::Pod => "v1",
        _ => "apps/v1",
    }
}

const fn caller_type(kind: CallerKind) -> (&'static str, &'static str) {
    match kind {
        CallerKind::ValidatingWebhook => {
            ("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration")
        }
        CallerKind::MutatingWebhook => ("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration"),
        CallerKind::ConversionWebhook => ("apiextensions.k8s.io/v1", "CustomResourceDefinition"),
        CallerKind::ApiService => ("apiregistration.k8s.io/v1", "APIService"),
        CallerKind::Ingress => ("networking.k8s.io/v1", "Ingress"),
        CallerKind::Gateway => ("gateway.networking.k8s.io/v1", "Gateway"),
        CallerKind::Route => ("gateway.networking.k8s.io/v1", "HTTPRoute"),
        CallerKind::PodMonitor => ("monitoring.coreos.com/v1", "PodMonitor"),
        CallerKind::ServiceMonitor => ("monitoring.coreos.com/v1", "ServiceMonitor"),
    }
}

/// The dialect's kind, as kubectl writes it where the kind alone would be ambiguous, with a version of its group.
fn other_policy(kind: &str) -> (&str, &str) {
    if let Some(group) = kind.strip_prefix("NetworkPolicy.") {
        let version = match group {
            "crd.antrea.io" => "crd.antrea.io/v1beta1",
            "crd.projectcalico.org" => "crd.projectcalico.org/v1",
            _ => "projectcalico.org/v3",
        };
        return (version, "NetworkPolicy");
    }
    let version = match kind {
        "GlobalNetworkPolicy" => "projectcalico.org/v3",
        "AdminNetworkPolicy" | "BaselineAdminNetworkPolicy" | "ClusterNetworkPolicy" => {
            "policy.networking.k8s.io/v1alpha2"
        }
        "AuthorizationPolicy" | "PeerAuthentication" => "security.istio.io/v1",
        "Sidecar" => "networking.istio.io/v1",
        "Server" | "ServerAuthorization" => "policy.linkerd.io/v1beta3",
        "EgressFirewall" => "k8s.ovn.org/v1",
        "ApplicationNetworkPolicy" => "networking.k8s.aws/v1alpha1",
        _ => "cilium.io/v2",
    };
    (version, kind)
}

fn metadata(meta: &Meta) -> Value {
    let mut json = Fields::default();
    if !meta.namespace.is_empty() {
        json.put("namespace", &*meta.namespace);
    }
    json.put("name", &*meta.name);
    json.put_text("uid", meta.uid.as_deref());
    json.put("labels", pairs(&meta.labels));
    json.put("annotations", pairs(&meta.annotations));
    json.put_text("creationTimestamp", meta.created.map(|at| at.to_string()).as_deref());
    if let Some(owner) = &meta.owner {
        let mut reference = Fields::default();
        reference.put("apiVersion", &*owner.api_version);
        reference.put("kind", &*owner.kind);
        reference.put("name", &*owner.name);
        reference.put("uid", &*owner.uid);
        reference.put("controller", true);
        json.put("ownerReferences", vec![reference.value()]);
    }
    json.value()
}

fn pairs(labels: &Labels) -> Value {
    labels.iter().map(|(key, value)| (key.to_string(), Value::from(&**value))).collect::<Map<_, _>>().into()
}

fn texts<T: ToString>(many: &[T]) -> Vec<Value> {
    many.iter().map(|one| Value::from(one.to_string())).collect()
}

fn addresses<T: ToString>(key: &str, many: &[T]) -> Vec<Value> {
    many.iter().map(|one| json!({ key: one.to_string() })).collect()
}

fn containers(ports: &[ContainerPort]) -> Value {
    let ports = ports.iter().map(|port| {
        let mut json = Fields::default();
        json.put_text("name", port.name.as_deref());
        json.put("containerPort", port.port);
        json.put("protocol", port.protocol.as_str());
        json.value()
    });
    let ports: Vec<Value> = ports.collect();
    if ports.is_empty() { Value::Null } else { json!([{ "ports": ports }]) }
}

fn pod(json: &mut Fields, pod: &Pod) {
    let mut spec = Fields::default();
    spec.put_text("nodeName", pod.node.as_deref());
    if pod.host_network {
        spec.put("hostNetwork", true);
    }
    spec.put("containers", containers(&pod.ports));
    let mut status = Fields::default();
    status.put(
        "phase",
        match pod.phase {
            Phase::Pending => "Pending",
            Phase::Running => "Running",
            Phase::Succeeded => "Succeeded",
            Phase::Failed => "Failed",
        },
    );
    status.put("podIPs", addresses("ip", &pod.ips));
    status.put("hostIPs", addresses("ip", &pod.host_ips));
    status.put_text("startTime", pod.started.map(|at| at.to_string()).as_deref());
    if let Some(finished) = pod.finished {
        status.put(
            "containerStatuses",
            json!([{ "state": { "terminated": { "finishedAt": finished.to_string() } } }]),
        );
    }
    json.put("spec", spec.value());
    json.put("status", status.value());
}

fn target(port: &TargetPort) -> Value {
    match port {
        TargetPort::Number(number) => Value::from(*number),
        TargetPort::Name(name) => Value::from(&**name),
    }
}

fn service(json: &mut Fields, service: &Service) {
    let mut spec = Fields::default();
    spec.put(
        "type",
        match service.service_type {
            ServiceType::ClusterIp => "ClusterIP",
            ServiceType::NodePort => "NodePort",
            ServiceType::LoadBalancer => "LoadBalancer",
            ServiceType::ExternalName => "ExternalName",
        },
    );
    if service.cluster_ips.is_empty() && service.service_type == ServiceType::ClusterIp {
        spec.put("clusterIP", "None");
    }
    spec.put("clusterIPs", texts(&service.cluster_ips));
    spec.put("externalIPs", texts(&service.external_ips));
    spec.put("selector", service.selector.as_ref().map_or(Value::Null, pairs));
    if service.external_traffic_local {
        spec.put("externalTrafficPolicy", "Local");
    }
    let ports = service.ports.iter().map(|port| {
        let mut json = Fields::default();
        json.put_text("name", port.name.as_deref());
        json.put("port", port.port);
        json.put("protocol", port.protocol.as_str());
        json.put("targetPort", target(&port.target));
        json.put("nodePort", port.node_port.map_or(Value::Null, Value::from));
        json.value()
    });
    spec.put("ports", ports.collect::<Vec<_>>());
    json.put("spec", spec.value());
    if !service.load_balancer_ips.is_empty() {
        json.put(
            "status",
            json!({ "loadBalancer": { "ingress": addresses("ip", &service.load_balancer_ips) } }),
        );
    }
}

fn slice(json: &mut Fields, slice: &EndpointSlice) {
    let ports = slice.ports.iter().map(|port| {
        let mut json = Fields::default();
        json.put_text("name", port.name.as_deref());
        json.put("port", port.port.map_or(Value::Null, Value::from));
        json.put("protocol", port.protocol.as_str());
        json.value()
    });
    json.put("ports", ports.collect::<Vec<_>>());
    let endpoints = slice.endpoints.iter().map(|endpoint| {
        let mut json = Fields::default();
        json.put("addresses", texts(&endpoint.ips));
        json.put("conditions", json!({ "ready": endpoint.ready }));
        if let Some(uid) = &endpoint.pod {
            json.put("targetRef", json!({ "kind": "Pod", "uid": &**uid }));
        }
        json.put_text("nodeName", endpoint.node.as_deref());
        json.value()
    });
    json.put("endpoints", endpoints.collect::<Vec<_>>());
}

fn node(json: &mut Fields, node: &Node) {
    let mut spec = Fields::default();
    spec.put("podCIDRs", texts(&node.pod_cidrs));
    spec.put_text("providerID", node.provider.as_deref());
    json.put("spec", spec.value());
    let mut status = Fields::default();
    let listed = node.ips.iter().map(|ip| json!({ "type": "InternalIP", "address": ip.to_string() }));
    status.put("addresses", listed.collect::<Vec<_>>());
    json.put("status", status.value());
}

fn workload(json: &mut Fields, workload: &Workload) {
    let mut pod = Fields::default();
    if workload.host_network {
        pod.put("hostNetwork", true);
    }
    pod.put("containers", containers(&workload.ports));
    let mut meta = Fields::default();
    meta.put("labels", pairs(&workload.template_labels));
    let mut template = Fields::default();
    template.put("metadata", meta.value());
    template.put("spec", pod.value());
    let mut spec = Fields::default();
    spec.put("replicas", workload.replicas.map_or(Value::Null, Value::from));
    spec.put_text("schedule", workload.schedule.as_deref());
    if let Some(selector) = &workload.selector {
        // The oldest keeper of pods has a plain map.
        let plain = workload.kind == WorkloadKind::ReplicationController;
        let json =
            if plain { serde_json::to_value(&selector.match_labels) } else { serde_json::to_value(selector) };
        spec.0.insert("selector".to_owned(), json.unwrap_or_default());
    }
    if workload.kind == WorkloadKind::CronJob {
        spec.put("jobTemplate", json!({ "spec": { "template": template.value() } }));
    } else {
        spec.put("template", template.value());
    }
    json.put("spec", spec.value());
}

fn caller(json: &mut Fields, caller: &Caller) {
    let services = || caller.targets.iter().filter_map(called);
    match caller.kind {
        CallerKind::ValidatingWebhook | CallerKind::MutatingWebhook => {
            let hooks = services().map(|service| json!({ "clientConfig": { "service": service } }));
            json.put("webhooks", hooks.collect::<Vec<_>>());
        }
        CallerKind::ConversionWebhook => {
            if let Some(service) = services().next() {
                json.put(
                    "spec",
                    json!({ "conversion": { "webhook": { "clientConfig": { "service": service } } } }),
                );
            }
        }
        CallerKind::ApiService => {
            if let Some(service) = services().next() {
                json.put("spec", json!({ "service": service }));
            }
        }
        CallerKind::Ingress => {
            let paths: Vec<Value> = caller.targets.iter().filter_map(backend).collect();
            json.put("spec", json!({ "rules": [{ "http": { "paths": paths } }] }));
        }
        CallerKind::Gateway => {}
        CallerKind::Route => {
            json.put("spec", json!({ "rules": [{ "backendRefs": services().collect::<Vec<_>>() }] }));
        }
        CallerKind::PodMonitor | CallerKind::ServiceMonitor => monitor(json, caller),
    }
}

/// A Service as webhooks, aggregated APIs and routes name it.
fn called(of: &CallerTarget) -> Option<Value> {
    let CallerTarget::Service { namespace, name, port } = of else { return None };
    let mut json = Fields::default();
    json.put("namespace", &**namespace);
    json.put("name", &**name);
    json.put("port", port.as_ref().map_or(Value::Null, target));
    Some(json.value())
}

fn backend(of: &CallerTarget) -> Option<Value> {
    let CallerTarget::Service { name, port, .. } = of else { return None };
    let port = match port {
        Some(TargetPort::Number(number)) => json!({ "number": number }),
        Some(TargetPort::Name(name)) => json!({ "name": &**name }),
        None => Value::Null,
    };
    Some(json!({ "backend": { "service": { "name": &**name, "port": port } } }))
}

fn monitor(json: &mut Fields, caller: &Caller) {
    let mut spec = Fields::default();
    let mut endpoints = Vec::new();
    for target in &caller.targets {
        let CallerTarget::Selected { namespaces, selector, port } = target else { continue };
        let chosen = if namespaces.is_empty() {
            json!({ "any": true })
        } else {
            json!({ "matchNames": texts(namespaces) })
        };
        spec.put("namespaceSelector", chosen);
        spec.0.insert("selector".to_owned(), serde_json::to_value(selector).unwrap_or_default());
        endpoints.push(match port {
            Some(TargetPort::Number(number)) => json!({ "portNumber": number }),
            Some(TargetPort::Name(name)) => json!({ "port": &**name }),
            None => json!({}),
        });
    }
    let key = if caller.kind == CallerKind::PodMonitor { "podMetricsEndpoints" } else { "endpoints" };
    spec.put(key, endpoints);
    json.put("spec", spec.value());
}
