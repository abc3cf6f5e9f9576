//! A cluster as its manifests make it, and a recording of what its workloads did. In: manifests as people write
//! them, and flows, one a line. Out: the lines of a recording: pods with addresses on three nodes, ReplicaSets,
//! Jobs, slices, coverage, and for each flow what either end saw.
//!
//! A flow is `FROM[, FROM] -> TO PORT/PROTOCOL [words]`. An end is `namespace/workload`, `node-a` or an address;
//! `service namespace/name` is reached by its cluster address on its own port. Words: `client` or `server` for
//! the only end that tells, `refused`, `timeout`, `unanswered`, `v6`, `mesh` (both ends have a sidecar),
//! `by node-a` (the server sees this node for its client).

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::{Value, json};

#[path = "played.rs"]
mod played;

pub(crate) use played::each;

const HOURS: [u32; 2] = [10, 11];
const NODES: [&str; 3] = ["node-a", "node-b", "node-c"];

fn time(hour: u32, minute: u32) -> String {
    format!("2026-11-20T{hour:02}:{minute:02}:00Z")
}

/// A pod that runs, or ran.
#[derive(Clone, Debug)]
struct Pod {
    workload: String,
    uid: String,
    node: usize,
    ips: Vec<IpAddr>,
    labels: BTreeMap<String, String>,
    ports: Vec<(String, u64, String)>,
    namespace: String,
    /// None: all the time; else in the first minutes of this hour.
    hour: Option<u32>,
}

/// All that the manifests lead to.
pub(crate) struct Stage {
    pub(crate) lines: Vec<String>,
    objects: Vec<Value>,
    pods: Vec<Pod>,
    n_pods: usize,
    dual: bool,
}

fn text<'v>(value: &'v Value, path: &str) -> &'v str {
    value.pointer(path).and_then(Value::as_str).unwrap_or_default()
}

fn pairs(value: Option<&Value>) -> BTreeMap<String, String> {
    let map = value.and_then(Value::as_object).into_iter().flatten();
    map.map(|(key, value)| (key.clone(), value.as_str().expect("a label is text").to_owned())).collect()
}

fn node_ip(at: usize, v6: bool) -> String {
    if v6 { format!("fd00:192::1{}", at + 1) } else { format!("192.168.0.1{}", at + 1) }
}

