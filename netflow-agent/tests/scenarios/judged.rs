//! Expectations, and the naive evaluator's word on them. In: `A[, A] -> B PORT/PROTOCOL ...` and `gap KIND ABOUT`,
//! a line each; a recording's objects and the YAML that came of it. Out: how many verdicts were asked, and the
//! wrong ones. Objects are read as plain JSON: nothing of the product is used.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde_json::Value;

use super::naive::{self, Cluster, End, Pod};
use super::staged::each;

/// What came out of a recording.
pub(crate) struct Told {
    pub(crate) lines: Vec<String>,
    pub(crate) yaml: String,
    pub(crate) gaps: BTreeSet<String>,
}

/// From, to, port, protocol.
type Edge = (String, String, u16, String);

#[derive(Default)]
pub(crate) struct Expected {
    pub(crate) edges: BTreeSet<Edge>,
    pub(crate) gaps: BTreeSet<String>,
}

impl Expected {
    pub(crate) fn read(text: &str) -> Self {
        let mut expected = Self::default();
        for line in text.lines().map(|line| line.split('#').next().unwrap_or_default().trim()) {
            if let Some(gap) = line.strip_prefix("gap ") {
                expected.gaps.insert(gap.to_owned());
            } else if let Some((from, rest)) = line.split_once(" -> ") {
                let mut words = rest.split_whitespace();
                let to = words.next().expect("TO");
                for word in words {
                    let (port, protocol) = word.split_once('/').expect("PORT/PROTOCOL");
                    let port = port.parse().expect("a port");
                    for (from, to) in
                        from.split(',').flat_map(|from| each(to).into_iter().map(move |to| (from, to)))
                    {
                        expected.edges.insert((from.trim().to_owned(), to, port, protocol.to_owned()));
                    }
                }
            } else {
                assert!(line.is_empty(), "not an expectation: {line}");
            }
        }
        expected
    }
}

/// Everything that a verdict can be asked about.
struct Scene {
    cluster: Cluster,
    ends: BTreeMap<String, Vec<End>>,
    ports: BTreeSet<u16>,
}

/// Namespaces that are peers only.
fn is_subject(end: &str) -> bool {
    end.contains('/') && !["kube-system/", "netflow/"].iter().any(|start| end.starts_with(start))
}

fn text<'v>(value: &'v Value, path: &str) -> &'v str {
    value.pointer(path).and_then(Value::as_str).unwrap_or_default()
}

fn address(text: &str) -> Option<IpAddr> {
    text.parse().ok()
}

impl Scene {
    fn of(told: &Told, expected: &Expected) -> Self {
        let lines: Vec<Value> =
            told.lines.iter().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        let objects: Vec<&Value> = lines.iter().filter_map(|line| line.get("object")).collect();
        let mut scene = Self { cluster: Cluster::default(), ends: BTreeMap::new(), ports: [1, 22].into() };
        scene.cluster.policies = serde_saphyr::from_multiple(&told.yaml).expect("policies");
        for object in &objects {
            scene.take(object, &objects);
        }
        for flow in lines.iter().filter(|line| line["kind"] == "flow") {
            scene.ports.insert(number(&flow["port"]));
            for ip in [address(text(flow, "/remote")), address(text(flow, "/local"))].into_iter().flatten() {
                scene.outside(ip);
            }
        }
        for (from, to, port, _) in &expected.edges {
            scene.ports.insert(*port);
            for ip in [from, to].into_iter().filter_map(|end| address(end)) {
                scene.outside(ip);
            }
        }
        // One that nobody ever talked to.
        scene.outside(IpAddr::from([198, 51, 100, 99]));
        scene
    }

    fn take(&mut self, object: &Value, all: &[&Value]) {
        let name = text(object, "/metadata/name").to_owned();
        match text(object, "/kind") {
            "Namespace" => drop(self.cluster.namespaces.insert(name, labels(object))),
            "Node" => {
                let addresses = object["status"]["addresses"].as_array().into_iter().flatten();
                let ips: Vec<IpAddr> = addresses.filter_map(|one| address(text(one, "/address"))).collect();
                self.ends.insert(name.clone(), ips.iter().map(|ip| End::Address(*ip)).collect());
                self.cluster.nodes.insert(name, ips);
            }
            "Pod" => {
                let host_network = object["spec"]["hostNetwork"] == true;
                let ips = object["status"]["podIPs"].as_array().into_iter().flatten();
                let containers = object["spec"]["containers"].as_array().into_iter().flatten();
                let declared = containers.flat_map(|one| one["ports"].as_array().into_iter().flatten());
                self.ports.extend(declared.map(|port| number(&port["containerPort"])));
                if !host_network {
                    let end = End::Pod(self.cluster.pods.len());
                    self.ends.entry(workload(object, all)).or_default().push(end);
                }
                self.cluster.pods.push(Pod {
                    namespace: text(object, "/metadata/namespace").to_owned(),
                    name,
                    labels: labels(object),
                    ports: Vec::new(),
                    ips: ips.filter_map(|one| address(text(one, "/ip"))).collect(),
                    host_network,
                    node: object["spec"]["nodeName"].as_str().map(str::to_owned),
                });
            }
            "Service" => {
                let ports = object["spec"]["ports"].as_array().into_iter().flatten();
                for port in ports {
                    let numbers = [&port["port"], &port["targetPort"], &port["nodePort"]];
                    self.ports.extend(numbers.into_iter().filter(|one| one.is_u64()).map(number));
                }
            }
            _ => {}
        }
    }

