//! The fifteen known faults of policy generators, made on purpose; one of them in both of its forms.

use std::collections::BTreeSet;
use std::sync::Arc;

use ipnet::IpNet;
use netflow_agent::edge::{Edge, Joined, Witness};
use netflow_agent::flow::Basis;
use netflow_agent::identity::{Endpoint, Inventory};
use netflow_agent::net::{Direction, Protocol};
use netflow_agent::policy::{Options, Peer, Port, Recommendation, Rule};

use super::pipeline::{Outcome, ends, run};
use super::record::Case;

type SpoilEdges = fn(&mut Joined, &Inventory<'_>);
type SpoilPolicies = fn(&mut Recommendation, &Inventory<'_>);

pub(crate) struct Fault {
    pub name: &'static str,
    lines: fn(&Case) -> Vec<String>,
    edges: SpoilEdges,
    policies: SpoilPolicies,
}

impl Fault {
    pub(crate) fn run(&self, case: &Case) -> Outcome {
        let lines = (self.lines)(case);
        run(
            &lines,
            &Options::default(),
            &|joined, inventory| (self.edges)(joined, inventory),
            &|answer, inventory| {
                (self.policies)(answer, inventory);
            },
        )
    }
}

const fn policies(name: &'static str, policies: SpoilPolicies) -> Fault {
    Fault { name, lines: |case| case.lines.clone(), edges: |_, _| (), policies }
}

const fn edges(name: &'static str, edges: SpoilEdges) -> Fault {
    Fault { name, lines: |case| case.lines.clone(), edges, policies: |_, _| () }
}

pub(crate) const ALL: [Fault; 16] = [
    policies("1 selects by pod-template-hash", |answer, inventory| {
        for policy in &mut answer.policies {
            let mut pods = inventory.pods.iter().filter(|known| policy.workloads.contains(&known.workload));
            let hash = pods.find_map(|known| known.pod.meta.labels.get("pod-template-hash"));
            policy.selector.equal.extend(hash.map(|hash| ("pod-template-hash".into(), Arc::clone(hash))));
        }
    }),
    policies("2 one policy per pod", |answer, inventory| {
        let mut each = Vec::new();
        for policy in answer.policies.drain(..) {
            let pods: Vec<_> =
                inventory.pods.iter().filter(|known| policy.workloads.contains(&known.workload)).collect();
            if pods.is_empty() {
                each.push(policy);
                continue;
            }
            for known in pods {
                let mut one = policy.clone();
                one.name = format!("{}-pod", known.pod.meta.name);
                one.selector.equal = known.pod.meta.labels.clone();
                each.push(one);
            }
        }
        answer.policies = each;
        answer
            .policies
            .sort_by_key(|policy| (policy.is_default_deny(), policy.namespace.clone(), policy.name.clone()));
    }),
    edges("3 the Service's port", |joined, inventory| {
        for edge in &mut joined.edges {
            let service = edge.via.iter().next();
            let object = inventory.services.iter().map(|known| known.object).find(|one| {
                service.is_some_and(|via| via.name == one.meta.name && via.namespace == one.meta.namespace)
            });
            if let Some(port) = object.and_then(|one| one.ports.first()) {
                edge.key.port = port.port;
            }
        }
    }),
    policies("4 TCP and UDP merged", |answer, _| {
        for rule in rules(answer) {
            let both = rule.ports.iter().flat_map(|port| {
                [Protocol::Tcp, Protocol::Udp].map(|protocol| Port { protocol, range: port.range })
            });
            rule.ports = both.collect::<BTreeSet<Port>>().into_iter().collect();
        }
    }),
    edges("5 attempts allowed", |joined, _| {
        let tried = std::mem::take(&mut joined.attempts);
        joined.edges.extend(tried.into_iter().map(|one| Edge {
            key: one.key,
            witness: Witness::Client,
            via: one.via,
            connections: one.connections,
            bytes_sent: 0,
            bytes_received: 0,
            hours: one.hours,
            first: one.first,
            last: one.last,
            basis: Basis::Observed,
            unconfirmed: false,
            own_node: false,
            node_ports: Vec::new(),
        }));
    }),
    edges("6 equal names in two namespaces", |joined, _| {
        for edge in &mut joined.edges {
            for end in ends(&mut edge.key) {
                if let Endpoint::Workload(name) = end
                    && &*name.namespace == "shop-test"
                {
                    name.namespace = "shop".into();
                }
            }
        }
    }),
    policies("7 a peer without its namespace", |answer, _| {
        for rule in rules(answer) {
            for peer in &mut rule.peers {
                if let Peer::Pods { namespace, .. } = peer {
                    *namespace = None;
                }
            }
        }
    }),
    policies("8 one direction only", |answer, _| {
        for policy in &mut answer.policies {
            policy.directions = vec![Direction::Ingress];
        }
    }),
    policies("9 /32 for IPv6", |answer, _| {
        for rule in rules(answer) {
            for peer in &mut rule.peers {
                if let Peer::Block { cidr: cidr @ IpNet::V6(_), .. } = peer {
                    *cidr = IpNet::new(cidr.addr(), 32).expect("a length").trunc();
                }
            }
        }
    }),
    policies("10 random names", |answer, inventory| {
        let noise = inventory.pods.first().map(|known| known.pod.meta.name.clone()).unwrap_or_default();
        for policy in answer.policies.iter_mut().filter(|policy| !policy.is_default_deny()) {
            policy.name = format!("{}-{noise}", policy.name);
        }
    }),
    policies("11 rules merged crosswise", |answer, _| {
        for policy in &mut answer.policies {
            let mut merged: Vec<Rule> = Vec::new();
            for rule in policy.rules.drain(..) {
                match merged.iter_mut().find(|one| one.direction == rule.direction) {
                    Some(one) => {
                        one.peers.extend(rule.peers);
                        one.ports.extend(rule.ports);
                        one.evidence.extend(rule.evidence.clone());
                        one.evidence.extend(rule.evidence);
                    }
                    None => merged.push(rule),
                }
            }
            policy.rules = merged;
        }
    }),
    policies("12 DNS opened to the world", |answer, _| {
        for rule in rules(answer) {
            if rule.direction == Direction::Egress && rule.ports.iter().any(|port| port.range.contains(53)) {
                let all = "0.0.0.0/0".parse().expect("a block");
                rule.peers.push(Peer::Block { cidr: all, except: Vec::new() });
            }
        }
    }),
    policies("12 DNS forgotten", |answer, _| {
        let asks = |rule: &Rule| {
            rule.direction == Direction::Egress && rule.ports.iter().any(|port| port.range.contains(53))
        };
        for policy in &mut answer.policies {
            policy.rules.retain(|rule| !asks(rule));
        }
    }),
    Fault {
        name: "13 a reused address credited to the later pod",
        lines: |case| {
            let later: BTreeSet<String> = case
                .pods
                .iter()
                .filter(|ran| ran.from > 0)
                .flat_map(|ran| ran.pod.ips.iter().map(ToString::to_string))
                .collect();
            let spoiled = |line: &String| {
                let mut value: serde_json::Value = serde_json::from_str(line).expect("JSON");
                let ip = value["object"]["status"]["podIP"].as_str().unwrap_or_default().to_owned();
                if later.contains(&ip) {
                    if value["from"].as_str().is_some_and(|from| from.contains("T00:")) {
                        value["object"]["status"] = serde_json::json!({"phase": "Running"});
                    } else {
                        value["from"] = "2026-11-20T00:00:01Z".into();
                    }
                }
                value.to_string()
            };
            case.lines.iter().map(spoiled).collect()
        },
        edges: |_, _| (),
        policies: |_, _| (),
    },
    policies("14 default deny before its exceptions", |answer, _| answer.policies.reverse()),
    policies("15 nobody can say why", |answer, _| {
        for rule in rules(answer) {
            rule.evidence.clear();
        }
    }),
];

fn rules(answer: &mut Recommendation) -> impl Iterator<Item = &mut Rule> {
    answer.policies.iter_mut().flat_map(|policy| policy.rules.iter_mut())
}
