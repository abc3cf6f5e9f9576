//! What programs and maps are called. A kernel test has the stem of its hook family: `tcp`, `udp`, `existing`.

/// Changes with every change of a map's layout.
pub const LAYOUT: u32 = 2;

/// The programs, as the kernel shows them; without CAP_PERFMON it shows none, because aya then finds that names are not
/// supported.
pub mod program {
    pub const TCP: &str = "netflow_tcp";
    pub const CONNECT4: &str = "netflow_con4";
    pub const CONNECT6: &str = "netflow_con6";
    pub const SENDMSG4: &str = "netflow_send4";
    pub const SENDMSG6: &str = "netflow_send6";
    pub const RECVMSG4: &str = "netflow_recv4";
    pub const RECVMSG6: &str = "netflow_recv6";
    pub const BIND4: &str = "netflow_bind4";
    pub const BIND6: &str = "netflow_bind6";
    /// As the two above, but silent: for kernels that refuse words without CAP_PERFMON.
    pub const QUIET_BIND4: &str = "netflow_bind4q";
    pub const QUIET_BIND6: &str = "netflow_bind6q";
    pub const RELEASE: &str = "netflow_release";
    pub const EXISTING: &str = "netflow_exist";
    pub const EXISTING_INGRESS: &str = "netflow_existin";
}

/// The maps.
pub mod map {
    /// The two flow maps, of which the epoch of `SETTINGS` says which is in use: an even one is the first.
    pub const FLOWS: [&str; 2] = ["FLOWS_EVEN", "FLOWS_ODD"];
    /// The section with `Settings`.
    pub const SETTINGS: &str = ".data.settings";
    /// Records of flows that found their map full.
    pub const OVERFLOW: &str = "OVERFLOW";
    /// Counters by `Loss`, and `OVERFLOWED`.
    pub const LOSSES: &str = "LOSSES";
    /// The state of a UDP socket.
    pub const SOCKETS: &str = "SOCKETS";
}
