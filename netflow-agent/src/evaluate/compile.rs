//! Policies made ready for one snapshot. In: NetworkPolicy specs, defaulted or not. Out: rules with their peers as
//! sets of classes and address blocks, and per class and direction the rules that count.

use core::ops::Range;
use std::collections::HashMap;
use std::sync::Arc;

use k8s_openapi::api::networking::v1::{NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::block::Block;
use super::class::{ClassId, ClassPort, ClassSet};
use super::intern::{Word, index};
use super::selector::Selector;
use super::snapshot::{Namespaces, Snapshot};
use super::space::Space;
use crate::manifest::NetworkPolicy;
use crate::net::{Direction, PortRange, Protocol};

/// The ports of a rule.
#[derive(Debug)]
pub(crate) enum RulePorts {
    Any,
    Listed(Box<[RulePort]>),
}

/// One item of `ports`.
#[derive(Clone, Debug)]
pub(crate) enum RulePort {
    Range(Protocol, PortRange),
    /// None: a name that no pod has.
    Name(Protocol, Option<Word>),
    /// Not valid: it matches nothing.
    Never,
}

/// One item of `from` or `to`.
#[derive(Debug)]
pub(crate) enum Peer {
    Classes(ClassSet),
    Block(Block),
    /// Not valid: it matches nothing.
    Never,
}

/// The peers of a rule: all items at once, for verdicts, and each alone, for explanations.
#[derive(Debug)]
pub(crate) enum Peers {
    Any,
    Listed { classes: ClassSet, blocks: Box<[Block]>, items: Box<[Peer]> },
}

#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) policy: u32,
    /// Its place in the policy's list of that direction.
    pub(crate) index: u32,
    pub(crate) peers: Peers,
    pub(crate) ports: RulePorts,
}

/// All that policies say of one direction of some classes. Without policies: not isolated.
#[derive(Debug, Default)]
pub(crate) struct Side {
    pub(crate) policies: Vec<u32>,
    pub(crate) rules: Vec<SharedRule>,
    /// Beside each rule: a class outside this range is none of its peers. In one piece of memory, so that a verdict
    /// looks into the few rules that may hold the peer.
    pub(crate) bounds: Vec<Range<ClassId>>,
    pub(crate) has_blocks: bool,
}

/// A rule shared by the sides that its policy selects.
pub(crate) type SharedRule = Arc<Rule>;

/// The sides of every class, by direction; equal ones are shared.
#[derive(Debug, Default)]
pub(crate) struct Sides {
    pub(crate) list: Vec<Side>,
    by_class: [Vec<u32>; 2],
    pub(crate) space: Space,
}

impl Sides {
    pub(crate) fn of(&self, class: ClassId, direction: Direction) -> &Side {
        &self.list[self.by_class[direction as usize][class as usize] as usize]
    }

    pub(crate) fn new(snapshot: &Snapshot, policies: &[NetworkPolicy]) -> Self {
        let mut rules: [Vec<Vec<SharedRule>>; 2] = [Vec::new(), Vec::new()];
        let mut selecting: [Vec<Vec<u32>>; 2] =
            [vec![Vec::new(); snapshot.classes.len()], vec![Vec::new(); snapshot.classes.len()]];
        for (at, policy) in policies.iter().enumerate() {
            let subjects = subjects(snapshot, policy);
            for direction in Direction::BOTH {
                let isolates = isolates(&policy.spec, direction);
                let compiled =
                    if isolates { compile(snapshot, policy, index(at), direction) } else { Vec::new() };
                rules[direction as usize].push(compiled);
                for class in subjects.iter().copied().filter(|_| isolates) {
                    selecting[direction as usize][class as usize].push(index(at));
                }
            }
        }
        let mut sides = Self::default();
        for direction in Direction::BOTH {
            let mut known: HashMap<Vec<u32>, u32> = HashMap::new();
            for list in core::mem::take(&mut selecting[direction as usize]) {
                let next = index(sides.list.len());
                let id = *known.entry(list.clone()).or_insert(next);
                if id == next {
                    sides.list.push(side(list, &rules[direction as usize]));
                }
                sides.by_class[direction as usize].push(id);
            }
        }
        sides.space = Space::new(rules.iter().flatten().flatten().flat_map(|rule| rule.peers.blocks()));
        sides
    }
}

