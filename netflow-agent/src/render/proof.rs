//! The proof before the print. In: the bytes that are about to be written, the objects, the edges. Out: each
//! edge that these very bytes would deny, though nobody withheld it; none is what lets them go out.

use std::sync::Arc;

use crate::edge::Edge;
use crate::evaluate::{Cluster, Snapshot, Verdict};
use crate::manifest::{self, NetworkPolicy, Object, Words};
use crate::policy::Recommendation;

/// Why the bytes may not go out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unproven {
    #[error("what was generated is not readable: {0}")]
    Unreadable(String),
    #[error("observed and denied by what was generated: {}", .0.join("; "))]
    Denied(Vec<String>),
}

/// Replays every edge that is not withheld or unjudgeable against the policies in these bytes.
pub fn prove<'a>(
    policies: Vec<NetworkPolicy>,
    objects: impl Iterator<Item = &'a Object>,
    edges: &[Edge],
    answer: &Recommendation,
) -> Result<(), Unproven> {
    if policies.len() != answer.policies.len() {
        let text =
            format!("{} policies were written and {} are read back", answer.policies.len(), policies.len());
        return Err(Unproven::Unreadable(text));
    }
    let snapshot = Snapshot::new(objects);
    let cluster = Cluster::compile(Arc::new(snapshot), policies);
    let mut skipped = vec![false; edges.len()];
    for at in answer.withheld.iter().map(|one| one.edge).chain(answer.not_judged.iter().copied()) {
        skipped[at] = true;
    }
    let denied: Vec<String> = edges
        .iter()
        .zip(&skipped)
        .filter(|(edge, skipped)| {
            !**skipped && cluster.edge(&edge.key).is_some_and(|judged| judged.verdict == Verdict::Denied)
        })
        .map(|(edge, _)| crate::policy::words::edge(&edge.key))
        .collect();
    if denied.is_empty() { Ok(()) } else { Err(Unproven::Denied(denied)) }
}

/// The policies in a stream or list that was just rendered.
pub fn parse(bytes: &[u8]) -> Result<Vec<NetworkPolicy>, Unproven> {
    let unreadable = |error: &dyn core::fmt::Display| Unproven::Unreadable(error.to_string());
    let text = core::str::from_utf8(bytes).map_err(|error| unreadable(&error))?;
    let documents: Vec<serde_json::Value> =
        serde_saphyr::from_multiple(text).map_err(|error| unreadable(&error))?;
    let mut words = Words::default();
    let mut policies = Vec::new();
    for document in &documents {
        let items = document.get("items").and_then(serde_json::Value::as_array);
        for object in items.map_or(core::slice::from_ref(document), Vec::as_slice) {
            match manifest::object_from_value(object, &mut words).map_err(|error| unreadable(&error))? {
                Object::NetworkPolicy(policy) => policies.push(policy),
                _ => return Err(Unproven::Unreadable("an object that is no NetworkPolicy".to_owned())),
            }
        }
    }
    Ok(policies)
}
