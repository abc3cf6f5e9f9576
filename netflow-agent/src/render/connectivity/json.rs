//! Connectivity as JSON, one pair a line; an outside range is one line for each of its CIDRs.

use std::io::{self, Write};

use ipnet::IpNet;
use serde::Serialize;

use super::{Row, Rows, Side};
use crate::evaluate::Ports;
use crate::net::PortRange;

#[derive(Serialize)]
#[serde(untagged)]
enum WireEnd<'a> {
    Workload { kind: &'a str, namespace: &'a str, name: &'a str },
    Outside { kind: &'static str, cidr: IpNetText },
}

struct IpNetText(IpNet);

impl Serialize for IpNetText {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

#[derive(Serialize)]
struct WirePort {
    protocol: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    #[serde(rename = "endPort", skip_serializing_if = "Option::is_none")]
    end_port: Option<u16>,
}

/// Each end of a row as JSON; several where a range needs several CIDRs.
pub fn end(side: Side<'_>) -> io::Result<Vec<String>> {
    let ends: Vec<WireEnd<'_>> = match side {
        Side::Workload(name) => {
            vec![WireEnd::Workload { kind: name.kind.as_str(), namespace: &name.namespace, name: &name.name }]
        }
        Side::Outside(range) => {
            let outside = |cidr| WireEnd::Outside { kind: "External", cidr: IpNetText(cidr) };
            range.cidrs().into_iter().map(outside).collect()
        }
    };
    ends.iter().map(|end| Ok(serde_json::to_string(end)?)).collect()
}

/// A set of ports as JSON: all ports of a protocol without `port`, a range with `endPort`.
pub fn ports(ports: &Ports) -> io::Result<String> {
    let items: Vec<WirePort> = ports
        .ranges()
        .map(|(protocol, range)| WirePort {
            protocol: protocol.as_str(),
            port: (range != PortRange::ALL).then_some(range.first),
            end_port: (range != PortRange::ALL && range.last != range.first).then_some(range.last),
        })
        .collect();
    Ok(serde_json::to_string(&items)?)
}

pub fn json(rows: Rows<'_>, out: &mut dyn Write) -> io::Result<()> {
    rows.each(&mut |Row { source, destination, ports: set }| {
        let ports = ports(set)?;
        let destinations = end(destination)?;
        for source in end(source)? {
            for destination in &destinations {
                writeln!(out, r#"{{"source":{source},"destination":{destination},"ports":{ports}}}"#)?;
            }
        }
        Ok(())
    })
}
