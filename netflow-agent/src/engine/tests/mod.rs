//! Tables and laws of the engine, on inputs as the kernel and the cluster give them.

mod bounds;
mod clock;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::*;
use crate::flow::Flow;
use crate::manifest::{Meta, Node, Phase, Pod};
use crate::net::Protocol;

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn at(seconds: i64) -> Time {
    Time::from_seconds(1_800_000_000 + seconds)
}

fn meta(namespace: &str, name: &str, uid: &str) -> Meta {
    Meta { namespace: namespace.into(), name: name.into(), uid: Some(uid.into()), ..Meta::default() }
}

fn pod(uid: &str, node: &str, ips: &[&str]) -> Pod {
    Pod {
        meta: meta("shop", uid, uid),
        node: Some(node.into()),
        ips: ips.iter().map(|it| ip(it)).collect(),
        started: Some(at(-3_600)),
        ..Pod::default()
    }
}

fn node(name: &str, address: &str, cidr: &str) -> Object {
    Object::Node(Node {
        meta: Meta { namespace: "".into(), ..meta("", name, name) },
        ips: vec![ip(address)],
        pod_cidrs: vec![cidr.parse().expect("a range")],
        ..Node::default()
    })
}

fn sample(local: &str, remote: &str, port: u16, first: i64) -> Sample {
    Sample::opened(ip(local), ip(remote), port, [at(first), at(first + 10)])
}

fn wildcard(netns: u64, cgroup: Option<u64>, first: i64) -> Sample {
    Sample {
        netns: Some(netns),
        cgroup,
        local: None,
        protocol: Protocol::Udp,
        ..sample("10.0.0.9", "10.9.9.9", 53, first)
    }
}

fn engine() -> Engine {
    Engine::new("node-a".into(), BTreeMap::new(), Vec::new())
}

fn listed(engine: &mut Engine, objects: Vec<Object>) {
    let change = Change::Listed { kinds: Kinds::All, objects, at: at(0) };
    assert_eq!(engine.step(Input::Change(Box::new(change))), Output::Nothing);
}

fn applied(engine: &mut Engine, object: Object, seconds: i64) {
    drop(engine.step(Input::Change(Box::new(Change::Applied { object, at: at(seconds) }))));
}

fn deleted(engine: &mut Engine, object: Object, seconds: i64) {
    drop(engine.step(Input::Change(Box::new(Change::Deleted { object, at: at(seconds) }))));
}

/// Ends a drain of ten seconds, and says that it was saved.
fn drained(engine: &mut Engine, last: i64) -> Batch {
    let output = engine.step(Input::Drained(Span { first: at(last - 10), last: at(last) }));
    let Output::Save(batch) = output else { panic!("nothing to save: {output:?}") };
    drop(engine.step(Input::Saved { at: at(last) }));
    batch
}

fn pods(batch: &Batch) -> Vec<Option<&str>> {
    batch.flows.iter().map(|flow| flow.key.pod.as_deref()).collect()
}

fn lost(batch: &Batch, cause: &str) -> u64 {
    batch.coverage.iter().filter_map(|it| it.lost.get(cause)).sum()
}

#[test]
fn a_local_end_is_named_by_its_address() {
    let mut engine = engine();
    listed(
        &mut engine,
        vec![
            Object::Pod(pod("a", "node-a", &["10.244.1.5", "fd00::5"])),
            Object::Pod(pod("b", "node-b", &["10.244.2.5"])),
            Object::Pod(Pod { host_network: true, ..pod("h", "node-a", &["10.77.0.11"]) }),
            node("node-a", "10.77.0.11", "10.244.1.0/24"),
            node("node-b", "10.77.0.12", "10.244.2.0/24"),
        ],
    );
    for local in ["10.244.1.5", "fd00::5", "10.77.0.11", "10.244.2.5", "10.244.2.99", "10.77.0.12"] {
        drop(engine.step(Input::Sample(sample(local, "10.96.0.1", 443, 0))));
    }
    let batch = drained(&mut engine, 10);
    // Another node's pods, known by object or by range, and another node: counted, never shown.
    assert_eq!(engine.seen().foreign, 3);
    let named: BTreeMap<String, Option<&str>> = batch
        .flows
        .iter()
        .map(|flow| (flow.key.local.map(|it| it.to_string()).unwrap_or_default(), flow.key.pod.as_deref()))
        .collect();
    let expected = [("10.244.1.5", Some("a")), ("fd00::5", Some("a")), ("10.77.0.11", None)];
    assert_eq!(named, expected.map(|(ip, pod)| (ip.to_owned(), pod)).into());
}

