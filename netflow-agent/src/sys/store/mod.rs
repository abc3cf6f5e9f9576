//! Hours on disk: one redb file per state folder, one table of flows per hour, coverage and objects beside
//! them. In: the engine's batches. Out: recording lines. A batch is there whole or not at all, whenever the
//! machine stops; the layout has a version, and a file of another one is set aside, never misread.

mod error;
mod files;
mod layout;
mod lost;
mod read;
mod retain;
#[cfg(test)]
mod tests;
mod write;

pub use error::StoreError;
pub use layout::FILE;
pub use read::Reader;
pub use retain::Limits;
pub use write::{Opened, Resumed, Store};

/// The socket of the agent that writes to a state folder.
pub const SOCKET: &str = "agent.sock";
/// What a flow takes on disk, with its share of the tree's pages: an hour of so many fits half of the store.
pub const ROW_BYTES: u64 = 256;
/// Where an agent keeps its state when nothing else is said.
pub const FOLDER: &str = "/var/lib/netflow";
