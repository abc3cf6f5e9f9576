//! What the workloads of a staged cluster did. In: flows, one a line. Out: what either end saw of each.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::{HOURS, NODES, Pod, Stage, node_ip, pairs, text, time};

/// Every address of an IPv4 block; anything else as it is.
pub(crate) fn each(end: &str) -> Vec<String> {
    let Some((Ok(first), Ok(length))) =
        end.split_once('/').map(|(ip, length)| (ip.parse::<std::net::Ipv4Addr>(), length.parse::<u32>()))
    else {
        return vec![end.to_owned()];
    };
    (0..1_u32 << (32 - length))
        .map(|more| std::net::Ipv4Addr::from(u32::from(first) + more).to_string())
        .collect()
}

/// One line of flows, read.
struct Told<'t> {
    from: Vec<&'t str>,
    to: String,
    service: bool,
    port: u64,
    protocol: &'t str,
    words: Vec<&'t str>,
}

impl<'t> Told<'t> {
    fn read(line: &'t str) -> Vec<Self> {
        let (from, rest) =
            line.split_once(" -> ").unwrap_or_else(|| panic!("FROM -> TO PORT/PROTOCOL: {line}"));
        let service = rest.starts_with("service ");
        let mut words = rest.trim_start_matches("service ").split_whitespace();
        let to = words.next().expect("TO");
        let (port, protocol) = words.next().and_then(|word| word.split_once('/')).expect("PORT/PROTOCOL");
        let from: Vec<&str> = from.split(',').map(str::trim).collect();
        let port = port.parse().expect("a port");
        let words: Vec<&str> = words.collect();
        let one = |to| Self { from: from.clone(), to, service, port, protocol, words: words.clone() };
        each(to).into_iter().map(one).collect()
    }

    fn has(&self, word: &str) -> bool {
        self.words.contains(&word)
    }
}

/// One end of a flow as it runs.
#[derive(Clone)]
struct Running {
    uid: Option<String>,
    node: usize,
    ip: IpAddr,
    hour: Option<u32>,
}

impl Stage {
    /// The recording, once everything that `flows` tells has happened.
    pub(crate) fn play(mut self, flows: &str) -> Vec<String> {
        for service in self.objects.clone() {
            if text(&service, "/kind") == "Service" && service["spec"]["selector"].is_object() {
                self.slices(&service);
            }
        }
        let lines = flows.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
        for line in lines.filter(|line| !line.is_empty()) {
            for told in Told::read(line) {
                for from in &told.from {
                    self.happen(from, &told);
                }
            }
        }
        self.lines
    }

    fn behind<'s>(&'s self, service: &'s Value) -> impl Iterator<Item = &'s Pod> {
        let selector = pairs(service.pointer("/spec/selector"));
        self.pods.iter().filter(move |pod| {
            pod.namespace == text(service, "/metadata/namespace")
                && selector.iter().all(|(key, value)| pod.labels.get(key) == Some(value))
        })
    }

    /// The number that a Service's port leads to.
    fn target(&self, service: &Value, port: &Value) -> u64 {
        let name = match &port["targetPort"] {
            Value::String(name) => name,
            Value::Number(number) => return number.as_u64().expect("a port"),
            _ => return port["port"].as_u64().expect("a port"),
        };
        let protocol = port["protocol"].as_str().unwrap_or("TCP");
        let own = self.behind(service).flat_map(|pod| &pod.ports);
        own.filter(|own| own.0 == *name && own.2 == protocol).map(|own| own.1).next().expect("a named port")
    }

    /// The workload behind a Service, or the address that its hand-made slice says.
    fn leads_to(&self, service: &Value) -> String {
        if service["spec"]["selector"].is_object() {
            return self.behind(service).next().expect("a pod behind it").workload.clone();
        }
        let mut slices = self.objects.iter().filter(|one| {
            text(one, "/kind") == "EndpointSlice"
                && one["metadata"]["labels"]["kubernetes.io/service-name"] == service["metadata"]["name"]
        });
        let slice = slices.next().expect("a slice made by hand");
        text(slice, "/endpoints/0/addresses/0").to_owned()
    }

