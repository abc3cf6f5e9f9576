//! Edges to policies. In: edges, the inventory, options. Out: a `Recommendation`, sorted, the same for the
//! same meaning whatever the order of edges, the names of pods or their addresses.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::evidence::{Evidence, Observed, Why};
use super::gap::{Gap, GapKind};
use super::ledger::{Demands, Ledger, PeerKey};
use super::options::External;
use super::port::{self, Port};
use super::scene::{GroupId, Scene};
use super::selector::Group;
use super::sift::{self, Fate};
use super::{
    Options, Peer, Policy, Recommendation, Rule, Selector, Withheld, cover, declare, dns, name, node_port,
};
use crate::edge::Edge;
use crate::identity::{Inventory, WorkloadName};
use crate::net::Direction;

/// The policies that allow these edges, less what is withheld, and nothing else but what is declared.
pub fn generate(edges: &[Edge], inventory: &Inventory<'_>, options: &Options) -> Recommendation {
    let scene = Scene::of(inventory, options);
    let mut used = vec![false; options.review.entries.len()];
    let mut ledger = Ledger::default();
    let mut answer = Recommendation::default();
    let mut allowed = Vec::new();
    for (at, edge) in edges.iter().enumerate() {
        let fate = sift::sift(edge, &scene, options, &mut used);
        answer.gaps.extend(sift::gap(edge, &fate, &scene, options));
        match fate {
            Fate::Allow { source, destination } => {
                allowed.push(at);
                allow(&mut ledger, edge, &source, &destination, options);
                super::service_port::add(&mut ledger, edge, &source, &destination, inventory, options);
            }
            Fate::Withhold(reason) => answer.withheld.push(Withheld { edge: at, way: None, reason }),
            Fate::Probe => answer.probes.push(at),
            Fate::NotJudged => answer.not_judged.push(at),
        }
    }
    let lists = (&mut answer.gaps, &mut answer.withheld);
    node_port::demand(&mut ledger, edges, &allowed, &scene, options, &mut used, lists);
    let seen: Vec<&Edge> = allowed.iter().map(|at| &edges[*at]).collect();
    answer.gaps.extend(declare::apply(&mut ledger, &seen, &scene, options, &mut used));
    let servers = dns::servers(edges, inventory, &scene);
    dns::demand(&mut ledger, edges, &servers, &scene, options, &mut used);
    if servers.is_empty() {
        answer.gaps.extend(dns::not_seen(&ledger, inventory, &scene));
    }
    let names = names(&scene);
    for (subject, demands) in &ledger.subjects {
        answer.policies.extend(policy(subject, demands, &scene, &names, options, &mut answer.gaps));
    }
    answer.policies.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
    if options.default_deny {
        answer.policies.extend(default_denies(&scene, options));
    }
    answer.unused_entries = (0..used.len()).filter(|at| !used[*at]).collect();
    let subjects = scene.groups().filter(|(id, _)| options.is_subject(&id.namespace));
    answer.workloads = subjects.map(|(_, group)| group.members.len()).sum();
    (answer.score, answer.counted) =
        super::score::score(&ledger, edges, &answer.withheld, inventory, &scene, options);
    super::gaps::of_scene(&mut answer, edges, &ledger, inventory, &scene, options);
    answer
}

/// One demand at each end that is a subject.
fn allow(ledger: &mut Ledger, edge: &Edge, source: &[PeerKey], destination: &[PeerKey], options: &Options) {
    let key = &edge.key;
    let port = Port::one(key.protocol, key.port);
    let why = Why::Observed(Observed::from(edge));
    let ends = [
        (Direction::Ingress, destination, source, &key.source),
        (Direction::Egress, source, destination, &key.destination),
    ];
    for (direction, subjects, peers, other) in ends {
        for subject in subjects {
            let PeerKey::Group(id) = subject else { continue };
            if !options.is_subject(&id.namespace) || !options.directions.contains(&direction) {
                continue;
            }
            for peer in peers {
                let evidence = Evidence { other: other.clone(), port, why: why.clone() };
                ledger.add(id, direction, peer.clone(), evidence);
            }
        }
    }
}

/// The name of each group's policy, by its first member.
fn names(scene: &Scene) -> BTreeMap<WorkloadName, String> {
    let mut names = BTreeMap::new();
    let mut of_namespace: BTreeMap<Arc<str>, Vec<&Group>> = BTreeMap::new();
    for (id, group) in scene.groups() {
        of_namespace.entry(id.namespace).or_default().push(group);
    }
    for groups in of_namespace.values() {
        let called = name::called(groups);
        let assigned = name::assign(&called.iter().cloned().collect());
        for (group, called) in groups.iter().zip(&called) {
            names.insert(group.members[0].clone(), assigned[called].clone());
        }
    }
    names
}

