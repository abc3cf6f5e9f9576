//! From a pod to its workload. In: a pod's controller and the ReplicaSets and Jobs that are known. Out: the
//! topmost owner that is a workload: ReplicaSet -> Deployment, Job -> CronJob; an unknown kind by its name.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::WorkloadName;
use crate::manifest::{Owner, Pod, Workload, WorkloadKind};

/// Kind, namespace and name.
type Named<'a> = (&'a str, &'a str, &'a str);

/// The ReplicaSets and Jobs by namespace and name; they stand between a pod and its workload.
#[derive(Debug, Default)]
pub struct Owners<'a> {
    between: BTreeMap<Named<'a>, &'a Workload>,
    /// Answers already given: a workload's pods share one name. By the controller.
    given: BTreeMap<WorkloadName, WorkloadName>,
}

impl<'a> Owners<'a> {
    pub fn of(workloads: impl Iterator<Item = &'a Workload>) -> Self {
        let between = workloads
            .filter(|workload| matches!(workload.kind, WorkloadKind::ReplicaSet | WorkloadKind::Job))
            .map(|workload| {
                ((workload.kind.as_str(), &*workload.meta.namespace, &*workload.meta.name), workload)
            })
            .collect();
        Self { between, given: BTreeMap::new() }
    }

    /// The workload of a pod.
    pub fn workload(&mut self, pod: &Pod) -> WorkloadName {
        let Some(owner) = &pod.meta.owner else { return bare(pod) };
        let namespace = Arc::clone(&pod.meta.namespace);
        let key = WorkloadName { namespace, kind: kind(owner), name: Arc::clone(&owner.name) };
        if let Some(known) = self.given.get(&key) {
            return known.clone();
        }
        let workload = self.climb(pod, owner);
        self.given.insert(key, workload.clone());
        workload
    }

    /// The workload that a pod template belongs to: itself, or who keeps it.
    pub fn of_template(&self, workload: &Workload) -> WorkloadName {
        let namespace = Arc::clone(&workload.meta.namespace);
        match (&workload.kind, &workload.meta.owner) {
            (WorkloadKind::ReplicaSet | WorkloadKind::Job, Some(owner)) => {
                WorkloadName { namespace, kind: kind(owner), name: Arc::clone(&owner.name) }
            }
            _ => {
                WorkloadName { namespace, kind: workload.kind.clone(), name: Arc::clone(&workload.meta.name) }
            }
        }
    }

    fn climb(&self, pod: &Pod, owner: &Owner) -> WorkloadName {
        let namespace = Arc::clone(&pod.meta.namespace);
        let direct = kind(owner);
        if direct == WorkloadKind::Other(Arc::from("Node")) {
            // The kubelet's own copy of a static pod.
            return bare(pod);
        }
        let known = self.between.get(&(direct.as_str(), &*namespace, &*owner.name));
        if let Some(above) = known.map(|known| &known.meta.owner) {
            return match above {
                Some(above) => WorkloadName { namespace, kind: kind(above), name: Arc::clone(&above.name) },
                None => WorkloadName { namespace, kind: direct, name: Arc::clone(&owner.name) },
            };
        }
        let named = WorkloadName { namespace, kind: direct, name: Arc::clone(&owner.name) };
        behind(&named, pod).unwrap_or(named)
    }
}

/// Who keeps a pod's controller of which no object is known, as far as its name tells.
pub fn behind(controller: &WorkloadName, pod: &Pod) -> Option<WorkloadName> {
    let (kind, name) = match controller.kind {
        WorkloadKind::ReplicaSet => behind_replica_set(pod, &controller.name)?,
        WorkloadKind::Job => (WorkloadKind::CronJob, behind_job(&controller.name)?),
        _ => return None,
    };
    Some(WorkloadName { namespace: Arc::clone(&controller.namespace), kind, name: Arc::from(name) })
}

fn bare(pod: &Pod) -> WorkloadName {
    WorkloadName {
        namespace: Arc::clone(&pod.meta.namespace),
        kind: WorkloadKind::Pod,
        name: Arc::clone(&pod.meta.name),
    }
}

/// A ReplicaSet that a Deployment made is named after it, and ends in the hash that its pods carry; a Rollout
/// of Argo does the same with a label of its own.
fn behind_replica_set<'n>(pod: &Pod, name: &'n str) -> Option<(WorkloadKind, &'n str)> {
    let strip = |label: &str| {
        let hash = pod.meta.labels.get(label)?;
        name.strip_suffix(&**hash)?.strip_suffix('-').filter(|stem| !stem.is_empty() && !hash.is_empty())
    };
    if let Some(stem) = strip("rollouts-pod-template-hash") {
        return Some((WorkloadKind::Other(Arc::from("Rollout")), stem));
    }
    strip("pod-template-hash").map(|stem| (WorkloadKind::Deployment, stem))
}

/// A Job that a CronJob made is named after it, and ends in the minutes since the epoch at which it was due. Eight
/// digits that are minutes since there are CronJobs are no date (20260101 would be 2008). A Job that somebody numbered
/// so by hand is taken for one of a CronJob as well: its runs then share a policy by their stable labels, where a
/// policy named after one run would be of no use to the next.
fn behind_job(name: &str) -> Option<&str> {
    const FIRST_CRONJOBS: i64 = 24_000_000;
    let (stem, digits) = name.rsplit_once('-')?;
    if stem.is_empty() || digits.len() != 8 || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    digits.parse::<i64>().is_ok_and(|minutes| minutes >= FIRST_CRONJOBS).then_some(stem)
}

/// The kind that an owner reference names; a kind of another group with a familiar name is another kind.
pub fn kind(owner: &Owner) -> WorkloadKind {
    let group = owner.api_version.split_once('/').map_or("", |(group, _)| group);
    match (group, &*owner.kind) {
        ("apps" | "extensions", "Deployment") => WorkloadKind::Deployment,
        ("apps" | "extensions", "ReplicaSet") => WorkloadKind::ReplicaSet,
        ("apps" | "extensions", "DaemonSet") => WorkloadKind::DaemonSet,
        ("apps", "StatefulSet") => WorkloadKind::StatefulSet,
        ("batch", "Job") => WorkloadKind::Job,
        ("batch", "CronJob") => WorkloadKind::CronJob,
        ("", "ReplicationController") => WorkloadKind::ReplicationController,
        ("", "Pod") => WorkloadKind::Pod,
        // An owner reference without its version, as hand-written recordings have it.
        ("", familiar) if owner.api_version.is_empty() => match familiar {
            "Deployment" => WorkloadKind::Deployment,
            "ReplicaSet" => WorkloadKind::ReplicaSet,
            "DaemonSet" => WorkloadKind::DaemonSet,
            "StatefulSet" => WorkloadKind::StatefulSet,
            "Job" => WorkloadKind::Job,
            "CronJob" => WorkloadKind::CronJob,
            _ => WorkloadKind::Other(Arc::clone(&owner.kind)),
        },
        _ => WorkloadKind::Other(Arc::clone(&owner.kind)),
    }
}
