//! Owners of pods within one snapshot. In: a pod's owner reference and the workloads that are known.
//! Out: the chain of workloads above it, nearest first.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::identity::WorkloadName;
use crate::manifest::{Meta, Owner, Workload, WorkloadKind};

/// Deeper chains are followed no further: owners of owners end after two in practice.
const DEPTH: usize = 8;

pub(super) type Known<'a> = BTreeMap<WorkloadName, &'a Workload>;

pub(super) fn kind_of(owner: &Owner) -> WorkloadKind {
    crate::evaluate::end::known_kind(&owner.kind)
        .filter(|kind| kind.as_str() == &*owner.kind)
        .unwrap_or_else(|| WorkloadKind::Other(Arc::clone(&owner.kind)))
}

/// The workloads above an object, nearest first; empty for one without a controller.
pub(super) fn chain(meta: &Meta, known: &Known<'_>) -> Vec<WorkloadName> {
    let mut chain: Vec<WorkloadName> = Vec::new();
    let mut above = meta.owner.as_ref();
    while let Some(owner) = above {
        let name = WorkloadName {
            namespace: Arc::clone(&meta.namespace),
            kind: kind_of(owner),
            name: Arc::clone(&owner.name),
        };
        if chain.len() == DEPTH || chain.contains(&name) {
            break;
        }
        let workload = known.get(&name);
        let deployment = if workload.is_none() { deployment_of(&name, meta) } else { None };
        chain.push(name);
        chain.extend(deployment);
        above = workload.and_then(|workload| workload.meta.owner.as_ref());
    }
    chain
}

/// A ReplicaSet that is not known: its name less the pod's template hash is its Deployment's.
fn deployment_of(replica_set: &WorkloadName, pod: &Meta) -> Option<WorkloadName> {
    if replica_set.kind != WorkloadKind::ReplicaSet {
        return None;
    }
    let hash = pod.labels.get("pod-template-hash")?;
    let name = replica_set.name.strip_suffix(&**hash)?.strip_suffix('-')?;
    Some(WorkloadName {
        namespace: Arc::clone(&replica_set.namespace),
        kind: WorkloadKind::Deployment,
        name: name.into(),
    })
}
