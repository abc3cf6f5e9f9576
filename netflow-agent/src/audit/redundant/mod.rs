//! `redundant-rule`, `redundant-policy`: a rule whose peers and ports other rules allow, one alone or several
//! together, for every pod that it guards; a policy of such rules only, whose pods others isolate as well.
//!
//! All that is named can be removed at once: of equal ones the first stays. A policy of all pods of a namespace
//! guards those to come too, so only others of all pods make it needless.

use std::collections::{BTreeMap, BTreeSet};

use super::scene::{is_empty, lower, title};
use super::{Report, Scene, Severity};
use crate::evaluate::class::ClassId;
use crate::evaluate::compile::SharedRule;
use crate::evaluate::isolates;
use crate::net::Direction;

mod cover;

use cover::Written;

/// A rule: policy, direction, index.
type At = (usize, Direction, usize);

pub(super) fn find(scene: &Scene<'_>, report: &mut Report) {
    let mut search = Search::new(scene);
    for policy in (0..scene.cluster.policies().len()).rev() {
        search.policy(policy, report);
    }
    let rules: Vec<At> = search.rules.keys().rev().copied().collect();
    for &at in &rules {
        search.rule_by_one(at, report);
    }
    for &at in &rules {
        search.rule_by_several(at, report);
    }
}

struct Search<'a> {
    scene: &'a Scene<'a>,
    rules: BTreeMap<At, Written<'a>>,
    /// Per policy and direction: the policies that isolate at least its pods in that direction, itself included.
    wider: Vec<[Vec<usize>; 2]>,
    removed: BTreeSet<At>,
    removed_policies: BTreeSet<usize>,
}

impl<'a> Search<'a> {
    fn new(scene: &'a Scene<'a>) -> Self {
        let mut compiled: BTreeMap<At, &SharedRule> = BTreeMap::new();
        for direction in Direction::BOTH {
            let sides = scene.cluster.snapshot().subjects().map(|(_, subject)| subject.class);
            for class in sides.collect::<BTreeSet<ClassId>>() {
                for rule in &scene.cluster.sides.of(class, direction).rules {
                    compiled.entry((rule.policy as usize, direction, rule.index as usize)).or_insert(rule);
                }
            }
        }
        let mut rules = BTreeMap::new();
        for (policy, object) in scene.cluster.policies().iter().enumerate() {
            for rule in scene.rules_of(object) {
                let at = (policy, rule.direction, rule.index);
                // A rule of a policy that selects nobody is another finding.
                if let Some(compiled) = compiled.get(&at) {
                    rules.insert(at, Written::new(compiled, &rule));
                }
            }
        }
        let wider = (0..scene.cluster.policies().len()).map(|policy| wider(scene, policy)).collect();
        Self { scene, rules, wider, removed: BTreeSet::new(), removed_policies: BTreeSet::new() }
    }

    /// The rules that may stand in for one: of the policies that guard all its pods, and are to stay.
    fn others(&self, at: At, own_policy: bool) -> Vec<(At, &Written<'a>)> {
        let (policy, direction, _) = at;
        let policies = self.wider[policy][direction as usize].iter();
        let policies = policies.filter(|&&other| own_policy || other != policy);
        policies
            .flat_map(|&other| self.rules.range((other, direction, 0)..=(other, direction, usize::MAX)))
            .map(|(at, rule)| (*at, rule))
            .filter(|(other, _)| *other != at && !self.removed.contains(other))
            .collect()
    }

    fn policy(&mut self, policy: usize, report: &mut Report) {
        let object = &self.scene.cluster.policies()[policy];
        let directions = Direction::BOTH.into_iter().filter(|&one| isolates(&object.spec, one));
        let isolated = directions.clone().all(|direction| {
            let mut others = self.wider[policy][direction as usize].iter();
            others.any(|other| *other != policy && !self.removed_policies.contains(other))
        });
        if !isolated || directions.count() == 0 {
            return;
        }
        let own: Vec<At> = self.own(policy);
        let needless = own.iter().all(|at| {
            let others: Vec<&Written<'_>> =
                self.others(*at, false).into_iter().map(|(_, rule)| rule).collect();
            self.rules[at].is_covered(&others)
        });
        if needless {
            let reason = "other policies isolate the same pods and allow all that it allows";
            report.push(Severity::Note, "redundant-policy", title(object), reason, "remove it");
            self.removed_policies.insert(policy);
            self.removed.extend(own);
        }
    }

    fn own(&self, policy: usize) -> Vec<At> {
        let all = self.rules.range((policy, Direction::BOTH[0], 0)..);
        all.map(|(at, _)| *at).take_while(|at| at.0 == policy).collect()
    }

    fn rule_by_one(&mut self, at: At, report: &mut Report) {
        if self.removed.contains(&at) {
            return;
        }
        let rule = &self.rules[&at];
        let others = self.others(at, true);
        if let Some((other, _)) = others.iter().find(|(_, other)| rule.is_covered(&[*other])) {
            let by = title(&self.scene.cluster.policies()[other.0]);
            self.remove(at, &format!("{by} allows the same peers and ports to the same pods"), report);
        }
    }

