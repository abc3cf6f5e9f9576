//! `over-broad`: a rule that lets in, or out to, anybody: no peer list, all namespaces, or every address.

use super::scene::{RuleAt, is_empty};
use super::{Report, Scene, Severity};
use crate::net::{Direction, PortRange, Protocol};

pub(super) fn find(scene: &Scene<'_>, report: &mut Report) {
    for rule in scene.rules() {
        let whom = match rule.direction {
            Direction::Ingress => "from",
            Direction::Egress => "to",
        };
        if rule.peers.is_empty() {
            let what = if rule.ports.is_empty() { "everything" } else { "these ports" };
            let reason = format!("no `{whom}`: {what} {whom} anybody, outside addresses too");
            report.push(
                severity(&rule),
                "over-broad",
                rule.title(),
                reason,
                format!("name the peers in `{whom}`"),
            );
        }
        for (i, peer) in rule.peers.iter().enumerate() {
            let object = format!("{}.{whom}[{i}]", rule.title());
            let every_pod = peer.pod_selector.as_ref().is_none_or(is_empty);
            if peer.namespace_selector.as_ref().is_some_and(is_empty) && every_pod {
                let fix = "select namespaces by `kubernetes.io/metadata.name`";
                report.push(severity(&rule), "over-broad", &object, "every pod of every namespace", fix);
            }
            let Some(block) = &peer.ip_block else { continue };
            let whole = matches!(block.cidr.as_str(), "0.0.0.0/0" | "::/0");
            if whole && block.except.as_ref().is_none_or(Vec::is_empty) {
                let reason = format!("{}: every address of its family, those of pods too", block.cidr);
                report.push(
                    severity(&rule),
                    "over-broad",
                    &object,
                    reason,
                    "name the ranges that are needed",
                );
            }
        }
    }
}

/// DNS to anybody is common, and less bad.
fn severity(rule: &RuleAt<'_>) -> Severity {
    let mut dns = crate::evaluate::Ports::default();
    dns.insert(Protocol::Tcp, PortRange::one(53));
    dns.insert(Protocol::Udp, PortRange::one(53));
    let named = rule.ports.iter().any(|port| {
        matches!(&port.port, Some(k8s_openapi::apimachinery::pkg::util::intstr::IntOrString::String(_)))
    });
    if !named && rule.direction == Direction::Egress && rule.numbers().minus(&dns).is_empty() {
        Severity::Note
    } else {
        Severity::Warning
    }
}

#[cfg(test)]
mod tests {
    use crate::audit::tests::{check, policy};

    #[test]
    fn anybody_is_over_broad_and_somebody_is_not() {
        let rule = |from: &str| policy("shop", "a", &format!("podSelector: {{}}, ingress: [{from}]"));
        let somebody = rule("{from: [{namespaceSelector: {matchLabels: {a: b}}}]}");
        check("over-broad", &rule("{}"), &somebody);
        check("over-broad", &rule("{ports: [{port: 80}]}"), &somebody);
        check("over-broad", &rule("{from: [{namespaceSelector: {}}]}"), &rule("{from: [{podSelector: {}}]}"));
        check(
            "over-broad",
            &rule("{from: [{ipBlock: {cidr: 0.0.0.0/0}}]}"),
            &rule("{from: [{ipBlock: {cidr: 0.0.0.0/0, except: [10.0.0.0/8]}}]}"),
        );
    }
}
