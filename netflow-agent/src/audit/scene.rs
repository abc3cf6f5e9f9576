//! What the findings look at: policies with their rules, pods with their labels and ports, namespaces and
//! Services; and who a selector or a peer means.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::networking::v1::{NetworkPolicyPeer, NetworkPolicyPort};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::evaluate::end::SubjectId;
use crate::evaluate::{Cluster, End, Party, Ports, rules};
use crate::identity::WorkloadName;
use crate::manifest::{ContainerPort, Labels, NAMESPACE_NAME, NetworkPolicy, Object, Service, WorkloadKind};
use crate::net::{Direction, PortRange, Protocol};

/// Objects of one moment under their policies.
#[derive(Debug)]
pub struct Scene<'a> {
    pub cluster: &'a Cluster,
    pub objects: Vec<&'a Object>,
    /// Named by an object, or only by what is in them.
    pub namespaces: BTreeMap<Arc<str>, Labels>,
    pub services: Vec<&'a Service>,
    /// Beside each Service: the pods behind it.
    behind: Vec<Vec<SubjectId>>,
    fronts: BTreeMap<SubjectId, Vec<usize>>,
    templates: BTreeMap<WorkloadName, (&'a Labels, &'a [ContainerPort])>,
}

/// One rule of a policy, and where it stands.
#[derive(Clone, Copy, Debug)]
pub struct RuleAt<'a> {
    pub policy: &'a NetworkPolicy,
    pub direction: Direction,
    pub index: usize,
    pub peers: &'a [NetworkPolicyPeer],
    pub ports: &'a [NetworkPolicyPort],
}

impl RuleAt<'_> {
    /// `NetworkPolicy shop/web ingress[0]`.
    pub fn title(&self) -> String {
        format!("{} {}[{}]", title(self.policy), lower(self.direction), self.index)
    }

    /// Its port names, with their protocols.
    pub fn names(&self) -> BTreeSet<(String, String)> {
        let named = self.ports.iter().filter_map(|item| match &item.port {
            Some(IntOrString::String(name)) => {
                Some((item.protocol.clone().unwrap_or_else(|| "TCP".to_owned()), name.clone()))
            }
            _ => None,
        });
        named.collect()
    }

    /// The rule's ports as a set, names left out.
    pub fn numbers(&self) -> Ports {
        let mut set = Ports::default();
        if self.ports.is_empty() {
            return Ports::all();
        }
        for item in self.ports {
            let Ok(protocol) = item.protocol.as_deref().unwrap_or("TCP").parse::<Protocol>() else {
                continue;
            };
            match (&item.port, item.end_port) {
                (None, _) => set.insert(protocol, PortRange::ALL),
                (Some(IntOrString::Int(first)), last) => {
                    let number = |port: i32| u16::try_from(port).unwrap_or(0);
                    set.insert(
                        protocol,
                        PortRange { first: number(*first), last: number(last.unwrap_or(*first)) },
                    );
                }
                (Some(IntOrString::String(_)), _) => {}
            }
        }
        set
    }
}

pub fn lower(direction: Direction) -> &'static str {
    match direction {
        Direction::Ingress => "ingress",
        Direction::Egress => "egress",
    }
}

pub fn title(policy: &NetworkPolicy) -> String {
    format!("NetworkPolicy {}/{}", policy.meta.namespace, policy.meta.name)
}

