//! The laws of generation. In: a world, two shapes of it, and what came out for each. Out: the first law that
//! is broken, and how. Verdicts are the naive evaluator's, on the YAML that would be printed.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::networking::v1::{
    NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort,
    NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
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
    // A node's port is dialled at the node, and leads to the pods.
    for one in (0..world.intents.len()).filter(|at| !case.idle.contains(at)).map(|at| &world.intents[at]) {
        if let Some(port) = world.dialled_node_port(one).filter(|_| one.witness != 2) {
            meant.insert(world.merged((one.from.clone(), Who::DialledNode, port, one.protocol)));
        }
    }
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
    names(&policies)?;
    let mut court = Court::of(world, cases[0], policies);
    court.selects()?;
    court.exact(seed)?;
    court.needed()?;
    court.applied()?;
    if cases[0].idle == cases[1].idle && outcomes[0].plain != outcomes[1].plain {
        return Err(("stable", difference(&outcomes[0].plain, &outcomes[1].plain)));
    }
    explained(outcomes[0])
}

/// What the bytes are proven by before they go out agrees.
pub(crate) fn proved(outcome: &Outcome) -> Result<(), Broken> {
    let policies = netflow_agent::render::proof::parse("stream", outcome.full.as_bytes())
        .map_err(|error| ("valid", error.to_string()))?;
    let objects = outcome.recording.objects.iter().map(|observed| &*observed.object);
    netflow_agent::render::proof::prove(policies, objects, &outcome.edges, &outcome.answer)
        .map_err(|error| ("proved", error.to_string()))?;
    Ok(())
}

/// What is allowed after fewer observations is allowed after all of them.
pub(crate) fn monotone(
    world: &World,
    case: &Case,
    [less, all]: [&Outcome; 2],
    seed: u64,
) -> Result<(), Broken> {
    let before = Court::of(world, case, parsed(&less.plain)?);
    let after = Court::of(world, case, parsed(&all.plain)?);
    let mut asked: Vec<Asked> = Vec::new();
    for (from, to, port, protocol) in &after.meant {
        let pairs = pairs(&after.by_who[from], &after.by_who[to]);
        asked.extend(pairs.into_iter().take(2).map(|(source, target)| (source, target, *port, *protocol)));
    }
    let mut dice = Dice(seed ^ 0x3070);
    asked.extend((0..100).map(|_| after.any(&mut dice)));
    for (source, target, port, protocol) in asked {
        let was = naive::judge(&before.cluster, source, target, port, protocol)[2];
        let is = naive::judge(&after.cluster, source, target, port, protocol)[2];
        if was == "allowed" && is == "denied" {
            let text = format!("{source:?} -> {target:?} {port}/{protocol} was allowed and is not");
            return Err(("monotone", text));
        }
    }
    Ok(())
}

type Asked = (End, End, u16, &'static str);

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

/// Each name once.
fn names(policies: &[NetworkPolicy]) -> Result<(), Broken> {
    let mut names = BTreeSet::new();
    for policy in policies {
        let name = (policy.metadata.namespace.clone(), policy.metadata.name.clone());
        if !names.insert(name.clone()) {
            return Err(("names", format!("{name:?} twice")));
        }
    }
    Ok(())
}

/// Where the naive evaluator judges the policies of a world.
struct Court<'w> {
    world: &'w World,
    meant: Meant,
    cluster: naive::Cluster,
    /// The workloads of the pods, by place.
    workloads: Vec<usize>,
    ends: Vec<(Who, End)>,
    by_who: BTreeMap<Who, Vec<End>>,
    ports: Vec<u16>,
}

impl<'w> Court<'w> {
    fn of(world: &'w World, case: &Case, policies: Vec<NetworkPolicy>) -> Self {
        let pods: Vec<&Ran> = case.pods.iter().filter(|ran| !ran.pod.host_network).collect();
        // What a node may do to its own pods is no matter of policies: all are judged as if elsewhere.
        let elsewhere = |ran: &&Ran| naive::Pod { node: Some("elsewhere".to_owned()), ..ran.pod.clone() };
        let cluster = naive::Cluster {
            namespaces: case.namespaces.clone(),
            pods: pods.iter().map(elsewhere).collect(),
            nodes: case.nodes.clone(),
            policies,
        };
        let mut ends: Vec<(Who, End)> =
            pods.iter().enumerate().map(|(at, ran)| (Who::Workload(ran.workload), End::Pod(at))).collect();
        ends.extend(case.nodes["node-z"].iter().map(|ip| (Who::Node, End::Address(*ip))));
        ends.extend(case.nodes["node-a"].iter().map(|ip| (Who::DialledNode, End::Address(*ip))));
        let address = |ip: &str| End::Address(ip.parse().expect("an address"));
        ends.extend(EXTERNAL.iter().map(|ip| (Who::External(ip), address(ip))));
        let mut by_who: BTreeMap<Who, Vec<End>> = BTreeMap::new();
        for (who, end) in &ends {
            by_who.entry(world.first_twin(who.clone())).or_default().push(*end);
        }
        let meant = meant(world, case);
        let mut ports: Vec<u16> = meant.iter().map(|edge| edge.2).collect();
        ports.extend(world.attempts.iter().map(|one| one.port));
        ports.extend([9, 53, 80, 1_080, 8_080, 11_080, 30_001]);
        let workloads = pods.iter().map(|ran| ran.workload).collect();
        Self { world, meant, cluster, workloads, ends, by_who, ports }
    }

