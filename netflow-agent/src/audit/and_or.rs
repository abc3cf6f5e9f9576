//! `and-written-as-or`: two items where one was meant; `or-written-as-and`: one item where two were meant.

use k8s_openapi::api::networking::v1::NetworkPolicyPeer;

use super::{Report, Scene, Severity};

pub(super) fn find(scene: &Scene<'_>, report: &mut Report) {
    for rule in scene.rules() {
        for (i, pair) in rule.peers.windows(2).enumerate() {
            let [first, second] = pair else { continue };
            let meant_together = namespaces_only(first) && pods_only(second);
            if meant_together && !scene.peer_pods(&rule.policy.meta.namespace, second).is_empty() {
                continue;
            }
            if meant_together {
                let reason = format!(
                    "items {i} and {} are OR: all pods of the namespaces, or pods here, and no pod here has those \
                     labels",
                    i + 1
                );
                let fix = "remove the `-` before the second selector: both in one item is AND";
                report.push(Severity::Warning, "and-written-as-or", rule.title(), reason, fix);
            }
        }
        for (i, peer) in rule.peers.iter().enumerate() {
            let home = &rule.policy.meta.namespace;
            let (Some(_), Some(pods)) = (&peer.namespace_selector, &peer.pod_selector) else { continue };
            let here = NetworkPolicyPeer { pod_selector: Some(pods.clone()), ..NetworkPolicyPeer::default() };
            let inside = scene.peer_namespaces(home, peer);
            let meant_apart = scene.peer_pods(home, peer).is_empty()
                && inside.iter().any(|name| *name != &**home)
                && !scene.peer_pods(home, &here).is_empty();
            if meant_apart {
                let reason = "both selectors in one item are AND and match no pod, though each matches alone";
                let fix = "write `-` before the second selector: two items are OR";
                let object = format!("{} peer {i}", rule.title());
                report.push(Severity::Warning, "or-written-as-and", object, reason, fix);
            }
        }
    }
}

fn namespaces_only(peer: &NetworkPolicyPeer) -> bool {
    peer.namespace_selector.is_some() && peer.pod_selector.is_none()
}

fn pods_only(peer: &NetworkPolicyPeer) -> bool {
    peer.pod_selector.is_some() && peer.namespace_selector.is_none()
}

#[cfg(test)]
mod tests {
    use crate::audit::tests::{check, namespace, pod, policy};

    #[test]
    fn one_hyphen_too_many_or_too_few_is_seen_by_what_it_matches() {
        let all =
            namespace("web", "team: web") + &pod("web", "a", "app: a", "") + &pod("shop", "b", "app: b", "");
        let with = |from: &str| {
            all.clone() + &policy("shop", "p", &format!("podSelector: {{}}, ingress: [{{from: [{from}]}}]"))
        };
        let selector = |app: &str| format!("podSelector: {{matchLabels: {{app: {app}}}}}");
        let team = "namespaceSelector: {matchLabels: {team: web}}";
        let (a, b) = (selector("a"), selector("b"));
        check(
            "and-written-as-or",
            &with(&format!("{{{team}}}, {{{a}}}")),
            &with(&format!("{{{team}}}, {{{b}}}")),
        );
        check("or-written-as-and", &with(&format!("{{{team}, {b}}}")), &with(&format!("{{{team}, {a}}}")));
    }
}
