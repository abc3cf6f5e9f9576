//! The kernel programs: what they require, how they load, attach and are drained. In: a cgroup2 tree and the
//! time. Out: samples, and every loss by its cause. Dropping a `Capture` detaches everything.

mod capture;
pub mod cgroup;
mod error;
mod interpret;
mod ledger;
mod load;
mod maps;
mod messages;
pub mod require;
mod syscall;

pub use capture::{Capture, Drained, Options};
pub use error::Error;
pub(super) use syscall::give_memory_back;
