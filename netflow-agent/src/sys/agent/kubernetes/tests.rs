//! From the API server's bytes to edges: a scripted server, its watch, the engine that names what was captured,
//! and the join of what it saved. What is told late, out of order or only by a list never crosses two pods.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::net::IpAddr;

use futures::StreamExt;
use serde_json::{Value, json};

use super::*;
use crate::edge::join;
use crate::engine::{Batch, Engine, Input, Output, PodCgroup};
use crate::flow::Sample;
use crate::flow::sum::Span;
use crate::identity::{Endpoint, Inventory};
use crate::net::Protocol;
use crate::recording::Recording;
use crate::sys::cluster::watch::tests::{VERSION_OLD, gone, list, server, watch as watched};
use crate::time::{Time, Window};

thread_local! {
    static NOW: Cell<i64> = const { Cell::new(0) };
}

/// Half past an hour.
const BEGIN: i64 = 1_800_001_800;

fn at(seconds: i64) -> Time {
    Time::from_seconds(BEGIN + seconds)
}

fn now() -> Time {
    at(NOW.get())
}

/// A pod of this node at an address, from its start to its end; both in seconds.
fn pod(name: &str, ip: Option<&str>, started: i64, finished: Option<i64>) -> Value {
    let phase = match (ip, finished) {
        (_, Some(_)) => "Failed",
        (None, None) => "Pending",
        (Some(_), None) => "Running",
    };
    let ended =
        finished.map(|end| json!([{ "state": { "terminated": { "finishedAt": at(end).to_string() } } }]));
    let ips: Vec<Value> = ip.iter().map(|ip| json!({ "ip": ip })).collect();
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": name, "namespace": "shop", "uid": name, "resourceVersion": "7", "labels": { "app": name },
            "creationTimestamp": at(started - 1).to_string(),
        },
        "spec": { "nodeName": "node-a" },
        "status": {
            "phase": phase, "podIP": ip, "podIPs": ips, "containerStatuses": ended,
            "startTime": ip.map(|_| at(started).to_string()),
        },
    })
}

/// The agent, as far as it is a function of what it is told.
struct Agent {
    engine: Engine,
    lists: Lists,
    saved: Recording,
    failed: u32,
    drained: i64,
}

impl Agent {
    fn new(open: Vec<crate::recording::Observed>) -> Self {
        Self {
            engine: Engine::new("node-a".into(), BTreeMap::new(), open),
            lists: Lists::default(),
            saved: Recording { coverage: Vec::new(), objects: Vec::new(), flows: Vec::new() },
            failed: 0,
            drained: 0,
        }
    }

    /// Hears all that the server has to tell, until its script ends.
    async fn hear(
        &mut self,
        seen: &mut (impl futures::Stream<Item = watch::Change> + Unpin),
        changes: usize,
    ) {
        for _change in 0..changes {
            let change = seen.next().await.expect("a watch never ends");
            for event in self.lists.take(change).into_iter().flatten() {
                match event {
                    Event::Change(change) => drop(self.engine.step(Input::Change(change))),
                    Event::InventoryFailed => self.failed += 1,
                    _ => {}
                }
            }
        }
    }

    /// The pod in this network namespace calls an address outside.
    fn call(&mut self, netns: u64, local: &str, remote: &str, seconds: i64) {
        let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
        let opened = Sample::opened(ip(local), ip(remote), 443, [at(seconds); 2]);
        let sample = Sample { netns: Some(netns), ..opened };
        drop(self.engine.step(Input::Sample(sample)));
    }

    fn drain(&mut self, seconds: i64) {
        let span = Span { first: at(std::mem::replace(&mut self.drained, seconds)), last: at(seconds) };
        let Output::Save(Batch { coverage, flows, objects, .. }) = self.engine.step(Input::Drained(span))
        else {
            panic!("a drain is coverage")
        };
        // As the store does: a version is known by its object and its begin.
        for object in objects {
            self.saved.objects.retain(|it| (it.from, &it.object) != (object.from, &object.object));
            self.saved.objects.push(object);
        }
        self.saved.coverage.extend(coverage);
        self.saved.flows.extend(flows);
        drop(self.engine.step(Input::Saved { at: at(seconds) }));
    }

    /// Who called which address outside.
    fn edges(&self) -> Vec<String> {
        let inventory = Inventory::of(&self.saved.objects, Window::ALL);
        let joined = join(&self.saved, &inventory, Window::ALL);
        let name = |end: &Endpoint| match end {
            Endpoint::Workload(workload) => workload.name.to_string(),
            Endpoint::External(ip) => ip.to_string(),
            other => format!("{other:?}"),
        };
        joined
            .edges
            .iter()
            .map(|edge| format!("{}>{}", name(&edge.key.source), name(&edge.key.destination)))
            .collect()
    }
}

const ADDRESS: &str = "10.244.1.5";

