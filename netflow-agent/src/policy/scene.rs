//! The cluster as the generator needs it. In: the inventory and the options. Out: proven groups of workloads
//! by namespace, the addresses of nodes, the label that names each namespace, and what a cover must not hold.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::selector::{self, Group, Row};
use super::{NamespaceLabel, Options, sift};
use crate::identity::{Inventory, WorkloadName};
use crate::manifest::Labels;
use crate::manifest::{is_label, is_namespace};
use crate::time::Time;

/// Which group of which namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct GroupId {
    pub(super) namespace: Arc<str>,
    pub(super) at: usize,
}

/// Groups, namespaces and addresses of the cluster.
#[derive(Clone, Debug, Default)]
pub(super) struct Scene {
    groups: BTreeMap<Arc<str>, Vec<Group>>,
    group_of: BTreeMap<WorkloadName, GroupId>,
    /// Namespaces with a pod that a policy can select.
    pub(super) populated: BTreeSet<Arc<str>>,
    /// Workloads whose pods no API server takes, by namespace or label.
    pub(super) refused: BTreeSet<WorkloadName>,
    namespace_labels: BTreeMap<Arc<str>, NamespaceLabel>,
    node_ips: BTreeMap<Arc<str>, BTreeSet<IpAddr>>,
    /// Addresses of pods, Services and nodes, and those that mean something of their own.
    pub(super) taken: BTreeSet<IpAddr>,
    /// Ranges that nodes give to pods.
    pub(super) pod_ranges: Vec<IpNet>,
    /// Families (v4, v6) in which a pod has an address outside of these ranges.
    pub(super) ranges_incomplete: [bool; 2],
}

impl Scene {
    pub(super) fn of(inventory: &Inventory<'_>, options: &Options) -> Self {
        let mut scene = Self::default();
        for (namespace, rows) in rows(inventory) {
            let groups = selector::choose(&rows);
            for (at, group) in groups.iter().enumerate() {
                for member in &group.members {
                    let id = GroupId { namespace: Arc::clone(&namespace), at };
                    scene.group_of.insert(member.clone(), id);
                }
            }
            scene.groups.insert(namespace, groups);
        }
        for known in &inventory.pods {
            let pod = known.pod;
            if !pod.host_network && is_namespace(&pod.meta.namespace) {
                scene.populated.insert(Arc::clone(&pod.meta.namespace));
            }
            if !pod.host_network && scene.group_of(&known.workload).is_none() {
                scene.refused.insert(known.workload.clone());
            }
            scene.taken.extend(known.holds.iter().map(|hold| hold.ip).chain(pod.host_ips.iter().copied()));
        }
        for known in &inventory.nodes {
            let node = known.node.object;
            scene.taken.extend(node.ips.iter().chain(known.gateways));
            scene.pod_ranges.extend(&node.pod_cidrs);
        }
        scene.node_ips = node_ips(inventory);
        scene.pod_ranges.sort();
        scene.pod_ranges.dedup();
        for known in inventory.pods.iter().filter(|known| !known.pod.host_network) {
            for hold in &known.holds {
                let inside = scene.pod_ranges.iter().any(|range| range.contains(&hold.ip));
                scene.ranges_incomplete[usize::from(hold.ip.is_ipv6())] |= !inside;
            }
        }
        for service in &inventory.services {
            let object = service.object;
            scene.taken.extend(object.cluster_ips.iter().chain(&object.external_ips));
            scene.taken.extend(&object.load_balancer_ips);
        }
        scene.taken.extend(sift::METADATA);
        scene.taken.insert(sift::NODE_LOCAL_DNS);
        scene.namespace_labels = namespace_labels(inventory, options.namespace_label.as_ref());
        scene
    }

    pub(super) fn group_of(&self, workload: &WorkloadName) -> Option<&GroupId> {
        self.group_of.get(workload)
    }

    pub(super) fn group(&self, id: &GroupId) -> Option<&Group> {
        self.groups.get(&id.namespace).and_then(|groups| groups.get(id.at))
    }

    /// All groups, by namespace.
    pub(super) fn groups(&self) -> impl Iterator<Item = (GroupId, &Group)> {
        self.groups.iter().flat_map(|(namespace, groups)| {
            let id = |at| GroupId { namespace: Arc::clone(namespace), at };
            groups.iter().enumerate().map(move |(at, group)| (id(at), group))
        })
    }

    /// Every address of a node.
    pub(super) fn node_ips(&self, node: &str) -> impl Iterator<Item = IpAddr> {
        self.node_ips.get(node).into_iter().flatten().copied()
    }

    /// Every group's id that a workload leads to.
    pub(super) fn ids(&self) -> impl Iterator<Item = &GroupId> {
        self.group_of.values()
    }

    /// Names of all nodes, sorted.
    pub(super) fn nodes(&self) -> impl Iterator<Item = &Arc<str>> {
        self.node_ips.keys()
    }

