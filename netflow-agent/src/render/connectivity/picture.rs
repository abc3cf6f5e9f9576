//! Connectivity as the source of a picture: Graphviz or Mermaid. Workloads by their name, arrows by their ports.

use std::collections::BTreeMap;
use std::io::{self, Write};

use super::{Row, Rows, words};

/// The nodes by name and number, and the arrows between them.
type Picture = (BTreeMap<String, usize>, Vec<(usize, usize, String)>);

/// Every name gets a number, so that no name can break the syntax.
fn picture(rows: Rows<'_>) -> io::Result<Picture> {
    let mut names: BTreeMap<String, usize> =
        rows.workloads().map(|(_, name)| (super::workload(name), 0)).collect();
    rows.each(&mut |Row { source, destination, .. }| {
        names.extend([(words(source), 0), (words(destination), 0)]);
        Ok(())
    })?;
    names.values_mut().enumerate().for_each(|(at, number)| *number = at);
    let mut arrows = Vec::new();
    rows.each(&mut |Row { source, destination, ports }| {
        arrows.push((names[&words(source)], names[&words(destination)], ports.to_string()));
        Ok(())
    })?;
    Ok((names, arrows))
}

pub fn dot(rows: Rows<'_>, out: &mut dyn Write) -> io::Result<()> {
    let (names, arrows) = picture(rows)?;
    writeln!(out, "digraph connectivity {{\n  rankdir=LR;\n  node [shape=box];")?;
    for (name, number) in &names {
        writeln!(out, "  n{number} [label=\"{}\"];", name.replace('\\', "\\\\").replace('"', "\\\""))?;
    }
    for (from, to, ports) in arrows {
        writeln!(out, "  n{from} -> n{to} [label=\"{ports}\"];")?;
    }
    writeln!(out, "}}")
}

pub fn mermaid(rows: Rows<'_>, out: &mut dyn Write) -> io::Result<()> {
    let (names, arrows) = picture(rows)?;
    writeln!(out, "flowchart LR")?;
    for (name, number) in &names {
        writeln!(out, "  n{number}[\"{}\"]", name.replace('"', "#quot;"))?;
    }
    for (from, to, ports) in arrows {
        writeln!(out, "  n{from} -->|\"{ports}\"| n{to}")?;
    }
    Ok(())
}
