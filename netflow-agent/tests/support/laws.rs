//! The laws of generation. In: a world, two shapes of it, and what came out for each. Out: the first law that
//! is broken, and how. Verdicts are the naive evaluator's, on the YAML that would be printed.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::networking::v1::NetworkPolicy;
use netflow_agent::policy::{Peer, Policy};

use super::naive::{self, End};
use super::pipeline::Outcome;
use super::record::{Case, NODE_Z, Ran};
use super::world::{Dice, EXTERNAL, Who, World};

/// Which law is broken, and where.
pub(crate) type Broken = (&'static str, String);

type Meant = BTreeSet<(Who, Who, u16, &'static str)>;

/// What must be allowed: what was carried out, and DNS for whoever sends.
pub(crate) fn meant(world: &World, case: &Case) -> Meant {
    let done = (0..world.intents.len()).filter(|at| !case.idle.contains(at)).map(|at| &world.intents[at]);
    let mut meant: Meant =
        done.map(|one| world.merged((one.from.clone(), one.to.clone(), one.port, one.protocol))).collect();
    let dns = Who::Workload(world.dns);
    if meant.iter().any(|(_, to, _, _)| *to == dns) {
        let senders: BTreeSet<Who> =
            meant.iter().map(|edge| edge.0.clone()).filter(|from| world.is_subject(from)).collect();
        for sender in senders {
            meant.insert((sender.clone(), dns.clone(), 53, "UDP"));
            meant.insert((sender, dns.clone(), 53, "TCP"));
        }
    }
    meant
}

pub(crate) fn parsed(yaml: &str) -> Result<Vec<NetworkPolicy>, Broken> {
    serde_saphyr::from_multiple(yaml).map_err(|error| ("identity", error.to_string()))
}

pub(crate) fn check(
    world: &World,
    cases: [&Case; 2],
    outcomes: [&Outcome; 2],
    seed: u64,
) -> Result<(), Broken> {
    let policies = parsed(&outcomes[0].plain)?;
    netflow_agent::render::proof::parse("stream", outcomes[0].plain.as_bytes())
        .map_err(|error| ("valid", error.to_string()))?;
    identity(&policies, outcomes[0])?;
    order(&policies)?;
    exact(world, cases[0], policies, seed)?;
    if cases[0].idle == cases[1].idle && outcomes[0].plain != outcomes[1].plain {
        return Err(("stable", difference(&outcomes[0].plain, &outcomes[1].plain)));
    }
    explained(outcomes[0])
}

fn difference(one: &str, other: &str) -> String {
    let differ = one.lines().zip(other.lines()).find(|(a, b)| a != b);
    differ.map_or_else(|| "one is longer".to_owned(), |(a, b)| format!("`{a}` and `{b}`"))
}

/// The JSON of the same policies means the same, name by name.
fn identity(policies: &[NetworkPolicy], outcome: &Outcome) -> Result<(), Broken> {
    let mut bytes = Vec::new();
    netflow_agent::render::kubernetes::json(&outcome.answer.policies, &mut bytes)
        .expect("a buffer takes all");
    let list: serde_json::Value =
        serde_json::from_slice(&bytes).map_err(|error| ("identity", error.to_string()))?;
    let items: Vec<NetworkPolicy> =
        serde_json::from_value(list["items"].clone()).map_err(|error| ("identity", error.to_string()))?;
    if items == policies { Ok(()) } else { Err(("identity", "YAML and JSON differ".to_owned())) }
}

/// Default denies last, each name once, names that the API server takes.
fn order(policies: &[NetworkPolicy]) -> Result<(), Broken> {
    let mut names = BTreeSet::new();
    let mut denies = false;
    for policy in policies {
        let name = policy.metadata.name.clone().unwrap_or_default();
        let is_deny = name == "default-deny-all";
        if denies && !is_deny {
            return Err(("order", format!("{name} comes after a default deny")));
        }
        denies |= is_deny;
        if !names.insert((policy.metadata.namespace.clone(), name.clone())) {
            return Err(("order", format!("{name} twice")));
        }
    }
    Ok(())
}

/// Allowed is what is meant: no less (sound), no more (minimal), over pods of every workload, on every port.
fn exact(world: &World, case: &Case, policies: Vec<NetworkPolicy>, seed: u64) -> Result<(), Broken> {
    let meant = meant(world, case);
    let pods: Vec<&Ran> = case.pods.iter().filter(|ran| !ran.pod.host_network).collect();
    let cluster = naive::Cluster {
        namespaces: case.namespaces.clone(),
        pods: pods.iter().map(|ran| ran.pod.clone()).collect(),
        nodes: case.nodes.clone(),
        policies,
    };
    let mut ends: Vec<(Who, End)> =
        pods.iter().enumerate().map(|(at, ran)| (Who::Workload(ran.workload), End::Pod(at))).collect();
    ends.push((Who::Node, End::Address(NODE_Z[0].parse().expect("an address"))));
    ends.extend(EXTERNAL.iter().map(|ip| (Who::External(ip), End::Address(ip.parse().expect("an address")))));
    let by_who: BTreeMap<Who, Vec<End>> = ends.iter().fold(BTreeMap::new(), |mut all, (who, end)| {
        all.entry(world.first_twin(who.clone())).or_insert_with(Vec::new).push(*end);
        all
    });
    for (from, to, port, protocol) in &meant {
        for (source, target) in pairs(&by_who[from], &by_who[to]) {
            judge(world, &meant, &cluster, (from, source), (to, target), *port, protocol)?;
        }
    }
    let mut dice = Dice(seed ^ 0xdead);
    let mut ports: Vec<u16> = meant.iter().map(|edge| edge.2).collect();
    ports.extend(world.attempts.iter().map(|one| one.port));
    ports.extend([9, 53, 80, 1_080, 8_080]);
    for _ in 0..250 {
        let (from, to) = (dice.pick(&ends).clone(), dice.pick(&ends).clone());
        let port = *dice.pick(&ports);
        let protocol = *dice.pick(&["TCP", "UDP"]);
        let (source, target) = (world.first_twin(from.0), world.first_twin(to.0));
        judge(world, &meant, &cluster, (&source, from.1), (&target, to.1), port, protocol)?;
    }
    for one in &world.attempts {
        let (from, to) = (world.first_twin(one.from.clone()), world.first_twin(one.to.clone()));
        for (source, target) in pairs(&by_who[&from], &by_who[&to]) {
            judge(world, &meant, &cluster, (&from, source), (&to, target), one.port, one.protocol)?;
        }
    }
    Ok(())
}

/// All pairs but the first and last of many.
fn pairs(sources: &[End], targets: &[End]) -> Vec<(End, End)> {
    let few = |ends: &[End]| -> Vec<End> {
        let last = ends.len() - 1;
        [0, last / 2, last].into_iter().map(|at| ends[at]).collect()
    };
    few(sources)
        .into_iter()
        .flat_map(|source| few(targets).into_iter().map(move |target| (source, target)))
        .collect()
}

fn judge(
    world: &World,
    meant: &Meant,
    cluster: &naive::Cluster,
    (from, source): (&Who, End),
    (to, target): (&Who, End),
    port: u16,
    protocol: &'static str,
) -> Result<(), Broken> {
    if source == target
        || (!world.is_subject(from) && !world.is_subject(to))
        || !same_family(cluster, source, target)
    {
        return Ok(());
    }
    let expected = meant.contains(&(from.clone(), to.clone(), port, protocol));
    let verdict = naive::judge(cluster, source, target, port, protocol)[2];
    let told = if expected { "allowed" } else { "denied" };
    if verdict == told {
        return Ok(());
    }
    let law = if expected { "sound" } else { "minimal" };
    Err((law, format!("{} -> {} {port}/{protocol} is {verdict}", name(world, from), name(world, to))))
}

fn same_family(cluster: &naive::Cluster, source: End, target: End) -> bool {
    let families = |end: End| -> BTreeSet<bool> {
        match end {
            End::Pod(at) => cluster.pods[at].ips.iter().map(std::net::IpAddr::is_ipv6).collect(),
            End::Address(ip) => BTreeSet::from([ip.is_ipv6()]),
        }
    };
    !families(source).is_disjoint(&families(target))
}

fn name(world: &World, who: &Who) -> String {
    match who {
        Who::Workload(at) => {
            let one = &world.workloads[*at];
            format!("{:?} {}/{}", one.kind, one.namespace, one.name)
        }
        other => format!("{other:?}"),
    }
}

/// Each rule is preceded by its reasons, one for each peer and port.
fn explained(outcome: &Outcome) -> Result<(), Broken> {
    let mut comments = 0;
    for line in outcome.full.lines() {
        let text = line.trim_start();
        if text.starts_with('#') {
            comments += 1;
            continue;
        }
        if (text == "- from:" || text == "- to:") && comments == 0 {
            return Err(("explained", format!("a rule without a reason: {text}")));
        }
        comments = 0;
    }
    let evidence = |policy: &Policy| {
        policy.rules.iter().all(|rule| {
            let selectors = rule.peers.iter().filter(|peer| matches!(peer, Peer::Pods { .. })).count();
            rule.evidence.len() >= selectors * rule.ports.len()
        })
    };
    match outcome.answer.policies.iter().find(|policy| !evidence(policy)) {
        Some(policy) => Err(("explained", format!("{} has a peer without evidence", policy.name))),
        None => Ok(()),
    }
}
