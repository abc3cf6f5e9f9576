//! What an API server accepts and refuses. For each clause an object on either side of it: our reading always
//! says what the table says, and a real kube-apiserver of 1.36 agrees where it can be started.

use netflow_agent::manifest::{Severity, read};

#[path = "support/accepted.rs"]
mod accepted;
#[path = "support/apiserver.rs"]
mod apiserver;
#[path = "support/naive.rs"]
#[expect(dead_code, reason = "the laws use all of it")]
mod naive;
#[path = "support/pipeline.rs"]
#[expect(dead_code, reason = "the laws use all of it")]
mod pipeline;
#[path = "support/record.rs"]
mod record;
#[path = "support/skip.rs"]
mod skip;
#[path = "support/world.rs"]
#[expect(dead_code, reason = "the laws use all of it")]
mod world;

/// Two servers at once would meet on one port.
fn one_server() -> std::sync::MutexGuard<'static, ()> {
    static ONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    ONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// What the API server makes of a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Says {
    Accepts,
    Refuses,
    /// Accepted before 1.36, refused since: we warn.
    RefusesSince136,
}
use Says::{Accepts, Refuses, RefusesSince136};

fn policy(name: &str, spec: &str) -> String {
    format!(
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: {name}, namespace: default}}\nspec: {spec}\n"
    )
}

fn long(letter: &str, length: usize) -> String {
    letter.repeat(length)
}

/// A rule's `ports` item.
const PORTS: [(&str, Says); 32] = [
    ("{}", Accepts),
    ("{port: 80}", Accepts),
    ("{port: 1}", Accepts),
    ("{port: 0}", Refuses),
    ("{port: -1}", Refuses),
    ("{port: 65535}", Accepts),
    ("{port: 65536}", Refuses),
    ("{port: 99999999999}", Refuses),
    ("{port: 80.5}", Refuses),
    ("{port: 0120}", Accepts),
    ("{port: \"80\"}", Refuses),
    ("{port: yes}", Refuses),
    ("{port: null}", Accepts),
    ("{port: http}", Accepts),
    ("{port: Http}", Refuses),
    ("{port: h-t-t-p}", Accepts),
    ("{port: h--p}", Refuses),
    ("{port: -http}", Refuses),
    ("{port: http-}", Refuses),
    ("{port: abcdefghijklmno}", Accepts),
    ("{port: abcdefghijklmnop}", Refuses),
    ("{port: 8-0}", Refuses),
    ("{protocol: TCP, port: 80}", Accepts),
    ("{protocol: SCTP}", Accepts),
    ("{protocol: tcp, port: 80}", Refuses),
    ("{protocol: ICMP}", Refuses),
    ("{protocol: \"\"}", Refuses),
    ("{port: 80, endPort: 80}", Accepts),
    ("{port: 80, endPort: 79}", Refuses),
    ("{port: 80, endPort: 65536}", Refuses),
    ("{port: http, endPort: 90}", Refuses),
    ("{endPort: 90}", Refuses),
];

/// A rule's `from` item.
const PEERS: [(&str, Says); 42] = [
    ("{podSelector: {}}", Accepts),
    ("{}", Refuses),
    ("{podSelector: {}, namespaceSelector: {}}", Accepts),
    ("{ipBlock: {cidr: 10.0.0.0/8}, podSelector: {}}", Refuses),
    ("{ipBlock: {cidr: 10.0.0.0/8}, namespaceSelector: {}}", Refuses),
    ("{ipBlock: {cidr: 10.0.0.0/8}}", Accepts),
    ("{ipBlock: {}}", Refuses),
    ("{ipBlock: {cidr: \"\"}}", Refuses),
    ("{ipBlock: {cidr: 10.0.0.0}}", Refuses),
    ("{ipBlock: {cidr: 10.0.0.0/33}}", Refuses),
    ("{ipBlock: {cidr: 10.0.0/8}}", Refuses),
    ("{ipBlock: {cidr: \"2001:db8::/32\"}}", Accepts),
    ("{ipBlock: {cidr: \"2001:db8::/129\"}}", Refuses),
    ("{ipBlock: {cidr: 10.0.0.1/8}}", RefusesSince136),
    ("{ipBlock: {cidr: 010.0.0.0/8}}", RefusesSince136),
    ("{ipBlock: {cidr: \"::ffff:10.0.0.0/104\"}}", RefusesSince136),
    ("{ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16]}}", Accepts),
    ("{ipBlock: {cidr: 10.0.0.0/8, except: [10.0.0.0/9]}}", Accepts),
    ("{ipBlock: {cidr: 10.0.0.0/8, except: [10.0.0.0/8]}}", Refuses),
    ("{ipBlock: {cidr: 10.0.0.0/8, except: [11.0.0.0/16]}}", Refuses),
    ("{ipBlock: {cidr: 10.0.0.0/8, except: [0.0.0.0/0]}}", Refuses),
    ("{ipBlock: {cidr: 0.0.0.0/0, except: [\"2001:db8::/32\"]}}", Refuses),
    ("{ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.1/16]}}", RefusesSince136),
    ("{ipBlock: {cidr: 10.0.0.0/8, except: [nonsense]}}", Refuses),
    ("{podSelector: {matchLabels: {app: web}}}", Accepts),
    ("{podSelector: {matchLabels: {app: \"\"}}}", Accepts),
    ("{podSelector: {matchLabels: {app: yes}}}", Refuses),
    ("{podSelector: {matchLabels: {app: \"yes\"}}}", Accepts),
    ("{podSelector: {matchLabels: {app: 012}}}", Refuses),
    ("{podSelector: {matchLabels: {app: null}}}", Accepts),
    ("{podSelector: {matchLabels: {app: -web}}}", Refuses),
    ("{podSelector: {matchLabels: {app: \"a b\"}}}", Refuses),
    ("{podSelector: {matchLabels: {example.com/app: web}}}", Accepts),
    ("{podSelector: {matchLabels: {Example.com/app: web}}}", Refuses),
    ("{podSelector: {matchLabels: {/app: web}}}", Refuses),
    ("{podSelector: {matchLabels: {a/b/c: web}}}", Refuses),
    ("{podSelector: {matchExpressions: [{key: a, operator: In, values: [b]}]}}", Accepts),
    ("{podSelector: {matchExpressions: [{key: a, operator: In}]}}", Refuses),
    ("{podSelector: {matchExpressions: [{key: a, operator: NotIn, values: []}]}}", Refuses),
    ("{podSelector: {matchExpressions: [{key: a, operator: Exists, values: [b]}]}}", Refuses),
    ("{podSelector: {matchExpressions: [{key: a, operator: DoesNotExist}]}}", Accepts),
    ("{podSelector: {matchExpressions: [{key: a, operator: in, values: [b]}]}}", Refuses),
];