/// The old pod ends at 10, the new one has its address from 12: all told at 40, in every order that a watch can
/// have, before or after the drain.
#[tokio::test]
async fn events_late_and_in_any_order_never_cross_two_pods() {
    let new = [pod("new", None, 12, None), pod("new", Some(ADDRESS), 12, None)];
    let old = [pod("old", Some(ADDRESS), 0, Some(10)), pod("old", Some(ADDRESS), 0, Some(10))];
    let told = |which: char, nth: usize| match (which, nth) {
        ('n', 0) => ("ADDED", new[0].to_string()),
        ('n', _) => ("MODIFIED", new[1].to_string()),
        (_, 0) => ("MODIFIED", old[0].to_string()),
        _ => ("DELETED", old[1].to_string()),
    };
    for order in ["oonn", "onon", "onno", "noon", "nono", "nnoo"] {
        for drained_first in [true, false] {
            let mut nth = BTreeMap::from([('o', 0), ('n', 0)]);
            let events: Vec<_> = order
                .chars()
                .map(|which| {
                    let count = nth.get_mut(&which).expect("one of the two");
                    *count += 1;
                    told(which, *count - 1)
                })
                .collect();
            let first = list(&[pod("old", Some(ADDRESS), 0, None).to_string()], 7, "");
            let (client, _) = server(&[(200, VERSION_OLD), (200, &first), (200, &watched(&events))]);
            let mut seen = watch::follow(client, "node-a", Kind::Pod, now).boxed();
            let mut agent = Agent::new(Vec::new());
            NOW.set(1);
            agent.hear(&mut seen, 3).await;
            agent.call(1, ADDRESS, "192.0.2.1", 5);
            agent.call(2, ADDRESS, "192.0.2.2", 14);
            if drained_first {
                agent.drain(20);
            }
            NOW.set(40);
            agent.hear(&mut seen, 4).await;
            agent.drain(50);
            assert_eq!(agent.edges(), ["new>192.0.2.2", "old>192.0.2.1"], "{order}, {drained_first}");
        }
    }
}

/// For an hour the API server says nothing; then its version is too old, and a list tells what is there now.
#[tokio::test]
async fn an_hour_without_the_api_is_completed_by_the_list_after_it() {
    let before = list(&[pod("old", Some(ADDRESS), 0, None).to_string()], 7, "");
    let after = list(&[pod("new", Some(ADDRESS), 1_000, None).to_string()], 900, "");
    let answers =
        [(200, VERSION_OLD), (200, &*before), (200, &*watched(&[("ERROR", gone())])), (200, &*after)];
    let (client, _) = server(&answers);
    let mut seen = watch::follow(client, "node-a", Kind::Pod, now).boxed();
    let mut agent = Agent::new(Vec::new());
    NOW.set(1);
    agent.hear(&mut seen, 3).await;
    agent.call(1, ADDRESS, "192.0.2.1", 600);
    agent.drain(900);
    // Its cgroup says which pod it is, and nothing more is known of it for most of an hour.
    drop(agent.engine.step(Input::Cgroups {
        folders: vec![PodCgroup { id: 77, pod: "new".into(), tree: 1 }],
        at: at(1_100),
    }));
    agent.call(2, ADDRESS, "192.0.2.2", 1_200);
    agent.drain(1_800);
    agent.drain(3_600);
    assert!(agent.edges().contains(&"old>192.0.2.1".to_owned()));
    NOW.set(3_700);
    agent.hear(&mut seen, 4).await;
    assert_eq!(agent.failed, 1, "that it could not be read was told");
    agent.drain(3_800);
    assert_eq!(agent.edges(), ["new>192.0.2.2", "old>192.0.2.1"]);
    let mut hours = BTreeMap::new();
    for line in &agent.saved.coverage {
        hours.insert((line.hour, line.seq), line.observed_seconds);
    }
    assert_eq!(hours.values().sum::<u32>(), 3_800, "capturing went on: {hours:?}");
    let old = agent.saved.objects.iter().find(|it| it.to.is_some()).expect("the old pod ended");
    assert_eq!(old.to, Some(at(1_000)), "when its address was given on, not when that was told");
}

/// A whole life, told in one go when it is over: scheduled, started, with its address, ended, deleted.
#[tokio::test]
async fn a_life_told_afterwards_is_as_long_as_it_was() {
    let mut started = pod("early", None, 12, None);
    started["status"]["startTime"] = json!(at(12).to_string());
    let ended = pod("early", Some(ADDRESS), 12, Some(20)).to_string();
    let events = [
        ("ADDED", pod("early", None, 12, None).to_string()),
        ("MODIFIED", started.to_string()),
        ("MODIFIED", pod("early", Some(ADDRESS), 12, None).to_string()),
        ("MODIFIED", ended.clone()),
        ("DELETED", ended),
    ];
    let (client, _) = server(&[(200, VERSION_OLD), (200, &list(&[], 7, "")), (200, &watched(&events))]);
    let mut seen = watch::follow(client, "node-a", Kind::Pod, now).boxed();
    let mut agent = Agent::new(Vec::new());
    NOW.set(1);
    agent.hear(&mut seen, 2).await;
    agent.call(1, ADDRESS, "192.0.2.1", 14);
    agent.drain(30);
    NOW.set(60);
    agent.hear(&mut seen, 5).await;
    agent.drain(70);
    assert_eq!(agent.edges(), ["early>192.0.2.1"]);
}

