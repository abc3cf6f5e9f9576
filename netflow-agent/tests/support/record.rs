//! A world as it ran once. In: a world, and a shape: replicas, names of pods, addresses, order. Out: the lines
//! of a recording, and the pods for the naive evaluator. Two shapes of one world mean the same.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

use super::naive;
use super::world::{Dice, Intent, Kind, Who, World};

/// Everything that must not change a policy.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub salt: u64,
}

/// One pod that ran.
#[derive(Clone, Debug)]
pub(crate) struct Ran {
    pub workload: usize,
    pub pod: naive::Pod,
    pub uid: String,
    /// Hours, the end excluded.
    pub from: i64,
    pub to: i64,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Case {
    pub lines: Vec<String>,
    pub pods: Vec<Ran>,
    pub namespaces: BTreeMap<String, naive::Labels>,
    pub nodes: BTreeMap<String, Vec<std::net::IpAddr>>,
    /// Intents that no two pods could carry out, by position.
    pub idle: Vec<usize>,
    pub reused: usize,
}

pub(crate) const NODE_Z: [&str; 2] = ["192.168.0.9", "fd00:ffff::9"];
#[path = "offered.rs"]
mod offered;

const HALF: i64 = 12;
const DAY: i64 = 24;

fn hour(at: i64, minute: i64, second: i64) -> String {
    format!("2026-11-20T{at:02}:{minute:02}:{second:02}Z")
}

struct Builder<'w> {
    world: &'w World,
    dice: Dice,
    case: Case,
    next_ip: u32,
    free: Vec<Vec<String>>,
    salt: u64,
}

pub(crate) fn record(world: &World, shape: Shape) -> Case {
    let mut builder = Builder {
        world,
        dice: Dice(shape.salt ^ 0x5eed),
        case: Case::default(),
        next_ip: 10 + u32::try_from(shape.salt % 97).expect("small"),
        free: Vec::new(),
        salt: shape.salt,
    };
    builder.cluster();
    // Those that roll give their addresses back half-way; the late ones take them.
    let mut order: Vec<usize> = (0..world.workloads.len()).collect();
    order.sort_by_key(|at| world.workloads[*at].late);
    for at in order {
        builder.workload(at);
    }
    for at in 0..world.workloads.len() {
        builder.services(at);
    }
    builder.elsewhere();
    for (at, intent) in world.intents.iter().enumerate() {
        if !builder.carry_out(intent, "established") {
            builder.case.idle.push(at);
        }
    }
    for attempt in &world.attempts {
        let outcome = if attempt.protocol == "UDP" { "unanswered" } else { "refused" };
        builder.carry_out(attempt, outcome);
    }
    builder.shuffled()
}

