//! Requests to the agent, answered purely: routes in, bytes out. The sockets are in `sys`.

pub mod figures;
pub mod metrics;
pub mod routes;
