//! `missing-label`: pods that no policy selects, in a namespace whose policies select by a label key that these
//! pods do not have.

use std::collections::BTreeSet;

use super::scene::workload;
use super::{Report, Scene, Severity};
use crate::net::Direction;

pub(super) fn find(scene: &Scene<'_>, report: &mut Report) {
    for (name, id, _) in scene.workloads() {
        if Direction::BOTH.iter().any(|&direction| scene.isolated(id, direction)) {
            continue;
        }
        let keys: BTreeSet<&str> = scene
            .policies()
            .filter(|policy| policy.meta.namespace == name.namespace)
            .filter_map(|policy| policy.spec.pod_selector.as_ref())
            .flat_map(|selector| selector.match_labels.iter().flatten().map(|(key, _)| key.as_str()))
            .collect();
        let lacks: Vec<&str> = keys
            .into_iter()
            .filter(|key| scene.labels(id).is_none_or(|labels| !labels.contains_key(*key)))
            .collect();
        if !lacks.is_empty() {
            let reason = format!(
                "no policy selects it: it has no label `{}`, by which the policies of its namespace select",
                lacks.join("`, `")
            );
            report.push(
                Severity::Warning,
                "missing-label",
                workload(name),
                reason,
                "label its pods, or deny by default",
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::audit::tests::{check, pod, policy};

    #[test]
    fn a_pod_without_the_label_that_policies_use_is_found() {
        let all = policy("shop", "p", "podSelector: {matchLabels: {app: web}}")
            + &pod("shop", "web", "app: web", "");
        let other = |labels: &str| all.clone() + &pod("shop", "other", labels, "");
        check("missing-label", &other("name: x"), &other("app: x"));
    }
}
