//! Observed edges against candidate policies. In: the joined window, the candidate compiled, the live policies
//! where they are known. Out: a class for each edge, and for the attempts that the candidate newly allows.

use std::collections::{BTreeMap, BTreeSet};

use crate::edge::{Attempt, Edge, EdgeKey, Joined};
use crate::evaluate::{Cluster, Verdict, Why};
use crate::identity::{Endpoint, Inventory};
use crate::manifest::{Object, Owner, WorkloadKind};
use crate::net::Direction;

#[cfg(test)]
mod tests;
mod unused;

pub use unused::{Unused, unused};

/// What the candidate does with something that was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Observed, and would be denied.
    Denied,
    /// An attempt that the live policies deny and the candidate allows.
    NewlyAllowed,
    /// An end is unknown, or NetworkPolicy does not say.
    NotJudged,
    /// Would be denied, as a flag or the review file wants it.
    Withheld,
    Allowed,
}

impl Class {
    pub const ALL: [Self; 5] =
        [Self::Denied, Self::NewlyAllowed, Self::NotJudged, Self::Withheld, Self::Allowed];

    /// The word of the output contract.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Denied => "denied",
            Self::NewlyAllowed => "newly_allowed",
            Self::NotJudged => "not_judged",
            Self::Withheld => "withheld",
            Self::Allowed => "allowed",
        }
    }
}

/// Everything seen, with its class.
#[derive(Debug, Default)]
pub struct Replayed<'a> {
    /// In the order of the join.
    pub edges: Vec<(&'a Edge, Class)>,
    /// Only those newly allowed.
    pub attempts: Vec<(&'a Attempt, Class)>,
}

/// How much of a class there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    pub edges: u64,
    pub connections: u64,
}

impl Replayed<'_> {
    /// Edges (or attempts) and connections by class; every class is there.
    pub fn counts(&self) -> BTreeMap<Class, Count> {
        let mut counts: BTreeMap<Class, Count> = Class::ALL.map(|class| (class, Count::default())).into();
        let edges = self.edges.iter().map(|(edge, class)| (*class, edge.connections));
        let attempts = self.attempts.iter().map(|(attempt, class)| (*class, attempt.connections));
        for (class, connections) in edges.chain(attempts) {
            let count = counts.entry(class).or_default();
            count.edges += 1;
            count.connections = count.connections.saturating_add(connections);
        }
        counts
    }
}

/// Judges all of it. `withheld` says which edges are meant to be denied.
pub fn replay<'a>(
    joined: &'a Joined,
    candidate: &Cluster,
    live: Option<&Cluster>,
    withheld: &dyn Fn(&EdgeKey) -> bool,
) -> Replayed<'a> {
    let one = |key: &EdgeKey| match candidate.edge(key).map(|judged| judged.verdict) {
        None | Some(Verdict::Undefined) => Class::NotJudged,
        Some(Verdict::Allowed) => Class::Allowed,
        Some(Verdict::Denied) if withheld(key) => Class::Withheld,
        Some(Verdict::Denied) => Class::Denied,
    };
    // A way by a node is told of only where it fails: whether it can be judged is the edge's own matter.
    let class = |edge: &Edge| {
        let ways = edge.ways().map(|way| one(&way)).filter(|class| *class != Class::NotJudged);
        ways.chain([one(&edge.key)]).min().unwrap_or(Class::NotJudged)
    };
    let verdict = |cluster: &Cluster, key: &EdgeKey| cluster.edge(key).map(|judged| judged.verdict);
    let newly = |attempt: &&Attempt| {
        let denied = live.is_some_and(|live| verdict(live, &attempt.key) == Some(Verdict::Denied));
        denied && verdict(candidate, &attempt.key) == Some(Verdict::Allowed)
    };
    Replayed {
        edges: joined.edges.iter().map(|edge| (edge, class(edge))).collect(),
        attempts: joined.attempts.iter().filter(newly).map(|one| (one, Class::NewlyAllowed)).collect(),
    }
}

/// Direction, and index in the candidate.
type Blamed = BTreeSet<(Direction, usize)>;

/// The policies that isolate an end of a denied edge without a rule for it; then those for each way of it.
pub fn blame(candidate: &Cluster, edge: &Edge) -> Vec<(Option<EdgeKey>, Blamed)> {
    let own = [(None, blame_one(candidate, &edge.key))];
    let ways = edge.ways().map(|way| (Some(way.clone()), blame_one(candidate, &way)));
    own.into_iter().chain(ways).filter(|(_, blamed)| !blamed.is_empty()).collect()
}

fn blame_one(candidate: &Cluster, key: &EdgeKey) -> BTreeSet<(Direction, usize)> {
    let snapshot = candidate.snapshot();
    let (Some(from), Some(to)) = (snapshot.party(&key.source), snapshot.party(&key.destination)) else {
        return BTreeSet::new();
    };
    let mut blamed = BTreeSet::new();
    for explanation in candidate.explain(&from, &to, key.port, key.protocol) {
        for reading in &explanation.readings {
            for (direction, (verdict, why)) in
                [(Direction::Ingress, &reading.ingress), (Direction::Egress, &reading.egress)]
            {
                if let (Verdict::Denied, Why::Isolated { policies, .. }) = (verdict, why) {
                    blamed.extend(policies.iter().map(|policy| (direction, *policy)));
                }
            }
        }
    }
    blamed
}

/// The objects that policies are judged on: every pod of the window under the workload that its flows were
/// joined to, and all else that is known.
pub fn objects(inventory: &Inventory<'_>) -> Vec<Object> {
    let mut objects: Vec<Object> = Vec::with_capacity(inventory.pods.len() + inventory.workloads.len());
    for known in &inventory.pods {
        let mut pod = known.pod.clone();
        if known.workload.kind != WorkloadKind::Pod {
            // The owner chain was followed once, over the whole window: its end is the owner.
            let api_version = match known.workload.kind {
                WorkloadKind::Job | WorkloadKind::CronJob => "batch/v1",
                WorkloadKind::ReplicationController => "v1",
                _ => "apps/v1",
            };
            pod.meta.owner = Some(Owner {
                api_version: api_version.into(),
                kind: known.workload.kind.as_str().into(),
                name: known.workload.name.clone(),
                uid: "".into(),
            });
        }
        objects.push(Object::Pod(pod));
    }
    objects.extend(inventory.workloads.iter().map(|one| Object::Workload((*one).clone())));
    objects.extend(inventory.namespaces.iter().map(|one| Object::Namespace((*one).clone())));
    objects.extend(inventory.nodes.iter().map(|one| Object::Node(one.node.object.clone())));
    objects.extend(inventory.services.iter().map(|one| Object::Service(one.object.clone())));
    objects
}

/// Whether an end is one that can be judged at all.
pub fn is_known(end: &Endpoint) -> bool {
    !matches!(end, Endpoint::Unknown { .. } | Endpoint::Service(_))
}
