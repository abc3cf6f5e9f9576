//! `reversed-selectors`: an ingress rule whose port is served by the peers and not by the selected pods, or an
//! egress rule the other way round: subject and peer were swapped.

use std::collections::BTreeSet;

use super::scene::some;
use super::{Report, Scene, Severity};
use crate::evaluate::end::SubjectId;
use crate::net::{Direction, PortRange};

pub(super) fn find(scene: &Scene<'_>, report: &mut Report) {
    for rule in scene.rules() {
        let home = &rule.policy.meta.namespace;
        let own: BTreeSet<SubjectId> = scene.selected(rule.policy).into_iter().collect();
        let peers: BTreeSet<SubjectId> =
            rule.peers.iter().flat_map(|peer| scene.peer_pods(home, peer)).collect();
        // Pods on both sides say nothing about which is which.
        if own.is_empty() || peers.is_empty() || !own.is_disjoint(&peers) {
            continue;
        }
        let (servers, clients) = match rule.direction {
            Direction::Ingress => (&own, &peers),
            Direction::Egress => (&peers, &own),
        };
        let numbers = rule.numbers();
        let listens = |ids: &BTreeSet<SubjectId>| {
            ids.iter()
                .any(|id| scene.ports(*id).iter().any(|port| numbers.contains(port.protocol, port.port)))
        };
        let declares = servers.iter().all(|id| !scene.ports(*id).is_empty());
        let narrow = !rule.ports.is_empty() && numbers.ranges().all(|(_, range)| range != PortRange::ALL);
        if narrow && declares && !listens(servers) && listens(clients) {
            let clients: Vec<SubjectId> = clients.iter().copied().collect();
            let reason = format!(
                "its ports are those of {}, which the rule takes for the client",
                some(&scene.names(&clients))
            );
            report.push(
                Severity::Warning,
                "reversed-selectors",
                rule.title(),
                reason,
                "swap podSelector and the peer",
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::audit::tests::{check, policy, serving};

    #[test]
    fn a_rule_on_the_client_for_the_server_s_port_is_reversed() {
        let all =
            serving("shop", "web", "{containerPort: 80}") + &serving("shop", "db", "{containerPort: 5432}");
        let with = |own: &str, peer: &str| {
            let peer = format!("{{podSelector: {{matchLabels: {{app: {peer}}}}}}}");
            all.clone()
                + &policy(
                    "shop",
                    "p",
                    &format!(
                        "podSelector: {{matchLabels: {{app: {own}}}}}, ingress: [{{from: [{peer}], ports: [{{port: 5432}}]}}]"
                    ),
                )
        };
        check("reversed-selectors", &with("web", "db"), &with("db", "web"));
    }
}
