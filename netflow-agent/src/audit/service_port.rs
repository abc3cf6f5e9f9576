//! `service-port`: a rule that names a Service's port where its pods listen on another: policies judge after the
//! translation.

use std::collections::BTreeSet;

use super::{Report, Scene, Severity};
use crate::evaluate::end::SubjectId;
use crate::manifest::TargetPort;
use crate::net::Direction;

pub(super) fn find(scene: &Scene<'_>, report: &mut Report) {
    for rule in scene.rules() {
        let home = &rule.policy.meta.namespace;
        let servers: BTreeSet<SubjectId> = match rule.direction {
            Direction::Ingress => scene.selected(rule.policy).into_iter().collect(),
            Direction::Egress => rule.peers.iter().flat_map(|peer| scene.peer_pods(home, peer)).collect(),
        };
        let numbers = rule.numbers();
        if rule.ports.is_empty() || servers.is_empty() {
            continue;
        }
        for (service, behind) in scene.in_front_of(&servers) {
            let behind: Vec<SubjectId> = behind.iter().copied().filter(|id| servers.contains(id)).collect();
            for port in &service.ports {
                let listens = |number: u16| {
                    behind.iter().any(|id| {
                        scene.ports(*id).iter().any(|own| own.port == number && own.protocol == port.protocol)
                    })
                };
                let targets: Vec<u16> = match &port.target {
                    TargetPort::Number(number) => vec![*number],
                    TargetPort::Name(name) => (behind.iter().flat_map(|id| scene.ports(*id)))
                        .filter(|own| own.name.as_ref() == Some(name) && own.protocol == port.protocol)
                        .map(|own| own.port)
                        .collect(),
                };
                let meant = numbers.contains(port.protocol, port.port);
                let reached = targets.iter().any(|&target| numbers.contains(port.protocol, target));
                if meant && !reached && !targets.is_empty() && !listens(port.port) {
                    let name = format!("{}/{}", service.meta.namespace, service.meta.name);
                    let reason = format!(
                        "{} {} is the port of Service {name}; its pods listen on {}",
                        port.protocol, port.port, targets[0]
                    );
                    let fix = format!("write {}: policies see the pod's port", targets[0]);
                    report.push(Severity::Error, "service-port", rule.title(), reason, fix);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::audit::tests::{check, policy, serving};

    #[test]
    fn the_port_of_the_service_is_not_the_port_of_the_pod() {
        let all = serving("shop", "web", "{name: http, containerPort: 8080}")
            + "---\n{apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop}, spec: {selector: {app: web}, ports: [{port: 80, targetPort: http}]}}\n";
        let with = |rule: &str| all.clone() + &policy("shop", "p", &format!("podSelector: {{}}, {rule}"));
        check(
            "service-port",
            &with("ingress: [{ports: [{port: 80}]}]"),
            &with("ingress: [{ports: [{port: 8080}]}]"),
        );
        let egress = |port: u16| {
            with(&format!(
                "policyTypes: [Egress], egress: [{{to: [{{podSelector: {{}}}}], ports: [{{port: {port}}}]}}]"
            ))
        };
        check("service-port", &egress(80), &egress(8080));
    }
}
