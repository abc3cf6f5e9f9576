//! `half-open`: one end allows a flow by a rule of its own and the other end denies it: the usual cause of "I
//! allowed it and it still fails". Only ports that the destination serves count: those that it declares, or
//! that its ingress rules name.

use std::collections::{BTreeMap, BTreeSet};

use super::scene::{RuleAt, some, workload};
use super::{Report, Scene, Severity};
use crate::evaluate::end::SubjectId;
use crate::evaluate::{Explanation, Party, Verdict, Why, rules};
use crate::manifest::TargetPort;
use crate::net::{Direction, Protocol};

/// Who allows, who denies, and on which port.
type Halves = BTreeMap<(String, Direction, String, Protocol, u16), BTreeSet<String>>;

pub(super) fn find(scene: &Scene<'_>, report: &mut Report) {
    let workloads = scene.workloads();
    let mut halves = Halves::new();
    for (destination, id, to) in &workloads {
        let served = served(scene, *id);
        for (source, from_id, from) in &workloads {
            let guarded =
                scene.isolated(*id, Direction::Ingress) && scene.isolated(*from_id, Direction::Egress);
            if !guarded || (id == from_id && !to.replicated) {
                continue;
            }
            for &(protocol, port) in &served {
                let judged = scene.cluster.between(from, to, &TargetPort::Number(port), protocol);
                let allowing = match (judged.ingress, judged.egress) {
                    (Verdict::Allowed, Verdict::Denied) => Direction::Ingress,
                    (Verdict::Denied, Verdict::Allowed) => Direction::Egress,
                    _ => continue,
                };
                let rule = rule(scene, from, to, port, protocol, allowing);
                let (own, other) = match allowing {
                    Direction::Ingress => (destination, source),
                    Direction::Egress => (source, destination),
                };
                let key = (workload(own), allowing, rule, protocol, port);
                halves.entry(key).or_default().insert(workload(other));
            }
        }
    }
    for ((own, allowing, rule, protocol, port), others) in halves {
        let others: Vec<String> = others.into_iter().collect();
        let (reason, fix) = match allowing {
            Direction::Ingress => (
                format!(
                    "{rule} lets {} in on {protocol} {port}, and no egress rule there lets it out",
                    some(&others)
                ),
                format!(
                    "allow egress to {own} on {protocol} {port} at {}, or narrow the rule",
                    some(&others)
                ),
            ),
            Direction::Egress => (
                format!(
                    "{rule} lets it out to {} on {protocol} {port}, and no ingress rule there lets it in",
                    some(&others)
                ),
                format!(
                    "allow ingress from {own} on {protocol} {port} at {}, or narrow the rule",
                    some(&others)
                ),
            ),
        };
        report.push(Severity::Warning, "half-open", own, reason, fix);
    }
}

/// The ports that pods like this serve, as far as manifests say.
fn served(scene: &Scene<'_>, id: SubjectId) -> BTreeSet<(Protocol, u16)> {
    let mut ports: BTreeSet<_> = scene.ports(id).iter().map(|port| (port.protocol, port.port)).collect();
    let policies = scene.cluster.policies();
    for at in scene.cluster.selecting(id, Direction::Ingress) {
        for (index, (peers, items)) in rules(&policies[at].spec, Direction::Ingress).into_iter().enumerate() {
            let rule =
                RuleAt { policy: &policies[at], direction: Direction::Ingress, index, peers, ports: items };
            // A range may hold thousands that nobody serves: its ends stand for it.
            let ranges = rule.numbers();
            let ranges = ranges.ranges().filter(|(_, range)| *range != crate::net::PortRange::ALL);
            ports.extend(
                ranges.flat_map(|(protocol, range)| [(protocol, range.first), (protocol, range.last)]),
            );
        }
    }
    ports
}

