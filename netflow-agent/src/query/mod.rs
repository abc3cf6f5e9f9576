//! Which edges were asked for: filters by namespace, workload, port, protocol and window.