    fn slices(&mut self, service: &Value) {
        let (name, namespace) = (text(service, "/metadata/name"), text(service, "/metadata/namespace"));
        let none = Vec::new();
        let ports: Vec<Value> = service["spec"]["ports"]
            .as_array()
            .unwrap_or(&none)
            .iter()
            .map(|port| {
                json!({"name": port["name"].as_str().unwrap_or_default(), "port": self.target(service, port),
                    "protocol": port["protocol"].as_str().unwrap_or("TCP")})
            })
            .collect();
        for v6 in [false, true] {
            let endpoints: Vec<Value> = self
                .behind(service)
                .filter_map(|pod| {
                    let ip = pod.ips.iter().find(|ip| ip.is_ipv6() == v6)?.to_string();
                    Some(
                        json!({"addresses": [ip], "conditions": {"ready": true}, "nodeName": NODES[pod.node],
                        "targetRef": {"kind": "Pod", "namespace": pod.namespace, "uid": pod.uid}}),
                    )
                })
                .collect();
            if !endpoints.is_empty() {
                let family = if v6 { "IPv6" } else { "IPv4" };
                self.object(&json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": family,
                    "metadata": {"namespace": namespace, "name": format!("{name}-{}", family.to_lowercase()),
                        "labels": {"kubernetes.io/service-name": name}},
                    "ports": ports, "endpoints": endpoints}));
            }
        }
    }

    fn running(&self, end: &str, v6: bool) -> Vec<Running> {
        if let Ok(ip) = end.parse() {
            return vec![Running { uid: None, node: usize::MAX, ip, hour: None }];
        }
        if let Some(node) = NODES.iter().position(|name| *name == end) {
            let ip = node_ip(node, v6).parse().expect("an address");
            return vec![Running { uid: None, node, ip, hour: None }];
        }
        let pods = self.pods.iter().filter(|pod| pod.workload == end);
        let running: Vec<Running> = pods
            .map(|pod| Running {
                uid: Some(pod.uid.clone()),
                node: pod.node,
                ip: *pod.ips.iter().find(|ip| ip.is_ipv6() == v6).expect("an address of that family"),
                hour: pod.hour,
            })
            .collect();
        assert!(!running.is_empty(), "no workload {end}");
        running
    }

    /// Every pod of the source talks, each to the next pod of the destination that it can.
    fn happen(&mut self, from: &str, told: &Told<'_>) {
        let v6 = told.has("v6") || told.to.contains(':') || from.contains(':');
        let (servers, dialled) = if told.service {
            let (namespace, name) = told.to.split_once('/').expect("namespace/name");
            let is = |one: &&Value| {
                text(one, "/kind") == "Service"
                    && text(one, "/metadata/name") == name
                    && text(one, "/metadata/namespace") == namespace
            };
            let service = self.objects.iter().find(is).unwrap_or_else(|| panic!("no Service {}", told.to));
            let at = usize::from(v6);
            let ip: IpAddr = text(service, &format!("/spec/clusterIPs/{at}")).parse().expect("an address");
            let ports = service["spec"]["ports"].as_array().expect("ports");
            let matches = |port: &&Value| {
                port["port"] == told.port && port["protocol"].as_str().unwrap_or("TCP") == told.protocol
            };
            let port = ports.iter().find(matches).expect("a port of the Service");
            (self.running(&self.leads_to(service), v6), Some((ip, self.target(service, port))))
        } else {
            (self.running(&told.to, v6), None)
        };
        for (at, client) in self.running(from, v6).into_iter().enumerate() {
            let other = |server: &&Running| {
                let own = client.uid.is_some() && server.uid == client.uid;
                let apart = client.uid.is_some() || server.uid.is_none() || client.node != server.node;
                !own && apart && (server.hour.is_none() || client.hour.is_none())
            };
            let able: Vec<&Running> = servers.iter().filter(other).collect();
            let Some(server) = able.get(at % able.len().max(1)) else { continue };
            let hours = match client.hour.or(server.hour) {
                Some(hour) => vec![hour],
                None => HOURS.to_vec(),
            };
            let server = (*server).clone();
            for hour in hours {
                self.conversation(&client, &server, dialled, told, hour);
            }
        }
    }

    fn conversation(
        &mut self,
        client: &Running,
        server: &Running,
        dialled: Option<(IpAddr, u64)>,
        told: &Told<'_>,
        hour: u32,
    ) {
        let outcome = told.words.iter().find(|word| ["refused", "timeout", "unanswered"].contains(word));
        let (behind, mesh) = (dialled.map_or(told.port, |(_, port)| port), told.has("mesh"));
        let line = |end: &Running, side: &str, remote: IpAddr, port: u64| {
            json!({"kind": "flow", "node": NODES[end.node], "hour": time(hour, 0), "seq": 0, "side": side,
                "pod": end.uid, "local": end.ip, "remote": remote, "port": port, "protocol": told.protocol,
                "outcome": outcome.unwrap_or(&"established"), "basis": "observed", "connections": 3,
                "bytes_sent": 500, "bytes_received": 2000, "first": time(hour, 5), "last": time(hour, 15)})
        };
        if client.node != usize::MAX && !told.has("server") {
            let (remote, port) = dialled.map_or((server.ip, told.port), |(ip, _)| (ip, told.port));
            self.line(&line(client, "client", remote, port));
            if mesh {
                let loopback = IpAddr::from([127, 0, 0, 1]);
                self.line(&line(client, "client", loopback, 15_001));
                self.line(&line(client, "client", server.ip, behind));
            }
        }
        if server.node != usize::MAX && outcome.is_none() && !told.has("client") {
            let by = told.words.iter().position(|word| *word == "by").map(|at| told.words[at + 1]);
            let seen = by.map_or(client.ip, |node| self.running(node, server.ip.is_ipv6())[0].ip);
            self.line(&line(server, "server", seen, if mesh { 15_006 } else { behind }));
        }
    }
}
