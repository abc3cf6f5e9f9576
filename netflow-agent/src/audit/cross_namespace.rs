//! `cross-namespace-label`: every label that grants access across namespaces; a namespace label other than the
//! name may be set by whoever administers a namespace.

use super::scene::words;
use super::{Report, Scene, Severity};
use crate::manifest::NAMESPACE_NAME;
use crate::net::Direction;

pub(super) fn find(scene: &Scene<'_>, report: &mut Report) {
    for rule in scene.rules().into_iter().filter(|rule| rule.direction == Direction::Ingress) {
        for (i, peer) in rule.peers.iter().enumerate() {
            let Some(selector) = &peer.namespace_selector else { continue };
            let labelled = selector.match_labels.iter().flatten().map(|(key, _)| key.as_str());
            let expressed = selector.match_expressions.iter().flatten().map(|one| one.key.as_str());
            let keys: Vec<&str> = labelled.chain(expressed).collect();
            let object = format!("{}.from[{i}]", rule.title());
            if keys.is_empty() {
                // Said as over-broad already.
                continue;
            }
            let pods = peer.pod_selector.as_ref().map(words).filter(|text| !text.is_empty());
            let pods = pods.map(|text| format!(" on pods with {text}")).unwrap_or_default();
            if keys.contains(&NAMESPACE_NAME) {
                let reason = format!("{} grants access from another namespace{pods}", words(selector));
                report.push(
                    Severity::Note,
                    "cross-namespace-label",
                    object,
                    reason,
                    "see that whoever may create pods there may have this access",
                );
            } else {
                let reason = format!(
                    "{} grants access from other namespaces{pods}, and whoever may label a namespace can take it",
                    words(selector)
                );
                let fix = "select by `kubernetes.io/metadata.name`, which the API server sets";
                report.push(Severity::Warning, "cross-namespace-label", object, reason, fix);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::audit::Options;
    use crate::audit::tests::{check, findings, policy};

    #[test]
    fn a_custom_namespace_label_is_worse_than_the_name() {
        let from =
            |peer: &str| policy("shop", "p", &format!("podSelector: {{}}, ingress: [{{from: [{peer}]}}]"));
        let custom = from("{namespaceSelector: {matchLabels: {team: a}}}");
        check("cross-namespace-label", &custom, &from("{podSelector: {matchLabels: {team: a}}}"));
        let named = from("{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: a}}}");
        let severity = |text: &str| {
            let found = findings(text, &Options::default());
            found
                .iter()
                .find(|found| found.id == "cross-namespace-label")
                .map(|found| found.severity.as_str())
        };
        assert_eq!((severity(&custom), severity(&named)), (Some("warning"), Some("note")));
    }
}
