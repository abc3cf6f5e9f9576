//! Connectivity as columns: a table of pairs, or a matrix of all.

use std::collections::BTreeMap;
use std::io::{self, Write};

use super::{Rows, words, workload};
use crate::connectivity::Ranges;
use crate::evaluate::Ports;

/// Widths grow with the longest cell; the last column is not padded.
fn columns(lines: &[Vec<String>], out: &mut dyn Write) -> io::Result<()> {
    let mut widths: Vec<usize> = Vec::new();
    for line in lines {
        widths.resize(widths.len().max(line.len()), 0);
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.chars().count());
        }
    }
    for line in lines {
        let cells: Vec<String> =
            line.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        writeln!(out, "{}", cells.join("   ").trim_end())?;
    }
    Ok(())
}

pub fn table(rows: Rows<'_>, out: &mut dyn Write) -> io::Result<()> {
    let mut lines = vec![vec!["SOURCE".to_owned(), "DESTINATION".to_owned(), "PORTS".to_owned()]];
    rows.each(&mut |row| {
        lines.push(vec![words(row.source), words(row.destination), row.ports.to_string()]);
        Ok(())
    })?;
    columns(&lines, out)
}

/// Rows are sources, columns destinations by their number; `.` is nothing. The last row and column are the outside:
/// what some outside address may reach, or be reached on.
pub fn matrix(rows: Rows<'_>, out: &mut dyn Write) -> io::Result<()> {
    let wanted: Vec<_> = rows.workloads().collect();
    let mut header = vec![String::new(), "FROM \\ TO".to_owned()];
    header.extend((1..=wanted.len()).map(|number| number.to_string()));
    header.push("outside".to_owned());
    let mut lines = vec![header];
    for (number, &(at, name)) in (1..).zip(&wanted) {
        let reached: BTreeMap<usize, &Ports> = rows.connectivity.from(at).collect();
        let cell = |to: usize| reached.get(&to).map_or_else(|| ".".to_owned(), ToString::to_string);
        let mut line = vec![format!("{number}"), workload(name)];
        line.extend(wanted.iter().map(|&(to, _)| cell(to)));
        line.push(any(rows.connectivity.to_outside(at)));
        lines.push(line);
    }
    let mut last = vec![String::new(), "outside".to_owned()];
    last.extend(wanted.iter().map(|&(to, _)| any(rows.connectivity.from_outside(to))));
    lines.push(last);
    columns(&lines, out)
}

fn any(ranges: &Ranges) -> String {
    let mut whole = Ports::default();
    ranges.iter().for_each(|range| whole.extend(&range.ports));
    if whole.is_empty() { ".".to_owned() } else { whole.to_string() }
}
