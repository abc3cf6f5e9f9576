//! The world: kernel, cluster, disk, sockets, clock. Everything else is pure.
//! Nothing above imports this room.

#[cfg(feature = "capture")]
pub mod bpf;
#[cfg(feature = "cluster")]
pub mod cluster;
pub mod store;
