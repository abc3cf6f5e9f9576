//! Connectivity against single verdicts on random clusters: a port is listed for a pair exactly when some
//! address family allows it, and an outside range exactly when its addresses are allowed.

use std::net::IpAddr;
use std::sync::Arc;

use netflow_agent::connectivity::Connectivity;
use netflow_agent::evaluate::{Cluster, End, Snapshot, Verdict};
use netflow_agent::net::Protocol;
use proptest::prelude::*;

use crate::{clusters, naive};

use crate::clusters::{OUTSIDE, PORTS};

/// The pod at one of its addresses.
fn at(cluster: &Cluster, pod: &naive::Pod, ip: IpAddr) -> End {
    match cluster.snapshot().pod(&pod.namespace, &pod.name) {
        Some(End::Subject { id, .. }) => End::Subject { id, ip: Some(ip) },
        other => panic!("{other:?} is no pod"),
    }
}

/// Every pair of addresses that two pods may use.
fn families<'a>(a: &'a naive::Pod, b: &'a naive::Pod) -> Vec<(IpAddr, IpAddr)> {
    let pairs = a.ips.iter().flat_map(|&a| b.ips.iter().map(move |&b| (a, b)));
    let common: Vec<_> = pairs.filter(|(a, b)| a.is_ipv4() == b.is_ipv4()).collect();
    if common.is_empty() { vec![(a.ips[0], b.ips[0])] } else { common }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn listed_is_what_single_verdicts_allow(naive in clusters::clusters()) {
        let (objects, policies) = clusters::objects(&naive);
        let cluster = Cluster::compile(Arc::new(Snapshot::new(&objects)), policies);
        let answer = Connectivity::new(&cluster);
        let place = |pod: &naive::Pod| {
            answer.workloads().iter().position(|name| *name.namespace == *pod.namespace && *name.name == *pod.name)
        };
        for source in &naive.pods {
            let Some(from) = place(source) else {
                prop_assert!(source.host_network && !answer.host_network().is_empty());
                continue;
            };
            for destination in naive.pods.iter().filter(|pod| !pod.host_network && pod.name != source.name) {
                let to = place(destination).expect("a pod off the host network is judged");
                for (protocol, port) in Protocol::ALL.into_iter().flat_map(|p| PORTS.map(|port| (p, port))) {
                    let allowed = families(source, destination).into_iter().any(|(a, b)| {
                        let ends = (at(&cluster, source, a), at(&cluster, destination, b));
                        cluster.judge(ends.0, ends.1, port, protocol).verdict == Verdict::Allowed
                    });
                    let listed = answer.between(from, to).is_some_and(|ports| ports.contains(protocol, port));
                    prop_assert_eq!(listed, allowed, "{} -> {} {}/{}", source.name, destination.name, protocol, port);
                }
            }
            for outside in OUTSIDE.iter().map(|ip| ip.parse::<IpAddr>().expect("an address")) {
                if naive.nodes.values().flatten().any(|node| *node == outside) {
                    continue;
                }
                let usable = source.ips.iter().find(|ip| ip.is_ipv4() == outside.is_ipv4());
                for (protocol, port) in Protocol::ALL.into_iter().flat_map(|p| PORTS.map(|port| (p, port))) {
                    let judge = |ip: &IpAddr| {
                        let (pod, address) = (at(&cluster, source, *ip), End::Address(outside));
                        [cluster.judge(address, pod, port, protocol), cluster.judge(pod, address, port, protocol)]
                    };
                    let allowed = usable.map(judge).map(|both| both.map(|one| one.verdict == Verdict::Allowed));
                    let listed = [answer.from_outside(from), answer.to_outside(from)].map(|ranges| {
                        ranges.ports(outside).is_some_and(|ports| ports.contains(protocol, port))
                    });
                    prop_assert_eq!(listed, allowed.unwrap_or_default(), "{} {}", source.name, outside);
                }
            }
        }
    }
}
