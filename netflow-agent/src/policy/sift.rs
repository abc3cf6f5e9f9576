//! What becomes of an edge. In: an edge, the scene, the options. Out: the peers that stand for its ends, or
//! why it is withheld, or why nobody can say.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::Options;
use super::gap::{Gap, GapKind};
use super::ledger::PeerKey;
use super::options::{External, Nodes};
use super::scene::Scene;
use crate::edge::{Edge, EdgeKey};
use crate::identity::Endpoint;
use crate::manifest::cni::Cni;
use crate::review::Action;

/// Where clouds answer who a machine is and with which rights.
pub(super) const METADATA: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
];

/// Where the DNS cache of each node listens.
pub(super) const NODE_LOCAL_DNS: IpAddr = IpAddr::V4(Ipv4Addr::new(169, 254, 20, 10));

/// Why a peer known by a node's address is withheld.
const NOT_ON_CILIUM: &str = "not expressible on cilium";

/// What would express it.
pub(super) const ON_CILIUM: &str = "an ipBlock matches no node and no pod on cilium: allow it by a CiliumNetworkPolicy with \
                                    the entity host, remote-node or kube-apiserver";

/// An end that peers cannot be made of.
const NAMELESS: &str = "an end on the network of a node whose address is not known: no rule can name it";

/// A pod that cannot be.
const REFUSED: &str = "no API server takes the namespace or the labels of an end: no rule can name it";

/// What becomes of an edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// The peers that its source and its destination are.
    Allow {
        source: Vec<PeerKey>,
        destination: Vec<PeerKey>,
    },
    Withhold(Arc<str>),
    /// From a pod's own node, which always reaches it: no rule is needed.
    Probe,
    /// Nobody can say who that is; a gap names it.
    NotJudged,
}

/// Decides for one edge; what was decided by an entry of the review is marked in `used`.
pub(super) fn sift(edge: &Edge, scene: &Scene, options: &Options, used: &mut [bool]) -> Fate {
    if let Some(reason) = decided(&edge.key, options, used) {
        return Fate::Withhold(reason);
    }
    if edge.own_node {
        return Fate::Probe;
    }
    if let Some(reason) = withheld_by_flag(&edge.key, options).filter(|_| options.concerns(&edge.key)) {
        return Fate::Withhold(reason.into());
    }
    match (peers(&edge.key.source, scene, options), peers(&edge.key.destination, scene, options)) {
        (Some(source), Some(destination)) => Fate::Allow { source, destination },
        _ => Fate::NotJudged,
    }
}

/// Why a way of an edge gets no rule.
pub(super) struct Refusal {
    pub(super) reason: Arc<str>,
    /// Why no rule can express it, where that is so.
    pub(super) not_expressible: Option<&'static str>,
}

/// Decides for a way of an edge that is allowed itself: the peers that its ends are.
pub(super) fn way(
    key: &EdgeKey,
    scene: &Scene,
    options: &Options,
    used: &mut [bool],
) -> Result<(Vec<PeerKey>, Vec<PeerKey>), Refusal> {
    if let Some(reason) = decided(key, options, used) {
        return Err(Refusal { reason, not_expressible: None });
    }
    if let Some(reason) = withheld_by_flag(key, options) {
        return Err(Refusal { reason: reason.into(), not_expressible: Some(ON_CILIUM) });
    }
    match (peers(&key.source, scene, options), peers(&key.destination, scene, options)) {
        (Some(source), Some(destination)) => Ok((source, destination)),
        _ => Err(Refusal { reason: NAMELESS.into(), not_expressible: Some(NAMELESS) }),
    }
}

/// What the review withholds, and why; entries that decide are marked in `used`.
fn decided(key: &EdgeKey, options: &Options, used: &mut [bool]) -> Option<Arc<str>> {
    let mut reason = None;
    for (at, entry) in options.review.meeting(key) {
        let decides = matches!(entry.action, Action::Deny | Action::Ignore);
        if decides || entry.action == Action::Approve {
            used[at] = true;
        }
        if decides && reason.is_none() {
            reason = Some(format!("{} in the review: {}", entry.action.as_str(), entry.reason).into());
        }
    }
    reason
}

fn withheld_by_flag(key: &EdgeKey, options: &Options) -> Option<&'static str> {
    let ends = [&key.source, &key.destination];
    let outside = |end: &&Endpoint| matches!(end, Endpoint::External(ip) if *ip != NODE_LOCAL_DNS);
    let metadata = |end: &&Endpoint| matches!(end, Endpoint::External(ip) if METADATA.contains(ip));
    let node = |end: &&Endpoint| matches!(end, Endpoint::Node(_));
    if options.drop_metadata && ends.iter().any(metadata) {
        Some("--drop-metadata")
    } else if options.external == External::None && ends.iter().any(outside) {
        Some("--external none")
    } else if options.cni == Some(Cni::Cilium) && ends.iter().any(node) {
        Some(NOT_ON_CILIUM)
    } else {
        None
    }
}

