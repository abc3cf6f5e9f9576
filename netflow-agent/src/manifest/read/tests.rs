//! The claims of this folder, as tests.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;
use crate::manifest::{CallerTarget, TargetPort};

const POLICY: &str = "\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: web
  namespace: shop
spec:
  podSelector:
    matchLabels:
      app: web
  ingress:
  - from:
    - podSelector: {}
    ports:
    - port: 80
";

fn findings(text: &str) -> Vec<String> {
    read("m.yaml", text.as_bytes())
        .findings
        .iter()
        .map(|found| format!("{} {found}", found.severity.as_str()))
        .collect()
}

fn titles(text: &str) -> Vec<String> {
    read("m.yaml", text.as_bytes()).objects.iter().map(|placed| placed.object.title()).collect()
}

#[test]
fn a_stream_a_list_and_json_lines_give_the_same_objects() {
    let pod = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a","namespace":"x"}}"#;
    let space = r#"{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"x"}}"#;
    let expected = ["Pod x/a", "Namespace x"];
    for text in [
        format!("{pod}\n---\n{space}\n"),
        format!("---\n# only a comment\n---\n{pod}\n---\n---\n{space}\n...\n"),
        format!("{pod}\n{space}\n"),
        format!("{pod}{space}"),
        format!("{{\"apiVersion\":\"v1\",\"kind\":\"List\",\"items\":[{pod},{space}]}}"),
        format!("kind: List\napiVersion: v1\nitems:\n- {pod}\n- {space}\n"),
        format!("{{kind: List, apiVersion: v1, items: [{pod}, {space}]}}"),
        format!("\u{feff}{pod}\r\n{space}\r\n"),
    ] {
        assert_eq!(titles(&text), expected, "{text}");
        assert_eq!(findings(&text), [""; 0], "{text}");
    }
    let typed = r#"{"kind":"PodList","apiVersion":"v1","items":[{"metadata":{"name":"a","namespace":"x"}}]}"#;
    assert_eq!(titles(typed), ["Pod x/a"]);
}

#[test]
fn a_policy_is_defaulted_as_the_api_server_does() {
    let manifests = read("m.yaml", POLICY.as_bytes());
    assert_eq!(manifests.findings, []);
    let Object::NetworkPolicy(policy) = &manifests.objects[0].object else { panic!("no policy") };
    assert_eq!(policy.spec.policy_types.as_deref(), Some(&["Ingress".to_owned()][..]));
    let rule = &policy.spec.ingress.as_ref().expect("a rule")[0];
    assert_eq!(rule.ports.as_ref().expect("a port")[0].protocol.as_deref(), Some("TCP"));
    for (spec, types) in [
        ("{egress: [{}]}", vec!["Ingress", "Egress"]),
        ("{egress: []}", vec!["Ingress"]),
        ("{policyTypes: [], egress: [{}]}", vec!["Ingress", "Egress"]),
        ("{policyTypes: [Egress]}", vec!["Egress"]),
        ("null", vec!["Ingress"]),
    ] {
        let text = format!(
            "{{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {{name: p}}, spec: {spec}}}"
        );
        let manifests = read("m.yaml", text.as_bytes());
        let Object::NetworkPolicy(policy) = &manifests.objects[0].object else { panic!("no policy") };
        assert_eq!(policy.spec.policy_types.as_deref().expect("defaulted"), types, "{spec}");
        assert!(policy.spec.pod_selector.is_some());
        assert_eq!(&*policy.meta.namespace, "default");
    }
}

#[test]
fn a_namespace_always_has_its_name_as_a_label() {
    let text = "{apiVersion: v1, kind: Namespace, metadata: {name: x, labels: {kubernetes.io/metadata.name: other}}}";
    let manifests = read("m.yaml", text.as_bytes());
    let Object::Namespace(namespace) = &manifests.objects[0].object else { panic!("no namespace") };
    assert_eq!(namespace.meta.labels.get(super::super::NAMESPACE_NAME).map(|value| &**value), Some("x"));
}

#[test]
fn what_is_wrong_is_named_with_its_line_and_path() {
    for (from, to, expected) in FAULTS {
        let found = findings(&POLICY.replace(from, to));
        let expected = expected.replace("TITLE", "NetworkPolicy shop/web");
        assert_eq!(found, [expected], "{from} -> {to}");
    }
    let found = findings(&POLICY.replace("metadata:", "\tmetadata:"));
    assert!(found[0].starts_with("error m.yaml:"), "{found:?}");
}

