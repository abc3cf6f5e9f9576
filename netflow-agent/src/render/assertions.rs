//! Intent for `assert`. In: edges, what was generated, the cluster under it. Out: a file of assertions: each
//! observed edge allowed; what skips a tier, and the metadata service, denied. Only what holds is written.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use super::tree::{self, Tree};
use crate::edge::{Edge, EdgeKey};
use crate::evaluate::{Cluster, EndName, Verdict};
use crate::identity::Endpoint;
use crate::net::Protocol;
use crate::policy::{METADATA_SERVICE, Recommendation};

/// One document with the list `assertions`.
pub fn assertions(
    edges: &[Edge],
    answer: &Recommendation,
    cluster: &Cluster,
    out: &mut dyn Write,
) -> io::Result<()> {
    let whole = answer.withheld.iter().filter(|one| one.is_whole());
    let withheld: BTreeSet<usize> = whole.map(|one| one.edge).collect();
    let kept = edges.iter().enumerate().filter(|(at, _)| !withheld.contains(at)).map(|(_, edge)| &edge.key);
    let allowed: BTreeSet<&EdgeKey> = kept.collect();
    let mut items: Vec<Tree> = Vec::new();
    let mut add = |key: &EdgeKey, verdict: Verdict, reason: &str| {
        let (Some(from), Some(to)) = (name(&key.source), name(&key.destination)) else { return };
        if cluster.edge(key).is_some_and(|judged| judged.verdict == verdict) {
            items.push(Tree::map([
                ("from", Tree::text(from)),
                ("to", Tree::text(to)),
                ("port", Tree::Number(key.port.into())),
                ("protocol", Tree::text(key.protocol.as_str())),
                ("expect", Tree::text(verdict.as_str())),
                ("reason", Tree::text(reason)),
            ]));
        }
    };
    for key in &allowed {
        add(key, Verdict::Allowed, "observed");
    }
    for (key, between) in skipping(&allowed) {
        add(&key, Verdict::Denied, &format!("skips {between}"));
    }
    let sources: BTreeSet<&Endpoint> = allowed.iter().map(|key| &key.source).collect();
    for source in sources {
        let key = EdgeKey {
            source: source.clone(),
            destination: Endpoint::External(METADATA_SERVICE),
            port: 80,
            protocol: Protocol::Tcp,
        };
        if !allowed.contains(&key) {
            add(&key, Verdict::Denied, "the metadata service hands out the rights of the machine");
        }
    }
    tree::yaml(&Tree::map([("assertions", Tree::list(items))]), out)
}

fn name(end: &Endpoint) -> Option<String> {
    match end {
        Endpoint::Workload(name) => Some(EndName::Workload(name.clone()).to_string()),
        Endpoint::External(ip) => Some(EndName::Address(*ip).to_string()),
        Endpoint::Node(_) | Endpoint::Service(_) | Endpoint::Unknown { .. } => None,
    }
}

/// From whoever reaches a workload to what that workload reaches, where nobody saw it go straight.
fn skipping(allowed: &BTreeSet<&EdgeKey>) -> BTreeMap<EdgeKey, String> {
    let mut from: BTreeMap<&Endpoint, Vec<&EdgeKey>> = BTreeMap::new();
    for key in allowed {
        from.entry(&key.source).or_default().push(key);
    }
    let mut skips = BTreeMap::new();
    for first in allowed.iter().filter(|key| matches!(key.destination, Endpoint::Workload(_))) {
        for second in from.get(&first.destination).into_iter().flatten() {
            let key = EdgeKey { source: first.source.clone(), ..(*second).clone() };
            if key.source != key.destination && !allowed.contains(&key) {
                skips.entry(key).or_insert_with(|| crate::policy::words::endpoint(&first.destination));
            }
        }
    }
    skips
}