impl Peers {
    fn bounds(&self) -> Range<ClassId> {
        match self {
            Self::Any => 0..ClassId::MAX,
            Self::Listed { classes, .. } => classes.bounds(),
        }
    }

    pub(crate) fn blocks(&self) -> &[Block] {
        match self {
            Self::Any => &[],
            Self::Listed { blocks, .. } => blocks,
        }
    }
}

fn side(policies: Vec<u32>, rules: &[Vec<SharedRule>]) -> Side {
    let rules: Vec<SharedRule> =
        policies.iter().flat_map(|&policy| rules[policy as usize].iter().cloned()).collect();
    let has_blocks = rules.iter().any(|rule| !rule.peers.blocks().is_empty());
    let bounds = rules.iter().map(|rule| rule.peers.bounds()).collect();
    Side { policies, rules, bounds, has_blocks }
}

/// Whether a policy isolates its subjects in a direction: `policyTypes`, else Ingress always and Egress
/// only with egress rules.
pub fn isolates(spec: &NetworkPolicySpec, direction: Direction) -> bool {
    match spec.policy_types.as_deref() {
        Some(types) if !types.is_empty() => types.iter().any(|name| name == direction.as_str()),
        _ => direction == Direction::Ingress || spec.egress.as_ref().is_some_and(|rules| !rules.is_empty()),
    }
}

/// The rules of a direction, as (peers, ports); both directions have the same shape.
pub fn rules(
    spec: &NetworkPolicySpec,
    direction: Direction,
) -> Vec<(&[NetworkPolicyPeer], &[NetworkPolicyPort])> {
    fn slices<'a>(
        peers: Option<&'a Vec<NetworkPolicyPeer>>,
        ports: Option<&'a Vec<NetworkPolicyPort>>,
    ) -> (&'a [NetworkPolicyPeer], &'a [NetworkPolicyPort]) {
        (peers.map(Vec::as_slice).unwrap_or_default(), ports.map(Vec::as_slice).unwrap_or_default())
    }
    match direction {
        Direction::Ingress => spec
            .ingress
            .iter()
            .flatten()
            .map(|rule| slices(rule.from.as_ref(), rule.ports.as_ref()))
            .collect(),
        Direction::Egress => {
            spec.egress.iter().flatten().map(|rule| slices(rule.to.as_ref(), rule.ports.as_ref())).collect()
        }
    }
}

fn subjects(snapshot: &Snapshot, policy: &NetworkPolicy) -> Vec<ClassId> {
    let everyone = LabelSelector::default();
    let selector = Selector::new(policy.spec.pod_selector.as_ref().unwrap_or(&everyone), &snapshot.words);
    let namespace = Namespaces::One(snapshot.namespaces.get(&policy.meta.namespace).copied());
    let mut classes = snapshot.classes_of(&selector, &namespace);
    classes.sort_unstable();
    classes.dedup();
    classes
}

fn compile(snapshot: &Snapshot, policy: &NetworkPolicy, at: u32, direction: Direction) -> Vec<SharedRule> {
    let home = snapshot.namespaces.get(&policy.meta.namespace).copied();
    rules(&policy.spec, direction)
        .into_iter()
        .enumerate()
        .map(|(place, (from, to_ports))| {
            Arc::new(Rule {
                policy: at,
                index: index(place),
                peers: peers(snapshot, home, from),
                ports: ports(snapshot, to_ports),
            })
        })
        .collect()
}

fn peers(snapshot: &Snapshot, home: Option<u32>, list: &[NetworkPolicyPeer]) -> Peers {
    if list.is_empty() {
        return Peers::Any;
    }
    let items: Box<[Peer]> = list.iter().map(|item| peer(snapshot, home, item)).collect();
    let n_classes = snapshot.classes.len();
    let sets: Vec<&ClassSet> = items
        .iter()
        .filter_map(|item| match item {
            Peer::Classes(set) => Some(set),
            Peer::Block(_) | Peer::Never => None,
        })
        .collect();
    let classes = match sets.as_slice() {
        [one] => (*one).clone(),
        many => ClassSet::new(many.iter().flat_map(|set| set.iter()).collect(), n_classes),
    };
    let blocks = items
        .iter()
        .filter_map(|item| match item {
            Peer::Block(block) => Some(block.clone()),
            Peer::Classes(_) | Peer::Never => None,
        })
        .collect();
    Peers::Listed { classes, blocks, items }
}