    fn any(&self, dice: &mut Dice) -> Asked {
        let (source, target) = (dice.pick(&self.ends).1, dice.pick(&self.ends).1);
        (source, target, *dice.pick(&self.ports), *dice.pick(&["TCP", "UDP"]))
    }

    /// The one group of workloads whose pods a selector matches; an error names the others.
    fn selected(&self, namespace: &str, selector: &LabelSelector) -> Result<Who, Broken> {
        let mut groups = BTreeSet::new();
        let mut missed = BTreeSet::new();
        for (pod, workload) in self.cluster.pods.iter().zip(&self.workloads) {
            let who = self.world.first_twin(Who::Workload(*workload));
            let matched = pod.namespace == namespace && naive::matches(selector, &pod.labels);
            if matched {
                groups.insert(who)
            } else {
                missed.insert(who)
            };
        }
        match groups.pop_first() {
            Some(only) if groups.is_empty() && !missed.contains(&only) => Ok(only),
            first => {
                let all: Vec<String> = first.iter().chain(&groups).map(|who| name(self.world, who)).collect();
                Err(("selects", format!("{selector:?} in {namespace} selects, maybe in part, {all:?}")))
            }
        }
    }

    /// Every selector matches all pods of one workload (or of those that no label tells apart), and no other.
    fn selects(&self) -> Result<(), Broken> {
        for policy in &self.cluster.policies {
            let own = policy.metadata.namespace.as_deref().unwrap_or_default();
            let spec = policy.spec.clone().unwrap_or_default();
            if policy.metadata.name.as_deref() != Some("default-deny-all") {
                self.selected(own, &spec.pod_selector.unwrap_or_default())?;
            }
            let sources = spec.ingress.into_iter().flatten().filter_map(|rule| rule.from);
            let targets = spec.egress.into_iter().flatten().filter_map(|rule| rule.to);
            for peer in sources.chain(targets).flatten() {
                let Some(selector) = &peer.pod_selector else { continue };
                let labels = peer.namespace_selector.and_then(|one| one.match_labels).unwrap_or_default();
                let named = labels.get("kubernetes.io/metadata.name").map(String::as_str);
                self.selected(named.unwrap_or(own), selector)?;
            }
        }
        Ok(())
    }

    /// Allowed is what is meant: no less (sound), no more (minimal), over pods of every workload, on every port.
    fn exact(&self, seed: u64) -> Result<(), Broken> {
        for (from, to, port, protocol) in &self.meant {
            for (source, target) in pairs(&self.by_who[from], &self.by_who[to]) {
                self.judge((from, source), (to, target), *port, protocol)?;
            }
        }
        let mut dice = Dice(seed ^ 0xdead);
        for _ in 0..250 {
            let (from, to) = (dice.pick(&self.ends).clone(), dice.pick(&self.ends).clone());
            let (port, protocol) = (*dice.pick(&self.ports), *dice.pick(&["TCP", "UDP"]));
            let (source, target) = (self.world.first_twin(from.0), self.world.first_twin(to.0));
            self.judge((&source, from.1), (&target, to.1), port, protocol)?;
        }
        for one in &self.world.attempts {
            let from = self.world.first_twin(one.from.clone());
            let to = self.world.first_twin(one.to.clone());
            for (source, target) in pairs(&self.by_who[&from], &self.by_who[&to]) {
                self.judge((&from, source), (&to, target), one.port, one.protocol)?;
            }
        }
        Ok(())
    }

    fn judge(
        &self,
        (from, source): (&Who, End),
        (to, target): (&Who, End),
        port: u16,
        protocol: &'static str,
    ) -> Result<(), Broken> {
        if source == target
            || (!self.world.is_subject(from) && !self.world.is_subject(to))
            || !same_family(&self.cluster, source, target)
        {
            return Ok(());
        }
        let expected = self.meant.contains(&(from.clone(), to.clone(), port, protocol));
        let verdict = naive::judge(&self.cluster, source, target, port, protocol)[2];
        let told = if expected { "allowed" } else { "denied" };
        if verdict == told {
            return Ok(());
        }
        let law = if expected { "sound" } else { "minimal" };
        let (from, to) = (name(self.world, from), name(self.world, to));
        Err((law, format!("{from} -> {to} {port}/{protocol} is {verdict}")))
    }

    /// Without any one of its rules, peers or ports something that was meant is denied.
    fn needed(&mut self) -> Result<(), Broken> {
        for at in 0..self.cluster.policies.len() {
            let whole = self.cluster.policies[at].clone();
            let spec = whole.spec.clone().unwrap_or_default();
            if spec.ingress.is_none() && spec.egress.is_none() {
                continue;
            }
            let own = whole.metadata.namespace.as_deref().unwrap_or_default();
            let subject = self.selected(own, &spec.pod_selector.clone().unwrap_or_default())?;
            for (what, ingress, less) in lessened(&spec) {
                self.cluster.policies[at].spec = Some(less);
                let missed = self.misses(&subject, ingress);
                if !missed {
                    return Err(("minimal", format!("{:?}: {what} is not needed", whole.metadata.name)));
                }
            }
            self.cluster.policies[at] = whole;
        }
        Ok(())
    }

