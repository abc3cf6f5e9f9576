//! What people and other tools read. In: rule sets, edges, gaps, tables. Out: YAML, JSON and text, byte for
//! byte the same for the same content.

pub mod assertions;
pub mod audit;
pub mod change;
pub mod connectivity;
pub mod coverage;
pub mod edge;
pub mod end;
pub mod explain;
pub mod kubernetes;
pub mod proof;
pub mod summary;
pub mod table;
pub mod tree;

#[cfg(test)]
mod tests;
pub(crate) mod words;
