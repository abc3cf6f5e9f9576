//! `sensitive-reachable`: who may reach the pods that a selector names, and, with a recording, was never seen to.

use std::collections::BTreeSet;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use super::scene::{matches, workload};
use super::{Report, Scene, Severity};
use crate::connectivity::Connectivity;
use crate::edge::EdgeKey;
use crate::identity::Endpoint;

pub(super) fn find(
    scene: &Scene<'_>,
    selector: &LabelSelector,
    observed: Option<&BTreeSet<EdgeKey>>,
    report: &mut Report,
) {
    let connectivity = Connectivity::new(scene.cluster);
    let names = connectivity.workloads();
    let guarded: BTreeSet<_> = (scene.workloads().into_iter())
        .filter(|(_, id, _)| scene.labels(*id).is_some_and(|labels| matches(selector, labels)))
        .map(|(name, ..)| name)
        .collect();
    let edges = observed.into_iter().flatten();
    let seen: BTreeSet<(&Endpoint, &Endpoint)> =
        edges.map(|edge| (&edge.source, &edge.destination)).collect();
    for (to, name) in names.iter().enumerate().filter(|(_, name)| guarded.contains(name)) {
        let destination = Endpoint::Workload(name.clone());
        for (from, source) in names.iter().enumerate() {
            let Some(ports) = connectivity.between(from, to) else { continue };
            if seen.contains(&(&Endpoint::Workload(source.clone()), &destination)) {
                continue;
            }
            let never = if observed.is_some() { " and was never seen to" } else { "" };
            let reason = format!("{} may reach it on {ports}{never}", workload(source));
            report.push(
                Severity::Warning,
                "sensitive-reachable",
                workload(name),
                reason,
                "deny it, unless it is needed",
            );
        }
        if !connectivity.from_outside(to).is_empty() {
            let reason = "addresses outside the cluster may reach it";
            report.push(
                Severity::Warning,
                "sensitive-reachable",
                workload(name),
                reason,
                "deny it, unless it is needed",
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::audit::Options;
    use crate::audit::tests::{check_with, findings, pod, policy};

    /// The pods of app=db.
    fn db() -> LabelSelector {
        let labels = BTreeMap::from([("app".to_owned(), "db".to_owned())]);
        LabelSelector { match_labels: Some(labels), ..LabelSelector::default() }
    }

    /// Three pods; the database lets in, on TCP 5432, the pods of the own namespace that `selector` takes.
    fn shop(selector: &str) -> String {
        let ingress = format!("[{{from: [{{podSelector: {selector}}}], ports: [{{port: 5432}}]}}]");
        pod("shop", "db", "app: db", "")
            + &pod("shop", "web", "app: web", "")
            + &pod("shop", "other", "app: other", "")
            + &policy("shop", "p", &format!("podSelector: {{matchLabels: {{app: db}}}}, ingress: {ingress}"))
    }

    #[test]
    fn only_who_may_reach_the_sensitive_pods_is_named() {
        let options = Options { sensitive: Some(db()), ..Options::default() };
        let text = shop("{matchLabels: {app: web}}");
        let found = findings(&text, &options);
        let found: Vec<&str> = found
            .iter()
            .filter(|found| found.id == "sensitive-reachable")
            .map(|found| found.reason.as_str())
            .collect();
        assert_eq!(found, ["shop/web may reach it on TCP 5432"]);

        let nobody = policy("shop", "p", "podSelector: {matchLabels: {app: db}}");
        let pods = pod("shop", "db", "app: db", "") + &pod("shop", "web", "app: web", "");
        check_with("sensitive-reachable", &options, &text, &(pods + &nobody));
    }

    #[test]
    fn who_was_seen_to_reach_the_sensitive_pods_is_not_named() {
        let text = shop("{}");
        let end = |name: &str| {
            let (namespace, name) = ("shop".into(), name.into());
            Endpoint::Workload(crate::identity::WorkloadName {
                namespace,
                kind: crate::manifest::WorkloadKind::Pod,
                name,
            })
        };
        let protocol = crate::net::Protocol::Tcp;
        let edge = EdgeKey { source: end("web"), destination: end("db"), port: 5432, protocol };
        let observed = BTreeSet::from([edge]);
        let options = Options { sensitive: Some(db()), observed: Some(&observed), ..Options::default() };
        let found = findings(&text, &options).into_iter().filter(|found| found.id == "sensitive-reachable");
        let reasons: Vec<String> = found.map(|found| found.reason).collect();
        assert_eq!(reasons, ["shop/other may reach it on TCP 5432 and was never seen to"]);
    }
}
