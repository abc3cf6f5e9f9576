//! `egress-without-dns`: pods that may reach something, and not the cluster's DNS.

use std::sync::Arc;

use super::scene::workload;
use super::{Report, Scene, Severity};
use crate::evaluate::end::SubjectId;
use crate::evaluate::{End, Party, Ports, rules};
use crate::net::{Direction, Protocol};

const PORT: u16 = 53;

pub(super) fn find(scene: &Scene<'_>, report: &mut Report) {
    let servers = servers(scene);
    for (name, id, party) in scene.workloads() {
        if !scene.isolated(id, Direction::Egress) || servers.contains(&id) {
            continue;
        }
        let policies = scene.cluster.policies();
        let mut out = Ports::default();
        let mut somewhere = false;
        for at in scene.cluster.selecting(id, Direction::Egress) {
            for (index, (peers, ports)) in
                rules(&policies[at].spec, Direction::Egress).into_iter().enumerate()
            {
                somewhere = true;
                let rule = super::scene::RuleAt {
                    policy: &policies[at],
                    direction: Direction::Egress,
                    index,
                    peers,
                    ports,
                };
                out.extend(&rule.numbers());
            }
        }
        // Without any rule nothing is reached by name or otherwise.
        if !somewhere {
            continue;
        }
        let missing: Vec<&str> = [Protocol::Udp, Protocol::Tcp]
            .into_iter()
            .filter(|&protocol| {
                if servers.is_empty() {
                    return !out.contains(protocol, PORT);
                }
                let ends = servers.iter().map(|&id| End::Subject { id, ip: None }).collect();
                !scene
                    .cluster
                    .ports_between(&party, &Party { ends, replicated: true })
                    .contains(protocol, PORT)
            })
            .map(Protocol::as_str)
            .collect();
        if missing.is_empty() {
            continue;
        }
        let severity = if missing.contains(&"UDP") { Severity::Warning } else { Severity::Note };
        let reason = format!(
            "its egress is restricted and DNS over {} is not allowed: names do not resolve",
            missing.join(" and ")
        );
        let fix = "allow UDP and TCP 53 to the DNS pods of kube-system";
        report.push(severity, "egress-without-dns", workload(name), reason, fix);
    }
}

/// The pods that answer as the cluster's DNS.
fn servers(scene: &Scene<'_>) -> Vec<SubjectId> {
    let snapshot = scene.cluster.snapshot();
    let dns = |id: SubjectId| {
        let label = |key: &str| scene.labels(id).and_then(|labels| labels.get(key)).map(Arc::as_ref);
        label("k8s-app") == Some("kube-dns") || label("app.kubernetes.io/name") == Some("coredns")
    };
    snapshot.subjects().map(|(id, _)| id).filter(|&id| dns(id)).collect()
}

#[cfg(test)]
mod tests {
    use crate::audit::tests::{check, pod, policy};

    #[test]
    fn restricted_egress_needs_dns_unless_it_is_none_at_all() {
        let web = pod("shop", "web", "app: web", "");
        let egress = |rules: &str| {
            web.clone()
                + &policy(
                    "shop",
                    "p",
                    &format!("podSelector: {{}}, policyTypes: [Egress], egress: [{rules}]"),
                )
        };
        let dns = "{ports: [{port: 53, protocol: UDP}, {port: 53}]}";
        let https = "{ports: [{port: 443}]}";
        check("egress-without-dns", &egress(https), &egress(&format!("{https}, {dns}")));
        check("egress-without-dns", &egress(https), &egress(""));
        // With the DNS pods known, the rule must reach them.
        let server = pod("kube-system", "dns", "k8s-app: kube-dns", "");
        let to = |name: &str| {
            let rule = format!(
                "{{to: [{{namespaceSelector: {{matchLabels: {{kubernetes.io/metadata.name: {name}}}}}}}], ports: [{{port: 53, \
                 protocol: UDP}}, {{port: 53}}]}}"
            );
            egress(&rule) + &server
        };
        check("egress-without-dns", &to("shop"), &to("kube-system"));
    }
}
