//! What `shop.yaml` says, written down from it before anything was observed.

/// Source, destination, port, protocol.
pub(crate) const EDGES: &[&str] = &[
    "shop/Deployment/web -> shop/Deployment/api 8081/TCP",
    "shop/Deployment/web -> billing/Deployment/web 8443/TCP",
    "shop/Deployment/web -> shop/StatefulSet/db 5432/TCP",
    "shop/Deployment/web -> kube-system/Deployment/coredns 53/UDP",
    "shop/Deployment/api -> shop/StatefulSet/db 5432/TCP",
    "shop/Deployment/api -> shop/Deployment/cache 5300/UDP",
    // The Service `legacy` is port 9000; what it stands for is 9001 of a machine outside.
    "shop/Deployment/api -> External/10.77.0.100 9001/TCP",
    "shop/Deployment/api -> kube-system/Deployment/coredns 53/UDP",
    // Two pods of one StatefulSet.
    "shop/StatefulSet/db -> shop/StatefulSet/db 5432/TCP",
    "shop/StatefulSet/db -> kube-system/Deployment/coredns 53/UDP",
    "shop/CronJob/report -> shop/Deployment/api 8081/TCP",
    "shop/CronJob/report -> kube-system/Deployment/coredns 53/UDP",
    // A visitor from outside through a port of the host, which hides nobody.
    "External/10.77.0.100 -> shop/Deployment/kiosk 8082/TCP",
    // A pod that never becomes ready, and one that lives a second.
    "ops/Pod/unready -> billing/Deployment/web 8443/TCP",
    "ops/Pod/unready -> kube-system/Deployment/coredns 53/UDP",
    "ops/Pod/blink -> billing/Deployment/web 8443/TCP",
    "ops/Pod/blink -> kube-system/Deployment/coredns 53/UDP",
    // The pod on the host's network.
    "Node/node1 -> billing/Deployment/web 8443/TCP",
    // The probes of both nodes, and visitors from outside, whose address the NodePort Service hides.
    "Node/node1 -> shop/Deployment/web 8080/TCP",
    "Node/node2 -> shop/Deployment/web 8080/TCP",
];

/// Namespaces of the shop: edges between others are the cluster's own.
pub(crate) const OURS: &[&str] = &["shop", "billing", "ops", "quiet"];

/// Ports that somebody of the shop serves, and one that nobody does.
pub(crate) const PORTS: &[(u16, &str)] = &[
    (8080, "TCP"),
    (8081, "TCP"),
    (8082, "TCP"),
    (8443, "TCP"),
    (5432, "TCP"),
    (5300, "UDP"),
    (9001, "TCP"),
    (53, "UDP"),
    (53, "TCP"),
    (9999, "TCP"),
];

/// What `generate-policies` must name as not settled: kind, and what it is about.
pub(crate) const GAPS: &[&str] = &[
    // The visitors of the NodePort Service are hidden behind the nodes, whose addresses are allowed instead.
    "node: Node node1 -> Deployment billing/web 8443/TCP",
    "node: Node node1 -> Deployment shop/web 8080/TCP",
    "node: Node node2 -> Deployment shop/web 8080/TCP",
    "hidden-client: Node node1 -> Deployment shop/web 8080/TCP",
    "hidden-client: Node node2 -> Deployment shop/web 8080/TCP",
    "silent-namespace: Namespace quiet",
    // Due at four, and started by hand.
    "cronjob: CronJob shop/report",
    "icmp: cluster",
];

/// What it may name besides: an hour of the window before the agents came, and calls that nobody took while
/// pods were starting or being replaced.
pub(crate) fn may_be_a_gap(gap: &str) -> bool {
    let attempt = gap.strip_prefix("attempt: ").or_else(|| gap.strip_prefix("unanswered: "));
    let due = attempt.is_some_and(|attempt| EDGES.contains(&with_kind_first(attempt).as_str()));
    due || gap == "not-covered: Node node1" || gap == "not-covered: Node node2"
}

/// `Deployment shop/web -> ...` as the edges above spell it.
fn with_kind_first(about: &str) -> String {
    let end = |end: &str| match end.split_once(' ') {
        Some(("Node", name)) => format!("Node/{name}"),
        Some((kind, name)) => match name.split_once('/') {
            Some((namespace, name)) => format!("{namespace}/{kind}/{name}"),
            None => format!("External/{name}"),
        },
        None => end.to_owned(),
    };
    let Some((source, rest)) = about.split_once(" -> ") else { return about.to_owned() };
    let Some((destination, port)) = rest.rsplit_once(' ') else { return about.to_owned() };
    format!("{} -> {} {port}", end(source), end(destination))
}

/// What `audit` of the generated policies must find in the cluster, and nothing besides: finding and object.
pub(crate) const FINDINGS: &[&str] = &[
    // The NodePort Service, and who comes from another namespace: known, and allowed knowingly.
    "hidden-client NetworkPolicy shop/web-deployment ingress[0]",
    "cross-namespace-label NetworkPolicy billing/web-deployment ingress[0].from[0]",
    "cross-namespace-label NetworkPolicy billing/web-deployment ingress[0].from[1]",
    "cross-namespace-label NetworkPolicy billing/web-deployment ingress[0].from[2]",
    // `blink` is gone when it is asked, and its flows with it.
    "selects-nothing NetworkPolicy billing/web-deployment ingress[0] peer 0",
    "selects-nothing NetworkPolicy ops/blink-pod",
    "unused-rule NetworkPolicy ops/blink-pod egress[0]",
    "unused-rule NetworkPolicy ops/blink-pod egress[1]",
    // `monitor` is on the host's network.
    "host-network NetworkPolicy ops/default-deny-all",
    // The cluster's own namespaces, for which nothing was generated: DNS without policies, and the policy of the
    // agents, which lets anybody scrape, nobody did, and reaches the API server wherever it is by its address.
    "namespace-without-policy Namespace kube-system",
    "metadata-reachable Namespace kube-system",
    "over-broad NetworkPolicy netflow/netflow-agent ingress[0].from[0]",
    "over-broad NetworkPolicy netflow/netflow-agent egress[0]",
    "half-open netflow/daemonset/netflow-agent",
    "egress-without-dns netflow/daemonset/netflow-agent",
    "unused-rule NetworkPolicy netflow/netflow-agent ingress[0]",
];
