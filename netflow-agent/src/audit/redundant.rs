//! `redundant-rule`, `redundant-policy`: a rule whose peers and ports another rule allows for every pod that it
//! guards; a policy of such rules only, whose pods other policies isolate in the same directions.

use std::collections::{BTreeMap, BTreeSet};

use super::scene::{RuleAt, is_empty, lower, title};
use super::{Report, Scene, Severity};
use crate::evaluate::class::ClassId;
use crate::evaluate::compile::{Peers, Rule, SharedRule};
use crate::evaluate::isolates;
use crate::manifest::NetworkPolicy;
use crate::net::Direction;

pub(super) fn find(scene: &Scene<'_>, report: &mut Report) {
    let policies = scene.cluster.policies();
    let rules = scene.rules();
    let mut by_policy: BTreeMap<usize, Vec<(Direction, usize, Option<usize>)>> = BTreeMap::new();
    let at = |rule: &RuleAt<'_>| policies.iter().position(|policy| core::ptr::eq(policy, rule.policy));
    for rule in &rules {
        let Some(policy) = at(rule) else { continue };
        // What matches nothing is another finding.
        let nothing = !rule.ports.is_empty() && rule.numbers().is_empty() && rule.names().is_empty();
        let covered = if nothing { None } else { covered_by(scene, policy, rule) };
        by_policy.entry(policy).or_default().push((rule.direction, rule.index, covered));
    }
    for (index, policy) in policies.iter().enumerate() {
        let own = by_policy.remove(&index).unwrap_or_default();
        let pods = scene.selected(policy);
        let others_isolate = |direction: Direction| {
            let isolated = |id: &_| scene.cluster.selecting(*id, direction).any(|other| other != index);
            !isolates(&policy.spec, direction) || pods.iter().all(isolated)
        };
        let whole = !pods.is_empty()
            && own.iter().all(|(.., covered)| covered.is_some_and(|other| other != index))
            && Direction::BOTH.into_iter().all(others_isolate)
            && !(own.is_empty() && alone_guards_pods_to_come(policies, index))
            // Of two equal policies one is to stay: the first.
            && !(own.is_empty() && is_first_of_its_kind(scene, index, &pods));
        if whole {
            let reason = "other policies isolate the same pods and allow all that it allows";
            report.push(Severity::Note, "redundant-policy", title(policy), reason, "remove it");
            continue;
        }
        for (direction, rule, covered) in own {
            let Some(other) = covered else { continue };
            let reason =
                format!("{} allows the same peers and ports to the same pods", title(&policies[other]));
            let object = format!("{} {}[{rule}]", title(policy), lower(direction));
            report.push(Severity::Note, "redundant-rule", object, reason, "remove it");
        }
    }
}

/// Whether this is a default deny of its namespace, and no other policy isolates every pod there: the pods
/// that are not there yet have only this one.
fn alone_guards_pods_to_come(policies: &[NetworkPolicy], index: usize) -> bool {
    let guards_all = |policy: &NetworkPolicy| policy.spec.pod_selector.as_ref().is_none_or(is_empty);
    let this = &policies[index];
    let other_guards = |direction: Direction| {
        policies.iter().enumerate().any(|(at, other)| {
            at != index
                && other.meta.namespace == this.meta.namespace
                && guards_all(other)
                && isolates(&other.spec, direction)
        })
    };
    let own = Direction::BOTH.into_iter().filter(|&direction| isolates(&this.spec, direction));
    guards_all(this) && !{ own }.all(other_guards)
}

/// Whether no earlier policy isolates all these pods in the same directions.
fn is_first_of_its_kind(scene: &Scene<'_>, index: usize, pods: &[crate::evaluate::end::SubjectId]) -> bool {
    let policy = &scene.cluster.policies()[index];
    let earlier =
        |direction| pods.iter().all(|id| scene.cluster.selecting(*id, direction).any(|other| other < index));
    !Direction::BOTH.into_iter().filter(|&direction| isolates(&policy.spec, direction)).all(earlier)
}

