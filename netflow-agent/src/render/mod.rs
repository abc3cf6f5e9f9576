//! What people and other tools read. In: rule sets, gaps, tables. Out: YAML, JSON and text, byte for byte the
//! same for the same content.

pub mod connectivity;
pub mod explain;
pub mod kubernetes;
pub mod tree;

mod words;
