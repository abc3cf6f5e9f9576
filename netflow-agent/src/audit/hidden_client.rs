//! `hidden-client`: an ingress ipBlock on pods behind a NodePort or LoadBalancer Service that may hide the
//! client's address behind a node's.

use super::{Report, Scene, Severity};
use crate::manifest::{Service, ServiceType};
use crate::net::Direction;

pub(super) fn find(scene: &Scene<'_>, report: &mut Report) {
    let exposed = |service: &Service| {
        matches!(service.service_type, ServiceType::NodePort | ServiceType::LoadBalancer)
            && !service.external_traffic_local
    };
    for rule in scene.rules().into_iter().filter(|rule| rule.direction == Direction::Ingress) {
        if !rule.peers.iter().any(|peer| peer.ip_block.is_some()) {
            continue;
        }
        let selected = scene.selected(rule.policy).into_iter().collect();
        for (service, _) in scene.in_front_of(&selected) {
            if exposed(service) {
                let name = format!("{}/{}", service.meta.namespace, service.meta.name);
                let reason = format!(
                    "Service {name} may show these pods a node's address instead of the client's, and the ipBlock is matched against that"
                );
                let fix = format!(
                    "set `externalTrafficPolicy: Local` on Service {name}, or allow the nodes' addresses knowingly"
                );
                report.push(Severity::Warning, "hidden-client", rule.title(), reason, fix);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::audit::tests::{check, pod, policy};

    #[test]
    fn a_client_behind_a_node_port_is_hidden_unless_the_traffic_stays_local() {
        let all = pod("shop", "web", "app: web", "")
            + &policy("shop", "p", "podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 192.0.2.0/24}}]}]");
        let service = |spec: &str| {
            all.clone()
                + &format!(
                    "---\n{{apiVersion: v1, kind: Service, metadata: {{name: web, namespace: shop}}, spec: {{{spec}, selector: {{app: web}}, ports: [{{port: 80}}]}}}}\n"
                )
        };
        check(
            "hidden-client",
            &service("type: NodePort"),
            &service("type: NodePort, externalTrafficPolicy: Local"),
        );
        check("hidden-client", &service("type: LoadBalancer"), &service("type: ClusterIP"));
    }
}