    fn rule_by_several(&mut self, at: At, report: &mut Report) {
        if self.removed.contains(&at) {
            return;
        }
        let rule = &self.rules[&at];
        let others = self.others(at, true);
        let all: Vec<&Written<'_>> = others.iter().map(|(_, other)| *other).collect();
        if !rule.is_covered(&all) {
            return;
        }
        // The fewest that do: what can be left out is left out.
        let mut kept = others;
        for place in (0..kept.len()).rev() {
            let rest: Vec<&Written<'_>> =
                kept.iter().enumerate().filter(|(at, _)| *at != place).map(|(_, (_, rule))| *rule).collect();
            if rule.is_covered(&rest) {
                kept.remove(place);
            }
        }
        let names: Vec<String> = kept.iter().map(|(at, _)| self.title(*at)).collect();
        let reason =
            format!("{} together allow the same peers and ports to the same pods", names.join(" and "));
        self.remove(at, &reason, report);
    }

    fn remove(&mut self, at: At, reason: &str, report: &mut Report) {
        self.removed.insert(at);
        report.push(Severity::Note, "redundant-rule", self.title(at), reason, "remove it");
    }

    fn title(&self, (policy, direction, index): At) -> String {
        format!("{} {}[{index}]", title(&self.scene.cluster.policies()[policy]), lower(direction))
    }
}

/// The policies that isolate all pods of one, by direction; none where it has no pods.
fn wider(scene: &Scene<'_>, policy: usize) -> [Vec<usize>; 2] {
    let policies = scene.cluster.policies();
    let of_all = |at: usize| policies[at].spec.pod_selector.as_ref().is_none_or(is_empty);
    let pods = scene.selected(&policies[policy]);
    let classes: BTreeSet<ClassId> =
        pods.iter().map(|id| scene.cluster.snapshot().subject(*id).class).collect();
    Direction::BOTH.map(|direction| {
        let mut common: Option<Vec<usize>> = None;
        for &class in &classes {
            let own = &scene.cluster.sides.of(class, direction).policies;
            match &mut common {
                None => common = Some(own.iter().map(|&one| one as usize).collect()),
                // Both are in the order of the policies.
                Some(kept) => kept.retain(|one| own.iter().any(|own| *own as usize == *one)),
            }
        }
        let mut common = common.unwrap_or_default();
        common.retain(|&other| !of_all(policy) || of_all(other));
        common
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

    #[test]
    fn two_rules_together_make_a_third_needless() {
        let pods = pod("shop", "web", "app: web", "") + &pod("shop", "db", "app: db", "");
        let of = |app: &str, ports: &str| {
            format!("{{from: [{{podSelector: {{matchLabels: {{app: {app}}}}}}}], ports: [{ports}]}}")
        };
        let with = |rules: &[&str]| {
            pods.clone()
                + &policy("shop", "p", &format!("podSelector: {{}}, ingress: [{}]", rules.join(", ")))
        };
        let range = |first: u16, last: u16| of("web", &format!("{{port: {first}, endPort: {last}}}"));
        let straddling = |second: &str| with(&[&range(80, 85), second, &range(84, 87)]);
        check("redundant-rule", &straddling(&range(86, 90)), &straddling(&range(87, 90)));
        let either = "{from: [{podSelector: {matchExpressions: [{key: app, operator: In, values: [web, db]}]}}], ports: [{port: 80}]}";
        let web = of("web", "{port: 80}, {port: 81}");
        check(
            "redundant-rule",
            &with(&[&web, &of("db", "{port: 80}, {port: 82}"), either]),
            &with(&[&web, &of("db", "{port: 82}"), either]),
        );
        let block =
            |cidr: &str, ports: &str| format!("{{from: [{{ipBlock: {{cidr: {cidr}}}}}], ports: [{ports}]}}");
        let halves = |second: &str| {
            let both = "{port: 80}, {port: 81}";
            with(&[&block("10.0.0.0/9", both), &block(second, both), &block("10.0.0.0/8", "{port: 80}")])
        };
        check("redundant-rule", &halves("10.128.0.0/9"), &halves("10.128.0.0/10"));
        let found = findings(&straddling(&range(86, 90)), &Options::default());
        let reason = found.iter().find(|found| found.id == "redundant-rule").map(|found| &*found.reason);
        assert_eq!(
            reason,
            Some(
                "NetworkPolicy shop/p ingress[0] and NetworkPolicy shop/p ingress[1] together allow the same peers \
                 and ports to the same pods"
            )
        );
    }

    /// A default deny guards pods to come: policies of the pods of today do not make it needless.
    #[test]
    fn a_default_deny_is_not_made_needless_by_the_policies_of_its_pods() {
        let web = pod("shop", "web", "app: web", "");
        let deny = |name: &str| policy("shop", name, "podSelector: {}");
        let own =
            policy("shop", "web", "podSelector: {matchLabels: {app: web}}, ingress: [{ports: [{port: 80}]}]");
        check("redundant-policy", &(web.clone() + &deny("a") + &deny("b")), &(web + &deny("a") + &own));
    }
}
