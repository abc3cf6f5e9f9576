//! `cni`: what the network plugin of the profile does differently from the API's text.

use ipnet::IpNet;

use super::scene::{RuleAt, title};
use super::{Report, Scene, Severity};
use crate::evaluate::block::Block;
use crate::manifest::cni::Cni;
use crate::manifest::{NetworkPolicy, Object, TargetPort};
use crate::net::Direction;

pub(super) fn find(scene: &Scene<'_>, cni: Cni, report: &mut Report) {
    if cni == Cni::Flannel {
        let n_policies = scene.policies().count();
        let reason = format!("flannel enforces no NetworkPolicy: {n_policies} policies have no effect");
        return report.push(
            Severity::Error,
            "cni",
            "Cluster",
            reason,
            "add a policy engine, such as Calico's or kube-router's",
        );
    }
    for rule in scene.rules() {
        match cni {
            Cni::Weave if rule.ports.iter().any(|port| port.end_port.is_some()) => {
                let reason = "weave does not know endPort: only `port` applies";
                report.push(Severity::Error, "cni", rule.title(), reason, "list the ports one by one");
            }
            Cni::KubeRouter if rule.ports.iter().any(|port| port.protocol.as_deref() == Some("SCTP")) => {
                let reason = "kube-router's policies do not know SCTP";
                report.push(
                    Severity::Warning,
                    "cni",
                    rule.title(),
                    reason,
                    "see that SCTP is filtered elsewhere",
                );
            }
            Cni::Azure if blocks(&rule).any(|block| matches!(block.net, IpNet::V6(_))) => {
                let reason = "azure's policy manager does not know IPv6";
                report.push(
                    Severity::Warning,
                    "cni",
                    rule.title(),
                    reason,
                    "see that IPv6 is filtered elsewhere",
                );
            }
            Cni::Cilium => cilium_block(scene, &rule, report),
            Cni::AwsVpcCni if rule.direction == Direction::Egress => before_translation(scene, &rule, report),
            _ => {}
        }
    }
    for policy in scene.policies().filter(|policy| cni == Cni::Cilium && selects_by_host(policy)) {
        let reason = "cilium ignores the label key `host`";
        report.push(Severity::Error, "cni", title(policy), reason, "select by another label");
    }
}

fn blocks<'r>(rule: &'r RuleAt<'_>) -> impl Iterator<Item = Block> + use<'r> {
    rule.peers.iter().filter_map(|peer| Block::parse(peer.ip_block.as_ref()?))
}

/// Cilium matches pods and nodes by identity, never by address.
fn cilium_block(scene: &Scene<'_>, rule: &RuleAt<'_>, report: &mut Report) {
    for block in blocks(rule) {
        let inside = scene.objects.iter().find(|object| match object {
            Object::Pod(pod) => pod.ips.iter().any(|ip| block.contains(*ip)),
            Object::Node(node) => node.ips.iter().any(|ip| block.contains(*ip)),
            _ => false,
        });
        if let Some(object) = inside {
            let reason = format!(
                "cilium's ipBlock never matches pods or nodes, and {} holds the address of {}",
                block.net,
                object.title()
            );
            report.push(
                Severity::Warning,
                "cni",
                rule.title(),
                reason,
                "select pods by label; nodes need a CiliumNetworkPolicy with entities",
            );
        }
    }
}

/// AWS judges egress before the Service's address is translated.
fn before_translation(scene: &Scene<'_>, rule: &RuleAt<'_>, report: &mut Report) {
    let home = &rule.policy.meta.namespace;
    let peers = rule.peers.iter().flat_map(|peer| scene.peer_pods(home, peer)).collect();
    for (service, _) in scene.in_front_of(&peers) {
        for port in &service.ports {
            let TargetPort::Number(target) = port.target else { continue };
            let numbers = rule.numbers();
            if target != port.port
                && numbers.contains(port.protocol, target)
                && !numbers.contains(port.protocol, port.port)
            {
                let name = format!("{}/{}", service.meta.namespace, service.meta.name);
                let reason = format!(
                    "aws-vpc-cni judges egress before Service {name} turns port {} into {target}",
                    port.port
                );
                report.push(
                    Severity::Warning,
                    "cni",
                    rule.title(),
                    reason,
                    format!("allow {} too", port.port),
                );
            }
        }
    }
}

fn selects_by_host(policy: &NetworkPolicy) -> bool {
    let selector = policy.spec.pod_selector.as_ref();
    selector
        .and_then(|selector| selector.match_labels.as_ref())
        .is_some_and(|labels| labels.contains_key("host"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::Options;
    use crate::audit::tests::{check_with, findings, pod, policy};

    fn n_found(text: &str, cni: Cni) -> usize {
        let options = Options { cni: Some(cni), ..Options::default() };
        findings(text, &options).iter().filter(|found| found.id == "cni").count()
    }

    #[test]
    fn a_plugin_s_note_is_of_what_it_does_differently() {
        let with =
            |port: &str| policy("shop", "p", &format!("podSelector: {{}}, ingress: [{{ports: [{port}]}}]"));
        let options = |cni| Options { cni: Some(cni), ..Options::default() };
        check_with("cni", &options(Cni::Weave), &with("{port: 1, endPort: 9}"), &with("{port: 1}"));
        check_with("cni", &options(Cni::KubeRouter), &with("{protocol: SCTP}"), &with("{protocol: UDP}"));
        let block = |cidr: &str| {
            policy(
                "shop",
                "p",
                &format!("podSelector: {{}}, ingress: [{{from: [{{ipBlock: {{cidr: '{cidr}'}}}}]}}]"),
            )
        };
        check_with("cni", &options(Cni::Azure), &block("2001:db8::/32"), &block("192.0.2.0/24"));
    }

    #[test]
    fn each_plugin_has_its_own_notes() {
        let range = policy(
            "shop",
            "p",
            "podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8}}], ports: [{port: 1, endPort: 9}]}]",
        );
        let address = "---\n{apiVersion: v1, kind: Pod, metadata: {name: web, namespace: shop, labels: {app: web}}, spec: {containers: []}, status: {podIP: 10.1.2.3}}\n";
        let service = pod("shop", "web", "app: web", "")
            + "---\n{apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop}, spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}}\n";
        let egress = |ports: &str| {
            service.clone()
                + &policy(
                    "shop",
                    "p",
                    &format!(
                        "podSelector: {{}}, policyTypes: [Egress], egress: [{{to: [{{podSelector: {{}}}}], ports: [{ports}]}}]"
                    ),
                )
        };
        for (text, cni, expected) in [
            (range.clone(), Cni::Flannel, 1),
            (range.clone(), Cni::Weave, 1),
            (range.clone(), Cni::Calico, 0),
            (range.clone() + address, Cni::Cilium, 1),
            (range.clone(), Cni::Cilium, 0),
            (policy("shop", "p", "podSelector: {matchLabels: {host: a}}"), Cni::Cilium, 1),
            (egress("{port: 8080}"), Cni::AwsVpcCni, 1),
            (egress("{port: 8080}, {port: 80}"), Cni::AwsVpcCni, 0),
            (egress("{port: 8080}"), Cni::Antrea, 0),
        ] {
            assert_eq!(n_found(&text, cni), expected, "{cni}: {text}");
        }
    }
}
