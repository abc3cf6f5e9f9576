//! The rights are the user's own: with some of them missing, what may be seen is answered and the rest is named.

use super::server::Server;
use super::shop::{Shop, words};

#[test]
fn what_may_not_be_read_is_named_and_the_rest_is_answered() {
    let shop = Shop::now();
    for (forbidden, named) in [
        (vec![], ""),
        (vec!["deployments"], "not read: Deployment: list deployments"),
        (vec!["networkpolicies"], "not read: NetworkPolicy: list networkpolicies"),
        (vec!["pods", "services", "endpointslices", "nodes", "namespaces"], "not read: Pod: list pods"),
    ] {
        let server = Server::start(shop.script());
        server.script.lock().expect("a lock").forbidden =
            forbidden.iter().map(|one| (*one).to_owned()).collect();
        let output = shop.ask(&server, &["observe", "-o", "json"]);
        let (edges, said) = (words(&output.stdout), words(&output.stderr));
        assert_eq!(output.status.code(), Some(0), "{forbidden:?}: {said}");
        assert!(edges.contains("\"frontend\"") && edges.contains("\"backend\""), "{forbidden:?}: {edges}");
        assert!(said.contains("answered: node-a, node-b"), "{forbidden:?}: {said}");
        let lost: Vec<&str> = said.lines().filter(|line| line.starts_with("not read")).collect();
        assert!(lost.iter().all(|line| line.contains("forbidden")), "{lost:?}");
        assert!(said.contains(named), "{forbidden:?}: {said}");
        assert_eq!(lost.is_empty(), named.is_empty(), "{lost:?}");
        // What the rights hide is said; it is no gap in what was observed.
        let strict = shop.ask(&server, &["observe", "--require-complete"]);
        assert_eq!(strict.status.code(), Some(0), "{forbidden:?}: {}", words(&strict.stderr));
    }
}

/// Each right to list, and the kind that is lost with it.
const LISTED: &[(&str, &str)] = &[
    ("pods", "Pod"),
    ("namespaces", "Namespace"),
    ("nodes", "Node"),
    ("services", "Service"),
    ("replicationcontrollers", "ReplicationController"),
    ("deployments", "Deployment"),
    ("statefulsets", "StatefulSet"),
    ("daemonsets", "DaemonSet"),
    ("replicasets", "ReplicaSet"),
    ("jobs", "Job"),
    ("cronjobs", "CronJob"),
    ("networkpolicies", "NetworkPolicy"),
    ("endpointslices", "EndpointSlice"),
    ("ingresses", "Ingress"),
    ("validatingwebhookconfigurations", "ValidatingWebhookConfiguration"),
    ("mutatingwebhookconfigurations", "MutatingWebhookConfiguration"),
    ("apiservices", "APIService"),
    ("customresourcedefinitions", "CustomResourceDefinition"),
    ("gateways", "Gateway"),
    ("httproutes", "HTTPRoute"),
    ("podmonitors", "PodMonitor"),
    ("servicemonitors", "ServiceMonitor"),
];

#[test]
fn each_right_that_is_missing_is_named_alone_and_all_else_is_answered() {
    let shop = Shop::now();
    let server = Server::start(shop.script());
    let whole = words(&shop.ask(&server, &["observe", "-o", "json"]).stdout);
    assert!(whole.lines().count() > 5, "{whole}");
    for (plural, kind) in LISTED {
        server.script.lock().expect("a lock").forbidden = vec![(*plural).to_owned()];
        for verb in [&["observe", "-o", "json"][..], &["generate-policies"]] {
            let output = shop.ask(&server, verb);
            let (said, out) = (words(&output.stderr), words(&output.stdout));
            assert_eq!(output.status.code(), Some(0), "{plural}: {verb:?}: {said}");
            let lost: Vec<&str> = said.lines().filter(|line| line.starts_with("not read: ")).collect();
            let named = format!("not read: {kind}: list {plural}: ");
            assert!(
                matches!(lost.as_slice(), [one] if one.starts_with(&named)),
                "{plural}: {verb:?}: {lost:?}"
            );
            // The agents know who talks; the rights are about what else there is.
            assert!(verb[0] != "observe" || out == whole, "{plural}: {out}");
            assert!(verb[0] == "observe" || out.contains("kind: NetworkPolicy"), "{plural}: {said}");
        }
    }
}

#[test]
fn without_port_forward_nothing_is_answered() {
    let shop = Shop::now();
    let server = Server::start(shop.script());
    server.script.lock().expect("a lock").forbidden.push("portforward".to_owned());
    let output = shop.ask(&server, &["observe"]);
    let said = words(&output.stderr);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{said}");
    for part in ["missing: node node-a", "missing: node node-b", "no agent answered", "pods/portforward"] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[test]
fn no_agents_are_said_to_be_none() {
    let shop = Shop::now();
    let mut script = shop.script();
    script.answers.clear();
    let output = shop.ask(&Server::start(script), &["observe"]);
    let said = words(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("missing: node node-a: no agent runs there"), "{said}");
}
