//! Who can reach whom, for people and tools. In: a connectivity and the namespaces that are asked for. Out: lines
//! of JSON, a table, a matrix, sentences, or a picture's source; in one order, workloads before outside ranges.

use std::io::{self, Write};

use ipnet::IpNet;

use crate::connectivity::{Connectivity, Range, Ranges};
use crate::evaluate::Ports;
use crate::identity::WorkloadName;

mod json;
mod picture;
mod sentences;
mod table;

pub use json::{end as json_end, json, ports as json_ports};
pub use picture::{dot, mermaid};
pub use sentences::text;
pub use table::{matrix, table};

/// One end of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side<'a> {
    Workload(&'a WorkloadName),
    /// Outside addresses with the same ports.
    Outside(&'a Range),
}

/// Who may reach whom, and on which ports.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    pub source: Side<'a>,
    pub destination: Side<'a>,
    pub ports: &'a Ports,
}

/// The rows of a connectivity in which a namespace takes part; None: all.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    pub connectivity: &'a Connectivity,
    pub namespace: Option<&'a str>,
}

impl<'a> Rows<'a> {
    fn wanted(&self, name: &WorkloadName) -> bool {
        self.namespace.is_none_or(|namespace| *name.namespace == *namespace)
    }

    /// The workloads that are asked for, with their numbers.
    pub fn workloads(&self) -> impl Iterator<Item = (usize, &'a WorkloadName)> + use<'a> {
        let this = *self;
        self.connectivity.workloads().iter().enumerate().filter(move |(_, name)| this.wanted(name))
    }

    /// Calls `each` with every row: by source, then destination; rows from outside come last.
    pub fn each(&self, each: &mut dyn FnMut(Row<'a>) -> io::Result<()>) -> io::Result<()> {
        let names = self.connectivity.workloads();
        for (at, source) in names.iter().enumerate() {
            for (to, ports) in self.connectivity.from(at) {
                let destination = &names[to];
                if self.wanted(source) || self.wanted(destination) {
                    let (source, destination) = (Side::Workload(source), Side::Workload(destination));
                    each(Row { source, destination, ports })?;
                }
            }
            for range in outside(self.connectivity.to_outside(at)).filter(|_| self.wanted(source)) {
                let (source, destination) = (Side::Workload(source), Side::Outside(range));
                each(Row { source, destination, ports: &range.ports })?;
            }
        }
        for (at, destination) in self.workloads() {
            for range in outside(self.connectivity.from_outside(at)) {
                let (source, destination) = (Side::Outside(range), Side::Workload(destination));
                each(Row { source, destination, ports: &range.ports })?;
            }
        }
        Ok(())
    }
}

fn outside(ranges: &Ranges) -> impl Iterator<Item = &Range> {
    ranges.iter()
}

/// `Deployment shop/web`, `any IPv4 address outside`, `203.0.113.0/24, 203.0.114.0/23 outside`.
fn words(side: Side<'_>) -> String {
    match side {
        Side::Workload(name) => workload(name),
        Side::Outside(range) => match range.cidrs().as_slice() {
            [IpNet::V4(net)] if net.prefix_len() == 0 => "any IPv4 address outside".to_owned(),
            [IpNet::V6(net)] if net.prefix_len() == 0 => "any IPv6 address outside".to_owned(),
            [one] => one.to_string(),
            _ => format!("{}-{}", range.first, range.last),
        },
    }
}

fn workload(name: &WorkloadName) -> String {
    format!("{} {}/{}", name.kind.as_str(), name.namespace, name.name)
}

/// What cannot be judged, as a sentence for the margin.
pub fn not_judged(connectivity: &Connectivity, out: &mut dyn Write) -> io::Result<()> {
    let names = connectivity.host_network();
    if names.is_empty() {
        return Ok(());
    }
    let list: Vec<String> = names.iter().map(workload).collect();
    writeln!(out, "not judged, on the host network: {}", list.join(", "))
}
