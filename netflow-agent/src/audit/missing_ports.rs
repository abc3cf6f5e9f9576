//! `missing-ports`: a rule that names its peers and allows them every port.

use super::{Report, Scene, Severity};

pub(super) fn find(scene: &Scene<'_>, report: &mut Report) {
    for rule in scene.rules() {
        if rule.ports.is_empty() && !rule.peers.is_empty() {
            let reason = "no `ports`: every port of every protocol";
            report.push(
                Severity::Note,
                "missing-ports",
                rule.title(),
                reason,
                "name the ports that are served",
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::audit::tests::{check, policy};

    #[test]
    fn peers_without_ports_are_found() {
        let with = |rest: &str| {
            policy(
                "shop",
                "p",
                &format!("podSelector: {{}}, ingress: [{{from: [{{podSelector: {{}}}}]{rest}}}]"),
            )
        };
        check("missing-ports", &with(""), &with(", ports: [{port: 80}]"));
    }
}