#[test]
fn a_cgroup_names_a_pod_that_the_inventory_does_not_know_yet() {
    let mut engine = engine();
    let folders = vec![PodCgroup { id: 7, pod: "early".into(), tree: 1 }];
    drop(engine.step(Input::Cgroups { folders, at: at(0) }));
    drop(engine.step(Input::Sample(wildcard(100, Some(7), 0))));
    // The namespace is known from then on: TCP comes without a cgroup.
    drop(
        engine.step(Input::Sample(Sample { netns: Some(100), ..sample("10.244.1.8", "10.96.0.1", 443, 0) })),
    );
    assert_eq!(pods(&drained(&mut engine, 10)), [Some("early"), Some("early")]);
}

#[test]
fn another_kubelets_pods_on_the_same_kernel_are_foreign() {
    let mut engine = engine();
    listed(&mut engine, vec![Object::Pod(pod("mine", "node-a", &["10.244.1.5"]))]);
    let folder = |id, pod: &str, tree| PodCgroup { id, pod: pod.into(), tree };
    let folders = vec![folder(1, "mine", 10), folder(2, "new", 10), folder(3, "theirs", 20)];
    drop(engine.step(Input::Cgroups { folders, at: at(0) }));
    for (netns, cgroup) in [(101, 1), (102, 2), (103, 3)] {
        drop(engine.step(Input::Sample(wildcard(netns, Some(cgroup), 0))));
    }
    assert_eq!(pods(&drained(&mut engine, 10)), [Some("mine"), Some("new")]);
    assert_eq!(engine.seen().foreign, 1);
    // What is foreign stays so, also where only its namespace tells.
    let theirs = Sample { netns: Some(103), ..sample("10.1.1.1", "10.1.1.2", 80, 10) };
    drop(engine.step(Input::Sample(theirs)));
    assert!(drained(&mut engine, 20).flows.is_empty());
}

#[test]
fn a_wildcard_socket_waits_for_its_name_and_is_counted_when_none_comes() {
    let mut engine = engine();
    listed(&mut engine, vec![Object::Pod(pod("a", "node-a", &["10.244.1.5"]))]);
    drop(engine.step(Input::Sample(wildcard(1, None, 0))));
    drop(engine.step(Input::Sample(Sample { connections: 3, ..wildcard(2, None, 0) })));
    assert!(drained(&mut engine, 10).flows.is_empty());
    // TCP of the first one's namespace teaches whose it is.
    drop(engine.step(Input::Sample(Sample { netns: Some(1), ..sample("10.244.1.5", "10.96.0.1", 443, 10) })));
    let batch = drained(&mut engine, 20);
    assert_eq!(pods(&batch), [Some("a"), Some("a")]);
    assert_eq!(lost(&batch, LOCAL_UNKNOWN), 0);
    assert_eq!(lost(&drained(&mut engine, 80), LOCAL_UNKNOWN), 3);
    assert_eq!(engine.seen().lost.get(LOCAL_UNKNOWN), Some(&3));
}

type Event = fn(&mut Engine, &Pod, &Pod);

