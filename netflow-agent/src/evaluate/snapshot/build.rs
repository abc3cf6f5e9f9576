//! From objects to a snapshot: names interned, pods put into classes, owners and addresses looked up.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::owner::{self, Known};
use super::{NamespaceEntry, NodeEntry, Snapshot, Subject, WorkloadEntry};
use crate::evaluate::class::{Class, ClassPort};
use crate::evaluate::end::{End, NodeId, SubjectId};
use crate::evaluate::intern::index;
use crate::evaluate::selector;
use crate::identity::WorkloadName;
use crate::manifest::{self, ContainerPort, Object, Phase, Pod, Workload, WorkloadKind};

const METADATA_NAME: &str = "kubernetes.io/metadata.name";

/// What speaks for a workload, in falling order of trust.
#[derive(Default)]
struct Members {
    owned: bool,
    running: Vec<SubjectId>,
    template: Vec<SubjectId>,
    below: Vec<SubjectId>,
    finished: Vec<SubjectId>,
}

struct Building<'a> {
    snapshot: Snapshot,
    classes: Vec<Class>,
    known: Known<'a>,
    members: BTreeMap<WorkloadName, Members>,
}

pub(super) fn build<'a>(objects: impl IntoIterator<Item = &'a Object>) -> Snapshot {
    let (mut namespaces, mut pods, mut known) = (BTreeMap::new(), Vec::new(), Known::new());
    let (mut nodes, mut services) = (Vec::new(), Vec::new());
    for object in objects {
        match object {
            Object::Namespace(namespace) => {
                namespaces.insert(Arc::clone(&namespace.meta.name), namespace.meta.labels.clone());
            }
            Object::Pod(pod) => pods.push(pod),
            Object::Workload(workload) => {
                known.insert(workload_name(workload), workload);
            }
            Object::Node(node) => nodes.push(node),
            Object::Service(service) => services.push(service),
            _ => {}
        }
    }
    for name in pods.iter().map(|pod| &pod.meta.namespace).chain(known.keys().map(|name| &name.namespace)) {
        namespaces.entry(Arc::clone(name)).or_default();
    }
    let mut building =
        Building { snapshot: Snapshot::default(), classes: Vec::new(), known, members: BTreeMap::new() };
    building.namespaces(namespaces);
    for service in services {
        for ip in &service.cluster_ips {
            building.snapshot.addresses.insert(*ip, End::Service(*ip));
        }
    }
    for node in nodes {
        building.node(&node.meta.name, &node.ips);
    }
    for pod in &pods {
        building.host(pod);
    }
    for pod in pods {
        building.pod(pod);
    }
    building.templates();
    building.finish()
}

fn workload_name(workload: &Workload) -> WorkloadName {
    WorkloadName {
        namespace: Arc::clone(&workload.meta.namespace),
        kind: workload.kind.clone(),
        name: Arc::clone(&workload.meta.name),
    }
}

