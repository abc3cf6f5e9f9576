//! The difference of two policy sets, for people and as JSON, one flow a line.

use std::io::{self, Write};

use super::connectivity::{Side, json_end, json_ports};
use super::table;
use crate::compare::{self, Change};
use crate::evaluate::EndName;

fn side(side: &compare::Side) -> Side<'_> {
    match side {
        compare::Side::Workload(name) => Side::Workload(name),
        compare::Side::Outside(range) => Side::Outside(range),
    }
}

fn text(side: &compare::Side) -> String {
    match side {
        compare::Side::Workload(name) => EndName::Workload(name.clone()).to_string(),
        compare::Side::Outside(range) => {
            range.cidrs().iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
        }
    }
}

/// Nothing at all where nothing changes.
pub fn table(changes: &[Change], out: &mut dyn Write) -> io::Result<()> {
    if changes.is_empty() {
        return Ok(());
    }
    let rows: Vec<Vec<String>> = changes
        .iter()
        .map(|one| {
            vec![
                one.becomes.as_str().to_owned(),
                text(&one.source),
                text(&one.destination),
                one.ports.to_string(),
            ]
        })
        .collect();
    table::write(&["CHANGE", "SOURCE", "DESTINATION", "PORTS"], &rows, out)
}

/// As connectivity, with `change` beside it.
pub fn json(changes: &[Change], out: &mut dyn Write) -> io::Result<()> {
    for one in changes {
        let (ports, destinations) = (json_ports(&one.ports)?, json_end(side(&one.destination))?);
        for source in json_end(side(&one.source))? {
            for destination in &destinations {
                let change = one.becomes.as_str();
                writeln!(
                    out,
                    r#"{{"source":{source},"destination":{destination},"ports":{ports},"change":"{change}"}}"#
                )?;
            }
        }
    }
    Ok(())
}
