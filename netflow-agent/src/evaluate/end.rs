//! The ends of a connection: as people type them ([`EndName`]), and as verdicts take them ([`End`]).
//! In: `ns/pod`, `ns/kind/name` or an address. Out: a name, or an error that says what would be one.

use core::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use crate::identity::WorkloadName;
use crate::manifest::WorkloadKind;

/// A pod or a workload's template, in one snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubjectId(pub(super) u32);

/// A node, in one snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub(super) u32);

/// One end of a connection, in one snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum End {
    /// A pod or a template; `ip` where the question names the address, else any of its own.
    Subject { id: SubjectId, ip: Option<IpAddr> },
    /// A node's own address; `ip` likewise.
    Node { id: NodeId, ip: Option<IpAddr> },
    /// Anything else: no policy can select it.
    Address(IpAddr),
    /// A Service's cluster address: policies judge what is behind it, so the verdict is undefined.
    Service(IpAddr),
}

/// What a name stands for: one end, or all pods of a workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Party {
    pub ends: Vec<End>,
    /// A workload that may have other pods like these: judged against itself, two different pods are meant.
    pub replicated: bool,
}

impl Party {
    pub fn one(end: End) -> Self {
        Self { ends: vec![end], replicated: false }
    }
}

/// An end as the command line and queries name it. A pod is the workload of kind `Pod`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EndName {
    Address(IpAddr),
    Workload(WorkloadName),
}

/// Why a text names no end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAnEnd {
    #[error("`{0}` is no end: use `namespace/pod`, `namespace/kind/name` or an address")]
    Shape(String),
    #[error("`{0}` names no namespace: use `namespace/pod`, or set one with `-n`")]
    NoNamespace(String),
}

impl EndName {
    /// Reads what a person typed; `namespace` is that of names without one.
    pub fn parse(text: &str, namespace: Option<&str>) -> Result<Self, NotAnEnd> {
        if let Ok(ip) = text.parse::<IpAddr>() {
            return Ok(Self::Address(ip.to_canonical()));
        }
        let parts: Vec<&str> = text.split('/').collect();
        if parts.iter().any(|part| part.is_empty() || part.contains(char::is_whitespace)) {
            return Err(NotAnEnd::Shape(text.to_owned()));
        }
        let named = |namespace: &str, kind, name: &str| {
            Ok(Self::Workload(WorkloadName { namespace: namespace.into(), kind, name: name.into() }))
        };
        match (parts.as_slice(), namespace) {
            ([name], Some(namespace)) => named(namespace, WorkloadKind::Pod, name),
            ([_], None) => Err(NotAnEnd::NoNamespace(text.to_owned())),
            ([kind, name], Some(namespace)) if known_kind(kind).is_some() => {
                named(namespace, any_kind(kind), name)
            }
            ([namespace, pod], _) => named(namespace, WorkloadKind::Pod, pod),
            ([namespace, kind, name], _) => named(namespace, any_kind(kind), name),
            _ => Err(NotAnEnd::Shape(text.to_owned())),
        }
    }
}

/// The form that [`EndName::parse`] takes back.
impl fmt::Display for EndName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(ip) => ip.fmt(f),
            Self::Workload(WorkloadName { namespace, kind: WorkloadKind::Pod, name }) => {
                write!(f, "{namespace}/{name}")
            }
            Self::Workload(WorkloadName { namespace, kind, name }) => {
                write!(f, "{namespace}/{}/{name}", kind.as_str().to_ascii_lowercase())
            }
        }
    }
}

fn any_kind(text: &str) -> WorkloadKind {
    known_kind(text).unwrap_or_else(|| WorkloadKind::Other(Arc::from(text)))
}

/// A kind as kubectl takes it: singular, plural or short, any case, with or without its API group.
pub fn known_kind(text: &str) -> Option<WorkloadKind> {
    let lower = text.to_ascii_lowercase();
    let (kind, _group) = lower.split_once('.').unwrap_or((&lower, ""));
    Some(match kind {
        "pod" | "pods" | "po" => WorkloadKind::Pod,
        "deployment" | "deployments" | "deploy" => WorkloadKind::Deployment,
        "statefulset" | "statefulsets" | "sts" => WorkloadKind::StatefulSet,
        "daemonset" | "daemonsets" | "ds" => WorkloadKind::DaemonSet,
        "replicaset" | "replicasets" | "rs" => WorkloadKind::ReplicaSet,
        "replicationcontroller" | "replicationcontrollers" | "rc" => WorkloadKind::ReplicationController,
        "job" | "jobs" => WorkloadKind::Job,
        "cronjob" | "cronjobs" | "cj" => WorkloadKind::CronJob,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, namespace: Option<&str>) -> String {
        match EndName::parse(text, namespace) {
            Ok(end) => end.to_string(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn ends_are_pods_workloads_or_addresses() {
        for (text, namespace, expected) in [
            ("shop/web-0", None, "shop/web-0"),
            ("shop/deploy/web", None, "shop/deployment/web"),
            ("shop/Deployments.apps/web", None, "shop/deployment/web"),
            ("shop/sts/db", None, "shop/statefulset/db"),
            ("shop/rollout/web", None, "shop/rollout/web"),
            ("shop/pod/web-0", None, "shop/web-0"),
            ("web-0", Some("shop"), "shop/web-0"),
            ("deploy/web", Some("shop"), "shop/deployment/web"),
            ("other/web-0", Some("shop"), "other/web-0"),
            ("deploy/web", None, "deploy/web"),
            ("10.0.0.1", Some("shop"), "10.0.0.1"),
            ("::ffff:10.0.0.1", None, "10.0.0.1"),
            ("2001:DB8::1", None, "2001:db8::1"),
            ("web-0", None, "`web-0` names no namespace: use `namespace/pod`, or set one with `-n`"),
            ("", None, "`` is no end: use `namespace/pod`, `namespace/kind/name` or an address"),
            ("a//b", None, "`a//b` is no end: use `namespace/pod`, `namespace/kind/name` or an address"),
            (
                "a/b/c/d",
                None,
                "`a/b/c/d` is no end: use `namespace/pod`, `namespace/kind/name` or an address",
            ),
        ] {
            assert_eq!(read(text, namespace), expected);
        }
    }
}