/// An address that goes from one pod to another within a second, seen through events in any order.
#[test]
fn a_reused_address_never_gets_the_other_pods_name() {
    let old = pod("old", "node-a", &["10.244.1.5"]);
    let new = Pod { started: Some(at(5)), ..pod("new", "node-a", &["10.244.1.5"]) };
    let gone: Event = |engine, old, _| deleted(engine, Object::Pod(old.clone()), 8);
    let came: Event = |engine, _, new| applied(engine, Object::Pod(new.clone()), 9);
    let stale: Event = |engine, old, _| applied(engine, Object::Pod(old.clone()), 7);
    let orders: [&[Event]; 5] =
        [&[gone, came], &[came, gone], &[came, stale, gone], &[gone, stale, came], &[came]];
    for (order, events) in orders.iter().enumerate() {
        for before in 0..=events.len() {
            let mut engine = engine();
            listed(&mut engine, Vec::new());
            applied(&mut engine, Object::Pod(old.clone()), 0);
            for event in &events[..before] {
                event(&mut engine, &old, &new);
            }
            // The new pod's, from its own namespace, in the drain in which the address changed hands.
            let mine = Sample { netns: Some(2), ..sample("10.244.1.5", "10.96.0.1", 443, 6) };
            drop(engine.step(Input::Sample(mine)));
            for event in &events[before..] {
                event(&mut engine, &old, &new);
            }
            for flow in drained(&mut engine, 16).flows {
                assert_ne!(flow.key.pod.as_deref(), Some("old"), "order {order}, before {before}");
                assert_eq!(flow.key.local, Some(ip("10.244.1.5")), "address and time decide");
            }
        }
    }
}

/// Scheduled, started, and only then told with its address: it has spoken by that time, or is over.
#[test]
fn an_address_told_late_is_the_pods_from_its_start() {
    for phase in [Phase::Running, Phase::Succeeded] {
        let mut engine = engine();
        listed(&mut engine, Vec::new());
        applied(
            &mut engine,
            Object::Pod(Pod { started: None, phase: Phase::Pending, ..pod("quick", "node-a", &[]) }),
            3,
        );
        let finished = (phase == Phase::Succeeded).then(|| at(6));
        let told = Pod { started: Some(at(4)), phase, finished, ..pod("quick", "node-a", &["10.244.1.5"]) };
        applied(&mut engine, Object::Pod(told), 9);
        let batch = drained(&mut engine, 16);
        let mut addressed =
            batch.objects.iter().filter(|it| matches!(&*it.object, Object::Pod(pod) if !pod.ips.is_empty()));
        assert_eq!(addressed.next().and_then(|it| it.from), Some(at(4)), "{phase:?}");
    }
}

/// A pod that lives a second: gone before a listing of the cgroup tree saw it, known by its TCP alone.
#[test]
fn a_short_lived_pods_wildcard_socket_has_its_namespaces_address() {
    let mut engine = engine();
    applied(&mut engine, Object::Pod(pod("other", "node-a", &["10.244.1.6"])), 0);
    drop(engine.step(Input::Sample(wildcard(9, Some(77), 0))));
    drop(engine.step(Input::Sample(Sample { netns: Some(9), ..sample("10.244.1.5", "10.96.0.1", 443, 0) })));
    let batch = drained(&mut engine, 10);
    let ends: Vec<_> = batch.flows.iter().map(|flow| (flow.key.local, flow.key.pod.as_deref())).collect();
    assert_eq!(ends, [(Some(ip("10.244.1.5")), None); 2], "address and time decide");
}

#[test]
fn with_live_events_an_address_is_believed_after_a_while() {
    let mut engine = engine();
    applied(&mut engine, Object::Pod(pod("a", "node-a", &["10.244.1.5"])), 0);
    let seen = |first| Sample { netns: Some(2), ..sample("10.244.1.5", "10.96.0.1", 443, first) };
    drop(engine.step(Input::Sample(seen(0))));
    assert_eq!(pods(&drained(&mut engine, 10)), [None]);
    drop(engine.step(Input::Sample(seen(60))));
    assert_eq!(pods(&drained(&mut engine, 70)), [Some("a")]);
}

#[test]
fn an_object_has_one_history() {
    let mut engine = engine();
    let first = pod("a", "node-a", &["10.244.1.5"]);
    let mut relabelled = first.clone();
    relabelled.meta.labels.insert("app".into(), "web".into());
    applied(&mut engine, Object::Pod(first.clone()), 0);
    applied(&mut engine, Object::Pod(first), 5);
    applied(&mut engine, Object::Pod(relabelled.clone()), 20);
    let over = Pod { phase: Phase::Succeeded, finished: Some(at(28)), ..relabelled };
    applied(&mut engine, Object::Pod(over.clone()), 30);
    deleted(&mut engine, Object::Pod(over), 40);
    let batch = drained(&mut engine, 50);
    let spans: Vec<(Option<Time>, Option<Time>)> = batch.objects.iter().map(|it| (it.from, it.to)).collect();
    assert_eq!(
        spans,
        [
            (Some(at(-3_600)), Some(at(20))),
            // Its address went back when its last container ended, not when that was told; the second that the
            // API names counts whole.
            (Some(at(20)), Some(at(29))),
            (Some(at(29)), Some(at(29))),
        ]
    );
    assert!(drained(&mut engine, 60).objects.is_empty());
}

