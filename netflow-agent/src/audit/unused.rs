//! `unused-rule`: a rule that no observed edge of the recording's window used.

use std::collections::BTreeSet;

use super::{Report, Scene, Severity};
use crate::edge::EdgeKey;
use crate::net::Direction;

pub(super) fn find(scene: &Scene<'_>, observed: &BTreeSet<EdgeKey>, report: &mut Report) {
    let mut used: BTreeSet<(usize, Direction, usize)> = BTreeSet::new();
    for edge in observed {
        used.extend(scene.cluster.edge_uses(edge).iter().map(|one| (one.policy, one.direction, one.rule)));
    }
    let rules = scene
        .policies()
        .enumerate()
        .flat_map(|(at, policy)| scene.rules_of(policy).into_iter().map(move |rule| (at, rule)));
    for (at, rule) in rules {
        if !used.contains(&(at, rule.direction, rule.index)) {
            let reason = "no observed edge used it in the window";
            report.push(
                Severity::Note,
                "unused-rule",
                rule.title(),
                reason,
                "remove it when the window covers all that is due",
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::audit::Options;
    use crate::audit::tests::{check_with, findings, pod, policy};
    use crate::identity::{Endpoint, WorkloadName};
    use crate::manifest::WorkloadKind;
    use crate::net::Protocol;

    #[test]
    fn a_rule_is_unused_when_no_edge_needs_it() {
        let pods = pod("shop", "web", "app: web", "") + &pod("shop", "db", "app: db", "");
        let rules = "podSelector: {}, ingress: [{ports: [{port: 80}]}";
        let end = |name: &str| {
            Endpoint::Workload(WorkloadName {
                namespace: Arc::from("shop"),
                kind: WorkloadKind::Pod,
                name: Arc::from(name),
            })
        };
        let edge = EdgeKey { source: end("web"), destination: end("db"), port: 80, protocol: Protocol::Tcp };
        let observed = BTreeSet::from([edge]);
        let options = Options { observed: Some(&observed), ..Options::default() };
        let both = format!("{pods}{}", policy("shop", "p", &format!("{rules}, {{ports: [{{port: 81}}]}}]")));
        check_with("unused-rule", &options, &both, &(pods + &policy("shop", "p", &format!("{rules}]"))));
        let found = findings(&both, &options);
        let found = found.iter().find(|found| found.id == "unused-rule").map(|found| found.object.as_str());
        assert_eq!(found, Some("NetworkPolicy shop/p ingress[1]"));
    }
}
