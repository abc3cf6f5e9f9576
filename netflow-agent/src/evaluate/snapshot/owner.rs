//! Owners of pods within one snapshot. In: a pod's owner reference and the workloads that are known.
//! Out: the chain of workloads above it, nearest first.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::identity::{WorkloadName, owner};
use crate::manifest::{Meta, Owner, Pod, Workload};

/// Deeper chains are followed no further: owners of owners end after two in practice.
const DEPTH: usize = 8;

pub(super) type Known<'a> = BTreeMap<WorkloadName, &'a Workload>;

/// Who an object's controller is.
pub(super) fn named(meta: &Meta, owner: &Owner) -> WorkloadName {
    let namespace = Arc::clone(&meta.namespace);
    WorkloadName { namespace, kind: owner::kind(owner), name: Arc::clone(&owner.name) }
}

/// The workloads above a pod, nearest first; empty for one without a controller.
pub(super) fn chain(pod: &Pod, known: &Known<'_>) -> Vec<WorkloadName> {
    let mut chain: Vec<WorkloadName> = Vec::new();
    let mut above = pod.meta.owner.as_ref();
    while let Some(owner) = above {
        let name = named(&pod.meta, owner);
        if chain.len() == DEPTH || chain.contains(&name) {
            break;
        }
        let workload = known.get(&name);
        let derived = if workload.is_none() { owner::behind(&name, pod) } else { None };
        chain.push(name);
        chain.extend(derived);
        above = workload.and_then(|workload| workload.meta.owner.as_ref());
    }
    chain
}