impl Building<'_> {
    fn namespaces(&mut self, namespaces: BTreeMap<Arc<str>, manifest::Labels>) {
        for (at, (name, mut labels)) in namespaces.into_iter().enumerate() {
            labels.insert(METADATA_NAME.into(), Arc::clone(&name));
            let labels = self.labels(&labels);
            self.snapshot.namespaces.insert(name, index(at));
            self.snapshot.namespace_entries.push(NamespaceEntry { labels, classes: 0..0 });
        }
    }

    fn labels(&mut self, labels: &manifest::Labels) -> selector::Labels {
        let words = &mut self.snapshot.words;
        let mut labels: Vec<_> =
            labels.iter().map(|(key, value)| (words.intern(key), words.intern(value))).collect();
        labels.sort_unstable();
        labels.into()
    }

    fn node(&mut self, name: &Arc<str>, ips: &[IpAddr]) -> NodeId {
        let next = NodeId(index(self.snapshot.nodes.len()));
        let id = *self.snapshot.node_names.entry(Arc::clone(name)).or_insert(next);
        if id == next {
            self.snapshot.nodes.push(NodeEntry { name: Arc::clone(name), ips: Vec::new() });
        }
        for &ip in ips {
            let known = &mut self.snapshot.nodes[id.0 as usize].ips;
            if !known.contains(&ip) {
                known.push(ip);
            }
            self.snapshot.addresses.insert(ip, End::Node { id, ip: Some(ip) });
        }
        id
    }

    /// A pod names its node and that node's addresses, whether or not the Node itself is in the input.
    fn host(&mut self, pod: &Pod) -> Option<NodeId> {
        let own: &[IpAddr] = if pod.host_network { &pod.ips } else { &[] };
        let name = match (&pod.node, pod.host_ips.first().or(own.first())) {
            (Some(name), _) => Arc::clone(name),
            (None, Some(ip)) => match self.snapshot.addresses.get(ip) {
                Some(&End::Node { id, .. }) => return Some(id),
                _ => ip.to_string().into(),
            },
            (None, None) => return None,
        };
        self.node(&name, &pod.host_ips);
        Some(self.node(&name, own))
    }

    fn subject(
        &mut self,
        name: WorkloadName,
        workload: WorkloadName,
        labels: &manifest::Labels,
        ports: &[ContainerPort],
    ) -> SubjectId {
        let labels = self.labels(labels);
        let words = &mut self.snapshot.words;
        let mut ports: Vec<ClassPort> = ports
            .iter()
            .filter(|port| port.name.is_some())
            .map(|port| ClassPort {
                name: port.name.as_ref().map(|name| words.intern(name)),
                protocol: port.protocol,
                port: port.port,
            })
            .collect();
        ports.sort_unstable();
        ports.dedup();
        let namespace = self.snapshot.namespaces.get(&name.namespace).copied().unwrap_or_default();
        let id = SubjectId(index(self.snapshot.subjects.len()));
        self.classes.push(Class { namespace, labels, ports: ports.into() });
        self.snapshot.subjects.push(Subject {
            name,
            workload,
            ips: Box::default(),
            host_network: false,
            node: None,
            class: 0,
        });
        id
    }

    fn pod(&mut self, pod: &Pod) {
        let name = WorkloadName {
            namespace: Arc::clone(&pod.meta.namespace),
            kind: WorkloadKind::Pod,
            name: Arc::clone(&pod.meta.name),
        };
        let chain = owner::chain(pod, &self.known);
        let workload = chain.last().unwrap_or(&name).clone();
        let node = self.host(pod);
        let id = self.subject(name.clone(), workload.clone(), &pod.meta.labels, &pod.ports);
        let subject = &mut self.snapshot.subjects[id.0 as usize];
        let ips = if pod.ips.is_empty() && pod.host_network { &pod.host_ips } else { &pod.ips };
        subject.ips = ips.iter().map(IpAddr::to_canonical).collect();
        subject.host_network = pod.host_network;
        subject.node = node;
        let finished = matches!(pod.phase, Phase::Succeeded | Phase::Failed);
        if !finished && !pod.host_network {
            for &ip in &subject.ips {
                self.snapshot.addresses.insert(ip, End::Subject { id, ip: Some(ip) });
            }
        }
        self.snapshot.pods.insert((Arc::clone(&name.namespace), Arc::clone(&name.name)), id);
        let above = if chain.is_empty() { vec![name] } else { chain };
        for owner in above {
            let owned = owner != workload;
            let members = self.members.entry(owner).or_default();
            members.owned = owned;
            if finished { members.finished.push(id) } else { members.running.push(id) }
        }
    }

    fn templates(&mut self) {
        for (name, workload) in core::mem::take(&mut self.known) {
            let owner = workload.meta.owner.as_ref().map(|owner| owner::named(&workload.meta, owner));
            let top = owner.as_ref().unwrap_or(&name).clone();
            let id = self.subject(name.clone(), top, &workload.template_labels, &workload.ports);
            self.snapshot.subjects[id.0 as usize].host_network = workload.host_network;
            let members = self.members.entry(name).or_default();
            members.owned = owner.is_some();
            members.template.push(id);
            if let Some(owner) = owner {
                self.members.entry(owner).or_default().below.push(id);
            }
        }
    }

    fn finish(self) -> Snapshot {
        let Self { mut snapshot, classes, members, .. } = self;
        let mut order: Vec<&Class> = classes.iter().collect();
        order.sort_unstable();
        order.dedup();
        for (subject, class) in snapshot.subjects.iter_mut().zip(&classes) {
            subject.class = order.binary_search(&class).map(index).unwrap_or_default();
        }
        let plain = snapshot.subjects.iter().map(|subject| (!subject.host_network).then_some(subject.class));
        snapshot.plain = plain.collect();
        snapshot.classes = order.into_iter().cloned().collect();
        snapshot.members = vec![Vec::new(); snapshot.classes.len()];
        for (at, subject) in snapshot.subjects.iter().enumerate() {
            if let Some(members) = snapshot.members.get_mut(subject.class as usize) {
                members.push(SubjectId(index(at)));
            }
        }
        for (at, class) in (0..).zip(&snapshot.classes) {
            let range = &mut snapshot.namespace_entries[class.namespace as usize].classes;
            *range = if range.start == range.end { at..at + 1 } else { range.start..at + 1 };
            for label in &class.labels {
                snapshot.by_label.entry(*label).or_default().push(at);
            }
        }
        for (name, members) in members {
            let Members { owned, running, template, below, finished } = members;
            let members = [running, template, below, finished].into_iter().find(|some| !some.is_empty());
            let entry = WorkloadEntry { topmost: !owned, members: members.unwrap_or_default() };
            snapshot.workloads.insert(name, entry);
        }
        snapshot
    }
}
