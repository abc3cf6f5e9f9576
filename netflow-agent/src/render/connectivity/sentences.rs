//! Connectivity as plain sentences, one per fact, for a reviewer to sign. What is not said is not allowed.

use std::io::{self, Write};

use super::{Row, Rows, Side, words, workload};
use crate::evaluate::Ports;
use crate::net::Protocol;

pub fn text(rows: Rows<'_>, out: &mut dyn Write) -> io::Result<()> {
    rows.each(&mut |Row { source, destination, ports }| {
        let ports = on(ports);
        match (source, destination) {
            (Side::Workload(a), Side::Workload(b)) if a == b => {
                writeln!(out, "The pods of {} may reach each other {ports}.", workload(a))
            }
            (Side::Outside(_), to) => {
                writeln!(out, "{} may reach {} {ports}.", capital(&words(source)), words(to))
            }
            (from, to) => writeln!(out, "{} may reach {} {ports}.", words(from), words(to)),
        }
    })?;
    let mut reaching = vec![false; rows.connectivity.workloads().len()];
    let mut reached = reaching.clone();
    for (at, source_reaches) in reaching.iter_mut().enumerate() {
        for (to, _) in rows.connectivity.from(at) {
            *source_reaches = true;
            reached[to] = true;
        }
        *source_reaches |= !rows.connectivity.to_outside(at).is_empty();
        reached[at] |= !rows.connectivity.from_outside(at).is_empty();
    }
    for (at, name) in rows.workloads() {
        match (reaching[at], reached[at]) {
            (false, false) => {
                writeln!(out, "{} may reach nothing, and nothing may reach it.", workload(name))?;
            }
            (false, true) => writeln!(out, "{} may reach nothing.", workload(name))?,
            (true, false) => writeln!(out, "Nothing may reach {}.", workload(name))?,
            (true, true) => {}
        }
    }
    writeln!(out, "Nothing else is allowed.")
}

fn on(ports: &Ports) -> String {
    if ports.is_all() {
        return "on all ports".to_owned();
    }
    let each = Protocol::ALL.into_iter().filter(|protocol| !ports.of(*protocol).is_empty());
    let each: Vec<String> = each.map(|protocol| format!("{protocol} {}", ports.of(protocol))).collect();
    format!("on {}", each.join(" and "))
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_ascii_uppercase().to_string() + letters.as_str()).unwrap_or_default()
}
