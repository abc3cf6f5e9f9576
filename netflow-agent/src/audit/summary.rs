//! What is there and how far it is guarded: per namespace the pods isolated in each direction, in per cent.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Scene;
use super::scene::workload;
use crate::net::Direction;

/// One namespace: its policies, its workloads, and how many of them are isolated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    pub policies: usize,
    pub workloads: usize,
    pub ingress: usize,
    pub egress: usize,
}

impl Coverage {
    /// Isolated in both directions counts whole, in one half; None without workloads.
    pub fn per_cent(&self) -> Option<usize> {
        ((self.ingress + self.egress) * 50).checked_div(self.workloads)
    }
}

/// Whether a workload is isolated, by direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Isolation {
    pub workload: String,
    /// Policies that select it: ingress, egress.
    pub selecting: [Vec<String>; 2],
}

/// Per namespace, in the order of names.
pub fn coverage(scene: &Scene<'_>) -> BTreeMap<Arc<str>, Coverage> {
    let mut all: BTreeMap<Arc<str>, Coverage> =
        scene.namespaces.keys().map(|name| (Arc::clone(name), Coverage::default())).collect();
    for policy in scene.policies() {
        all.entry(Arc::clone(&policy.meta.namespace)).or_default().policies += 1;
    }
    for (name, id, _) in scene.workloads() {
        let one = all.entry(Arc::clone(&name.namespace)).or_default();
        one.workloads += 1;
        one.ingress += usize::from(scene.isolated(id, Direction::Ingress));
        one.egress += usize::from(scene.isolated(id, Direction::Egress));
    }
    all
}

/// Per workload, in the order of names.
pub fn isolation(scene: &Scene<'_>) -> Vec<Isolation> {
    let policies = scene.cluster.policies();
    let each = scene.workloads().into_iter().map(|(name, id, _)| Isolation {
        workload: workload(name),
        selecting: Direction::BOTH.map(|direction| {
            let selecting = scene.cluster.selecting(id, direction);
            selecting.map(|at| policies[at].meta.name.to_string()).collect()
        }),
    });
    each.collect()
}