    /// Whether something that this workload means to do, or to be asked, is denied.
    fn misses(&self, subject: &Who, ingress: bool) -> bool {
        let of = |edge: &&(Who, Who, u16, &'static str)| (if ingress { &edge.1 } else { &edge.0 }) == subject;
        self.meant.iter().filter(of).any(|(from, to, port, protocol)| {
            pairs(&self.by_who[from], &self.by_who[to])
                .into_iter()
                .any(|(source, target)| self.judge((from, source), (to, target), *port, protocol).is_err())
        })
    }

    /// While they are applied one after the other, nothing that was meant is ever denied.
    fn applied(&mut self) -> Result<(), Broken> {
        let all = std::mem::take(&mut self.cluster.policies);
        for policy in all {
            self.cluster.policies.push(policy);
            for (from, to, port, protocol) in &self.meant {
                let (source, target) = (self.by_who[from][0], self.by_who[to][0]);
                if source != target
                    && same_family(&self.cluster, source, target)
                    && naive::judge(&self.cluster, source, target, *port, protocol)[2] == "denied"
                {
                    let (from, to) = (name(self.world, from), name(self.world, to));
                    let last = self.cluster.policies.len();
                    let text = format!("{from} -> {to} {port}/{protocol} is denied by the first {last}");
                    return Err(("sound while it is applied", text));
                }
            }
        }
        Ok(())
    }
}

/// The spec without each of its rules, and where there are several, without each peer and each port; and
/// whether that is of its ingress. A node's addresses are one peer.
fn lessened(spec: &NetworkPolicySpec) -> Vec<(String, bool, NetworkPolicySpec)> {
    let mut all = Vec::new();
    for at in 0..spec.ingress.as_ref().map_or(0, Vec::len) {
        let rule = &spec.ingress.as_ref().expect("counted")[at];
        let mut less = |what: String, rule: Option<NetworkPolicyIngressRule>| {
            let mut spec = spec.clone();
            let rules = spec.ingress.as_mut().expect("counted");
            rules.remove(at);
            rules.extend(rule);
            all.push((format!("ingress rule {at} {what}"), true, spec));
        };
        less(String::new(), None);
        for (what, from) in without_peer(rule.from.as_deref().unwrap_or_default()) {
            less(what, Some(NetworkPolicyIngressRule { from: Some(from), ports: rule.ports.clone() }));
        }
        for (what, ports) in without_port(rule.ports.as_deref().unwrap_or_default()) {
            less(what, Some(NetworkPolicyIngressRule { from: rule.from.clone(), ports: Some(ports) }));
        }
    }
    for at in 0..spec.egress.as_ref().map_or(0, Vec::len) {
        let rule = &spec.egress.as_ref().expect("counted")[at];
        let mut less = |what: String, rule: Option<NetworkPolicyEgressRule>| {
            let mut spec = spec.clone();
            let rules = spec.egress.as_mut().expect("counted");
            rules.remove(at);
            rules.extend(rule);
            all.push((format!("egress rule {at} {what}"), false, spec));
        };
        less(String::new(), None);
        for (what, to) in without_peer(rule.to.as_deref().unwrap_or_default()) {
            less(what, Some(NetworkPolicyEgressRule { to: Some(to), ports: rule.ports.clone() }));
        }
        for (what, ports) in without_port(rule.ports.as_deref().unwrap_or_default()) {
            less(what, Some(NetworkPolicyEgressRule { to: rule.to.clone(), ports: Some(ports) }));
        }
    }
    all
}

fn without_peer(peers: &[NetworkPolicyPeer]) -> Vec<(String, Vec<NetworkPolicyPeer>)> {
    let of_node = |peer: &NetworkPolicyPeer| {
        peer.ip_block.as_ref().is_some_and(|block| NODE_Z.iter().any(|ip| block.cidr.starts_with(ip)))
    };
    let others = |gone: &NetworkPolicyPeer| -> Vec<NetworkPolicyPeer> {
        let stays = |peer: &&NetworkPolicyPeer| *peer != gone && !(of_node(gone) && of_node(peer));
        peers.iter().filter(stays).cloned().collect()
    };
    let less = peers.iter().map(|gone| (format!("peer {gone:?}"), others(gone)));
    less.filter(|(_, peers)| !peers.is_empty()).collect()
}

fn without_port(ports: &[NetworkPolicyPort]) -> Vec<(String, Vec<NetworkPolicyPort>)> {
    let others = |gone: &NetworkPolicyPort| ports.iter().filter(|port| *port != gone).cloned().collect();
    let less = ports.iter().map(|gone| (format!("port {gone:?}"), others(gone)));
    less.filter(|(_, ports): &(String, Vec<NetworkPolicyPort>)| !ports.is_empty()).collect()
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
