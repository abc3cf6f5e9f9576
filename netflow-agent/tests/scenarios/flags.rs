//! What a flag, a review or an odd cluster must not lead to. Each case is the scenario of a folder with a few
//! lines more, and what must, or must not, be among its rules and gaps.

use netflow_agent::manifest::cni::Cni;
use netflow_agent::policy::{External, Nodes, Options};
use netflow_agent::review;
use serde_json::{Value, json};

use super::judged::Told;
use super::{lines, options, told};

/// A flow that a node tells of one of its pods, by UID; all day long.
fn seen(side: &str, node: &str, pod: &str, remote: &str, port: u16) -> String {
    json!({"kind": "flow", "node": node, "hour": "2026-11-20T10:00:00Z", "seq": 7, "side": side, "pod": pod,
        "remote": remote, "port": port, "protocol": "TCP", "outcome": "established", "connections": 1,
        "first": "2026-11-20T10:05:00Z", "last": "2026-11-20T10:06:00Z"})
    .to_string()
}

/// UID and node of the first pod of a workload.
fn pod_of(lines: &[String], prefix: &str) -> (String, String) {
    let objects = lines.iter().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let mut pods = objects.filter(|line| line["object"]["kind"] == "Pod").map(|line| {
        let word = |path: &str| line.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
        (word("/object/metadata/uid"), word("/object/spec/nodeName"))
    });
    pods.find(|(uid, _)| uid.starts_with(prefix)).expect("a pod")
}

const REVIEW: &str = "\
deny:
- {from: shop/deploy/web, to: shop/deploy/api, reason: it asks too much}
";

fn has_gap(told: &Told, gap: &str) -> bool {
    told.gaps.iter().any(|one| one.starts_with(gap))
}

/// The policy of this name, as it would be printed.
fn policy<'t>(told: &'t Told, name: &str) -> &'t str {
    let of_name = |text: &&str| text.contains(&format!("\n  name: {name}\n"));
    told.yaml.split("---\n").find(of_name).unwrap_or_else(|| panic!("no {name} in\n{}", told.yaml))
}

#[test]
fn a_budget_never_covers_the_metadata_service() {
    let mut lines = lines("saas_ranges");
    let (pod, node) = pod_of(&lines, "saas-worker");
    lines.extend(["169.254.169.250", "169.254.169.253"].map(|ip| seen("client", &node, &pod, ip, 53)));
    let told = told(lines, &Options { external: External::Budget(1), ..options() });
    let worker = policy(&told, "worker-deployment");
    for cidr in ["169.254.169.250/32", "169.254.169.253/32", "192.0.2.128/30"] {
        assert!(worker.contains(cidr), "{cidr}\n{worker}");
    }
}

#[test]
fn any_address_outside_is_said_to_hold_pods_where_no_node_tells_their_range() {
    let any = Options { external: External::Any, ..options() };
    let known = told(lines("saas_ranges"), &any);
    assert!(!has_gap(&known, "wide-cover"), "{:?}", known.gaps);
    assert!(policy(&known, "app-deployment").contains("- 10.244.1.0/24"), "{}", known.yaml);
    let silent = lines("saas_ranges").into_iter().map(|line| line.replace("podCIDRs", "none")).collect();
    let unknown = told(silent, &any);
    assert!(has_gap(&unknown, "wide-cover Deployment saas/app"), "{:?}", unknown.gaps);
}

#[test]
fn a_dns_server_that_is_written_for_takes_names_over_tcp_as_well() {
    let only = Options { namespaces: ["kube-system".into()].into(), peers_only: [].into(), ..options() };
    let told = told(lines("equal_names"), &only);
    let coredns = policy(&told, "coredns-deployment");
    let both = "    ports:\n    - protocol: TCP\n      port: 53\n    - protocol: UDP\n      port: 53\n";
    assert!(coredns.contains(both), "{coredns}");
    assert!(!told.yaml.contains("namespace: shop\n"), "{}", told.yaml);
}

#[test]
fn on_cilium_a_probe_is_a_probe_and_another_node_cannot_be_expressed() {
    let mut lines = lines("equal_names");
    let (pod, node) = pod_of(&lines, "shop-api");
    let own = if node == "node-a" { "192.168.0.11" } else { "192.168.0.12" };
    lines.push(seen("server", &node, &pod, own, 8_080));
    lines.push(seen("server", &node, &pod, "192.168.0.13", 9_090));
    let told = told(lines, &Options { cni: Some(Cni::Cilium), ..options() });
    assert!(has_gap(&told, &format!("probe Node {node} -> Deployment shop/api 8080/TCP")), "{:?}", told.gaps);
    assert!(has_gap(&told, "not-expressible Node node-c -> Deployment shop/api 9090/TCP"), "{:?}", told.gaps);
    assert!(!has_gap(&told, &format!("not-expressible Node {node}")), "{:?}", told.gaps);
}