impl<'a> Scene<'a> {
    pub fn new(cluster: &'a Cluster, objects: impl IntoIterator<Item = &'a Object>) -> Self {
        let objects: Vec<&Object> = objects.into_iter().collect();
        let mut namespaces: BTreeMap<Arc<str>, Labels> = BTreeMap::new();
        let mut templates = BTreeMap::new();
        let mut services = Vec::new();
        for object in &objects {
            match object {
                Object::Namespace(namespace) => {
                    namespaces.insert(Arc::clone(&namespace.meta.name), namespace.meta.labels.clone());
                }
                Object::Pod(pod) => {
                    let name = WorkloadName {
                        namespace: Arc::clone(&pod.meta.namespace),
                        kind: WorkloadKind::Pod,
                        name: Arc::clone(&pod.meta.name),
                    };
                    templates.insert(name, (&pod.meta.labels, pod.ports.as_slice()));
                }
                Object::Workload(workload) => {
                    let name = WorkloadName {
                        namespace: Arc::clone(&workload.meta.namespace),
                        kind: workload.kind.clone(),
                        name: Arc::clone(&workload.meta.name),
                    };
                    templates.insert(name, (&workload.template_labels, workload.ports.as_slice()));
                }
                Object::Service(service) => services.push(service),
                _ => {}
            }
        }
        let implied = cluster.snapshot().subjects().map(|(_, subject)| Arc::clone(&subject.name.namespace));
        for name in implied.chain(cluster.policies().iter().map(|policy| Arc::clone(&policy.meta.namespace)))
        {
            let labels = || Labels::from([(Arc::from(NAMESPACE_NAME), Arc::clone(&name))]);
            namespaces.entry(Arc::clone(&name)).or_insert_with(labels);
        }
        let behind: Vec<Vec<SubjectId>> =
            services.iter().map(|service| pods_behind(cluster, service)).collect();
        let mut fronts: BTreeMap<SubjectId, Vec<usize>> = BTreeMap::new();
        for (at, pods) in behind.iter().enumerate() {
            for &pod in pods {
                fronts.entry(pod).or_default().push(at);
            }
        }
        Self { cluster, objects, namespaces, services, behind, fronts, templates }
    }

    pub fn policies(&self) -> impl Iterator<Item = &'a NetworkPolicy> {
        self.cluster.policies().iter()
    }

    /// Every rule of a direction that its policy names.
    pub fn rules(&self) -> Vec<RuleAt<'a>> {
        self.policies().flat_map(|policy| self.rules_of(policy)).collect()
    }

    /// Those of one policy.
    pub fn rules_of(&self, policy: &'a NetworkPolicy) -> Vec<RuleAt<'a>> {
        let mut all = Vec::new();
        for direction in Direction::BOTH {
            if crate::evaluate::isolates(&policy.spec, direction) {
                let each = rules(&policy.spec, direction).into_iter().enumerate();
                all.extend(each.map(|(index, (peers, ports))| RuleAt {
                    policy,
                    direction,
                    index,
                    peers,
                    ports,
                }));
            }
        }
        all
    }

    /// The pods and templates that a policy selects.
    pub fn selected(&self, policy: &NetworkPolicy) -> Vec<SubjectId> {
        let everything = LabelSelector::default();
        let selector = policy.spec.pod_selector.as_ref().unwrap_or(&everything);
        self.cluster.snapshot().select(Some(&policy.meta.namespace), selector)
    }

    /// The namespaces that a peer of a policy in `home` looks into.
    pub fn peer_namespaces(&self, home: &str, peer: &NetworkPolicyPeer) -> Vec<&str> {
        let found = self.namespaces.iter().filter(|(name, labels)| match &peer.namespace_selector {
            None => ***name == *home,
            Some(selector) => matches(selector, labels),
        });
        found.map(|(name, _)| &**name).collect()
    }

    /// The pods that a peer selects; none for an ipBlock.
    pub fn peer_pods(&self, home: &str, peer: &NetworkPolicyPeer) -> Vec<SubjectId> {
        if peer.ip_block.is_some() {
            return Vec::new();
        }
        let everything = LabelSelector::default();
        let selector = peer.pod_selector.as_ref().unwrap_or(&everything);
        let namespaces = self.peer_namespaces(home, peer);
        let snapshot = self.cluster.snapshot();
        namespaces.into_iter().flat_map(|name| snapshot.select(Some(name), selector)).collect()
    }

    pub fn labels(&self, id: SubjectId) -> Option<&'a Labels> {
        self.templates.get(&self.cluster.snapshot().subject(id).name).map(|(labels, _)| *labels)
    }

    pub fn ports(&self, id: SubjectId) -> &'a [ContainerPort] {
        self.templates.get(&self.cluster.snapshot().subject(id).name).map_or(&[], |(_, ports)| *ports)
    }

    /// The Services that have some of these pods behind them, with all pods behind each.
    pub fn in_front_of(&self, pods: &BTreeSet<SubjectId>) -> Vec<(&'a Service, &[SubjectId])> {
        let places: BTreeSet<usize> =
            { pods.iter() }.filter_map(|id| self.fronts.get(id)).flatten().copied().collect();
        places.into_iter().map(|at| (self.services[at], self.behind[at].as_slice())).collect()
    }

    /// Workloads whose pods are not on the host network, with the ends to judge.
    pub fn workloads(&self) -> Vec<(&'a WorkloadName, SubjectId, Party)> {
        let snapshot = self.cluster.snapshot();
        let mut all = Vec::new();
        for (name, members) in snapshot.workloads() {
            let members: Vec<SubjectId> =
                members.iter().copied().filter(|&id| !snapshot.subject(id).host_network).collect();
            let Some(&first) = members.first() else { continue };
            let ends = members.iter().map(|&id| End::Subject { id, ip: None }).collect();
            all.push((name, first, Party { ends, replicated: name.kind != WorkloadKind::Pod }));
        }
        all
    }

    pub fn isolated(&self, id: SubjectId, direction: Direction) -> bool {
        self.cluster.selecting(id, direction).len() > 0
    }

    /// The distinct workloads of these pods, for a message.
    pub fn names(&self, ids: &[SubjectId]) -> Vec<String> {
        let snapshot = self.cluster.snapshot();
        let mut names: Vec<String> = ids.iter().map(|&id| workload(&snapshot.subject(id).workload)).collect();
        names.sort();
        names.dedup();
        names
    }
}