const FAULTS: [(&str, &str, &str); 10] = [
    (
        "podSelector:\n",
        "podselector:\n",
        "warning m.yaml:8: TITLE: spec.podselector: unknown field: did you mean `podSelector`?",
    ),
    (
        "  ingress:",
        "  ingres:",
        "warning m.yaml:11: TITLE: spec.ingres: unknown field: did you mean `ingress`?",
    ),
    (
        "app: web",
        "app: yes",
        "error m.yaml:9: TITLE: spec.podSelector.matchLabels.app: the boolean `true` stands where text is needed: quote it",
    ),
    (
        "app: web",
        "app: 012",
        "error m.yaml:9: TITLE: spec.podSelector.matchLabels.app: the number `10` stands where text is needed: quote it",
    ),
    (
        "app: web",
        "app: web\n      app: api",
        "warning m.yaml:10: TITLE: spec.podSelector.matchLabels.app: written twice: the last one counts",
    ),
    (
        "port: 80",
        "port: 99999999999",
        "error m.yaml:14: TITLE: spec.ingress[0].ports[0].port: invalid value: integer `99999999999`, expected a 32-bit integer",
    ),
    (
        "port: 80",
        "port: [80]",
        "error m.yaml:14: TITLE: spec.ingress[0].ports[0].port: invalid type: sequence, expected IntOrString",
    ),
    (
        "port: 80",
        "port: 70000",
        "error m.yaml:14: TITLE: spec.ingress[0].ports[0].port: 70000 is no port: use 1 to 65535",
    ),
    (
        "networking.k8s.io/v1",
        "extensions/v1beta1",
        "error m.yaml:1: TITLE: apiVersion: `extensions/v1beta1` is no longer served: use `networking.k8s.io/v1`",
    ),
    ("kind: NetworkPolicy", "Kind: NetworkPolicy", "error m.yaml:1: no `apiVersion` or no `kind`"),
];

#[test]
fn null_is_the_zero_value_as_in_go() {
    let text = "{apiVersion: v1, kind: Pod, metadata: {name: a, labels: {k: null}, annotations: null, creationTimestamp: null}, spec: {containers: null, hostNetwork: null}, status: null}";
    let manifests = read("m.yaml", text.as_bytes());
    assert_eq!(manifests.findings, []);
    let Object::Pod(pod) = &manifests.objects[0].object else { panic!("no pod") };
    assert_eq!(pod.meta.labels.get("k").map(|value| &**value), Some(""));
}

#[test]
fn anchors_and_merges_are_read_and_the_own_entry_wins() {
    let text = "
apiVersion: v1
kind: List
items:
- &pod
  apiVersion: v1
  kind: Pod
  metadata: &meta {name: a, namespace: x, labels: {app: one}}
- <<: *pod
  metadata: {<<: *meta, name: b}
";
    assert_eq!(titles(text), ["Pod x/a", "Pod x/b"]);
    assert_eq!(findings(text), [""; 0]);
}