/// The whole spec.
const SPECS: [(&str, Says); 10] = [
    ("{}", Accepts),
    ("{podSelector: {}, policyTypes: []}", Accepts),
    ("{podSelector: {}, policyTypes: [Ingress, Egress]}", Accepts),
    ("{podSelector: {}, policyTypes: [Ingress, Ingress]}", Accepts),
    ("{podSelector: {}, policyTypes: [Ingress, Egress, Ingress]}", Refuses),
    ("{podSelector: {}, policyTypes: [ingress]}", Refuses),
    ("{podSelector: {}, policyTypes: Ingress}", Refuses),
    ("{podSelector: [], ingress: []}", Refuses),
    ("{podSelector: {}, ingress: {}}", Refuses),
    ("{podSelector: {}, egress: [{to: [], ports: []}]}", Accepts),
];

fn cases() -> Vec<(String, Says)> {
    let mut cases = Vec::new();
    for (port, says) in PORTS {
        cases.push((policy("p", &format!("{{podSelector: {{}}, ingress: [{{ports: [{port}]}}]}}")), says));
        cases.push((policy("p", &format!("{{policyTypes: [Egress], egress: [{{ports: [{port}]}}]}}")), says));
    }
    for (peer, says) in PEERS {
        cases.push((policy("p", &format!("{{podSelector: {{}}, ingress: [{{from: [{peer}]}}]}}")), says));
        cases.push((policy("p", &format!("{{policyTypes: [Egress], egress: [{{to: [{peer}]}}]}}")), says));
    }
    cases.extend(SPECS.map(|(spec, says)| (policy("p", spec), says)));
    let label = |key: &str, value: &str| {
        policy("p", &format!("{{podSelector: {{matchLabels: {{{key}: {value}}}}}}}"))
    };
    for (text, says) in [
        (policy("a.b-c", "{}"), Accepts),
        (policy("a_b", "{}"), Refuses),
        (policy("Web", "{}"), Refuses),
        (policy("a..b", "{}"), Refuses),
        (policy("\"\"", "{}"), Refuses),
        (policy(&long("a", 253), "{}"), Accepts),
        (policy(&long("a", 254), "{}"), Refuses),
        (label("app", &long("a", 63)), Accepts),
        (label("app", &long("a", 64)), Refuses),
        (label(&long("a", 63), "web"), Accepts),
        (label(&long("a", 64), "web"), Refuses),
        (label(&format!("{}/app", long("a", 253)), "web"), Accepts),
        (label(&format!("{}/app", long("a", 254)), "web"), Refuses),
        ("{apiVersion: v1, kind: Namespace, metadata: {name: a-b}}".to_owned(), Accepts),
        ("{apiVersion: v1, kind: Namespace, metadata: {name: a.b}}".to_owned(), Refuses),
        (format!("{{apiVersion: v1, kind: Namespace, metadata: {{name: {}}}}}", long("a", 63)), Accepts),
        (format!("{{apiVersion: v1, kind: Namespace, metadata: {{name: {}}}}}", long("a", 64)), Refuses),
        (policy("p", "{}").replace("networking.k8s.io/v1", "extensions/v1beta1"), Refuses),
    ] {
        cases.push((text, says));
    }
    cases
}

#[test]
fn our_reading_says_what_each_clause_says() {
    for (manifest, says) in cases() {
        let found = read("m.yaml", manifest.as_bytes());
        let ours = if found.first_error().is_some() {
            Refuses
        } else if found.findings.iter().any(|finding| finding.severity == Severity::Warning) {
            RefusesSince136
        } else {
            Accepts
        };
        assert_eq!(ours, says, "{manifest}\n{:?}", found.findings);
    }
}

#[test]
fn a_real_api_server_agrees_on_each_clause() {
    let _one_at_a_time = one_server();
    let server = match apiserver::ApiServer::start() {
        Ok(server) => server,
        Err(reason) => return skip::skip("a_real_api_server_agrees_on_each_clause", &reason),
    };
    let mut differing = Vec::new();
    for (manifest, says) in cases() {
        let answer = server.accepts(&manifest);
        if answer.is_ok() != (says == Accepts) {
            differing.push(format!("{manifest}we say {says:?}, the server {answer:?}"));
        }
    }
    assert!(differing.is_empty(), "{}", differing.join("\n\n"));
}