/// The policy of a rule that allows at least as much for every pod of this one; of equal rules the first stays.
fn covered_by(scene: &Scene<'_>, policy: usize, rule: &RuleAt<'_>) -> Option<usize> {
    let snapshot = scene.cluster.snapshot();
    let classes: BTreeSet<ClassId> =
        scene.selected(rule.policy).into_iter().map(|id| snapshot.subject(id).class).collect();
    let mut candidates: Option<BTreeSet<(u32, u32)>> = None;
    for class in classes {
        let side = scene.cluster.sides.of(class, rule.direction);
        let own = side
            .rules
            .iter()
            .find(|one| one.policy as usize == policy && one.index as usize == rule.index)?;
        let covering = side.rules.iter().filter(|other| {
            let (this, that) = ((own.policy, own.index), (other.policy, other.index));
            this != that && covers(scene, other, own) && (that < this || !covers(scene, own, other))
        });
        let covering: BTreeSet<(u32, u32)> =
            covering.map(|other: &SharedRule| (other.policy, other.index)).collect();
        candidates = Some(match candidates {
            None => covering,
            Some(kept) => kept.intersection(&covering).copied().collect(),
        });
    }
    candidates?.first().map(|(policy, _)| *policy as usize)
}

/// Whether `wide` has every peer and every port of `narrow`.
fn covers(scene: &Scene<'_>, wide: &Rule, narrow: &Rule) -> bool {
    let peers = match (&wide.peers, &narrow.peers) {
        (Peers::Any, _) => true,
        (Peers::Listed { .. }, Peers::Any) => false,
        (Peers::Listed { classes, blocks, .. }, Peers::Listed { classes: own, blocks: ranges, .. }) => {
            (own.iter().next().is_some() || !ranges.is_empty())
                && own.iter().all(|class| classes.contains(class))
                && ranges.iter().all(|range| {
                    blocks.iter().any(|block| {
                        block == range || (block.except.is_empty() && block.net.contains(&range.net))
                    })
                })
        }
    };
    peers && ports_cover(scene, wide, narrow)
}

/// As written: numbers by their sets, names by their text.
fn ports_cover(scene: &Scene<'_>, wide: &Rule, narrow: &Rule) -> bool {
    let written = |rule: &Rule| {
        let policy = &scene.cluster.policies()[rule.policy as usize];
        let found = scene.rules_of(policy).into_iter().filter(|one| one.index == rule.index as usize);
        found.map(|one| (one.direction, one.numbers(), one.names())).collect::<Vec<_>>()
    };
    let (wide, narrow) = (written(wide), written(narrow));
    narrow.iter().any(|(direction, numbers, names)| {
        wide.iter().any(|(other, all, all_names)| {
            other == direction
                && numbers.minus(all).is_empty()
                && (all.is_all() || names.is_subset(all_names))
        })
    })
}

#[cfg(test)]
mod tests {
    use crate::audit::Options;
    use crate::audit::tests::{check, findings, pod, policy};

    #[test]
    fn a_rule_within_another_is_redundant_and_a_wider_one_is_not() {
        let web = pod("shop", "web", "app: web", "") + &pod("shop", "db", "app: db", "");
        let rule = |app: &str, port: u16| {
            format!("{{from: [{{podSelector: {{matchLabels: {{app: {app}}}}}}}], ports: [{{port: {port}}}]}}")
        };
        let with = |narrow: &str| {
            let wide = "{from: [{podSelector: {}}], ports: [{port: 80, endPort: 90}]}";
            web.clone() + &policy("shop", "p", &format!("podSelector: {{}}, ingress: [{wide}, {narrow}]"))
        };
        check("redundant-rule", &with(&rule("web", 85)), &with(&rule("web", 91)));
    }

    #[test]
    fn a_policy_that_others_make_needless_is_redundant() {
        let web = pod("shop", "web", "app: web", "")
            + &policy("shop", "a", "podSelector: {}, ingress: [{ports: [{port: 80}]}]");
        let with = |rules: &str| {
            web.clone() + &policy("shop", "b", &format!("podSelector: {{}}, ingress: [{rules}]"))
        };
        check("redundant-policy", &with("{ports: [{port: 80}]}"), &with("{ports: [{port: 81}]}"));
        check("redundant-policy", &with(""), &web);
    }

    /// As generated: a policy for each workload, and a default deny for those to come.
    #[test]
    fn a_default_deny_is_needed_though_every_pod_of_today_is_guarded() {
        let web = pod("shop", "web", "app: web", "");
        let guard =
            |selector: &str| policy("shop", "guard", &format!("podSelector: {selector}, ingress: []"));
        let deny = policy("shop", "deny", "podSelector: {}, ingress: []");
        let all = web.clone() + &guard("{}") + &deny;
        let each = web + &guard("{matchLabels: {app: web}}") + &deny;
        let of_deny = |text: &str| {
            findings(text, &Options::default()).iter().any(|found| found.object.contains("deny"))
        };
        assert!(!of_deny(&each));
        check("redundant-policy", &all, "");
    }
}