#[test]
fn a_client_that_the_pods_own_node_hides_is_named() {
    let mut lines = lines("ingress_controller");
    let (pod, node) = pod_of(&lines, "ingress-nginx-controller");
    let gateway = if node == "node-a" { "10.244.1.1" } else { "10.244.2.1" };
    lines.push(seen("server", &node, &pod, gateway, 80));
    let told = told(lines, &options());
    let gap = format!("hidden-client Node {node} -> Deployment ingress-nginx/controller 80/TCP");
    assert!(has_gap(&told, &gap), "{:?}", told.gaps);
}

#[test]
fn an_end_that_no_rule_can_name_is_a_gap() {
    let mut lines = lines("equal_names");
    let homeless = json!({"kind": "object", "object": {"apiVersion": "v1", "kind": "Pod",
        "metadata": {"namespace": "shop", "name": "stray", "uid": "stray", "labels": {"app": "stray"}},
        "spec": {"hostNetwork": true}, "status": {"podIP": "192.168.7.7"}}});
    lines.push(homeless.to_string());
    lines.push(seen("client", "node-a", "stray", "10.244.1.10", 53));
    let told = told(lines, &options());
    assert!(has_gap(&told, "not-expressible Pod shop/stray -> "), "{:?}", told.gaps);
}

#[test]
fn what_is_denied_and_stays_allowed_is_named() {
    let mut lines = lines("equal_names");
    let web = pod_of(&lines, "shop-web").0;
    let pod = lines.iter().find(|line| line.contains(&format!("\"uid\":\"{web}\""))).expect("a pod").clone();
    // Another Deployment with the very same labels.
    lines.push(pod.replace(&web, "shop-twin").replace("\"web-", "\"twin-").replace("10.244.", "10.245."));
    let (twin, node) = pod_of(&lines, "shop-twin");
    lines.push(seen("client", &node, &twin, &address_of(&lines, "shop-api"), 8_080));
    let alike = told(lines.clone(), &options());
    assert!(has_gap(&alike, "indistinguishable Deployment shop/twin"), "{:?}", alike.gaps);
    let mut with_review = options();
    with_review.review = review::read(REVIEW.as_bytes()).expect("a review");
    let told = told(lines, &with_review);
    assert!(
        has_gap(&told, "still-allowed Deployment shop/web -> Deployment shop/api 8080/TCP"),
        "{:?}",
        told.gaps
    );
}

fn address_of(lines: &[String], prefix: &str) -> String {
    let objects = lines.iter().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let mut pods = objects.filter(|line| line["object"]["kind"] == "Pod");
    let is =
        |line: &Value| line["object"]["metadata"]["uid"].as_str().is_some_and(|uid| uid.starts_with(prefix));
    let pod = pods.find(is).expect("a pod");
    pod["object"]["status"]["podIP"].as_str().expect("an address").to_owned()
}

#[test]
fn a_dialled_node_is_a_peer_as_nodes_are() {
    let told_with = |options: &Options| told(lines("node_port"), options);
    let crawler = |options: &Options| policy(&told_with(options), "crawler-deployment").to_owned();
    assert!(crawler(&options()).contains("cidr: 192.168.0.13/32"));
    let range =
        Options { nodes: Nodes::Ranges(vec!["192.168.0.0/24".parse().expect("a range")]), ..options() };
    let by_range = crawler(&range);
    assert!(by_range.contains("cidr: 192.168.0.0/24") && by_range.contains("port: 30081"), "{by_range}");
    let any = crawler(&Options { nodes: Nodes::Any, ..options() });
    assert!(any.contains("cidr: 0.0.0.0/0") && any.contains("- 10.244.1.0/24"), "{any}");
    // No ipBlock matches a node there: the pods are allowed, the nodes a gap.
    let cilium = told_with(&Options { cni: Some(Cni::Cilium), ..options() });
    assert!(!policy(&cilium, "crawler-deployment").contains("30080"), "{}", cilium.yaml);
    assert!(policy(&cilium, "crawler-deployment").contains("port: 8080"), "{}", cilium.yaml);
    let gap = "not-expressible Deployment tools/crawler -> Node node-c 30080/TCP";
    assert!(has_gap(&cilium, gap), "{:?}", cilium.gaps);
}

#[test]
fn a_node_that_the_review_refuses_is_withheld_and_the_pods_are_not() {
    let review = "deny: [{from: tools/*, to: node/node-c, reason: by the Service}]";
    let mut with_review = options();
    with_review.review = review::read(review.as_bytes()).expect("a review");
    let told = told(lines("node_port"), &with_review);
    let crawler = policy(&told, "crawler-deployment");
    assert!(crawler.contains("port: 8080") && crawler.contains("port: 30081"), "{crawler}");
    assert!(!crawler.contains("port: 30080"), "{crawler}");
    assert!(!has_gap(&told, "node-port Deployment tools/crawler -> Node node-c"), "{:?}", told.gaps);
}
