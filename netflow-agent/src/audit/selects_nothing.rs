//! `selects-nothing`: a selector that matches no pod or namespace of the input, with the near miss if there is
//! one: a label that differs by case or by a slip.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use super::scene::{is_empty, matches, title, words};
use super::{Report, Scene, Severity};
use crate::manifest::Labels;

pub(super) fn find(scene: &Scene<'_>, report: &mut Report) {
    if scene.cluster.snapshot().subjects().next().is_none() {
        // Nothing was given that a selector could match.
        return;
    }
    for policy in scene.policies() {
        let Some(selector) = policy.spec.pod_selector.as_ref().filter(|selector| !is_empty(selector)) else {
            continue;
        };
        if scene.selected(policy).is_empty() {
            let home = &policy.meta.namespace;
            let reason = format!(
                "podSelector {} matches no pod of {home}{}",
                words(selector),
                near_pod(scene, &[home], selector)
            );
            report.push(
                Severity::Warning,
                "selects-nothing",
                title(policy),
                reason,
                "correct the labels, or remove the policy",
            );
        }
    }
    for rule in scene.rules() {
        let home = &rule.policy.meta.namespace;
        for (i, peer) in rule.peers.iter().enumerate() {
            let object = format!("{} peer {i}", rule.title());
            let inside = scene.peer_namespaces(home, peer);
            if let Some(selector) = &peer.namespace_selector
                && inside.is_empty()
            {
                let near = near(selector, scene.namespaces.iter().map(|(name, labels)| (&**name, labels)));
                let reason = format!("namespaceSelector {} matches no namespace{near}", words(selector));
                report.push(
                    Severity::Warning,
                    "selects-nothing",
                    object,
                    reason,
                    "label the namespace, or correct the selector",
                );
                continue;
            }
            let Some(selector) = peer.pod_selector.as_ref().filter(|selector| !is_empty(selector)) else {
                continue;
            };
            if peer.ip_block.is_none() && scene.peer_pods(home, peer).is_empty() {
                let near = near_pod(scene, &inside, selector);
                let reason =
                    format!("podSelector {} matches no pod of {}{near}", words(selector), inside.join(", "));
                report.push(
                    Severity::Warning,
                    "selects-nothing",
                    object,
                    reason,
                    "correct the labels, or remove the peer",
                );
            }
        }
    }
}

fn near_pod(scene: &Scene<'_>, namespaces: &[&str], selector: &LabelSelector) -> String {
    let snapshot = scene.cluster.snapshot();
    let pods = snapshot.subjects().filter(|(_, subject)| namespaces.contains(&&*subject.name.namespace));
    near(selector, pods.filter_map(|(id, subject)| Some((&*subject.name.name, scene.labels(id)?))))
}

/// What would match if one label were written as this object has it.
fn near<'l>(selector: &LabelSelector, candidates: impl Iterator<Item = (&'l str, &'l Labels)>) -> String {
    for (name, labels) in candidates {
        for (key, value) in selector.match_labels.iter().flatten() {
            for (own_key, own_value) in labels {
                let differs = **own_key != **key || **own_value != **value;
                if differs && alike(key, own_key) && alike(value, own_value) {
                    let mut corrected = labels.clone();
                    corrected.insert(Arc::from(key.as_str()), Arc::from(value.as_str()));
                    if matches(selector, &corrected) {
                        return format!(": `{name}` has {own_key}={own_value}");
                    }
                }
            }
        }
    }
    String::new()
}

/// Equal, or a slip apart; short words are not alike by chance.
fn alike(a: &str, b: &str) -> bool {
    a == b || (a.len().min(b.len()) > 1 && crate::manifest::alike(a, b))
}

#[cfg(test)]
mod tests {
    use crate::audit::Options;
    use crate::audit::tests::{check, findings, namespace, pod, policy};

    #[test]
    fn a_typo_in_a_label_is_found_and_the_right_one_named() {
        let pods = pod("shop", "web", "app: Web", "") + &namespace("shop", "team: a");
        let of = |app: &str| {
            pods.clone() + &policy("shop", "p", &format!("podSelector: {{matchLabels: {{app: {app}}}}}"))
        };
        check("selects-nothing", &of("web"), &of("Web"));
        let found = findings(&of("web"), &Options::default());
        let reason =
            found.iter().find(|found| found.id == "selects-nothing").map(|found| found.reason.as_str());
        assert_eq!(reason, Some("podSelector app=web matches no pod of shop: `web` has app=Web"));
        let from = |team: &str| {
            let rule = format!("{{from: [{{namespaceSelector: {{matchLabels: {{team: {team}}}}}}}]}}");
            pods.clone() + &policy("shop", "p", &format!("podSelector: {{}}, ingress: [{rule}]"))
        };
        check("selects-nothing", &from("b"), &from("a"));
    }
}
