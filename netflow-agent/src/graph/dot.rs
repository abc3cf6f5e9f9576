//! A graph for Graphviz: a box for each namespace, a dashed line where nothing was answered.

use std::io::{self, Write};

use super::{Graph, label, ports};

/// Writes the whole graph.
pub fn write(graph: &Graph, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "digraph netflow {{")?;
    writeln!(out, "  rankdir=LR;")?;
    writeln!(out, "  node [shape=box];")?;
    for (at, (namespace, ends)) in graph.namespaces().into_iter().enumerate() {
        let indent = if namespace.is_some() { "    " } else { "  " };
        if let Some(namespace) = namespace {
            writeln!(out, "  subgraph cluster_{at} {{")?;
            writeln!(out, "    label={};", quoted(namespace))?;
        }
        for end in ends {
            writeln!(out, "{indent}n{end} [label={}];", quoted(&label(&graph.ends[end])))?;
        }
        if namespace.is_some() {
            writeln!(out, "  }}")?;
        }
    }
    for link in &graph.links {
        let style = if link.unconfirmed { ", style=dashed" } else { "" };
        let label = quoted(&ports(link));
        writeln!(out, "  n{} -> n{} [label={label}{style}];", link.source, link.destination)?;
    }
    writeln!(out, "}}")
}

/// Names come from outside: a quote or a backslash must not end the string.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted.push(' '),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
