//! An end of an edge, for people and as JSON.

use std::net::IpAddr;
use std::sync::Arc;

use serde::Serialize;

use crate::identity::{Endpoint, ServiceName};

/// `shop/deployment/frontend`, `node/a`, an address; what the command line takes back where it names an end.
pub fn text(end: &Endpoint) -> String {
    match end {
        Endpoint::Workload(one) => {
            format!("{}/{}/{}", one.namespace, one.kind.as_str().to_ascii_lowercase(), one.name)
        }
        Endpoint::Node(name) => format!("node/{name}"),
        Endpoint::External(ip) => ip.to_string(),
        Endpoint::Service(one) => format!("{}/service/{}", one.namespace, one.name),
        Endpoint::Unknown { ip, reason } => format!("unknown {ip} ({reason})"),
    }
}

/// Without the reason why it is unknown: for tables that tell it elsewhere.
pub fn brief(end: &Endpoint) -> String {
    match end {
        Endpoint::Unknown { ip, .. } => format!("unknown {ip}"),
        known => text(known),
    }
}

/// The JSON form of the output contract: a workload, `Node`, `External`, `Service` or `Unknown`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct EndJson {
    kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ip: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Arc<str>>,
}

pub fn json(end: &Endpoint) -> EndJson {
    match end {
        Endpoint::Workload(one) => EndJson {
            kind: one.kind.as_str().to_owned(),
            namespace: Some(Arc::clone(&one.namespace)),
            name: Some(Arc::clone(&one.name)),
            ..EndJson::default()
        },
        Endpoint::Node(name) => {
            EndJson { kind: "Node".to_owned(), name: Some(Arc::clone(name)), ..EndJson::default() }
        }
        Endpoint::External(ip) => {
            EndJson { kind: "External".to_owned(), ip: Some(*ip), ..EndJson::default() }
        }
        Endpoint::Service(one) => service(one),
        Endpoint::Unknown { ip, reason } => EndJson {
            kind: "Unknown".to_owned(),
            ip: Some(*ip),
            reason: Some(Arc::clone(reason)),
            ..EndJson::default()
        },
    }
}

pub fn service(name: &ServiceName) -> EndJson {
    EndJson {
        kind: "Service".to_owned(),
        namespace: Some(Arc::clone(&name.namespace)),
        name: Some(Arc::clone(&name.name)),
        ..EndJson::default()
    }
}
