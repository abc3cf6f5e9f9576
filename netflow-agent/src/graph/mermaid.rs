//! A graph for Mermaid, as Markdown pages show it: a subgraph for each namespace, a dotted line where nothing
//! was answered.

use std::io::{self, Write};

use super::{Graph, label, ports};

/// Writes the whole graph.
pub fn write(graph: &Graph, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "flowchart LR")?;
    for (at, (namespace, ends)) in graph.namespaces().into_iter().enumerate() {
        let indent = if namespace.is_some() { "    " } else { "  " };
        if let Some(namespace) = namespace {
            writeln!(out, "  subgraph s{at}[{}]", quoted(namespace))?;
        }
        for end in ends {
            writeln!(out, "{indent}n{end}[{}]", quoted(&label(&graph.ends[end])))?;
        }
        if namespace.is_some() {
            writeln!(out, "  end")?;
        }
    }
    for link in &graph.links {
        let arrow = if link.unconfirmed { "-.->" } else { "-->" };
        writeln!(out, "  n{} {arrow}|{}| n{}", link.source, quoted(&ports(link)), link.destination)?;
    }
    Ok(())
}

/// Mermaid reads entities within quotes; names come from outside, and its text is HTML.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("#quot;"),
            '#' => quoted.push_str("#35;"),
            '<' => quoted.push_str("#lt;"),
            '>' => quoted.push_str("#gt;"),
            '&' => quoted.push_str("#amp;"),
            c if c.is_control() => quoted.push(' '),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