fn pods_behind(cluster: &Cluster, service: &Service) -> Vec<SubjectId> {
    let Some(selector) = service.selector.as_ref().filter(|labels| !labels.is_empty()) else {
        return Vec::new();
    };
    let match_labels = selector.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
    let selector = LabelSelector { match_labels: Some(match_labels), ..LabelSelector::default() };
    cluster.snapshot().select(Some(&service.meta.namespace), &selector)
}

/// `shop/deployment/web`, or `shop/web` for a bare pod.
pub fn workload(name: &WorkloadName) -> String {
    crate::evaluate::EndName::Workload(name.clone()).to_string()
}

/// The first few of a list, and how many more there are.
pub fn some(names: &[String]) -> String {
    const SHOWN: usize = 5;
    let shown = names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

pub fn is_empty(selector: &LabelSelector) -> bool {
    selector.match_labels.as_ref().is_none_or(BTreeMap::is_empty)
        && selector.match_expressions.as_ref().is_none_or(Vec::is_empty)
}

/// Whether a selector holds these labels.
pub fn matches(selector: &LabelSelector, labels: &Labels) -> bool {
    let labelled = selector.match_labels.iter().flatten();
    labelled.into_iter().all(|(key, value)| labels.get(key.as_str()).is_some_and(|found| **found == **value))
        && selector.match_expressions.iter().flatten().all(|expression| {
            let found = labels.get(expression.key.as_str());
            let listed = || {
                found.is_some_and(|found| expression.values.iter().flatten().any(|value| **value == **found))
            };
            match expression.operator.as_str() {
                "In" => listed(),
                "NotIn" => !listed(),
                "Exists" => found.is_some(),
                "DoesNotExist" => found.is_none(),
                _ => false,
            }
        })
}

/// `app=web,tier in (a,b)`, as kubectl prints it.
pub fn words(selector: &LabelSelector) -> String {
    let mut parts: Vec<String> =
        selector.match_labels.iter().flatten().map(|(key, value)| format!("{key}={value}")).collect();
    for expression in selector.match_expressions.iter().flatten() {
        let values = expression.values.as_deref().unwrap_or_default().join(",");
        let key = &expression.key;
        parts.push(match expression.operator.as_str() {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "DoesNotExist" => format!("!{key}"),
            _ => key.clone(),
        });
    }
    parts.join(",")
}
