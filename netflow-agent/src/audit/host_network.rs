//! `host-network`: a policy that selects pods on the host network, which no implementation must guard.

use super::scene::{some, title};
use super::{Report, Scene, Severity};

pub(super) fn find(scene: &Scene<'_>, report: &mut Report) {
    for policy in scene.policies() {
        let selected = scene.selected(policy);
        let snapshot = scene.cluster.snapshot();
        let (host, own): (Vec<_>, Vec<_>) =
            selected.into_iter().partition(|&id| snapshot.subject(id).host_network);
        if host.is_empty() {
            continue;
        }
        let severity = if own.is_empty() { Severity::Error } else { Severity::Note };
        let reason = format!(
            "{} use the host network: what a policy means for them is undefined",
            some(&scene.names(&host))
        );
        report.push(
            severity,
            "host-network",
            title(policy),
            reason,
            "guard them by the node's firewall, or give them a network of their own",
        );
    }
}

#[cfg(test)]
mod tests {
    use crate::audit::tests::{check, pod, policy};

    #[test]
    fn a_policy_on_host_network_pods_guards_nothing() {
        let with =
            |rest: &str| pod("shop", "web", "app: web", rest) + &policy("shop", "p", "podSelector: {}");
        check("host-network", &with("hostNetwork: true"), &with("hostNetwork: false"));
    }
}