/// The rule that allows, by its title.
fn rule(
    scene: &Scene<'_>,
    from: &Party,
    to: &Party,
    port: u16,
    protocol: Protocol,
    direction: Direction,
) -> String {
    let explained = scene.cluster.explain(from, to, port, protocol);
    let uses = explained.iter().flat_map(|Explanation { readings, .. }| readings).find_map(|reasons| {
        let (_, why) = match direction {
            Direction::Ingress => &reasons.ingress,
            Direction::Egress => &reasons.egress,
        };
        match why {
            Why::Rules(uses) => uses.first().copied(),
            _ => None,
        }
    });
    uses.map_or_else(String::new, |used| {
        let policy = &scene.cluster.policies()[used.policy];
        format!("{} {}[{}]", super::scene::title(policy), super::scene::lower(direction), used.rule)
    })
}

#[cfg(test)]
mod tests {
    use crate::audit::Options;
    use crate::audit::tests::{check, findings, pod, policy};

    /// A common tutorial: default deny, DNS for all, and three tiers of which one link lacks its egress.
    fn tutorial() -> String {
        let app = |name: &str| pod("netpol-demo", name, &format!("app: {name}"), "");
        let on = |name: &str, app: &str, rest: &str| {
            policy("netpol-demo", name, &format!("podSelector: {{matchLabels: {{app: {app}}}}}, {rest}"))
        };
        let from = |app: &str| format!("{{podSelector: {{matchLabels: {{app: {app}}}}}}}");
        [
            app("frontend"),
            app("backend"),
            app("database"),
            app("external-client"),
            policy("netpol-demo", "default-deny-all", "podSelector: {}, policyTypes: [Ingress, Egress]"),
            policy(
                "netpol-demo",
                "allow-dns",
                "podSelector: {}, policyTypes: [Egress], egress: [{ports: [{port: 53, protocol: UDP}, {port: 53}]}]",
            ),
            on("frontend-ingress", "frontend", "ingress: [{ports: [{port: 80}]}]"),
            on("backend-ingress", "backend", &format!("ingress: [{{from: [{}], ports: [{{port: 80}}]}}]", from("frontend"))),
            on("database-ingress", "database", &format!("ingress: [{{from: [{}], ports: [{{port: 80}}]}}]", from("backend"))),
            on(
                "frontend-egress",
                "frontend",
                &format!("policyTypes: [Egress], egress: [{{to: [{}], ports: [{{port: 80}}]}}]", from("backend")),
            ),
        ]
        .concat()
    }

    fn half_open(text: &str) -> Vec<(String, String)> {
        let all = findings(text, &Options::default());
        let found = all.into_iter().filter(|found| found.id == "half-open");
        found.map(|found| (found.object, found.reason)).collect()
    }

    #[test]
    fn the_tutorial_s_broken_links_are_named_with_the_missing_end() {
        assert_eq!(
            half_open(&tutorial()),
            [
                (
                    "netpol-demo/database".to_owned(),
                    "NetworkPolicy netpol-demo/database-ingress ingress[0] lets netpol-demo/backend in on TCP 80, and no \
                     egress rule there lets it out"
                        .to_owned()
                ),
                (
                    "netpol-demo/frontend".to_owned(),
                    "NetworkPolicy netpol-demo/frontend-ingress ingress[0] lets netpol-demo/backend, \
                     netpol-demo/database, netpol-demo/external-client in on TCP 80, and no egress rule there lets it \
                     out"
                        .to_owned()
                ),
            ]
        );
    }

    #[test]
    fn a_flow_that_both_ends_allow_or_deny_is_not_half_open() {
        let pods = pod("shop", "a", "app: a", "") + &pod("shop", "b", "app: b", "");
        let rule = |app: &str, port: u16| {
            let peer = format!("{{podSelector: {{matchLabels: {{app: {app}}}}}}}");
            (peer, port)
        };
        let with = |port: u16| {
            let ((to, _), (from, _)) = (rule("b", port), rule("a", port));
            pods.clone()
                + &policy(
                    "shop",
                    "out",
                    &format!(
                        "podSelector: {{matchLabels: {{app: a}}}}, policyTypes: [Egress], egress: [{{to: [{to}], ports: [{{port: {port}}}]}}]"
                    ),
                )
                + &policy(
                    "shop",
                    "in",
                    &format!(
                        "podSelector: {{matchLabels: {{app: b}}}}, ingress: [{{from: [{from}], ports: [{{port: 80}}]}}]"
                    ),
                )
        };
        check("half-open", &with(8080), &with(80));
    }
}
