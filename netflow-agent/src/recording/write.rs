//! A `Recording` as lines: coverage, then objects, then flows, each sorted, so that equal content gives equal
//! bytes. What is written reads back as the same recording.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde::Serialize;
use serde_json::Value;

use super::flows::in_order;
use super::{Observed, Recording, Spilt, object};
use crate::flow::{Basis, Coverage, Flow, Outcome, Side};
use crate::time::Window;

/// Writes a whole recording.
pub fn write(recording: &Recording, out: &mut dyn Write) -> io::Result<()> {
    write_all_but_flows(recording, out)?;
    let mut flows: Vec<&Flow> = recording.flows.iter().collect();
    flows.sort_by(|one, other| in_order(&one.key, &other.key));
    flows.into_iter().try_for_each(|flow| write_flow(flow, out))
}

/// The same, with those flows only that meet the window; memory holds none of them.
pub fn write_spilt(recording: &Recording<Spilt>, window: Window, out: &mut dyn Write) -> io::Result<()> {
    write_all_but_flows(recording, out)?;
    for flow in recording.flows.in_order()? {
        let flow = flow?;
        if window.meets(flow.counters.first, flow.counters.last) {
            write_flow(&flow, out)?;
        }
    }
    Ok(())
}

fn write_all_but_flows<F>(recording: &Recording<F>, out: &mut dyn Write) -> io::Result<()> {
    let mut coverage: Vec<&Coverage> = recording.coverage.iter().collect();
    coverage.sort_by_key(|line| (line.hour, &line.node, line.seq));
    for line in coverage {
        write_coverage(line, out)?;
    }
    let mut objects: Vec<String> = Vec::with_capacity(recording.objects.len());
    for observed in &recording.objects {
        objects.push(object_line(observed)?);
    }
    objects.sort_unstable();
    objects.dedup();
    for line in &objects {
        out.write_all(line.as_bytes())?;
        out.write_all(b"\n")?;
    }
    Ok(())
}

#[derive(Serialize)]
struct CoverageLine<'a> {
    kind: &'static str,
    node: &'a str,
    hour: String,
    seq: u32,
    observed_seconds: u32,
    #[serde(skip_serializing_if = "is_none")]
    unheard_seconds: u32,
    lost: BTreeMap<&'a str, u64>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
const fn is_none(seconds: &u32) -> bool {
    *seconds == 0
}

/// One line of coverage.
pub fn write_coverage(coverage: &Coverage, out: &mut dyn Write) -> io::Result<()> {
    let line = CoverageLine {
        kind: "coverage",
        node: &coverage.node,
        hour: coverage.hour.to_string(),
        seq: coverage.seq,
        observed_seconds: coverage.observed_seconds,
        unheard_seconds: coverage.unheard_seconds,
        lost: coverage.lost.iter().map(|(cause, lost)| (&**cause, *lost)).collect(),
    };
    write_line(&line, out)
}

#[derive(Serialize)]
struct ObjectLine {
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    gateways: Vec<String>,
    object: Value,
}

/// One line about an object, without its line end.
pub fn object_line(observed: &Observed) -> io::Result<String> {
    let line = ObjectLine {
        kind: "object",
        from: observed.from.map(|at| at.to_string()),
        to: observed.to.map(|at| at.to_string()),
        gateways: observed.gateways.iter().map(ToString::to_string).collect(),
        object: object::to_json(&observed.object),
    };
    Ok(serde_json::to_string(&line)?)
}

#[derive(Serialize)]
struct FlowLine<'a> {
    kind: &'static str,
    node: &'a str,
    hour: String,
    seq: u32,
    side: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pod: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    local: Option<String>,
    remote: String,
    port: u16,
    protocol: &'static str,
    outcome: &'static str,
    basis: &'static str,
    connections: u64,
    bytes_sent: u64,
    bytes_received: u64,
    first: String,
    last: String,
}

/// One line of flow.
pub fn write_flow(flow: &Flow, out: &mut dyn Write) -> io::Result<()> {
    let (key, counters) = (&flow.key, &flow.counters);
    let line = FlowLine {
        kind: "flow",
        node: &key.node,
        hour: key.hour.to_string(),
        seq: key.seq,
        side: side(key.side),
        pod: key.pod.as_deref(),
        local: key.local.map(|ip| ip.to_string()),
        remote: key.remote.to_string(),
        port: key.port,
        protocol: key.protocol.as_str(),
        outcome: outcome(key.outcome),
        basis: basis(key.basis),
        connections: counters.connections,
        bytes_sent: counters.bytes_sent,
        bytes_received: counters.bytes_received,
        first: counters.first.to_string(),
        last: counters.last.to_string(),
    };
    write_line(&line, out)
}

/// The word of the format.
pub const fn side(side: Side) -> &'static str {
    match side {
        Side::Client => "client",
        Side::Server => "server",
    }
}

/// The word of the format.
pub const fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Established => "established",
        Outcome::Refused => "refused",
        Outcome::Timeout => "timeout",
        Outcome::Unanswered => "unanswered",
    }
}

/// The word of the format.
pub const fn basis(basis: Basis) -> &'static str {
    match basis {
        Basis::Observed => "observed",
        Basis::Existing => "existing",
    }
}

fn write_line<T: Serialize>(line: &T, out: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer(&mut *out, line)?;
    out.write_all(b"\n")
}
