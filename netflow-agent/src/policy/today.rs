//! How tight the policies in force are. In: them, compiled; edges, the ports that count. Out: how many connections
//! between workloads they allow and how many of these were never seen, counted as the score counts.

use std::collections::BTreeSet;

use super::port::Port;
use super::{Counted, Options, score};
use crate::edge::Edge;
use crate::evaluate::end::SubjectId;
use crate::evaluate::{Cluster, Party, Verdict};
use crate::identity::{Endpoint, WorkloadName};
use crate::net::Direction;

/// So many pairs of workloads with an isolated end are judged; of more, every nth source.
const MOST_PAIRS: usize = 2_000_000;

/// What the policies in force allow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Today {
    pub allowed: u64,
    pub never_seen: u64,
    /// One source in so many was counted.
    pub one_in: usize,
}

impl Today {
    /// Allowed and never seen over allowed, in per cent; none where nothing is allowed.
    pub fn slack(self) -> Option<f64> {
        score::percent(self.never_seen, self.allowed)
    }
}

/// A workload as the policies in force see it.
struct Seen<'a> {
    name: &'a WorkloadName,
    party: Party,
    subject: bool,
    /// Some pod of it is isolated: ingress, egress.
    isolated: [bool; 2],
    ports: Vec<Port>,
}

/// Counted over pairs of which one end at least is written for.
pub fn today(cluster: &Cluster, edges: &[Edge], counted: &Counted, options: &Options) -> Today {
    let all = workloads(cluster, counted, options);
    let (n_all, n_isolated) = (all.len(), all.iter().filter(|one| one.isolated.contains(&true)).count());
    let one_in = (n_all.saturating_mul(n_isolated).saturating_mul(2) / MOST_PAIRS) + 1;
    let mut today = Today { one_in, ..Today::default() };
    for source in all.iter().step_by(one_in) {
        for destination in all.iter().filter(|one| one.subject || source.subject) {
            let free = !source.isolated[1] && !destination.isolated[0];
            let reached = (!free).then(|| cluster.ports_between(&source.party, &destination.party));
            let open = |port: &&Port| {
                reached.as_ref().is_none_or(|ports| ports.contains(port.protocol, port.range.first))
            };
            today.allowed += destination.ports.iter().filter(open).count() as u64;
        }
    }
    let counted: BTreeSet<&WorkloadName> = all.iter().step_by(one_in).map(|one| one.name).collect();
    let seen = edges.iter().filter(|edge| {
        let between = |source: &WorkloadName| {
            counted.contains(source) && matches!(edge.key.destination, Endpoint::Workload(_))
        };
        matches!(&edge.key.source, Endpoint::Workload(source) if between(source))
            && options.concerns(&edge.key)
            && cluster.edge(&edge.key).is_some_and(|judged| judged.verdict == Verdict::Allowed)
    });
    today.never_seen = today.allowed.saturating_sub(seen.count() as u64);
    today
}

fn workloads<'a>(cluster: &'a Cluster, ports: &Counted, options: &Options) -> Vec<Seen<'a>> {
    let snapshot = cluster.snapshot();
    let isolated = |members: &[SubjectId], direction| {
        members.iter().any(|member| cluster.selecting(*member, direction).len() > 0)
    };
    let here = snapshot
        .workloads()
        .filter(|(_, members)| members.iter().any(|member| !snapshot.subject(*member).host_network));
    here.filter_map(|(name, members)| {
        Some(Seen {
            name,
            party: snapshot.party(&Endpoint::Workload(name.clone()))?,
            subject: options.is_subject(&name.namespace),
            isolated: [isolated(members, Direction::Ingress), isolated(members, Direction::Egress)],
            ports: ports.get(name).into_iter().flatten().copied().collect(),
        })
    })
    .collect()
}