/// The first letters of a digest as the API writes hashes.
fn hash(of: &str) -> String {
    let mut state = of.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |state, byte| {
        (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mut text = String::new();
    for _ in 0..10 {
        let letters = b"bcdfghjklmnpqrstvwxz2456789";
        text.push(char::from(letters[usize::try_from(state % 27).expect("small")]));
        state /= 27;
    }
    text
}

impl Stage {
    pub(crate) fn of(manifests: &[&str]) -> Self {
        let mut objects: Vec<Value> = Vec::new();
        for text in manifests {
            objects.extend(serde_saphyr::from_multiple::<Value>(text).expect("manifests"));
        }
        let dual = objects.iter().any(|one| text(one, "/spec/ipFamilyPolicy") == "RequireDualStack");
        let mut stage = Self { lines: Vec::new(), objects, pods: Vec::new(), n_pods: 0, dual };
        stage.nodes();
        for object in stage.objects.clone() {
            stage.place(&object);
        }
        stage
    }

    fn line(&mut self, value: &Value) {
        self.lines.push(value.to_string());
    }

    fn object(&mut self, object: &Value) {
        self.line(&json!({"kind": "object", "from": time(9, 0), "object": object}));
    }

    fn nodes(&mut self) {
        for (at, name) in NODES.iter().enumerate() {
            let mut addresses = vec![json!({"type": "InternalIP", "address": node_ip(at, false)})];
            let mut cidrs = vec![format!("10.244.{}.0/24", at + 1)];
            if self.dual {
                addresses.push(json!({"type": "InternalIP", "address": node_ip(at, true)}));
                cidrs.push(format!("fd00:244:0:{}::/64", at + 1));
            }
            self.line(&json!({"kind": "object", "gateways": [format!("10.244.{}.1", at + 1)], "object": {
                "apiVersion": "v1", "kind": "Node", "metadata": {"name": name},
                "spec": {"podCIDRs": cidrs}, "status": {"addresses": addresses}}}));
            for hour in HOURS {
                self.line(&json!({"kind": "coverage", "node": name, "hour": time(hour, 0), "seq": 0,
                    "observed_seconds": 3600, "lost": {}}));
            }
        }
    }

    fn place(&mut self, object: &Value) {
        match text(object, "/kind") {
            "Service" => self.service(object.clone()),
            "Pod" => self.pod(object, text(object, "/metadata/name"), &json!(null), &object["spec"], None),
            "Deployment" => self.deployment(object),
            "StatefulSet" | "DaemonSet" => self.replicated(object),
            "CronJob" => self.cron_job(object),
            _ => self.object(object),
        }
    }

    fn deployment(&mut self, object: &Value) {
        self.object(object);
        let (name, namespace) = (text(object, "/metadata/name"), text(object, "/metadata/namespace"));
        let hash = hash(&format!("{namespace}/{name}"));
        let mut template = object["spec"]["template"].clone();
        template["metadata"]["labels"]["pod-template-hash"] = hash.clone().into();
        let set = format!("{name}-{hash}");
        let owner = json!([{"apiVersion": "apps/v1", "kind": "Deployment", "name": name, "uid": format!("d-{name}"), "controller": true}]);
        self.object(&json!({"apiVersion": "apps/v1", "kind": "ReplicaSet",
            "metadata": {"namespace": namespace, "name": set, "ownerReferences": owner},
            "spec": {"selector": {"matchLabels": template["metadata"]["labels"]}, "template": template}}));
        let owner = json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": set, "uid": format!("r-{name}"), "controller": true});
        let pod = json!({"metadata": {"namespace": namespace, "labels": template["metadata"]["labels"]}});
        for at in 0..object["spec"]["replicas"].as_u64().unwrap_or(1) {
            let pod_name = format!("{set}-{}", &self::hash(&format!("{set}{at}"))[..5]);
            self.pod_of(&pod, &pod_name, &owner, &template["spec"], None, name);
        }
    }

    fn replicated(&mut self, object: &Value) {
        self.object(object);
        let (name, namespace) = (text(object, "/metadata/name"), text(object, "/metadata/namespace"));
        let kind = text(object, "/kind");
        let template = &object["spec"]["template"];
        let owner = json!({"apiVersion": "apps/v1", "kind": kind, "name": name, "uid": format!("o-{name}"), "controller": true});
        let of_set = kind == "StatefulSet";
        let count = if of_set { object["spec"]["replicas"].as_u64().unwrap_or(1) } else { 3 };
        for at in 0..count {
            let mut labels = template["metadata"]["labels"].clone();
            labels["controller-revision-hash"] = hash(name).into();
            let mut pod_name = format!("{name}-{}", &hash(&format!("{name}{at}"))[..5]);
            if of_set {
                pod_name = format!("{name}-{at}");
                labels["statefulset.kubernetes.io/pod-name"] = pod_name.clone().into();
                labels["apps.kubernetes.io/pod-index"] = at.to_string().into();
            } else {
                // One on each node, the first node first.
                self.n_pods = self.n_pods.next_multiple_of(3) + usize::try_from(at).expect("few");
            }
            let pod = json!({"metadata": {"namespace": namespace, "labels": labels}});
            self.pod_of(&pod, &pod_name, &owner, &template["spec"], None, name);
        }
    }

    /// A run in each hour where its schedule says so; none of one that is due another day.
    fn cron_job(&mut self, object: &Value) {
        self.object(object);
        let (name, namespace) = (text(object, "/metadata/name"), text(object, "/metadata/namespace"));
        let template = &object["spec"]["jobTemplate"]["spec"]["template"];
        if !text(object, "/spec/schedule").ends_with("* * * *") {
            return;
        }
        for hour in HOURS {
            // Minutes since the epoch at midnight of that day.
            let job = format!("{name}-{}", 29_918_880 + hour * 60);
            let mut labels = template["metadata"]["labels"].clone();
            labels["batch.kubernetes.io/job-name"] = job.clone().into();
            labels["job-name"] = job.clone().into();
            let owner = json!([{"apiVersion": "batch/v1", "kind": "CronJob", "name": name, "uid": format!("c-{name}"), "controller": true}]);
            self.object(&json!({"apiVersion": "batch/v1", "kind": "Job",
                "metadata": {"namespace": namespace, "name": job, "ownerReferences": owner},
                "spec": {"template": {"metadata": {"labels": labels}, "spec": template["spec"]}}}));
            let owner = json!({"apiVersion": "batch/v1", "kind": "Job", "name": job, "uid": format!("j-{job}"), "controller": true});
            let pod = json!({"metadata": {"namespace": namespace, "labels": labels}});
            self.pod_of(
                &pod,
                &format!("{job}-{}", &hash(&job)[..5]),
                &owner,
                &template["spec"],
                Some(hour),
                name,
            );
        }
    }

    fn pod(&mut self, pod: &Value, name: &str, owner: &Value, spec: &Value, hour: Option<u32>) {
        self.pod_of(pod, name, owner, spec, hour, name);
    }

    fn pod_of(&mut self, pod: &Value, name: &str, owner: &Value, spec: &Value, hour: Option<u32>, of: &str) {
        let namespace = text(pod, "/metadata/namespace").to_owned();
        let host = spec["hostNetwork"] == true;
        // Ordinary pods live on the first two nodes.
        let node =
            if host || text(owner, "/kind") == "DaemonSet" { self.n_pods % 3 } else { self.n_pods % 2 };
        self.n_pods += 1;
        let own = 9 + self.n_pods;
        let mut ips = vec![if host { node_ip(node, false) } else { format!("10.244.{}.{own}", node + 1) }];
        if self.dual {
            ips.push(if host { node_ip(node, true) } else { format!("fd00:244:0:{}::{own:x}", node + 1) });
        }
        let labels = pairs(pod.pointer("/metadata/labels"));
        let uid = format!("{namespace}-{name}");
        let mut meta = json!({"namespace": namespace, "name": name, "uid": uid, "labels": labels,
            "creationTimestamp": time(hour.unwrap_or(9), 0)});
        if !owner.is_null() {
            meta["ownerReferences"] = json!([owner]);
        }
        let mut spec = spec.clone();
        spec["nodeName"] = NODES[node].into();
        let pod_ips: Vec<Value> = ips.iter().map(|ip| json!({"ip": ip})).collect();
        let mut status =
            json!({"phase": "Running", "hostIP": node_ip(node, false), "podIP": ips[0], "podIPs": pod_ips});
        let mut line = json!({"kind": "object", "from": time(hour.unwrap_or(9), 0)});
        if let Some(hour) = hour {
            status["phase"] = "Succeeded".into();
            status["containerStatuses"] = json!([{"state": {"terminated": {"finishedAt": time(hour, 20)}}}]);
            line["to"] = time(hour, 20).into();
        }
        line["object"] =
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec, "status": status});
        self.line(&line);
        let declared = spec["containers"].as_array().into_iter().flatten();
        let ports = declared.flat_map(|container| container["ports"].as_array().cloned().unwrap_or_default());
        self.pods.push(Pod {
            workload: format!("{namespace}/{of}"),
            uid,
            node,
            ips: ips.iter().map(|ip| ip.parse().expect("an address")).collect(),
            labels,
            ports: ports
                .map(|port| {
                    let protocol = port["protocol"].as_str().unwrap_or("TCP").to_owned();
                    let number = port["containerPort"].as_u64().expect("a port");
                    (text(&port, "/name").to_owned(), number, protocol)
                })
                .collect(),
            namespace,
            hour,
        });
    }

    /// Its addresses; slices follow when all pods are there.
    fn service(&mut self, mut object: Value) {
        let at = self.objects.iter().position(|one| *one == object).expect("one of them");
        if object["spec"]["clusterIP"] != "None" && text(&object, "/spec/type") != "ExternalName" {
            let ip =
                object["spec"]["clusterIP"].as_str().map_or(format!("10.96.0.{}", at + 20), str::to_owned);
            object["spec"]["clusterIP"] = ip.clone().into();
            let dual = text(&object, "/spec/ipFamilyPolicy") == "RequireDualStack";
            object["spec"]["clusterIPs"] =
                if dual { json!([ip, format!("fd00:96::{:x}", at + 20)]) } else { json!([ip]) };
        }
        self.object(&object);
        self.objects[at] = object;
    }
}