/// The peers that an endpoint is; none where nobody can say.
pub(super) fn peers(end: &Endpoint, scene: &Scene, options: &Options) -> Option<Vec<PeerKey>> {
    match end {
        Endpoint::Workload(name) => scene.group_of(name).map(|id| vec![PeerKey::Group(id.clone())]),
        Endpoint::Node(name) => {
            let mut ips = scene.node_ips(name).peekable();
            ips.peek()?;
            Some(match &options.nodes {
                Nodes::Exact => vec![PeerKey::Node(Arc::clone(name))],
                Nodes::Ranges(ranges) => ranges_holding(ranges, ips),
                Nodes::Any => anywhere_and_among_pods(ips, scene),
            })
        }
        Endpoint::External(ip) if METADATA.contains(ip) || *ip == NODE_LOCAL_DNS => {
            Some(vec![PeerKey::Range(IpNet::from(*ip))])
        }
        Endpoint::External(ip) if options.external == External::Any => Some(anywhere([*ip].into_iter())),
        Endpoint::External(ip) => Some(vec![PeerKey::Address(*ip)]),
        Endpoint::Service(_) | Endpoint::Unknown { .. } => None,
    }
}

/// The given ranges that hold one of the addresses; each other address as itself.
fn ranges_holding(ranges: &[IpNet], ips: impl Iterator<Item = IpAddr>) -> Vec<PeerKey> {
    let mut keys: Vec<PeerKey> = ips
        .map(|ip| match ranges.iter().find(|range| range.contains(&ip)) {
            Some(range) => PeerKey::Range(range.trunc()),
            None => PeerKey::Range(IpNet::from(ip)),
        })
        .collect();
    keys.sort();
    keys.dedup();
    keys
}

/// Anywhere but pods, and each address that the node has in the midst of theirs, as a tunnel's end is.
fn anywhere_and_among_pods(ips: impl Iterator<Item = IpAddr>, scene: &Scene) -> Vec<PeerKey> {
    let ips: Vec<IpAddr> = ips.collect();
    let mut keys = anywhere(ips.iter().copied());
    let among = |ip: &&IpAddr| scene.pod_ranges.iter().any(|range| range.contains(*ip));
    keys.extend(ips.iter().filter(among).map(|ip| PeerKey::Range(IpNet::from(*ip))));
    keys
}

fn anywhere(ips: impl Iterator<Item = IpAddr>) -> Vec<PeerKey> {
    let mut keys: Vec<PeerKey> = ips.map(|ip| PeerKey::Anywhere { v6: ip.is_ipv6() }).collect();
    keys.sort();
    keys.dedup();
    keys
}

/// Everything of a family but what nodes give to pods, and the metadata service.
pub(super) fn everywhere_but_pods(v6: bool, scene: &Scene) -> (IpNet, Vec<IpNet>) {
    let all = if v6 { IpNet::V6(Ipv6Net::default()) } else { IpNet::V4(Ipv4Net::default()) };
    let mut except: Vec<IpNet> =
        scene.pod_ranges.iter().copied().filter(|range| all.contains(range)).collect();
    except.extend(METADATA.iter().map(|ip| IpNet::from(*ip)).filter(|ip| all.contains(ip)));
    let mut except = IpNet::aggregate(&except);
    except.retain(|range| *range != all);
    except.sort();
    (all, except)
}

/// The gap that goes with a fate, where one does.
pub(super) fn gap(edge: &Edge, fate: &Fate, scene: &Scene, options: &Options) -> Option<Gap> {
    let key = &edge.key;
    if !options.concerns(key) {
        return None;
    }
    let about = super::words::edge(key);
    match fate {
        Fate::NotJudged => {
            let named = [&key.source, &key.destination].into_iter().find_map(|end| match end {
                Endpoint::Unknown { ip, reason } => {
                    Some((GapKind::UnknownPeer, format!("{ip} is unknown: {reason}")))
                }
                Endpoint::Service(name) => Some((
                    GapKind::ServiceWithoutBackends,
                    format!("no backend of Service {}/{} is known for that time", name.namespace, name.name),
                )),
                Endpoint::Workload(name) if scene.refused.contains(name) => {
                    Some((GapKind::NotExpressible, REFUSED.to_owned()))
                }
                _ => None,
            });
            let (kind, text) = named.unwrap_or_else(|| (GapKind::NotExpressible, NAMELESS.to_owned()));
            let s = if edge.connections == 1 { "" } else { "s" };
            Some(Gap::new(kind, about, format!("{text}; {} connection{s} left out", edge.connections)))
        }
        Fate::Withhold(reason) if &**reason == NOT_ON_CILIUM => {
            Some(Gap::new(GapKind::NotExpressible, about, ON_CILIUM))
        }
        Fate::Probe => {
            let subject =
                matches!(&key.destination, Endpoint::Workload(name) if options.is_subject(&name.namespace));
            let text =
                "from the pods' own node, as the kubelet's probes are: always allowed, so it needs no rule";
            subject.then(|| Gap::new(GapKind::Probe, about, text))
        }
        Fate::Withhold(_) | Fate::Allow { .. } => None,
    }
}
