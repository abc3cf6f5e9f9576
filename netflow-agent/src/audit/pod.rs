//! The effective rules of one pod or workload: what each direction lets through, and by which policy.

use super::Scene;
use super::scene::{RuleAt, lower, title, words};
use crate::evaluate::end::SubjectId;
use crate::evaluate::rules;
use crate::net::Direction;

/// Sentences, one a line.
pub fn rules_of(scene: &Scene<'_>, id: SubjectId) -> Vec<String> {
    let mut lines = Vec::new();
    let policies = scene.cluster.policies();
    for direction in Direction::BOTH {
        let selecting: Vec<usize> = scene.cluster.selecting(id, direction).collect();
        if selecting.is_empty() {
            lines.push(format!("{}: not isolated, everything is allowed", lower(direction)));
            continue;
        }
        let names: Vec<&str> = selecting.iter().map(|&at| &*policies[at].meta.name).collect();
        lines.push(format!("{}: isolated by {}", lower(direction), names.join(", ")));
        let before = lines.len();
        for at in selecting {
            let policy = &policies[at];
            for (index, (peers, ports)) in rules(&policy.spec, direction).into_iter().enumerate() {
                let rule = RuleAt { policy, direction, index, peers, ports };
                lines.push(format!(
                    "  {}  by {} {}[{index}]",
                    sentence(&rule),
                    title(policy),
                    lower(direction)
                ));
            }
        }
        if lines.len() == before {
            lines.push("  nothing is allowed".to_owned());
        }
    }
    lines
}

fn sentence(rule: &RuleAt<'_>) -> String {
    let whom = match rule.direction {
        Direction::Ingress => "from",
        Direction::Egress => "to",
    };
    let mut ports: Vec<String> = Vec::new();
    if rule.ports.is_empty() {
        ports.push("all ports".to_owned());
    }
    if !rule.numbers().is_empty() && !rule.ports.is_empty() {
        ports.push(rule.numbers().to_string());
    }
    ports.extend(rule.names().into_iter().map(|(protocol, name)| format!("{protocol} {name}")));
    let peers: Vec<String> = rule
        .peers
        .iter()
        .map(|peer| {
            if let Some(block) = &peer.ip_block {
                let except = block.except.iter().flatten().cloned().collect::<Vec<_>>().join(", ");
                return if except.is_empty() {
                    block.cidr.clone()
                } else {
                    format!("{} except {except}", block.cidr)
                };
            }
            let pods = match peer.pod_selector.as_ref().map(words).unwrap_or_default() {
                text if text.is_empty() => "all pods".to_owned(),
                text => format!("pods {text}"),
            };
            match &peer.namespace_selector {
                None => format!("{pods} of {}", rule.policy.meta.namespace),
                Some(selector) => match words(selector) {
                    text if text.is_empty() => format!("{pods} of all namespaces"),
                    text => format!("{pods} of namespaces {text}"),
                },
            }
        })
        .collect();
    let peers = if peers.is_empty() { "anybody".to_owned() } else { peers.join(", or ") };
    format!("{} {whom} {peers}", ports.join(" "))
}
