//! The world: kernel, cluster, disk, sockets, clock. Everything else is pure.
//! Nothing above imports this room.

#[cfg(feature = "capture")]
pub mod agent;
#[cfg(unix)]
pub mod ask;
#[cfg(feature = "capture")]
pub mod bpf;
#[cfg(feature = "capture")]
pub mod cgroup;
pub mod clock;
#[cfg(feature = "cluster")]
pub mod cluster;
pub mod files;
#[cfg(feature = "capture")]
mod http;
pub mod scratch;
pub mod signal;
pub mod store;
