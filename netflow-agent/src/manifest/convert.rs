//! From the wire to the domain: addresses parsed, defaults filled in, words interned. Total: what cannot be
//! converted is a `Fault` that names the field.

use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::wire::{self, Pairs, Text};
use super::{ContainerPort, Labels, Meta, Owner, TargetPort, Words};
use crate::net::Protocol;
use crate::time::Time;

/// Why an object could not be read: the field and the reason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {reason}")]
pub struct Fault {
    pub path: String,
    pub reason: String,
}

impl Fault {
    pub(super) fn new(path: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { path: path.into(), reason: reason.into() }
    }
}

/// Annotations longer than this are dropped: nothing here reads them, and `last-applied-configuration`
/// alone would double the memory of a cluster.
const LONGEST_ANNOTATION: usize = 512;

pub(super) fn labels(pairs: Option<Pairs<'_>>, words: &mut Words) -> Labels {
    let pairs = pairs.unwrap_or_default().0;
    pairs.iter().map(|(key, value)| (words.intern(&key.0), words.intern(&value.0))).collect()
}

fn annotations(pairs: Option<Pairs<'_>>, words: &mut Words) -> Labels {
    let pairs = pairs.unwrap_or_default().0;
    pairs
        .iter()
        .filter(|(_, value)| value.0.len() <= LONGEST_ANNOTATION)
        .map(|(key, value)| (words.intern(&key.0), Arc::from(&*value.0)))
        .collect()
}

pub(super) fn word(text: Option<&Text<'_>>, words: &mut Words) -> Option<Arc<str>> {
    text.filter(|text| !text.0.is_empty()).map(|text| words.intern(&text.0))
}

/// `namespaced`: whether a missing namespace is `default` (true), or any namespace is dropped (false).
pub(super) fn meta(
    meta: Option<wire::Meta<'_>>,
    namespaced: Option<bool>,
    words: &mut Words,
) -> Result<Meta, Fault> {
    let meta = meta.unwrap_or_default();
    let namespace = match (word(meta.namespace.as_ref(), words), namespaced) {
        (None, Some(true)) => words.intern("default"),
        (_, Some(false)) | (None, None) => words.intern(""),
        (Some(namespace), _) => namespace,
    };
    let owner = meta.owner_references.unwrap_or_default().into_iter();
    let owner = owner.filter(|owner| owner.controller == Some(true)).map(|owner| Owner {
        api_version: words.intern(&owner.api_version.unwrap_or_default().0),
        kind: words.intern(&owner.kind.unwrap_or_default().0),
        name: words.intern(&owner.name.unwrap_or_default().0),
        uid: words.intern(&owner.uid.unwrap_or_default().0),
    });
    let owner = { owner }.next();
    Ok(Meta {
        namespace,
        name: words.intern(&meta.name.unwrap_or_default().0),
        uid: word(meta.uid.as_ref(), words),
        labels: labels(meta.labels, words),
        annotations: annotations(meta.annotations, words),
        created: time("metadata.creationTimestamp", meta.creation_timestamp.as_ref())?,
        owner,
    })
}

pub(super) fn time(path: &str, text: Option<&Text<'_>>) -> Result<Option<Time>, Fault> {
    match text {
        None => Ok(None),
        Some(text) => text.0.parse().map(Some).map_err(|error| Fault::new(path, format!("{error}"))),
    }
}

pub(super) fn protocol(path: &str, text: Option<&Text<'_>>) -> Result<Protocol, Fault> {
    match text.map_or("", |text| &*text.0) {
        "" => Ok(Protocol::Tcp),
        text => text
            .parse()
            .map_err(|error| Fault::new(format!("{path}.protocol"), format!("`{}`: {error}", clip(text)))),
    }
}

pub(super) fn port(path: &str, number: i64) -> Result<u16, Fault> {
    u16::try_from(number)
        .ok()
        .filter(|&port| port > 0)
        .ok_or_else(|| Fault::new(path, format!("{number} is no port: use 1 to 65535")))
}

/// An address; v4-mapped ones become IPv4.
pub(super) fn address(path: &str, text: &str) -> Result<IpAddr, Fault> {
    let ip: IpAddr =
        text.parse().map_err(|_unparsed| Fault::new(path, format!("`{}` is no IP address", clip(text))))?;
    Ok(ip.to_canonical())
}

/// Addresses of the plural field and, where that lacks it, of the older singular one.
pub(super) fn addresses<'t>(
    path: &str,
    one: Option<&'t Text<'_>>,
    many: impl Iterator<Item = &'t str>,
) -> Result<Vec<IpAddr>, Fault> {
    let mut found = Vec::new();
    for text in one.map(|text| &*text.0).into_iter().chain(many) {
        // A headless Service says `None`; the API server fills in the others later.
        if text.is_empty() || text == "None" {
            continue;
        }
        let ip = address(path, text)?;
        if !found.contains(&ip) {
            found.push(ip);
        }
    }
    Ok(found)
}

pub(super) fn target_port(path: &str, value: &IntOrString, words: &mut Words) -> Result<TargetPort, Fault> {
    match value {
        IntOrString::Int(number) => port(path, i64::from(*number)).map(TargetPort::Number),
        IntOrString::String(name) => Ok(TargetPort::Name(words.intern(name))),
    }
}

/// The ports of all containers, init and sidecar ones too.
pub(super) fn container_ports(
    path: &str,
    spec: &wire::PodSpec<'_>,
    words: &mut Words,
) -> Result<Vec<ContainerPort>, Fault> {
    let groups = [("initContainers", &spec.init_containers), ("containers", &spec.containers)];
    let mut ports = Vec::new();
    for (group, containers) in groups {
        for (i, container) in containers.iter().flatten().enumerate() {
            for (j, declared) in container.ports.iter().flatten().enumerate() {
                let path = format!("{path}.{group}[{i}].ports[{j}]");
                ports.push(ContainerPort {
                    name: word(declared.name.as_ref(), words),
                    port: port(&format!("{path}.containerPort"), declared.container_port.unwrap_or(0))?,
                    protocol: protocol(&path, declared.protocol.as_ref())?,
                });
            }
        }
    }
    Ok(ports)
}

/// Untrusted text, short enough for a message.
pub(super) fn clip(text: &str) -> String {
    let mut clipped: String = text.chars().take(80).flat_map(char::escape_debug).collect();
    if text.chars().nth(80).is_some() {
        clipped.push_str("...");
    }
    clipped
}