impl Builder<'_> {
    fn line(&mut self, value: &Value) {
        self.case.lines.push(value.to_string());
    }

    fn object(&mut self, object: &Value, from: Option<i64>, to: Option<i64>) {
        let mut line = json!({"kind": "object", "object": object});
        if let Some(from) = from {
            line["from"] = hour(from, 0, 1).into();
        }
        if let Some(to) = to {
            line["to"] = hour(to - 1, 59, 58).into();
        }
        self.line(&line);
    }

    fn cluster(&mut self) {
        for name in ["shop", "shop-test", "ops", "kube-system"] {
            let labels = naive::Labels::from([("kubernetes.io/metadata.name".to_owned(), name.to_owned())]);
            let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}});
            self.object(&object, None, None);
            self.case.namespaces.insert(name.to_owned(), labels);
        }
        let nodes = [
            ("node-a", vec!["192.168.0.1"], vec!["10.244.0.0/17", "fd00:1::/64"]),
            ("node-b", vec!["192.168.0.2"], vec!["10.244.128.0/17", "fd00:2::/64"]),
            ("node-z", NODE_Z[..if self.world.dual { 2 } else { 1 }].to_vec(), vec![]),
        ];
        for (name, ips, cidrs) in nodes {
            let addresses: Vec<Value> =
                ips.iter().map(|ip| json!({"type": "InternalIP", "address": ip})).collect();
            let object = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name},
                "spec": {"podCIDRs": cidrs}, "status": {"addresses": addresses}});
            self.object(&object, None, None);
            let ips = ips.iter().map(|ip| ip.parse().expect("an address")).collect();
            self.case.nodes.insert(name.to_owned(), ips);
            for at in 0..DAY {
                self.line(&json!({"kind": "coverage", "node": name, "hour": hour(at, 0, 0), "seq": 0,
                    "observed_seconds": 3600, "lost": {}}));
            }
        }
    }

    fn workload(&mut self, at: usize) {
        let one = self.world.workloads[at].clone();
        let labels: naive::Labels = one.selector.iter().chain(&one.extra).cloned().collect();
        let selector: naive::Labels = one.selector.iter().cloned().collect();
        let kind = format!("{:?}", one.kind);
        if one.known && one.kind != Kind::Rollout {
            let template = json!({"metadata": {"labels": labels}, "spec": {"hostNetwork": one.host_network}});
            let spec = match one.kind {
                Kind::CronJob => {
                    json!({"schedule": "0 * * * *", "jobTemplate": {"spec": {"template": template}}})
                }
                _ => json!({"selector": {"matchLabels": selector}, "template": template}),
            };
            let api = if one.kind == Kind::CronJob { "batch/v1" } else { "apps/v1" };
            let object = json!({"apiVersion": api, "kind": kind,
                "metadata": {"namespace": one.namespace, "name": one.name, "uid": format!("{at}-w")}, "spec": spec});
            self.object(&object, None, None);
        }
        let replicas = 2 + self.dice.below(3);
        let lives: &[(i64, i64, u64)] = match (one.rolling, one.late) {
            (true, _) => &[(0, HALF, 1), (HALF, DAY, 2)],
            (_, true) => &[(HALF, DAY, 1)],
            _ => &[(0, DAY, 1)],
        };
        for (from, to, generation) in lives {
            for replica in 0..replicas {
                self.pod(at, &labels, (*from, *to, *generation), replica);
            }
        }
    }

    fn pod(
        &mut self,
        at: usize,
        labels: &naive::Labels,
        (from, to, generation): (i64, i64, u64),
        replica: usize,
    ) {
        let one = self.world.workloads[at].clone();
        let mut labels = labels.clone();
        let (name, mut owner) = self.owned(at, generation, replica, &mut labels);
        if one.rolling && generation == 2 {
            labels.insert("since".into(), "second".into());
        }
        let job_uid = format!("{at}-{replica}-j");
        let owner_uid = if one.kind == Kind::CronJob { job_uid } else { format!("{at}-{generation}-o") };
        owner["uid"] = owner_uid.into();
        owner["controller"] = true.into();
        let node = if one.host_network { "node-z" } else { *self.dice.pick(&["node-a", "node-b"]) };
        let ips =
            if one.host_network { self.host_ips() } else { self.ips(one.late, one.v6, from > 0 && one.late) };
        if to == HALF && !one.v6 {
            self.free.push(ips.clone());
        }
        let uid = format!("{at}-{generation}-{replica}-{}", self.salt);
        let pod_ips: Vec<Value> = ips.iter().map(|ip| json!({"ip": ip})).collect();
        let ports: Vec<Value> = one
            .ports
            .iter()
            .map(|(name, port, protocol)| json!({"name": name, "containerPort": port, "protocol": protocol}))
            .collect();
        let object = json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"namespace": one.namespace, "name": name, "uid": uid, "labels": labels, "ownerReferences": [owner]},
            "spec": {"nodeName": node, "hostNetwork": one.host_network, "containers": [{"name": "c", "ports": ports}]},
            "status": {"phase": "Running", "podIP": ips[0], "podIPs": pod_ips}});
        self.object(&object, Some(from), Some(to));
        let pod = naive::Pod {
            namespace: one.namespace.to_owned(),
            name,
            labels,
            ports: Vec::new(),
            ips: ips.iter().map(|ip| ip.parse().expect("an address")).collect(),
            host_network: one.host_network,
            node: Some(node.to_owned()),
        };
        self.case.pods.push(Ran { workload: at, pod, uid, from, to });
    }

    /// The pod's name and its owner; adds the labels that its controller stamps.
    fn owned(
        &mut self,
        at: usize,
        generation: u64,
        replica: usize,
        labels: &mut naive::Labels,
    ) -> (String, Value) {
        let one = self.world.workloads[at].clone();
        let hash = format!("{:x}", 0x6c9f_8d00 + self.salt * 16 + generation);
        let stem = format!("{}-{hash}", one.name);
        match one.kind {
            Kind::Deployment => {
                labels.insert("pod-template-hash".into(), hash.clone());
                (
                    format!("{stem}-p{replica}"),
                    json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": stem}),
                )
            }
            Kind::Rollout => {
                labels.insert("rollouts-pod-template-hash".into(), hash.clone());
                let owner =
                    json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "name": one.name});
                (format!("{stem}-p{replica}"), owner)
            }
            Kind::StatefulSet => {
                let name = format!("{}-{replica}", one.name);
                labels.insert("statefulset.kubernetes.io/pod-name".into(), name.clone());
                labels.insert("apps.kubernetes.io/pod-index".into(), replica.to_string());
                (name, json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "name": one.name}))
            }
            Kind::DaemonSet => {
                labels.insert("controller-revision-hash".into(), hash.clone());
                (
                    format!("{stem}{replica}"),
                    json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "name": one.name}),
                )
            }
            Kind::CronJob => {
                let job = format!("{}-{}", one.name, 29_000_000 + replica);
                labels.insert("batch.kubernetes.io/job-name".into(), job.clone());
                labels.insert("job-name".into(), job.clone());
                self.job(&one.name, one.namespace, &job, at, replica);
                (
                    format!("{job}-x{}", self.salt),
                    json!({"apiVersion": "batch/v1", "kind": "Job", "name": job}),
                )
            }
        }
    }

    fn job(&mut self, cron: &str, namespace: &str, job: &str, at: usize, replica: usize) {
        let owner = json!([{"apiVersion": "batch/v1", "kind": "CronJob", "name": cron, "uid": format!("{at}-w"), "controller": true}]);
        let object = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"namespace": namespace, "name": job,
            "uid": format!("{at}-{replica}-j"), "ownerReferences": owner}, "spec": {"template": {"metadata": {"labels": {}}}}});
        // Its template is that of the pods: without labels of its own it would stand for pods without any.
        let mut object = object;
        let labels: naive::Labels = self.world.workloads[at]
            .selector
            .iter()
            .chain(&self.world.workloads[at].extra)
            .cloned()
            .collect();
        object["spec"]["template"]["metadata"]["labels"] = json!(labels);
        self.object(&object, None, None);
    }

    fn host_ips(&self) -> Vec<String> {
        NODE_Z[..if self.world.dual { 2 } else { 1 }].iter().map(|ip| (*ip).to_owned()).collect()
    }

    fn ips(&mut self, late: bool, v6: bool, may_reuse: bool) -> Vec<String> {
        if late
            && may_reuse
            && !v6
            && let Some(ips) = self.free.pop()
        {
            self.case.reused += 1;
            return ips;
        }
        self.next_ip += 1 + u32::try_from(self.salt % 3).expect("small");
        let mut ips = vec![format!("10.244.{}.{}", self.next_ip / 250, 1 + self.next_ip % 250)];
        if v6 {
            let mut ip = String::new();
            write!(ip, "fd00:1::{:x}", self.next_ip).expect("a string takes all");
            ips.push(ip);
        }
        ips
    }

    /// False where no two pods lived together.
    fn carry_out(&mut self, intent: &Intent, outcome: &str) -> bool {
        let clients = self.living(&intent.from);
        let servers = self.living(&intent.to);
        let mut pairs = Vec::new();
        for client in &clients {
            for server in &servers {
                let (from, to) = (client.from.max(server.from), client.to.min(server.to));
                if from < to && (client.uid.is_empty() || client.uid != server.uid) {
                    pairs.push((client.clone(), server.clone(), from, to));
                }
            }
        }
        if pairs.is_empty() {
            return false;
        }
        for _ in 0..=self.dice.below(3) {
            let (client, server, from, to) = self.dice.pick(&pairs).clone();
            let at = from
                + i64::try_from(self.dice.below(usize::try_from(to - from).expect("hours"))).expect("hours");
            self.flows(intent, outcome, &client, &server, at);
        }
        true
    }

    fn living(&self, who: &Who) -> Vec<Ran> {
        let address = |ip: &str| Ran {
            workload: usize::MAX,
            pod: naive::Pod { ips: vec![ip.parse().expect("an address")], ..naive::Pod::default() },
            uid: String::new(),
            from: 0,
            to: DAY,
        };
        match who {
            Who::Workload(at) => self.case.pods.iter().filter(|ran| ran.workload == *at).cloned().collect(),
            Who::Node => vec![address(NODE_Z[0])],
            Who::DialledNode => Vec::new(),
            Who::External(ip) => vec![address(ip)],
        }
    }

    fn flows(&mut self, intent: &Intent, outcome: &str, client: &Ran, server: &Ran, at: i64) {
        let v6 = [client, server].iter().any(|ran| ran.uid.is_empty() && ran.pod.ips[0].is_ipv6());
        let ip = |ran: &Ran| {
            ran.pod.ips.iter().find(|ip| ip.is_ipv6() == v6).copied().unwrap_or(ran.pod.ips[0]).to_string()
        };
        let line = |side: &str, ran: &Ran, remote: &str, port: u16| {
            json!({"kind": "flow", "node": ran.pod.node, "hour": hour(at, 0, 0), "seq": 0, "side": side, "pod": ran.uid,
                "local": ip(ran), "remote": remote, "port": port, "protocol": intent.protocol, "outcome": outcome,
                "basis": "observed", "connections": 1, "bytes_sent": 1, "bytes_received": 1,
                "first": hour(at, 10, 0), "last": hour(at, 50, 0)})
        };
        let pods = !client.uid.is_empty() && !server.uid.is_empty();
        let came_up = outcome == "established";
        let client_saw = !client.uid.is_empty() && (!pods || intent.witness != 2 || !came_up);
        let server_saw = !server.uid.is_empty() && came_up && (!pods || intent.witness != 1);
        let mut lines = Vec::new();
        if client_saw {
            let (remote, port) = self.dialled(intent, &ip(server));
            lines.push(line("client", client, &remote, port));
        }
        if server_saw {
            lines.push(line("server", server, &ip(client), intent.port));
        }
        for line in &lines {
            self.line(line);
        }
    }

    fn shuffled(mut self) -> Case {
        let lines = &mut self.case.lines;
        for at in (1..lines.len()).rev() {
            lines.swap(at, self.dice.below(at + 1));
        }
        self.case
    }
}
