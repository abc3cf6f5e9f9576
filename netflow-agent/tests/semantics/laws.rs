//! The compiled engine against a naive reading of the specification, and the laws of NetworkPolicy.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use netflow_agent::evaluate::{self, Judgement, Snapshot};
use netflow_agent::net::{Direction, Protocol};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use crate::{clusters, features, naive};

use crate::clusters::{OUTSIDE, PORTS, PROTOCOLS, objects};
use crate::naive::End;

/// All ends of a cluster: pods by name, and every address, pods' own included.
fn ends(cluster: &naive::Cluster) -> Vec<End> {
    let pods = (0..cluster.pods.len()).map(End::Pod);
    let outside = OUTSIDE.iter().map(|ip| End::Address(ip.parse().expect("an address")));
    pods.chain(outside).collect()
}

fn compiled(cluster: &naive::Cluster) -> evaluate::Cluster {
    let (objects, policies) = objects(cluster);
    evaluate::Cluster::compile(Arc::new(Snapshot::new(&objects)), policies)
}

fn end(cluster: &naive::Cluster, compiled: &evaluate::Cluster, end: End) -> evaluate::End {
    match end {
        End::Address(ip) => compiled.snapshot().holder(ip),
        End::Pod(at) => {
            let pod = &cluster.pods[at];
            compiled.snapshot().pod(&pod.namespace, &pod.name).expect("the pod is in the snapshot")
        }
    }
}

fn words(judgement: Judgement) -> naive::Verdicts {
    [judgement.ingress.as_str(), judgement.egress.as_str(), judgement.verdict.as_str()]
}

