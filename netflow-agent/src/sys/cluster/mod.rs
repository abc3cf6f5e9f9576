//! The Kubernetes API. `client` makes a connection from a kubeconfig or from inside a pod; `watch` follows
//! the objects that one node needs; `forward` reaches the agents of all nodes. Nothing here writes to the
//! cluster.

pub mod client;
pub mod watch;

use thiserror::Error;

/// What went wrong between us and the API server.
#[derive(Debug, Error)]
pub enum Error {
    #[error("read the kubeconfig {path}")]
    Kubeconfig {
        path: String,
        #[source]
        source: Box<kube::config::KubeconfigError>,
    },
    #[error("find the API server from inside the pod")]
    InCluster {
        #[source]
        source: Box<kube::config::InClusterError>,
    },
    #[error("make a client for {server}")]
    Client {
        server: String,
        #[source]
        source: Box<kube::Error>,
    },
    #[error("{op} {object}")]
    Api {
        op: &'static str,
        object: String,
        #[source]
        source: Box<kube::Error>,
    },
    #[error("watch {kind}")]
    Watch {
        kind: &'static str,
        #[source]
        source: Box<kube::runtime::watcher::Error>,
    },
}

impl Error {
    /// The API server answered, and refused: the rights are missing, and asking again does not help.
    pub fn is_forbidden(&self) -> bool {
        use kube::runtime::watcher::Error as Watcher;
        let error = match self {
            Self::Api { source, .. } | Self::Client { source, .. } => source.as_ref(),
            Self::Watch { source, .. } => match source.as_ref() {
                Watcher::InitialListFailed(error)
                | Watcher::WatchStartFailed(error)
                | Watcher::WatchFailed(error) => error,
                Watcher::WatchError(status) => return status.code == 403 || status.code == 401,
                Watcher::NoResourceVersion => return false,
            },
            Self::Kubeconfig { .. } | Self::InCluster { .. } => return false,
        };
        matches!(error, kube::Error::Api(status) if status.code == 403 || status.code == 401)
    }
}
