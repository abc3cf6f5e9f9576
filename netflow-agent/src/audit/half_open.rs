//! `half-open`: one end allows a flow by a rule of its own and the other end denies it: the usual cause of "I
//! allowed it and it still fails". Only ports that the destination serves count: those that it declares, or
//! that its ingress rules name. Only pairs that some rule names are judged: the work grows with the rules.

use std::collections::{BTreeMap, BTreeSet};

use super::scene::{RuleAt, lower, title, workload};
use super::{Report, Scene, Severity};
use crate::evaluate::class::ClassId;
use crate::evaluate::compile::{Peers, Rule};
use crate::evaluate::end::SubjectId;
use crate::evaluate::{End, Explanation, Party, RuleUse, Verdict, Why, rules};
use crate::identity::WorkloadName;
use crate::manifest::TargetPort;
use crate::net::{Direction, Protocol};

/// Which rule of which workload allows what nobody completes: (own, direction, policy, rule, protocol, port) ->
/// the other workloads.
type Halves = BTreeMap<(usize, Direction, Option<(usize, usize)>, Protocol, u16), Vec<usize>>;

pub(super) fn find(scene: &Scene<'_>, report: &mut Report) {
    let all = Guarded::new(scene);
    let mut halves = Halves::new();
    for (source, destination) in all.pairs() {
        all.judge(source, destination, &mut halves);
    }
    let policies = scene.cluster.policies();
    for ((own, allowing, rule, protocol, port), others) in halves {
        let own = workload(all.list[own].name);
        let rule = rule.map_or_else(String::new, |(policy, index)| {
            format!("{} {}[{index}]", title(&policies[policy]), lower(allowing))
        });
        let others = some(&all, &others);
        let (reason, fix) = match allowing {
            Direction::Ingress => (
                format!("{rule} lets {others} in on {protocol} {port}, and no egress rule there lets it out"),
                format!("allow egress to {own} on {protocol} {port} at {others}, or narrow the rule"),
            ),
            Direction::Egress => (
                format!(
                    "{rule} lets it out to {others} on {protocol} {port}, and no ingress rule there lets it in"
                ),
                format!("allow ingress from {own} on {protocol} {port} at {others}, or narrow the rule"),
            ),
        };
        report.push(Severity::Warning, "half-open", own, reason, fix);
    }
}

/// The first few, by name, and how many more there are.
fn some(all: &Guarded<'_>, others: &[usize]) -> String {
    const SHOWN: usize = 5;
    let shown: Vec<String> = others.iter().take(SHOWN).map(|&at| workload(all.list[at].name)).collect();
    match others.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// A workload, and what of it matters here.
struct Member<'a> {
    name: &'a WorkloadName,
    /// The pods, or the template, that speaks for it.
    id: SubjectId,
    party: Party,
    /// Of one class, one verdict is that of all its pods.
    classes: BTreeSet<ClassId>,
    isolated: [bool; 2],
    served: BTreeSet<(Protocol, u16)>,
}

/// Workloads off the host network, by what rules ask for.
struct Guarded<'a> {
    scene: &'a Scene<'a>,
    list: Vec<Member<'a>>,
    by_class: BTreeMap<ClassId, Vec<usize>>,
    by_served: BTreeMap<(Protocol, u16), Vec<usize>>,
}

impl<'a> Guarded<'a> {
    fn new(scene: &'a Scene<'a>) -> Self {
        let snapshot = scene.cluster.snapshot();
        let mut all = Self { scene, list: Vec::new(), by_class: BTreeMap::new(), by_served: BTreeMap::new() };
        for (name, id, party) in scene.workloads() {
            let at = all.list.len();
            let classes: BTreeSet<ClassId> = { party.ends.iter() }
                .filter_map(|end| match end {
                    End::Subject { id, .. } => Some(snapshot.subject(*id).class),
                    _ => None,
                })
                .collect();
            let isolated = Direction::BOTH.map(|direction| scene.isolated(id, direction));
            let served =
                if isolated[Direction::Ingress as usize] { served(scene, id) } else { BTreeSet::new() };
            for &class in &classes {
                all.by_class.entry(class).or_default().push(at);
            }
            for &port in &served {
                all.by_served.entry(port).or_default().push(at);
            }
            all.list.push(Member { name, id, party, classes, isolated, served });
        }
        all
    }

