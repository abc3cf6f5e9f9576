//! The proof before the print. In: the bytes that are about to be written, the objects, the edges. Out: each
//! edge that these very bytes would deny, though nobody withheld it; none is what lets them go out.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::edge::{Edge, EdgeKey};
use crate::evaluate::{Cluster, End, Judgement, Snapshot, Verdict};
use crate::identity::Endpoint;
use crate::manifest::{self, NetworkPolicy, Object};
use crate::policy::{Gap, GapKind, Recommendation};

/// Why the bytes may not go out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unproven {
    #[error("what was generated is not readable: {0}")]
    Unreadable(String),
    #[error("observed and denied by what was generated: {}", .0.join("; "))]
    Denied(Vec<String>),
}

/// The cluster under these policies, once it allows every edge that is not withheld or unjudgeable.
pub fn prove<'a>(
    policies: Vec<NetworkPolicy>,
    objects: impl Iterator<Item = &'a Object>,
    edges: &[Edge],
    answer: &Recommendation,
) -> Result<Cluster, Unproven> {
    if policies.len() != answer.policies.len() {
        let text =
            format!("{} policies were written and {} are read back", answer.policies.len(), policies.len());
        return Err(Unproven::Unreadable(text));
    }
    let cluster = Cluster::compile(Arc::new(Snapshot::new(objects)), policies);
    let mut skipped = vec![false; edges.len()];
    let (whole, parts): (Vec<_>, Vec<_>) = answer.withheld.iter().partition(|one| one.is_whole());
    let ways: BTreeSet<&EdgeKey> = parts.into_iter().filter_map(|one| one.way.as_ref()).collect();
    let withheld = whole.into_iter().map(|one| one.edge);
    for at in withheld.chain(answer.not_judged.iter().copied()).chain(answer.probes.iter().copied()) {
        skipped[at] = true;
    }
    let denied: Vec<String> = edges
        .iter()
        .zip(&skipped)
        .filter(|(_, skipped)| !**skipped)
        .filter_map(|(edge, _)| denied(&cluster, edge, &|way| ways.contains(way)))
        .map(|key| crate::policy::words::edge(&key))
        .collect();
    if denied.is_empty() { Ok(cluster) } else { Err(Unproven::Denied(denied)) }
}

/// The edge, or the way of it to or from a node that was dialled, that is denied and not withheld.
pub fn denied(cluster: &Cluster, edge: &Edge, withheld: &dyn Fn(&EdgeKey) -> bool) -> Option<EdgeKey> {
    if denies(cluster, &edge.key) {
        return Some(edge.key.clone());
    }
    edge.ways().find(|way| denies(cluster, way) && !withheld(way))
}

/// Whether some pods of an edge are denied: between pods of their own network that is what undefined means.
fn denies(cluster: &Cluster, key: &EdgeKey) -> bool {
    let Some(Judgement { verdict, .. }) = cluster.edge(key) else { return false };
    let of_pods = |end: &Endpoint| match end {
        Endpoint::External(_) => true,
        Endpoint::Workload(_) => cluster.snapshot().party(end).is_some_and(|party| {
            let on_host = |end: &End| match end {
                End::Subject { id, .. } => cluster.snapshot().subject(*id).host_network,
                _ => false,
            };
            !party.ends.iter().any(on_host)
        }),
        Endpoint::Node(_) | Endpoint::Service(_) | Endpoint::Unknown { .. } => false,
    };
    match verdict {
        Verdict::Denied => true,
        Verdict::Allowed => false,
        Verdict::Undefined => of_pods(&key.source) && of_pods(&key.destination),
    }
}

/// Edges that are withheld and allowed all the same, by a rule that is there for another reason.
pub fn still_allowed(cluster: &Cluster, edges: &[Edge], answer: &Recommendation) -> Vec<Gap> {
    let mut gaps: Vec<Gap> = answer
        .withheld
        .iter()
        .map(|one| (one.way.as_ref().unwrap_or(&edges[one.edge].key), &one.reason))
        .filter(|(key, _)| cluster.edge(key).is_some_and(|judged| judged.verdict == Verdict::Allowed))
        .map(|(key, reason)| {
            let text = format!(
                "withheld ({reason}), and allowed all the same: by a rule for others, or because nothing isolates it"
            );
            Gap::new(GapKind::StillAllowed, crate::policy::words::edge(key), text)
        })
        .collect();
    gaps.sort_by(|a, b| (&a.about, &a.text).cmp(&(&b.about, &b.text)));
    gaps
}

/// The policies in a stream or list that was just rendered, read and validated as the API server does.
pub fn parse(name: &str, bytes: &[u8]) -> Result<Vec<NetworkPolicy>, Unproven> {
    let manifests = manifest::read(name, bytes);
    if let Some(finding) = manifests.findings.first() {
        return Err(Unproven::Unreadable(finding.to_string()));
    }
    let policies = manifests.objects.into_iter().map(|placed| match placed.object {
        Object::NetworkPolicy(policy) => Ok(policy),
        _ => Err(Unproven::Unreadable("an object that is no NetworkPolicy".to_owned())),
    });
    policies.collect()
}