fn policy(
    subject: &GroupId,
    demands: &Demands,
    scene: &Scene,
    names: &BTreeMap<WorkloadName, String>,
    options: &Options,
    gaps: &mut Vec<Gap>,
) -> Option<Policy> {
    let group = scene.group(subject)?;
    let mut directions = options.directions.clone();
    directions.sort_unstable();
    let mut policy = Policy {
        namespace: Arc::clone(&subject.namespace),
        name: names.get(&group.members[0])?.clone(),
        workloads: group.members.clone(),
        selector: group.selector.clone(),
        directions,
        rules: Vec::new(),
    };
    for direction in policy.directions.clone() {
        let demanded = demands.of(direction);
        let ports: BTreeMap<PeerKey, BTreeSet<Port>> =
            demanded.iter().map(|(peer, ports)| (peer.clone(), ports.keys().copied().collect())).collect();
        let mut rules = Vec::new();
        for (ports, keys) in port::group(&ports) {
            let (peers, added) = spell(&keys, subject, scene, options);
            if added > 0 {
                let about = super::words::workload(&group.members[0]);
                let text =
                    format!("{direction} blocks within the budget hold {added} addresses that were not seen");
                gaps.push(Gap::new(GapKind::WideCover, about, text));
            }
            let holds_pods = |key: &PeerKey| matches!(key, PeerKey::Anywhere { v6 } if scene.ranges_incomplete[usize::from(*v6)]);
            if keys.iter().any(holds_pods) {
                let about = super::words::workload(&group.members[0]);
                let text = format!(
                    "{direction} `any` holds pods as well: they have addresses in ranges that no node tells"
                );
                gaps.push(Gap::new(GapKind::WideCover, about, text));
            }
            let mut evidence: Vec<Evidence> =
                keys.iter().flat_map(|key| demanded[key].values().flatten().cloned()).collect();
            evidence.sort_by(|a, b| (&a.other, a.port).cmp(&(&b.other, b.port)));
            rules.push(Rule { direction, peers, ports: ports.into_iter().collect(), evidence });
        }
        rules.sort_by(|a, b| (&a.ports, &a.peers).cmp(&(&b.ports, &b.peers)));
        policy.rules.extend(rules);
    }
    Some(policy)
}

/// The peers of one rule, and how many addresses a widened cover adds.
fn spell(keys: &[PeerKey], subject: &GroupId, scene: &Scene, options: &Options) -> (Vec<Peer>, u128) {
    let mut peers = BTreeSet::new();
    let (mut outside, mut nodes) = (BTreeSet::new(), BTreeSet::new());
    let block = |cidr: IpNet| Peer::Block { cidr, except: Vec::new() };
    let label =
        |namespace: &Arc<str>| (*namespace != subject.namespace).then(|| scene.namespace_label(namespace));
    for key in keys {
        match key {
            PeerKey::Group(id) => {
                if let Some(group) = scene.group(id) {
                    let (namespace, selector) = (label(&id.namespace), group.selector.clone());
                    peers.insert(Peer::Pods { namespace, selector });
                }
            }
            PeerKey::Namespace(namespace) => {
                peers.insert(Peer::Pods { namespace: label(namespace), selector: Selector::default() });
            }
            PeerKey::Node(node) => nodes.extend(scene.node_ips(node)),
            PeerKey::Address(ip) => drop(outside.insert(*ip)),
            PeerKey::Range(range) => drop(peers.insert(block(*range))),
            PeerKey::Anywhere { v6 } => {
                let (cidr, except) = sift::everywhere_but_pods(*v6, scene);
                peers.insert(Peer::Block { cidr, except });
            }
        }
    }
    let cover = cover_outside(&outside, scene, options);
    peers.extend(cover.blocks.into_iter().map(block));
    peers.extend(cover::exact(&nodes).blocks.into_iter().map(block));
    (peers.into_iter().collect(), cover.added)
}

fn cover_outside(ips: &BTreeSet<IpAddr>, scene: &Scene, options: &Options) -> cover::Cover {
    match options.external {
        External::Budget(budget) => cover::within(ips, budget, &scene.taken, &scene.pod_ranges),
        External::Exact | External::Any | External::None => cover::exact(ips),
    }
}

/// One for each namespace with a pod that a policy can select.
fn default_denies<'a>(scene: &'a Scene, options: &'a Options) -> impl Iterator<Item = Policy> + 'a {
    let mut directions = options.directions.clone();
    directions.sort_unstable();
    scene.populated.iter().filter(|namespace| options.is_subject(namespace)).map(move |namespace| Policy {
        namespace: Arc::clone(namespace),
        name: name::DEFAULT_DENY.to_owned(),
        workloads: Vec::new(),
        selector: Selector::default(),
        directions: directions.clone(),
        rules: Vec::new(),
    })
}
