//! `namespace-without-policy`: a namespace that has pods and no policy at all.

use super::{Report, Scene, Severity};

pub(super) fn find(scene: &Scene<'_>, report: &mut Report) {
    for namespace in scene.namespaces.keys() {
        let n_pods = scene.workloads().iter().filter(|(name, ..)| name.namespace == *namespace).count();
        let guarded = scene.policies().any(|policy| policy.meta.namespace == *namespace);
        if n_pods > 0 && !guarded {
            let reason =
                format!("{n_pods} workload(s) and no policy: anybody reaches them, and they reach anybody");
            report.push(
                Severity::Warning,
                "namespace-without-policy",
                format!("Namespace {namespace}"),
                reason,
                "deny by default, then allow what was observed (generate-policies)",
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::audit::tests::{check, namespace, pod, policy};

    #[test]
    fn pods_without_any_policy_are_found_and_empty_namespaces_are_not() {
        let web = pod("shop", "web", "app: web", "");
        check("namespace-without-policy", &web, &(web.clone() + &policy("shop", "p", "podSelector: {}")));
        check("namespace-without-policy", &web, &namespace("shop", "a: b"));
    }
}