    /// The label that names a namespace in a peer.
    pub(super) fn namespace_label(&self, namespace: &Arc<str>) -> NamespaceLabel {
        self.namespace_labels.get(namespace).cloned().unwrap_or_else(|| named(namespace))
    }
}

/// The addresses of each node, but those that a pod of its own network holds as long or longer: a rule for the
/// node would be one for that pod.
fn node_ips(inventory: &Inventory<'_>) -> BTreeMap<Arc<str>, BTreeSet<IpAddr>> {
    let mut claims: BTreeMap<Arc<str>, BTreeMap<IpAddr, Time>> = BTreeMap::new();
    let mut of_pods: BTreeMap<IpAddr, Time> = BTreeMap::new();
    for known in &inventory.pods {
        let pod = known.pod;
        if !pod.host_network {
            for hold in &known.holds {
                let to = of_pods.entry(hold.ip).or_insert(hold.to);
                *to = hold.to.max(*to);
            }
        } else if let Some(node) = &pod.node {
            let own = claims.entry(Arc::clone(node)).or_default();
            for ip in pod.ips.iter().chain(&pod.host_ips) {
                let to = own.entry(*ip).or_insert(known.to);
                *to = known.to.max(*to);
            }
        }
    }
    for known in &inventory.nodes {
        let node = known.node.object;
        let own = claims.entry(Arc::clone(&node.meta.name)).or_default();
        for ip in &node.ips {
            let to = own.entry(*ip).or_insert(known.node.to);
            *to = known.node.to.max(*to);
        }
    }
    let is_own = |ip: &IpAddr, to: Time| of_pods.get(ip).is_none_or(|pod| *pod < to);
    claims
        .into_iter()
        .map(|(node, ips)| {
            (node, ips.into_iter().filter(|(ip, to)| is_own(ip, *to)).map(|(ip, _)| ip).collect())
        })
        .collect()
}

fn named(namespace: &Arc<str>) -> NamespaceLabel {
    NamespaceLabel { key: "kubernetes.io/metadata.name".into(), value: Arc::clone(namespace) }
}

fn may_be(workload: &WorkloadName, labels: &Labels) -> bool {
    is_namespace(&workload.namespace) && labels.iter().all(|(key, value)| is_label(key, value))
}

/// The labels of all pods and templates, by namespace and workload.
fn rows(inventory: &Inventory<'_>) -> BTreeMap<Arc<str>, BTreeMap<WorkloadName, Row>> {
    let mut rows: BTreeMap<Arc<str>, BTreeMap<WorkloadName, Row>> = BTreeMap::new();
    let mut add = |workload: &WorkloadName, labels: &Labels| {
        // A pod that no API server takes runs nowhere, and must not blur those that do.
        if !may_be(workload, labels) {
            return;
        }
        let of_namespace = rows.entry(Arc::clone(&workload.namespace)).or_default();
        let row = match of_namespace.get_mut(workload) {
            Some(row) => row,
            None => of_namespace.entry(workload.clone()).or_default(),
        };
        if !row.labels.contains(labels) {
            row.labels.insert(labels.clone());
        }
    };
    for known in inventory.pods.iter().filter(|known| !known.pod.host_network) {
        add(&known.workload, &known.pod.meta.labels);
        for earlier in &known.earlier {
            add(&known.workload, &earlier.meta.labels);
        }
    }
    for (workload, top) in inventory.workloads.iter().zip(&inventory.templates) {
        if !workload.host_network {
            add(top, &workload.template_labels);
        }
    }
    for (workload, top) in inventory.workloads.iter().zip(&inventory.templates) {
        let own = top.kind == workload.kind && top.name == workload.meta.name;
        let pairs = workload.selector.as_ref().and_then(|selector| selector.match_labels.as_ref());
        let row = rows.get_mut(&top.namespace).and_then(|of_namespace| of_namespace.get_mut(top));
        if let (true, Some(pairs), Some(row)) = (own, pairs, row) {
            row.selector =
                pairs.iter().map(|(key, value)| (key.as_str().into(), value.as_str().into())).collect();
        }
    }
    rows
}

/// The chosen label where one namespace alone has that value, and the name everywhere else.
fn namespace_labels(inventory: &Inventory<'_>, key: Option<&Arc<str>>) -> BTreeMap<Arc<str>, NamespaceLabel> {
    let Some(key) = key else { return BTreeMap::new() };
    let mut holders: BTreeMap<&Arc<str>, Vec<&Arc<str>>> = BTreeMap::new();
    for namespace in &inventory.namespaces {
        if let Some(value) = namespace.meta.labels.get(key).filter(|value| is_label(key, value)) {
            holders.entry(value).or_default().push(&namespace.meta.name);
        }
    }
    holders
        .into_iter()
        .filter_map(|(value, names)| match names[..] {
            [only] => {
                Some((Arc::clone(only), NamespaceLabel { key: Arc::clone(key), value: Arc::clone(value) }))
            }
            _ => None,
        })
        .collect()
}
