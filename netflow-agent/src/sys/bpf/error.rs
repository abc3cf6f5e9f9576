//! Why capturing could not start or go on.

use std::path::PathBuf;

/// One step towards the kernel that failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("read {path}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("Linux {release} is too old: 5.15 or newer is needed")]
    Kernel { release: String },
    #[error("no cgroup2 file system is mounted here")]
    NoCgroup2,
    #[error("`{path}` is not on a cgroup2 file system")]
    NotCgroup2 { path: PathBuf },
    #[error("`{path}` is the cgroup of one pod or service ({root}), not of the node")]
    Subtree { path: PathBuf, root: String },
    #[error("load the eBPF object")]
    Load { source: Box<aya::EbpfError> },
    #[error("the eBPF object has no {what} `{name}`")]
    Missing { what: &'static str, name: &'static str },
    #[error("load the program `{name}`")]
    Program { name: &'static str, source: Box<aya::programs::ProgramError> },
    #[error("attach the program `{name}` to {path}")]
    Attach { name: &'static str, path: PathBuf, source: Box<aya::programs::ProgramError> },
    #[error("another program holds {path} for itself alone, so `{name}` cannot attach")]
    Exclusive { name: &'static str, path: PathBuf },
    #[error("{op} the map `{name}`")]
    Map { op: &'static str, name: &'static str, source: std::io::Error },
    #[error("open the map `{name}`")]
    OpenMap { name: &'static str, source: Box<aya::maps::MapError> },
}

impl Error {
    /// What to do about it, where that is known.
    pub const fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NoCgroup2 => Some("mount cgroup2, or give its mount point with --cgroup"),
            Self::NotCgroup2 { .. } => Some("give the mount point of cgroup2 with --cgroup"),
            Self::Subtree { .. } => {
                Some("mount the node's /sys/fs/cgroup (hostPath) and give it with --cgroup")
            }
            Self::Load { .. } | Self::Program { .. } | Self::Attach { .. } => {
                Some("needs CAP_BPF and CAP_NET_ADMIN; `netflow-agent doctor` says what is missing")
            }
            Self::Exclusive { .. } => {
                Some("detach it, or attach it with BPF_F_ALLOW_MULTI: `bpftool cgroup tree` shows it")
            }
            _ => None,
        }
    }
}