    /// An address that is nobody's in the cluster, and the one beside it.
    fn outside(&mut self, ip: IpAddr) {
        let beside = match ip {
            IpAddr::V4(ip) => IpAddr::V4((u32::from(ip) ^ 1).into()),
            IpAddr::V6(ip) => IpAddr::V6((u128::from(ip) ^ 1).into()),
        };
        for ip in [ip, beside] {
            self.stranger(ip);
        }
    }

    fn name(&self, end: End) -> String {
        match end {
            End::Pod(at) => self.cluster.pods[at].name.clone(),
            End::Address(ip) => ip.to_string(),
        }
    }

    fn stranger(&mut self, ip: IpAddr) {
        let inside = self.cluster.pods.iter().any(|pod| pod.ips.contains(&ip))
            || self.cluster.nodes.values().any(|ips| ips.contains(&ip));
        let service = ["10.96.", "fd00:96:", "127."].iter().any(|start| ip.to_string().starts_with(start));
        if !inside && !service {
            self.ends.insert(ip.to_string(), vec![End::Address(ip)]);
        }
    }
}

fn number(value: &Value) -> u16 {
    u16::try_from(value.as_u64().expect("a port")).expect("a port")
}

fn labels(object: &Value) -> naive::Labels {
    let pairs = object["metadata"]["labels"].as_object().into_iter().flatten();
    pairs.map(|(key, value)| (key.clone(), value.as_str().expect("text").to_owned())).collect()
}

/// `namespace/name` of the topmost owner that an object says.
fn workload(object: &Value, all: &[&Value]) -> String {
    let namespace = text(object, "/metadata/namespace");
    let mut at = object;
    let mut name = text(at, "/metadata/name").to_owned();
    while let Some(owner) = at["metadata"]["ownerReferences"].get(0) {
        name = text(owner, "/name").to_owned();
        let is = |one: &&&Value| {
            one["kind"] == owner["kind"]
                && text(one, "/metadata/name") == name
                && text(one, "/metadata/namespace") == namespace
        };
        match all.iter().find(is) {
            Some(above) => at = above,
            None => break,
        }
    }
    format!("{namespace}/{name}")
}

/// How many verdicts were asked, and which are not as expected.
pub(crate) fn wrong(told: &Told, expected: &Expected) -> (usize, Vec<String>) {
    let scene = Scene::of(told, expected);
    let mut wrong = Vec::new();
    for (from, to, _, _) in &expected.edges {
        for end in [from, to].into_iter().filter(|end| !scene.ends.contains_key(*end)) {
            wrong.push(format!("no such end: {end}"));
        }
    }
    let mut judged = 0;
    for (from, sources) in &scene.ends {
        for (to, targets) in scene.ends.iter().filter(|(to, _)| is_subject(from) || is_subject(to)) {
            let pairs = pairs(&scene.cluster, sources, targets);
            for port in &scene.ports {
                for protocol in ["TCP", "UDP"] {
                    let edge = (from.clone(), to.clone(), *port, protocol.to_owned());
                    let wanted = if expected.edges.contains(&edge) { "allowed" } else { "denied" };
                    for (source, target) in &pairs {
                        judged += 1;
                        let verdict = naive::judge(&scene.cluster, *source, *target, *port, protocol)[2];
                        if verdict != wanted {
                            let (one, other) = (scene.name(*source), scene.name(*target));
                            let words = format!(
                                "{from} ({one}) -> {to} ({other}) {port}/{protocol} is {verdict}, not {wanted}"
                            );
                            wrong.push(words);
                        }
                    }
                }
            }
        }
    }
    wrong.dedup();
    (judged, wrong)
}

/// First and last of either side, but a pod with itself, a node with its own pods, and two families.
fn pairs(cluster: &Cluster, sources: &[End], targets: &[End]) -> Vec<(End, End)> {
    let few = |ends: &[End]| -> Vec<End> {
        let mut few = vec![ends[0]];
        few.extend(ends.last().filter(|_| ends.len() > 1));
        few
    };
    let node_of = |end: End| match end {
        End::Pod(at) => cluster.pods[at].node.clone(),
        End::Address(ip) => {
            cluster.nodes.iter().find(|(_, ips)| ips.contains(&ip)).map(|(name, _)| name.clone())
        }
    };
    let v4 = |end: End| match end {
        End::Pod(at) => cluster.pods[at].ips.iter().map(IpAddr::is_ipv4).collect(),
        End::Address(ip) => BTreeSet::from([ip.is_ipv4()]),
    };
    let mut pairs = Vec::new();
    // A node is judged from each of its addresses, towards a pod of another node.
    let all = |ends: &[End]| match ends[0] {
        End::Pod(_) => few(ends),
        End::Address(_) => ends.to_vec(),
    };
    for source in all(sources) {
        let apart = |target: &&End| {
            !matches!((source, **target), (End::Address(_), End::Pod(_)))
                || node_of(source).is_none()
                || node_of(source) != node_of(**target)
        };
        let targets: Vec<End> = targets.iter().filter(apart).copied().collect();
        if targets.is_empty() {
            continue;
        }
        let usable = |target: &End| {
            source != *target
                && !(matches!(source, End::Address(_)) && matches!(target, End::Address(_)))
                && !v4(source).is_disjoint(&v4(*target))
        };
        pairs.extend(all(&targets).into_iter().filter(usable).map(|target| (source, target)));
    }
    pairs
}