#[test]
fn hostile_input_ends_in_an_error() {
    let mut bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
    for i in 1..12 {
        let alias = format!("*a{}", i - 1);
        writeln!(bomb, "a{i}: &a{i} [{}]", [alias.as_str(); 10].join(",")).expect("a string");
    }
    let mut tower = String::new();
    for i in 0..400 {
        let inner = if i == 0 { "x".to_owned() } else { format!("*a{}", i - 1) };
        writeln!(tower, "a{i}: &a{i} {{k: {inner}}}").expect("a string");
    }
    for (what, text) in [
        ("deep flow", "[".repeat(100_000)),
        ("deep block", "- ".repeat(100_000)),
        ("deep json", format!("{{\"a\":{}", "[".repeat(100_000))),
        ("alias bomb", bomb),
        ("alias tower", tower),
        ("self alias", "a: &a [*a]".to_owned()),
        ("unknown alias", "a: *b".to_owned()),
        ("map as a key", "{a: 1}: 2".to_owned()),
        ("huge number", "{\"apiVersion\": 1e999}".to_owned()),
        (
            "large object",
            format!("{{\"kind\":\"Pod\",\"apiVersion\":\"v1\",\"a\":[{}1]}}", "1,".repeat(5_000_000)),
        ),
        ("list", "- 1".to_owned()),
        ("text", "hello".to_owned()),
        ("recording", r#"{"kind":"flow","node":"a"}"#.to_owned()),
    ] {
        let manifests = read("m.yaml", text.as_bytes());
        assert!(manifests.first_error().is_some(), "{what}: {:?}", manifests.findings);
        assert!(manifests.objects.is_empty(), "{what}");
    }
    assert!(read("m.yaml", b"\xff\xfe").first_error().is_some());
}

#[test]
fn ten_thousand_faults_are_not_ten_thousand_lines() {
    let manifests = read("m.yaml", "--- 1\n".repeat(10_000).as_bytes());
    assert_eq!(manifests.findings.len(), MOST_FINDINGS + 1);
}

#[test]
fn the_last_of_equal_names_counts() {
    let mut manifests = read("a.yaml", POLICY.as_bytes());
    manifests.read("b.yaml", POLICY.as_bytes());
    manifests.settle();
    assert_eq!(manifests.objects.len(), 1);
    assert_eq!(&*manifests.objects[0].place.file, "b.yaml");
    assert_eq!(
        manifests.findings[0].to_string(),
        "a.yaml:1: NetworkPolicy shop/web: written again at b.yaml:1: the last one counts"
    );
}

#[test]
fn what_calls_is_read_from_its_declaration() {
    let text = "
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: hook}
webhooks:
- name: a.b.c
  admissionReviewVersions: [v1]
  sideEffects: None
  clientConfig: {service: {namespace: x, name: hook, path: /}}
---
apiVersion: monitoring.coreos.com/v1
kind: ServiceMonitor
metadata: {name: m, namespace: z}
spec: {selector: {matchLabels: {app: a}}, endpoints: [{port: metrics}]}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: i, namespace: z}
spec: {rules: [{http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {name: http}}}}]}}]}
";
    assert_eq!(findings(text), [""; 0]);
    let manifests = read("m.yaml", text.as_bytes());
    let targets: Vec<_> = manifests
        .objects
        .iter()
        .flat_map(|placed| match &placed.object {
            Object::Caller(caller) => caller.targets.clone(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        targets[0],
        CallerTarget::Service {
            namespace: "x".into(),
            name: "hook".into(),
            port: Some(TargetPort::Number(443))
        }
    );
    assert!(
        matches!(&targets[1], CallerTarget::Selected { namespaces, port: Some(TargetPort::Name(port)), .. }
        if namespaces.iter().map(|name| &**name).eq(["z"]) && &**port == "metrics")
    );
    assert_eq!(
        targets[2],
        CallerTarget::Service {
            namespace: "z".into(),
            name: "web".into(),
            port: Some(TargetPort::Name("http".into()))
        }
    );
}

#[test]
fn a_node_owns_its_tunnel_addresses() {
    let text = "
apiVersion: v1
kind: Node
metadata:
  name: a
  annotations:
    projectcalico.org/IPv4Address: 10.0.0.5/24
    projectcalico.org/IPv4IPIPTunnelAddr: 10.244.1.1
    network.cilium.io/ipv6-cilium-host: fd00::5
    flannel.alpha.coreos.com/backend-type: vxlan
spec: {podCIDR: 10.244.3.0/24, podCIDRs: [10.244.3.0/24]}
status: {addresses: [{type: InternalIP, address: 10.0.0.5}, {type: Hostname, address: a}]}
";
    let manifests = read("m.yaml", text.as_bytes());
    assert_eq!(manifests.findings, []);
    let Object::Node(node) = &manifests.objects[0].object else { panic!("no node") };
    let ips: Vec<String> = node.ips.iter().map(ToString::to_string).collect();
    assert_eq!(ips, ["10.0.0.5", "10.244.1.1", "fd00::5", "10.244.3.0"]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        drop(read("m.yaml", &bytes));
    }

    #[test]
    fn mutated_manifests_never_panic(
        at in 0..POLICY.len(),
        cut in 0..20_usize,
        insert in "[-{}\\[\\]:,&*!|>'\"%@`#?<~ \\n\\ta0é]{0,6}",
    ) {
        let mut bytes = POLICY.as_bytes().to_vec();
        let end = (at + cut).min(bytes.len());
        bytes.splice(at..end, insert.bytes());
        drop(read("m.yaml", &bytes));
    }

    #[test]
    fn any_text_comes_back_through_json_and_yaml(value in "[ -~é]{0,20}") {
        let text = serde_json::json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "annotations": {"k": value}}}).to_string();
        for text in [text.clone(), format!("# YAML\n{text}")] {
            let manifests = read("m.yaml", text.as_bytes());
            let Object::Pod(pod) = &manifests.objects[0].object else { panic!("no pod") };
            prop_assert_eq!(&*pod.meta.annotations["k"], value.as_str());
        }
    }
}
