//! A made-up cluster as its API server has it: 10,000 pods behind 500 Services on 90 nodes, of which one is ours with
//! its 110 pods. In: nothing. Out: objects, each with the name of its kind in a path.

use serde_json::{Value, json};

const SERVICES: u32 = 500;
const PODS_OF_SERVICE: u32 = 20;
const NODES: u32 = 90;
const NAMESPACES: u32 = 50;
/// The node of the agent.
pub(super) const OURS: &str = "node-0";

pub(super) fn objects() -> Vec<(&'static str, Value)> {
    let mut objects = vec![("nodes", node())];
    objects.extend((0..NAMESPACES).map(|number| ("namespaces", namespace(number))));
    for number in 0..SERVICES {
        objects.extend([("services", service(number)), ("endpointslices", slice(number))]);
    }
    objects.extend((0..110).map(|number| ("pods", pod(number * NODES))));
    objects
}

const BORN: &str = "2026-11-20T09:00:00Z";

/// What the API server adds to every object, and nobody here reads.
fn meta(name: &str, namespace: Option<u32>, uid: &str, labels: &Value) -> Value {
    let managed = json!([{ "manager": "kube-controller-manager", "operation": "Update", "apiVersion": "v1", "time": BORN, "fieldsType": "FieldsV1", "fieldsV1": { "f:metadata": { "f:labels": { ".": {}, "f:app": {} } }, "f:spec": { "f:ports": {}, "f:selector": {} } } }]);
    json!({
        "name": name, "namespace": namespace.map(|number| format!("team-{}", number % NAMESPACES)), "uid": uid,
        "resourceVersion": "9", "creationTimestamp": BORN, "labels": labels, "managedFields": managed,
    })
}

fn pod_name(number: u32) -> String {
    format!("service-{}-5d4f8c7b9-{:05}", number / PODS_OF_SERVICE, number % PODS_OF_SERVICE)
}

fn pod_uid(number: u32) -> String {
    format!("{number:08x}-aaaa-4bbb-8ccc-{number:012x}")
}

fn pod_ip(number: u32) -> String {
    format!("10.100.{}.{}", number / 250, number % 250 + 1)
}

fn service(number: u32) -> Value {
    let name = format!("service-{number}");
    let ip = format!("10.96.{}.{}", number / 250, number % 250 + 1);
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": meta(&name, Some(number), &format!("{number:08}-0000-4000-8000-000000000000"), &json!({ "app": name })),
        "spec": {
            "clusterIP": ip, "clusterIPs": [ip], "type": "ClusterIP", "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack",
            "selector": { "app": name }, "ports": [{ "name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP" }],
        },
        "status": { "loadBalancer": {} },
    })
}

fn slice(number: u32) -> Value {
    let service = format!("service-{number}");
    let labels = json!({
        "app": service, "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
        "kubernetes.io/service-name": service,
    });
    let endpoint = |at| {
        let pod = number * PODS_OF_SERVICE + at;
        json!({
            "addresses": [pod_ip(pod)], "conditions": { "ready": true, "serving": true, "terminating": false },
            "nodeName": format!("node-{}", pod % NODES), "zone": "zone-a",
            "targetRef": { "kind": "Pod", "name": pod_name(pod), "namespace": format!("team-{}", number % NAMESPACES), "uid": pod_uid(pod) },
        })
    };
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": meta(&format!("{service}-abcde"), Some(number), &format!("{number:08}-0000-4000-8000-000000000001"), &labels),
        "ports": [{ "name": "http", "port": 8080, "protocol": "TCP" }],
        "endpoints": (0..PODS_OF_SERVICE).map(endpoint).collect::<Vec<Value>>(),
    })
}

fn namespace(number: u32) -> Value {
    let name = format!("team-{number}");
    let labels = json!({ "kubernetes.io/metadata.name": name });
    json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": meta(&name, None, &format!("{number:08}-0000-4000-8000-000000000002"), &labels),
        "spec": { "finalizers": ["kubernetes"] }, "status": { "phase": "Active" },
    })
}

fn node() -> Value {
    let images: Vec<Value> =
        (0..50).map(|number| json!({ "names": [format!("registry/image-{number}@sha256:{number:064}")], "sizeBytes": 50_000_000 })).collect();
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": meta(OURS, None, "00000000-0000-4000-8000-000000000003", &json!({ "kubernetes.io/hostname": OURS })),
        "spec": { "podCIDR": "10.245.1.0/24", "podCIDRs": ["10.245.1.0/24"] },
        "status": { "addresses": [{ "type": "InternalIP", "address": "192.0.2.1" }], "images": images },
    })
}

fn pod(number: u32) -> Value {
    let owner = format!("service-{}-5d4f8c7b9", number / PODS_OF_SERVICE);
    let container = |name: &str| {
        json!({
            "name": name, "image": "registry/image:1", "ports": [{ "containerPort": 8080, "protocol": "TCP" }],
            "env": (0..20).map(|at| json!({ "name": format!("VARIABLE_{at}"), "value": "a value of some length" })).collect::<Vec<Value>>(),
            "resources": { "requests": { "cpu": "100m", "memory": "128Mi" } },
            "livenessProbe": { "httpGet": { "path": "/livez", "port": 8080 }, "periodSeconds": 10 },
            "volumeMounts": [{ "name": "kube-api-access", "readOnly": true, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount" }],
        })
    };
    let mut metadata = meta(
        &pod_name(number),
        Some(number / PODS_OF_SERVICE),
        &pod_uid(number),
        &json!({ "app": format!("service-{}", number / PODS_OF_SERVICE), "pod-template-hash": "5d4f8c7b9" }),
    );
    metadata["ownerReferences"] =
        json!([{ "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": owner, "uid": owner, "controller": true }]);
    let ready = json!({ "type": "Ready", "status": "True", "lastTransitionTime": BORN });
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": metadata,
        "spec": { "nodeName": OURS, "containers": [container("main"), container("proxy")], "serviceAccountName": "default" },
        "status": {
            "phase": "Running", "podIP": pod_ip(number), "podIPs": [{ "ip": pod_ip(number) }], "hostIP": "192.0.2.1",
            "startTime": BORN, "conditions": [ready],
        },
    })
}
