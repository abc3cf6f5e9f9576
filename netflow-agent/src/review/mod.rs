//! Decisions of people about edges, kept in a file beside the policies. In: YAML. Out: entries that approve,
//! deny, ignore, declare or widen, and gaps that are lived with, each with its reason; an error names the entry and what to write instead.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use crate::edge::EdgeKey;
use crate::evaluate::EndName;
use crate::identity::{Endpoint, WorkloadName};
use crate::net::{PortRange, Protocol};

mod read;

pub use read::{NotAReview, read};

/// What an entry decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// The edge is meant; its gap is no longer listed.
    Approve,
    /// The edge must not be: withheld, and listed.
    Deny,
    /// Not worth a rule: withheld.
    Ignore,
    /// Allowed though not seen.
    Declare,
    /// What was seen stands for all of this.
    Widen,
}

impl Action {
    pub const ALL: [Self; 5] = [Self::Approve, Self::Deny, Self::Ignore, Self::Declare, Self::Widen];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Deny => "deny",
            Self::Ignore => "ignore",
            Self::Declare => "declare",
            Self::Widen => "widen",
        }
    }
}

/// Whom an entry means.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum End {
    Workload(WorkloadName),
    /// `ns/*`: every pod of the namespace.
    Namespace(Arc<str>),
    /// An address or a range of them.
    Block(IpNet),
    /// `node/NAME`, or `node/*` for all.
    Node(Option<Arc<str>>),
    /// `*`: anyone. Not for what is declared or widened.
    Any,
}

impl End {
    pub fn meets(&self, end: &Endpoint) -> bool {
        match (self, end) {
            (Self::Any, _) => true,
            (Self::Workload(name), Endpoint::Workload(other)) => name == other,
            (Self::Namespace(namespace), Endpoint::Workload(other)) => *namespace == other.namespace,
            (Self::Block(block), Endpoint::External(ip) | Endpoint::Unknown { ip, .. }) => block.contains(ip),
            (Self::Node(name), Endpoint::Node(other)) => name.as_ref().is_none_or(|name| name == other),
            _ => false,
        }
    }

    /// What stands for this endpoint in a ready-made entry; none for what no entry can name.
    pub fn of(end: &Endpoint) -> Option<Self> {
        match end {
            Endpoint::Workload(name) => Some(Self::Workload(name.clone())),
            Endpoint::Node(name) => Some(Self::Node(Some(Arc::clone(name)))),
            Endpoint::External(ip) | Endpoint::Unknown { ip, .. } => Some(Self::Block(IpNet::from(*ip))),
            Endpoint::Service(_) => None,
        }
    }
}

impl core::fmt::Display for End {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Workload(name) => EndName::Workload(name.clone()).fmt(f),
            Self::Namespace(namespace) => write!(f, "{namespace}/*"),
            Self::Block(block) if block.prefix_len() == block.max_prefix_len() => block.addr().fmt(f),
            Self::Block(block) => block.fmt(f),
            Self::Node(Some(name)) => write!(f, "node/{name}"),
            Self::Node(None) => f.write_str("node/*"),
            Self::Any => f.write_str("*"),
        }
    }
}

/// One decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub action: Action,
    pub from: End,
    pub to: End,
    /// None: every port.
    pub ports: Option<PortRange>,
    /// None: every protocol.
    pub protocol: Option<Protocol>,
    pub reason: Arc<str>,
}

impl Entry {
    pub fn meets(&self, edge: &EdgeKey) -> bool {
        self.from.meets(&edge.source)
            && self.to.meets(&edge.destination)
            && self.ports.is_none_or(|ports| ports.contains(edge.port))
            && self.protocol.is_none_or(|protocol| protocol == edge.protocol)
    }
}

/// As a person reads it in a message: the entry without its reason.
impl core::fmt::Display for Entry {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} {} -> {}", self.action.as_str(), self.from, self.to)?;
        match self.ports {
            Some(ports) if ports.first == ports.last => write!(f, ":{}", ports.first)?,
            Some(ports) => write!(f, ":{}-{}", ports.first, ports.last)?,
            None => {}
        }
        self.protocol.map_or(Ok(()), |protocol| write!(f, "/{protocol}"))
    }
}

/// A gap that no edge settles, seen and lived with: it is no longer listed, and counted instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// As gaps are listed: its kind, and what it is about.
    pub gap: Arc<str>,
    pub about: Arc<str>,
    pub reason: Arc<str>,
}

/// All decisions, in the order of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Review {
    pub entries: Vec<Entry>,
    pub accepted: Vec<Accepted>,
}

impl Review {
    /// The entries of one action that meet an edge, by position.
    pub fn meeting(&self, edge: &EdgeKey) -> impl Iterator<Item = (usize, &Entry)> {
        self.entries.iter().enumerate().filter(|(_, entry)| entry.meets(edge))
    }
}

/// `ns/name`, `ns/kind/name`, `ns/*`, `node/NAME`, `node/*`, an address, a range, or `*`.
fn end(text: &str) -> Result<End, NotAReview> {
    let wrong = || NotAReview::End(text.to_owned());
    if text == "*" {
        return Ok(End::Any);
    }
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Ok(End::Block(IpNet::from(ip.to_canonical())));
    }
    if let Ok(block) = text.parse::<IpNet>() {
        return Ok(End::Block(block.trunc()));
    }
    match text.split_once('/') {
        Some(("node", "*")) => Ok(End::Node(None)),
        Some(("node", name)) if !name.is_empty() && !name.contains('/') => Ok(End::Node(Some(name.into()))),
        Some((namespace, "*")) if !namespace.is_empty() => Ok(End::Namespace(namespace.into())),
        _ => match EndName::parse(text, None) {
            Ok(EndName::Workload(name)) => Ok(End::Workload(name)),
            Ok(EndName::Address(ip)) => Ok(End::Block(IpNet::from(ip))),
            Err(_not_an_end) => Err(wrong()),
        },
    }
}