    /// Source and destination of every pair that a rule of either end may allow on a port that is served.
    fn pairs(&self) -> Vec<(usize, usize)> {
        let mut pairs = Vec::new();
        for (at, member) in self.list.iter().enumerate() {
            for direction in Direction::BOTH.into_iter().filter(|&one| member.isolated[one as usize]) {
                for &class in &member.classes {
                    for rule in &self.scene.cluster.sides.of(class, direction).rules {
                        self.named_by(rule, at, direction, &mut pairs);
                    }
                }
            }
        }
        pairs.sort_unstable();
        pairs.dedup();
        pairs
    }

    fn named_by(&self, rule: &Rule, own: usize, direction: Direction, pairs: &mut Vec<(usize, usize)>) {
        let mut others: Vec<usize> = Vec::new();
        match &rule.peers {
            // Where there are blocks: an address may be any pod's.
            Peers::Listed { classes, blocks, .. } if blocks.is_empty() => {
                others.extend(classes.iter().filter_map(|class| self.by_class.get(&class)).flatten());
            }
            _ if direction == Direction::Egress => {
                let meant =
                    |&(&(protocol, port), _): &(&(Protocol, u16), _)| rule.ports.may_contain(protocol, port);
                others.extend(self.by_served.iter().filter(meant).flat_map(|(_, serving)| serving));
            }
            _ => others.extend(0..self.list.len()),
        }
        for other in others {
            let (source, destination) = match direction {
                Direction::Ingress => (other, own),
                Direction::Egress => (own, other),
            };
            let guarded = self.list[source].isolated[Direction::Egress as usize]
                && self.list[destination].isolated[Direction::Ingress as usize];
            let mut served = self.list[destination].served.iter();
            if guarded && served.any(|&(protocol, port)| rule.ports.may_contain(protocol, port)) {
                pairs.push((source, destination));
            }
        }
    }

    fn judge(&self, source: usize, destination: usize, halves: &mut Halves) {
        let (from, to) = (&self.list[source], &self.list[destination]);
        if source == destination && !to.party.replicated {
            return;
        }
        let cluster = self.scene.cluster;
        let sides = [
            cluster.sides.of(cluster.snapshot().subject(to.id).class, Direction::Ingress),
            cluster.sides.of(cluster.snapshot().subject(from.id).class, Direction::Egress),
        ];
        let alike = from.classes.len() == 1 && to.classes.len() == 1 && source != destination;
        let simple = alike && sides.iter().all(|side| !side.has_blocks);
        let (a, b) = (End::Subject { id: from.id, ip: None }, End::Subject { id: to.id, ip: None });
        for &(protocol, port) in &to.served {
            let judged = if simple {
                cluster.judge(a, b, port, protocol)
            } else {
                cluster.between(&from.party, &to.party, &TargetPort::Number(port), protocol)
            };
            let (allowing, own, other) = match (judged.ingress, judged.egress) {
                (Verdict::Allowed, Verdict::Denied) => (Direction::Ingress, destination, source),
                (Verdict::Denied, Verdict::Allowed) => (Direction::Egress, source, destination),
                _ => continue,
            };
            let used = if simple {
                let used = cluster.first_use(from.id, to.id, allowing, port, protocol);
                used.map(|used| (used.policy, used.rule))
            } else {
                explained(self.scene, &from.party, &to.party, port, protocol, allowing)
            };
            halves.entry((own, allowing, used, protocol, port)).or_default().push(other);
        }
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

/// The rule that allows.
fn explained(
    scene: &Scene<'_>,
    from: &Party,
    to: &Party,
    port: u16,
    protocol: Protocol,
    direction: Direction,
) -> Option<(usize, usize)> {
    let explained = scene.cluster.explain(from, to, port, protocol);
    explained.iter().flat_map(|Explanation { readings, .. }| readings).find_map(|reasons| {
        let (_, why) = match direction {
            Direction::Ingress => &reasons.ingress,
            Direction::Egress => &reasons.egress,
        };
        match why {
            Why::Rules(uses) => uses.first().map(|used: &RuleUse| (used.policy, used.rule)),
            _ => None,
        }
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