/// What the store had open, and a list after a restart.
#[tokio::test]
async fn after_a_restart_the_stores_history_and_the_list_agree() {
    let first = list(
        &[
            pod("stays", Some("10.244.1.9"), 0, None).to_string(),
            pod("old", Some(ADDRESS), 0, None).to_string(),
        ],
        7,
        "",
    );
    let then = list(
        &[
            pod("stays", Some("10.244.1.9"), 0, None).to_string(),
            pod("new", Some(ADDRESS), 100, None).to_string(),
        ],
        90,
        "",
    );
    let mut agent = Agent::new(Vec::new());
    let (client, _) = server(&[(200, VERSION_OLD), (200, &first)]);
    NOW.set(1);
    agent.hear(&mut watch::follow(client, "node-a", Kind::Pod, now).boxed(), 4).await;
    agent.call(1, ADDRESS, "192.0.2.1", 50);
    agent.call(3, "10.244.1.9", "192.0.2.3", 50);
    agent.drain(60);
    let open = agent.saved.objects.iter().filter(|it| it.to.is_none()).cloned().collect();
    let mut again = Agent { saved: agent.saved, drained: 60, ..Agent::new(open) };
    again.call(2, ADDRESS, "192.0.2.2", 150);
    again.call(3, "10.244.1.9", "192.0.2.3", 150);
    let (client, _) = server(&[(200, VERSION_OLD), (200, &then)]);
    NOW.set(200);
    again.hear(&mut watch::follow(client, "node-a", Kind::Pod, now).boxed(), 4).await;
    again.drain(210);
    assert_eq!(again.edges(), ["new>192.0.2.2", "old>192.0.2.1", "stays>192.0.2.3"]);
    let told = again.saved.objects.iter().filter(|it| it.from == Some(at(0)) && it.to.is_none()).count();
    assert_eq!(told, 1, "what stayed is one version still");
}

/// A pod in the API stands for a static one, whose cgroup has the kubelet's UID.
#[tokio::test]
async fn a_static_pod_is_named_by_the_kubelets_uid() {
    let mut mirror = pod("api-node-a", Some(ADDRESS), 0, None);
    mirror["metadata"]["annotations"] =
        json!({ "kubernetes.io/config.mirror": "9f86d081884c7d659a2feaa0c55ad015" });
    for known_first in [true, false] {
        let (client, _) = server(&[(200, VERSION_OLD), (200, &list(&[mirror.to_string()], 7, ""))]);
        let mut seen = watch::follow(client, "node-a", Kind::Pod, now).boxed();
        let mut agent = Agent::new(Vec::new());
        let folder = PodCgroup { id: 77, pod: "9f86d081884c7d659a2feaa0c55ad015".into(), tree: 1 };
        drop(agent.engine.step(Input::Cgroups { folders: vec![folder], at: at(1) }));
        if known_first {
            agent.hear(&mut seen, 3).await;
        }
        let [local, remote] = [ADDRESS, "192.0.2.1"].map(|ip| ip.parse().expect("an address"));
        let from_wildcard = Sample {
            cgroup: Some(77),
            netns: Some(5),
            local: None,
            protocol: Protocol::Udp,
            ..Sample::opened(local, remote, 443, [at(5); 2])
        };
        drop(agent.engine.step(Input::Sample(from_wildcard)));
        agent.drain(10);
        if !known_first {
            agent.hear(&mut seen, 3).await;
        }
        agent.drain(20);
        assert_eq!(agent.edges(), ["api-node-a>192.0.2.1"], "known first: {known_first}");
    }
}

/// Of two kinds one is refused: that the other is read does not make up for it.
#[tokio::test]
async fn a_refused_kind_stays_said_while_others_are_read() {
    let refused = r#"{"apiVersion":"v1","kind":"Status","status":"Failure","message":"no","reason":"Forbidden","code":403}"#;
    let mut lists = Lists::default();
    let mut told = async |kind: Kind, answers: &[(u16, &str)], changes: usize| {
        let (client, _) = server(answers);
        let mut seen = watch::follow(client, "node-a", kind, now).boxed();
        let mut words = Vec::new();
        for _change in 0..changes {
            for event in lists.take(seen.next().await.expect("a watch never ends")).into_iter().flatten() {
                words.push(if matches!(event, Event::InventoryFailed) { "failed" } else { "change" });
            }
        }
        words
    };
    let pods = list(&[], 7, "");
    assert_eq!(told(Kind::Service, &[(200, VERSION_OLD), (403, refused)], 2).await, ["failed"]);
    assert_eq!(told(Kind::Pod, &[(200, VERSION_OLD), (200, &pods)], 2).await, ["change", "failed"]);
    assert_eq!(told(Kind::Service, &[(200, VERSION_OLD), (200, &pods)], 2).await, ["change"]);
    assert_eq!(told(Kind::Pod, &[(200, VERSION_OLD), (200, &pods)], 2).await, ["change"]);
}
