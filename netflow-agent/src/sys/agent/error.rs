//! Why the agent could not start, or did not stop cleanly.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::super::store::StoreError;

/// What ended a run.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    #[error("open the state folder")]
    Store(#[source] StoreError),
    #[error("start capturing")]
    Capture(#[source] Box<super::super::bpf::Error>),
    #[error("start the threads")]
    Runtime { source: std::io::Error },
    #[error("listen on {address}")]
    Listen { address: SocketAddr, source: std::io::Error },
    #[error("listen on the socket {path}")]
    Socket { path: PathBuf, source: std::io::Error },
    #[error("read the inventory {path}")]
    Inventory { path: PathBuf, source: std::io::Error },
    #[error("read the inventory: {finding}")]
    Manifest { finding: String },
    #[error("tell this node's name")]
    NoNode,
    #[cfg(feature = "cluster")]
    #[error("reach the Kubernetes API")]
    Cluster(#[source] super::super::cluster::Error),
    #[error("save what was seen last, {flows} flows in all")]
    Unsaved { flows: usize, source: StoreError },
    #[error("the capturing loop ended by itself")]
    LoopEnded,
}

impl AgentError {
    /// What to do about it, where that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Store(error) | Self::Unsaved { source: error, .. } => error.hint(),
            Self::Capture(error) => error.hint().map(str::to_owned),
            Self::Listen { .. } => Some(
                "another agent on this machine? give other addresses with --query and --metrics, or `off`"
                    .to_owned(),
            ),
            Self::NoNode => Some("give it with --node or $NODE_NAME".to_owned()),
            Self::Socket { source, .. } if source.kind() == std::io::ErrorKind::InvalidInput => {
                Some("the path of a socket has at most 107 bytes: give a shorter --state-dir".to_owned())
            }
            _ => None,
        }
    }
}
