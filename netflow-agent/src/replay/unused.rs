//! What no observed edge needed. In: the candidate and the edges. Out: its rules, and within used rules the
//! peers and ports, that allowed none of them.

use std::collections::BTreeSet;

use crate::edge::Edge;
use crate::evaluate::{Cluster, RuleUse, isolates, rules};
use crate::net::Direction;

/// Something in a policy that nothing in the window used. Indices count from 0, in the policy as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unused {
    Rule { policy: usize, direction: Direction, rule: usize },
    Peer { policy: usize, direction: Direction, rule: usize, peer: usize },
    Port { policy: usize, direction: Direction, rule: usize, port: usize },
}

/// In the order of policies; a rule that is unused as a whole is named once.
pub fn unused<'e>(candidate: &Cluster, edges: impl IntoIterator<Item = &'e Edge>) -> Vec<Unused> {
    let used: BTreeSet<RuleUse> = {
        let all = edges.into_iter().flat_map(|edge| edge.ways().chain([edge.key.clone()]));
        all.flat_map(|key| candidate.edge_uses(&key)).collect()
    };
    let mut found = Vec::new();
    for (policy, object) in candidate.policies().iter().enumerate() {
        for direction in Direction::BOTH {
            if !isolates(&object.spec, direction) {
                continue;
            }
            for (rule, (peers, ports)) in rules(&object.spec, direction).into_iter().enumerate() {
                // Sorted by policy, direction and rule; no peer and no port come first.
                let first = RuleUse { policy, direction, rule, peer: None, port: None };
                let next = RuleUse { rule: rule + 1, ..first };
                let of_rule: Vec<&RuleUse> = used.range(first..next).collect();
                if of_rule.is_empty() {
                    found.push(Unused::Rule { policy, direction, rule });
                    continue;
                }
                let peers =
                    (0..peers.len()).filter(|peer| !of_rule.iter().any(|used| used.peer == Some(*peer)));
                found.extend(peers.map(|peer| Unused::Peer { policy, direction, rule, peer }));
                let ports =
                    (0..ports.len()).filter(|port| !of_rule.iter().any(|used| used.port == Some(*port)));
                found.extend(ports.map(|port| Unused::Port { policy, direction, rule, port }));
            }
        }
    }
    found
}
