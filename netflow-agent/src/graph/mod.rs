//! The dependency graph. In: edges. Out: nodes and links, as a table, dot, mermaid or JSON.