/// Calls `check` with every ordered pair of ends, port and protocol.
fn each(cluster: &naive::Cluster, mut check: impl FnMut(End, End, u16, &'static str)) {
    let ends = ends(cluster);
    for &from in &ends {
        for &to in &ends {
            for port in PORTS {
                for protocol in PROTOCOLS {
                    check(from, to, port, protocol);
                }
            }
        }
    }
}

fn judge(
    cluster: &naive::Cluster,
    compiled: &evaluate::Cluster,
    from: End,
    to: End,
    port: u16,
    protocol: &str,
) -> Judgement {
    let (from, to) = (end(cluster, compiled, from), end(cluster, compiled, to));
    compiled.judge(from, to, port, protocol.parse().expect("a protocol"))
}

/// A thousand clusters, each feature in at least twenty of them.
#[test]
fn compiled_and_naive_agree() {
    let config = ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() };
    let met = RefCell::new(BTreeMap::<&str, usize>::new());
    let outcome = TestRunner::new(config).run(&clusters::clusters(), |cluster| {
        for feature in features::of(&cluster).into_iter().collect::<BTreeSet<_>>() {
            *met.borrow_mut().entry(feature).or_default() += 1;
        }
        let compiled = compiled(&cluster);
        each(&cluster, |from, to, port, protocol| {
            let product = words(judge(&cluster, &compiled, from, to, port, protocol));
            let naive = naive::judge(&cluster, from, to, port, protocol);
            assert_eq!(product, naive, "{from:?} -> {to:?} {protocol}/{port}");
        });
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
    let met = met.into_inner();
    println!("1000 clusters; of these have: {met:?}");
    for feature in features::ALL {
        assert!(met.get(feature).is_some_and(|times| *times >= 20), "too seldom: {feature}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn sets_of_ports_hold_what_is_allowed_and_nothing_else(cluster in clusters::clusters()) {
        let compiled = compiled(&cluster);
        each(&cluster, |from, to, port, protocol| {
            let (a, b) = (end(&cluster, &compiled, from), end(&cluster, &compiled, to));
            let protocol: Protocol = protocol.parse().expect("a protocol");
            let judgement = compiled.judge(a, b, port, protocol);
            let listed = compiled.ports(a, b).contains(protocol, port);
            assert_eq!(listed, judgement.verdict == evaluate::Verdict::Allowed, "{from:?} -> {to:?} {port}");
        });
    }

    #[test]
    fn explanations_and_uses_agree_with_the_verdict(cluster in clusters::clusters()) {
        let compiled = compiled(&cluster);
        each(&cluster, |from, to, port, protocol| {
            let (a, b) = (end(&cluster, &compiled, from), end(&cluster, &compiled, to));
            let protocol: Protocol = protocol.parse().expect("a protocol");
            let parties = [a, b].map(evaluate::Party::one);
            let explanations = compiled.explain(&parties[0], &parties[1], port, protocol);
            assert_eq!(explanations.len(), 1);
            let explanation = &explanations[0];
            assert_eq!(explanation.judgement, compiled.judge(a, b, port, protocol));
            let agreed = explanation.readings.iter()
                .map(|reasons| Judgement::new(reasons.ingress.0, reasons.egress.0))
                .reduce(Judgement::agreed);
            assert_eq!(agreed, Some(explanation.judgement));
            let uses = compiled.uses(a, b, port, protocol);
            for reasons in &explanation.readings {
                for (verdict, why) in [&reasons.ingress, &reasons.egress] {
                    if let evaluate::Why::Rules(rules) = why {
                        assert_eq!(*verdict, evaluate::Verdict::Allowed);
                        assert!(!rules.is_empty() && rules.iter().all(|rule| uses.contains(rule)));
                    }
                }
            }
        });
    }

    #[test]
    fn the_order_of_policies_means_nothing(cluster in clusters::clusters(), turn in 0..6_usize) {
        let mut turned = cluster.clone();
        turned.policies.reverse();
        let n_policies = turned.policies.len().max(1);
        turned.policies.rotate_left(turn % n_policies);
        let (before, after) = (compiled(&cluster), compiled(&turned));
        each(&cluster, |from, to, port, protocol| {
            let judged = judge(&cluster, &before, from, to, port, protocol);
            assert_eq!(judged, judge(&turned, &after, from, to, port, protocol));
        });
    }

    /// A policy more never denies what the others' rules allow: it only isolates, or adds.
    #[test]
    fn policies_add_up(cluster in clusters::clusters()) {
        let whole = compiled(&cluster);
        let mut less = cluster.clone();
        prop_assume!(less.policies.pop().is_some());
        let fewer = compiled(&less);
        each(&cluster, |from, to, port, protocol| {
            let (a, b) = (end(&less, &fewer, from), end(&less, &fewer, to));
            let protocol: Protocol = protocol.parse().expect("a protocol");
            let before = fewer.uses(a, b, port, protocol);
            let after = whole.uses(a, b, port, protocol);
            assert!(before.iter().all(|rule| after.contains(rule)), "{from:?} -> {to:?}");
        });
    }

    /// Policies of one direction leave the verdicts of the other as they were without them.
    #[test]
    fn isolation_is_per_direction(cluster in clusters::clusters()) {
        for direction in Direction::BOTH {
            let mut one = cluster.clone();
            for policy in &mut one.policies {
                if let Some(spec) = &mut policy.spec {
                    spec.policy_types = Some(vec![direction.as_str().to_owned()]);
                }
            }
            let judged = compiled(&one);
            each(&one, |from, to, port, protocol| {
                let verdict = judge(&one, &judged, from, to, port, protocol);
                let other = match direction {
                    Direction::Ingress => verdict.egress,
                    Direction::Egress => verdict.ingress,
                };
                assert_eq!(other, evaluate::Verdict::Allowed, "{from:?} -> {to:?} {direction}");
            });
        }
    }

    #[test]
    fn names_of_pods_mean_nothing(cluster in clusters::clusters()) {
        let mut renamed = cluster.clone();
        for (at, pod) in renamed.pods.iter_mut().enumerate() {
            pod.name = format!("renamed-{}", 9 - at);
        }
        let (before, after) = (compiled(&cluster), compiled(&renamed));
        each(&cluster, |from, to, port, protocol| {
            let judged = judge(&cluster, &before, from, to, port, protocol);
            assert_eq!(judged, judge(&renamed, &after, from, to, port, protocol));
        });
    }
}
