//! What NetworkPolicy means, on random clusters with every feature: the compiled engine against a naive
//! reading of the specification, the laws, and the connectivity of a cluster against single verdicts.

#[path = "../support/clusters.rs"]
mod clusters;
#[path = "../support/naive.rs"]
mod naive;

mod connectivity;
mod features;
mod findings;
mod laws;
