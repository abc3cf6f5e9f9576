//! Edges and attempts: a table for people, one JSON object a line for programs.

use std::collections::BTreeSet;
use std::io::{self, Write};

use serde::Serialize;

use super::end::EndJson;
use super::{end, table};
use crate::edge::{Attempt, Edge, EdgeKey, Witness};
use crate::identity::{Endpoint, ServiceName};
use crate::recording::write::{basis, outcome};
use crate::time::{Hour, Time};

/// How much a table tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    Short,
    Wide,
}

/// Who, to whom, on which port.
#[derive(Serialize)]
struct KeyJson {
    source: EndJson,
    destination: EndJson,
    port: u16,
    protocol: &'static str,
}

impl KeyJson {
    fn of(key: &EdgeKey) -> Self {
        Self {
            source: end::json(&key.source),
            destination: end::json(&key.destination),
            port: key.port,
            protocol: key.protocol.as_str(),
        }
    }
}

/// How often, when, and through which Services: the first where the contract has one, the others beside it.
#[derive(Serialize)]
struct SeenJson {
    via: Option<EndJson>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    also_via: Vec<EndJson>,
    connections: u64,
    hours: usize,
    first: String,
    last: String,
}

impl SeenJson {
    fn of(via: &BTreeSet<ServiceName>, connections: u64, hours: &BTreeSet<Hour>, span: (Time, Time)) -> Self {
        let mut via = via.iter().map(end::service);
        Self {
            via: via.next(),
            also_via: via.collect(),
            connections,
            hours: hours.len(),
            first: span.0.to_string(),
            last: span.1.to_string(),
        }
    }
}

/// A Service's port on a node that was dialled, beside the contract.
#[derive(Serialize)]
struct NodePortJson<'a> {
    node: &'a str,
    port: u16,
}

#[derive(Serialize)]
struct EdgeLine<'a> {
    #[serde(flatten)]
    key: KeyJson,
    witness: &'a str,
    #[serde(flatten)]
    seen: SeenJson,
    basis: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    node_ports: Vec<NodePortJson<'a>>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    unconfirmed: bool,
    bytes_sent: u64,
    bytes_received: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<&'a str>,
}

/// One edge, one line; `verdict` is the replay's class.
pub fn write_json(edge: &Edge, verdict: Option<&str>, out: &mut dyn Write) -> io::Result<()> {
    let line = EdgeLine {
        key: KeyJson::of(&edge.key),
        witness: witness(edge.witness),
        seen: SeenJson::of(&edge.via, edge.connections, &edge.hours, (edge.first, edge.last)),
        basis: basis(edge.basis),
        node_ports: edge
            .node_ports
            .iter()
            .map(|one| NodePortJson { node: &one.node, port: one.port })
            .collect(),
        unconfirmed: edge.unconfirmed,
        bytes_sent: edge.bytes_sent,
        bytes_received: edge.bytes_received,
        verdict,
    };
    serde_json::to_writer(&mut *out, &line)?;
    out.write_all(b"\n")
}

#[derive(Serialize)]
struct AttemptLine<'a> {
    #[serde(flatten)]
    key: KeyJson,
    outcome: &'a str,
    #[serde(flatten)]
    seen: SeenJson,
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<&'a str>,
}

/// One attempt, one line.
pub fn write_attempt_json(attempt: &Attempt, verdict: Option<&str>, out: &mut dyn Write) -> io::Result<()> {
    let line = AttemptLine {
        key: KeyJson::of(&attempt.key),
        outcome: outcome(attempt.outcome),
        seen: SeenJson::of(&attempt.via, attempt.connections, &attempt.hours, (attempt.first, attempt.last)),
        verdict,
    };
    serde_json::to_writer(&mut *out, &line)?;
    out.write_all(b"\n")
}

/// Edges under `SOURCE DESTINATION PORT ...`.
pub fn write_table(edges: &[&Edge], detail: Detail, out: &mut dyn Write) -> io::Result<()> {
    let mut heads = vec!["SOURCE", "DESTINATION", "PORT", "WITNESS", "CONNECTIONS", "LAST"];
    if detail == Detail::Wide {
        heads.extend(["FIRST", "HOURS", "SENT", "RECEIVED", "VIA", "NOTES"]);
    }
    let row = |edge: &&Edge| {
        let mut row = ends(&edge.key);
        if detail == Detail::Wide {
            row[0] = end::brief(&edge.key.source);
            row[1] = end::brief(&edge.key.destination);
        }
        row.extend([witness(edge.witness).to_owned(), edge.connections.to_string(), edge.last.to_string()]);
        if detail == Detail::Wide {
            row.extend([
                edge.first.to_string(),
                edge.hours.len().to_string(),
                edge.bytes_sent.to_string(),
                edge.bytes_received.to_string(),
                via(&edge.via),
                notes(edge),
            ]);
        }
        row
    };
    table::write(&heads, &edges.iter().map(row).collect::<Vec<_>>(), out)
}

/// Attempts under the same heads, with what became of them.
pub fn write_attempts(attempts: &[&Attempt], out: &mut dyn Write) -> io::Result<()> {
    let row = |attempt: &&Attempt| {
        let mut row = ends(&attempt.key);
        row.extend([
            outcome(attempt.outcome).to_owned(),
            attempt.connections.to_string(),
            attempt.last.to_string(),
            via(&attempt.via),
        ]);
        row
    };
    let heads = ["SOURCE", "DESTINATION", "PORT", "OUTCOME", "COUNT", "LAST", "VIA"];
    table::write(&heads, &attempts.iter().map(row).collect::<Vec<_>>(), out)
}

/// Source, destination, port.
pub fn ends(key: &EdgeKey) -> Vec<String> {
    vec![end::text(&key.source), end::text(&key.destination), format!("{}/{}", key.port, key.protocol)]
}

/// The word of the output contract.
pub const fn witness(witness: Witness) -> &'static str {
    match witness {
        Witness::Client => "client",
        Witness::Server => "server",
        Witness::Both => "both",
    }
}

fn via(services: &BTreeSet<ServiceName>) -> String {
    if services.is_empty() {
        return "-".to_owned();
    }
    let names: Vec<String> = services.iter().map(|one| format!("{}/{}", one.namespace, one.name)).collect();
    names.join(",")
}

fn notes(edge: &Edge) -> String {
    let mut notes: Vec<String> = Vec::new();
    if edge.basis == crate::flow::Basis::Existing {
        notes.push("existing".to_owned());
    }
    if edge.unconfirmed {
        notes.push("unconfirmed".to_owned());
    }
    for end in [&edge.key.source, &edge.key.destination] {
        if let Endpoint::Unknown { reason, .. } = end {
            notes.push(reason.to_string());
        }
    }
    if notes.is_empty() { "-".to_owned() } else { notes.join(", ") }
}
