//! Filters as tables: what each keeps of the same few edges.

use super::*;
use crate::identity::ServiceName;

fn workload(namespace: &str, kind: WorkloadKind, name: &str) -> Endpoint {
    Endpoint::Workload(WorkloadName { namespace: namespace.into(), kind, name: name.into() })
}

fn edges() -> Vec<(&'static str, EdgeKey)> {
    let key = |source: Endpoint, destination: Endpoint, port, protocol| EdgeKey {
        source,
        destination,
        port,
        protocol,
    };
    let front = || workload("shop", WorkloadKind::Deployment, "front");
    let back = || workload("shop", WorkloadKind::Deployment, "back");
    let dns = || workload("kube-system", WorkloadKind::Deployment, "dns");
    let outside = || Endpoint::External("192.0.2.1".parse().expect("an address"));
    let service = || Endpoint::Service(ServiceName { namespace: "other".into(), name: "web".into() });
    vec![
        ("front-back", key(front(), back(), 8080, Protocol::Tcp)),
        ("front-dns", key(front(), dns(), 53, Protocol::Udp)),
        ("back-out", key(back(), outside(), 443, Protocol::Tcp)),
        ("out-front", key(outside(), front(), 80, Protocol::Tcp)),
        ("back-service", key(back(), service(), 80, Protocol::Tcp)),
    ]
}

fn kept(filter: &Filter) -> String {
    let kept: Vec<&str> =
        edges().iter().filter(|(_, key)| filter.matches(key)).map(|(name, _)| *name).collect();
    kept.join(" ")
}

fn wanted(text: &str) -> Vec<Wanted> {
    let name = EndName::parse(text, None).expect("an end");
    vec![Wanted::of(&name, &Inventory::default())]
}

#[test]
fn a_filter_keeps_what_every_part_of_it_matches() {
    let all = "front-back front-dns back-out out-front back-service";
    for (filter, expected) in [
        (Filter::default(), all),
        (Filter { namespaces: vec!["kube-system".into()], ..Filter::default() }, "front-dns"),
        (
            Filter { namespaces: vec!["other".into(), "kube-system".into()], ..Filter::default() },
            "front-dns back-service",
        ),
        (
            Filter { ends: wanted("shop/deploy/back"), ..Filter::default() },
            "front-back back-out back-service",
        ),
        (Filter { from: wanted("shop/deploy/back"), ..Filter::default() }, "back-out back-service"),
        (Filter { to: wanted("shop/deploy/back"), ..Filter::default() }, "front-back"),
        (Filter { to: wanted("192.0.2.1"), ..Filter::default() }, "back-out"),
        (Filter { ports: vec![80], ..Filter::default() }, "out-front back-service"),
        (Filter { ports: vec![80, 53], protocols: vec![Protocol::Udp], ..Filter::default() }, "front-dns"),
        (Filter { ends: wanted("shop/sts/back"), ..Filter::default() }, ""),
    ] {
        assert_eq!(kept(&filter), expected, "{filter:?}");
    }
}
