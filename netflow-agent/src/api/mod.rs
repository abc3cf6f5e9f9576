//! Requests to the agent, answered purely: routes in, bytes out. The sockets are in `sys`.
