//! The Kubernetes API. `client` makes a connection from a kubeconfig or from inside a pod; `watch` follows
//! the objects that one node needs; `forward` reaches the agents of all nodes, `gather` asks
//! them once and `follow` goes on. Nothing here writes to the
//! cluster.

pub mod client;
pub mod follow;
pub mod forward;
pub mod gather;
pub mod live;
pub mod session;
pub mod watch;

use hyper::http::Error as RequestError;
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
    #[error("make a request for `{path}`")]
    Request {
        path: String,
        #[source]
        source: RequestError,
    },
    #[error("read the answer of pod {pod}")]
    Http {
        pod: String,
        #[source]
        source: hyper::Error,
    },
    #[error("pod {pod} refused the forward: {reason}")]
    Refused { pod: String, reason: String },
    #[error("pod {pod} answered with status {status}")]
    Status { pod: String, status: u16 },
    #[error("pod {pod} has ended")]
    Ended { pod: String },
    #[error("pod {pod} said nothing for {seconds} s")]
    Silent { pod: String, seconds: u64 },
    #[error("pod {pod} was not done within {seconds} s")]
    Late { pod: String, seconds: u64 },
    #[error("its answer holds {what} of more than {mib} MiB")]
    TooLong { what: &'static str, mib: usize },
    #[error("only namespace {namespace} could be read")]
    OneNamespace { namespace: String },
    #[error("start the threads")]
    Runtime { source: std::io::Error },
    #[error("wait for a signal")]
    Signal { source: std::io::Error },
    #[error("watch {kind}")]
    Watch {
        kind: &'static str,
        #[source]
        source: Box<kube::runtime::watcher::Error>,
    },
}

impl Error {
    /// It and its causes on one line; causes that only repeat are left out.
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(inner) = cause {
            let words = inner.to_string();
            if !text.ends_with(&words) {
                text.push_str(": ");
                text.push_str(&words);
            }
            cause = inner.source();
        }
        text
    }

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
            _ => return false,
        };
        matches!(error, kube::Error::Api(status) if status.code == 403 || status.code == 401)
    }
}
