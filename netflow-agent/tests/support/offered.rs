//! The Services of a world: for each workload by number, by name of the target port, headless, and exposed on
//! nodes or by a balancer; for what is no pod by hand, and by a name that leads out.

use serde_json::{Value, json};

use super::super::naive;
use super::super::world::{Access, EXTERNAL, Intent, Who};
use super::{Builder, DAY, HALF, NODE_Z};

impl Builder<'_> {
    fn cluster_ip(at: usize) -> String {
        format!("10.96.1.{}", at + 1)
    }

    /// A Service by number, one by name of the target port, and a headless one, each with its slices.
    pub(super) fn services(&mut self, at: usize) {
        let one = self.world.workloads[at].clone();
        if one.host_network {
            return;
        }
        let selector: naive::Labels = one.selector.iter().cloned().collect();
        for (suffix, ip) in [
            ("", Self::cluster_ip(at)),
            ("-named", format!("10.96.2.{}", at + 1)),
            ("-headless", "None".into()),
            ("-exposed", format!("10.96.4.{}", at + 1)),
        ] {
            let exposed = suffix == "-exposed";
            let ports: Vec<Value> = one.ports.iter().map(|(name, port, protocol)| {
                let target = if suffix == "-named" { json!(name) } else { json!(port) };
                let mut spec = json!({"name": name, "port": service_port(*port, suffix), "targetPort": target, "protocol": protocol});
                if exposed {
                    spec["nodePort"] = self.world.node_port(at, *port, protocol).into();
                }
                spec
            }).collect();
            let name = format!("{}{suffix}", one.name.replace('.', "-"));
            let ips = if ip == "None" { json!([]) } else { json!([ip]) };
            let object = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": one.namespace, "name": name},
                "spec": {"type": service_type(at, exposed), "clusterIP": ip, "clusterIPs": ips, "selector": selector, "ports": ports},
                "status": {"loadBalancer": {"ingress": if exposed && at % 2 == 1 { json!([{"ip": balancer_ip(at)}]) } else { json!([]) }}}});
            self.object(&object, None, None);
            self.slices(at, &name);
        }
    }

    /// Services for what is no pod: by hand, and by a name that leads out.
    pub(super) fn elsewhere(&mut self) {
        for (at, target) in EXTERNAL.iter().chain(&NODE_Z[..1]).enumerate() {
            let v6 = target.contains(':');
            let (name, ip) = (format!("manual-{at}"), manual_ip(target));
            let port = |port: u16| json!({"name": format!("p{port}"), "port": service_port(port, "")});
            let spoken = |port: u16| json!({"name": format!("p{port}"), "port": port, "protocol": "TCP"});
            let object = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "ops", "name": name},
                "spec": {"clusterIP": ip, "clusterIPs": [ip], "ports": MANUAL_PORTS.map(port)}});
            self.object(&object, None, None);
            let object = json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
                "addressType": if v6 { "IPv6" } else { "IPv4" },
                "metadata": {"namespace": "ops", "name": name, "labels": {"kubernetes.io/service-name": name}},
                "ports": MANUAL_PORTS.map(spoken), "endpoints": [{"addresses": [target]}]});
            self.object(&object, None, None);
        }
        let object = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "ops", "name": "far"},
            "spec": {"type": "ExternalName", "externalName": "api.example.com"}});
        self.object(&object, None, None);
    }

    fn slices(&mut self, at: usize, service: &str) {
        let one = self.world.workloads[at].clone();
        let ports: Vec<Value> = one
            .ports
            .iter()
            .map(|(name, port, protocol)| json!({"name": name, "port": port, "protocol": protocol}))
            .collect();
        for (from, to) in [(0, HALF), (HALF, DAY)] {
            let endpoints: Vec<Value> = self.case.pods.iter().filter(|ran| ran.workload == at && ran.from <= from && to <= ran.to)
                .map(|ran| json!({"addresses": [ran.pod.ips[0].to_string()], "conditions": {"ready": true},
                    "targetRef": {"kind": "Pod", "namespace": ran.pod.namespace, "name": ran.pod.name, "uid": ran.uid}}))
                .collect();
            let object = json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
                "metadata": {"namespace": one.namespace, "name": format!("{service}-s"), "labels": {"kubernetes.io/service-name": service}},
                "ports": ports, "endpoints": endpoints});
            self.object(&object, Some(from), Some(to));
        }
    }

    /// The address and port that a client asks for.
    pub(super) fn dialled(&self, intent: &Intent, server: &str) -> (String, u16) {
        let port = intent.port;
        match (&intent.to, intent.access) {
            (Who::Workload(to), Access::ClusterIp) => (Self::cluster_ip(*to), service_port(port, "")),
            (Who::Workload(to), Access::NamedTarget) => {
                (format!("10.96.2.{}", to + 1), service_port(port, "-named"))
            }
            (Who::Workload(to), Access::LoadBalancer) if to % 2 == 1 => {
                (balancer_ip(*to), service_port(port, "-exposed"))
            }
            (Who::Workload(_), Access::NodePort | Access::LoadBalancer) => {
                ("192.168.0.1".to_owned(), self.world.dialled_node_port(intent).expect("a port of a node"))
            }
            (Who::Node | Who::External(_), Access::Manual) => (manual_ip(server), service_port(port, "")),
            _ => (server.to_owned(), port),
        }
    }
}

/// Never the pod's port; a port seen twice in one workload keeps its Services apart.
fn service_port(port: u16, suffix: &str) -> u16 {
    match suffix {
        "-headless" => port,
        "-named" => port + 2_000,
        "-exposed" => port + 3_000,
        _ => port + 1_000,
    }
}

const MANUAL_PORTS: [u16; 3] = [443, 8_443, 9_100];

/// The cluster's address of the Service that was written by hand for this one.
fn manual_ip(target: &str) -> String {
    let at = EXTERNAL.iter().position(|ip| *ip == target).unwrap_or(EXTERNAL.len());
    if target.contains(':') { format!("fd00:96::{:x}", at + 1) } else { format!("10.96.3.{}", at + 1) }
}

fn balancer_ip(at: usize) -> String {
    format!("198.18.0.{}", at + 1)
}

const fn service_type(at: usize, exposed: bool) -> &'static str {
    match (exposed, at % 2) {
        (false, _) => "ClusterIP",
        (true, 1) => "LoadBalancer",
        (true, _) => "NodePort",
    }
}
