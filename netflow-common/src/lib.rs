//! What the kernel programs and the agent of netflow share.
//!
//! The programs count flows in two hash maps, of which one is in use: key `FlowKey`, value `FlowStats`
//! (`flow`), with every address in one 16-byte form (`addr`). A flow that finds its map full goes through
//! the ring buffer as an `event`; one that finds the ring full too is counted by cause (`loss`).
//! What the agent tells the programs meanwhile are `settings`. `names` says what programs and maps are called, so that neither side spells a name twice.
#![no_std]

pub mod addr;
pub mod event;
pub mod flow;
pub mod loss;
pub mod names;
pub mod settings;

pub use addr::Address;
pub use event::FlowRecord;
pub use flow::{FlowKey, FlowStats};