#[test]
fn a_restart_and_a_fresh_list_agree() {
    let mut engine = engine();
    listed(
        &mut engine,
        vec![
            Object::Pod(pod("stays", "node-a", &["10.244.1.5"])),
            Object::Pod(pod("goes", "node-a", &["10.244.1.6"])),
        ],
    );
    let open = drained(&mut engine, 10).objects;
    assert_eq!(open.len(), 2);
    let mut again = Engine::new("node-a".into(), BTreeMap::new(), open.clone());
    let change = Change::Listed {
        kinds: Kinds::All,
        objects: vec![Object::Pod(pod("stays", "node-a", &["10.244.1.5"]))],
        at: at(1_000),
    };
    drop(again.step(Input::Change(Box::new(change))));
    let changed = drained(&mut again, 1_010).objects;
    assert_eq!(changed.len(), 1, "what stayed is not told again: {changed:?}");
    assert_eq!(kind_and_uid(&changed[0]), ("Pod", Some("goes".into())));
    assert_eq!((changed[0].from, changed[0].to), (open[0].from, Some(at(1_000))));
}

fn kind_and_uid(observed: &Observed) -> (&str, Option<Arc<str>>) {
    let (kind, meta) = observed.object.kind_and_meta();
    (kind, meta.uid.clone())
}

#[test]
fn what_a_failed_save_held_comes_again_grown() {
    let mut engine = engine();
    drop(engine.step(Input::Sample(sample("10.0.0.1", "10.0.0.2", 80, 0))));
    let output = engine.step(Input::Drained(Span { first: at(0), last: at(10) }));
    let Output::Save(first) = output else { panic!("nothing to save") };
    // The disk is full: nobody says `Saved`.
    drop(engine.step(Input::Sample(sample("10.0.0.1", "10.0.0.2", 80, 10))));
    let second = drained(&mut engine, 20);
    let connections = |batch: &Batch| batch.flows.iter().map(|it| it.counters.connections).sum::<u64>();
    assert_eq!((connections(&first), connections(&second)), (1, 2));
    assert_eq!(second.coverage[0].observed_seconds, 20);
    drop(engine.step(Input::Sample(sample("10.0.0.1", "10.0.0.9", 80, 20))));
    assert_eq!(drained(&mut engine, 30).flows.len(), 1, "only what changed");
}

#[test]
fn an_hour_counted_in_before_goes_on_under_the_next_seq() {
    let hour = at(0).hour();
    let mut engine = Engine::new("node-a".into(), [(hour, 4)].into(), Vec::new());
    drop(engine.step(Input::Sample(sample("10.0.0.1", "10.0.0.2", 80, 0))));
    let batch = drained(&mut engine, 10);
    assert_eq!((batch.flows[0].key.seq, batch.coverage[0].seq), (4, 4));
}

#[test]
fn the_same_inputs_give_the_same_batches() {
    let run = || {
        let mut engine = engine();
        listed(&mut engine, vec![Object::Pod(pod("a", "node-a", &["10.244.1.5"]))]);
        for (n, remote) in ["10.0.0.9", "10.0.0.3", "fd00::1", "10.0.0.9"].into_iter().enumerate() {
            let port = 80 + u16::try_from(n % 2).expect("small");
            drop(engine.step(Input::Sample(sample("10.244.1.5", remote, port, 0))));
        }
        drop(engine.step(Input::Lost { cause: "ring_full".into(), flows: 2, at: at(5) }));
        drained(&mut engine, 10)
    };
    assert_eq!(run(), run());
    assert!(run().flows.is_sorted_by_key(|flow| flow.key.clone()));
}