fn peer(snapshot: &Snapshot, home: Option<u32>, peer: &NetworkPolicyPeer) -> Peer {
    if let Some(block) = &peer.ip_block {
        return Block::parse(block).map_or(Peer::Never, Peer::Block);
    }
    let namespaces = match (&peer.namespace_selector, &peer.pod_selector) {
        (None, None) => return Peer::Never,
        (Some(selector), _) => snapshot.namespaces_of(selector),
        (None, Some(_)) => Namespaces::One(home),
    };
    let everyone = LabelSelector::default();
    let pods = Selector::new(peer.pod_selector.as_ref().unwrap_or(&everyone), &snapshot.words);
    Peer::Classes(ClassSet::new(snapshot.classes_of(&pods, &namespaces), snapshot.classes.len()))
}

fn ports(snapshot: &Snapshot, list: &[NetworkPolicyPort]) -> RulePorts {
    if list.is_empty() {
        return RulePorts::Any;
    }
    RulePorts::Listed(list.iter().map(|item| port(snapshot, item)).collect())
}

fn port(snapshot: &Snapshot, port: &NetworkPolicyPort) -> RulePort {
    let Ok(protocol) = port.protocol.as_deref().unwrap_or("TCP").parse::<Protocol>() else {
        return RulePort::Never;
    };
    let range = match &port.port {
        None => Some(PortRange::ALL),
        Some(IntOrString::String(name)) => return RulePort::Name(protocol, snapshot.words.get(name)),
        Some(IntOrString::Int(first)) => {
            u16::try_from(*first).ok().filter(|first| *first > 0).and_then(|first| {
                let last = port.end_port.unwrap_or(i32::from(first)).clamp(0, i32::from(u16::MAX));
                Some(PortRange { first, last: u16::try_from(last).ok()? })
            })
        }
    };
    range.map_or(RulePort::Never, |range| RulePort::Range(protocol, range))
}

impl RulePort {
    /// Names are those of the destination's own container ports; an external destination has none.
    pub(crate) fn contains(&self, protocol: Protocol, port: u16, destination: &[ClassPort]) -> bool {
        match self {
            Self::Range(of, range) => *of == protocol && range.contains(port),
            Self::Name(of, Some(name)) => {
                *of == protocol
                    && destination
                        .iter()
                        .any(|own| own.name == Some(*name) && own.protocol == protocol && own.port == port)
            }
            Self::Name(_, None) | Self::Never => false,
        }
    }

    /// Calls `found` with each range that it means at this destination.
    pub(crate) fn each(&self, destination: &[ClassPort], mut found: impl FnMut(Protocol, PortRange)) {
        match self {
            Self::Range(protocol, range) => found(*protocol, *range),
            Self::Name(protocol, Some(name)) => {
                for own in destination {
                    if own.name == Some(*name) && own.protocol == *protocol {
                        found(*protocol, PortRange::one(own.port));
                    }
                }
            }
            Self::Name(_, None) | Self::Never => {}
        }
    }
}

impl RulePorts {
    /// Whether it means this port at some destination: a name may stand for any number.
    pub(crate) fn may_contain(&self, protocol: Protocol, port: u16) -> bool {
        match self {
            Self::Any => true,
            Self::Listed(items) => items.iter().any(|item| match item {
                RulePort::Range(of, range) => *of == protocol && range.contains(port),
                RulePort::Name(of, _) => *of == protocol,
                RulePort::Never => false,
            }),
        }
    }

    pub(crate) fn contains(&self, protocol: Protocol, port: u16, destination: &[ClassPort]) -> bool {
        match self {
            Self::Any => true,
            Self::Listed(items) => items.iter().any(|item| item.contains(protocol, port, destination)),
        }
    }
}
