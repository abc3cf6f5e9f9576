//! `named-port`: a port name that no pod has that it would apply to: it matches nothing, and still isolates.

use std::collections::BTreeSet;

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{Report, Scene, Severity};
use crate::evaluate::end::SubjectId;
use crate::net::Direction;

pub(super) fn find(scene: &Scene<'_>, report: &mut Report) {
    for rule in scene.rules() {
        for item in rule.ports {
            let Some(IntOrString::String(name)) = &item.port else { continue };
            let home = &rule.policy.meta.namespace;
            // For ingress the name is the selected pod's, for egress that of each destination.
            let pods: Vec<SubjectId> = match rule.direction {
                Direction::Ingress => scene.selected(rule.policy),
                Direction::Egress if rule.peers.is_empty() => {
                    scene.cluster.snapshot().subjects().map(|(id, _)| id).collect()
                }
                Direction::Egress => rule.peers.iter().flat_map(|peer| scene.peer_pods(home, peer)).collect(),
            };
            let protocol = item.protocol.as_deref().unwrap_or("TCP");
            let has = |id: &SubjectId| {
                let mut own = scene.ports(*id).iter();
                own.any(|port| port.protocol.as_str() == protocol && port.name.as_deref() == Some(name))
            };
            if pods.is_empty() || pods.iter().any(has) {
                continue;
            }
            let known: BTreeSet<String> = (pods.iter().flat_map(|id| scene.ports(*id)))
                .filter_map(|port| Some(format!("{} ({})", port.name.as_deref()?, port.protocol)))
                .collect();
            let known: Vec<String> = known.into_iter().collect();
            let known =
                if known.is_empty() { String::new() } else { format!(": they have {}", known.join(", ")) };
            let reason = format!("no pod that it applies to has a {protocol} port named `{name}`{known}");
            report.push(
                Severity::Error,
                "named-port",
                rule.title(),
                reason,
                "correct the name, or write the number",
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::audit::tests::{check, policy, serving};

    #[test]
    fn a_port_name_that_no_pod_has_matches_nothing() {
        let web = serving("shop", "web", "{name: http, containerPort: 80}");
        let with = |rule: &str| web.clone() + &policy("shop", "p", &format!("podSelector: {{}}, {rule}"));
        check(
            "named-port",
            &with("ingress: [{ports: [{port: https}]}]"),
            &with("ingress: [{ports: [{port: http}]}]"),
        );
        check(
            "named-port",
            &with("policyTypes: [Egress], egress: [{ports: [{port: http, protocol: UDP}]}]"),
            &with("policyTypes: [Egress], egress: [{ports: [{port: http}]}]"),
        );
    }
}
