//! An eBPF flow observer for Kubernetes that recommends network policy.
//!
//! Data goes one way. The kernel programs count; `sys::bpf` drains samples; `flow` orients them and adds
//! them up per hour; `recording` is their one written form. `identity` knows who held which address when;
//! `edge` joins flows to workloads. From edges come the `graph` and the `policy`; `evaluate` judges
//! policies, and `replay`, `compare`, `connectivity` and `audit` are questions to it. `render` writes.
//!
//! Everything that touches the world is in `sys` and `cli`; all else is a pure function of its input.
//! Modules stand in the order of the data: each imports only those above it.

pub mod net;
pub mod time;

pub mod manifest;

pub mod flow;
pub mod recording;

pub mod identity;

pub mod edge;
pub mod engine;
pub mod evaluate;

pub mod query;

pub mod connectivity;

pub mod replay;

pub mod compare;

pub mod audit;

pub mod graph;

pub mod review;

pub mod policy;

pub mod assess;

pub mod render;

pub mod api;

pub mod sys;

pub mod cli;
