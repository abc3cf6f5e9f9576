//! Makes a client. In: a kubeconfig and a context that the user named, or the pod's own service account.
//! Out: a client that gives up on a dead connection. Nothing falls back from one to the other.

use std::path::{Path, PathBuf};
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use super::Error;

/// Which kubeconfig, and which of its contexts. Both absent: what kubectl would take.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    pub kubeconfig: Option<PathBuf>,
    pub context: Option<String>,
}

const CONNECT: Duration = Duration::from_secs(10);

/// A watch is ended by the server after so many seconds, and begun again: the load of kube-proxy.
pub(super) const WATCH_SECONDS: u32 = 290;
/// A connection that says nothing for longer than any watch lasts is dead, though nobody closed it.
const SILENCE: Duration = Duration::from_secs(WATCH_SECONDS as u64 + 10);

/// A client with the rights of the user of that context.
pub async fn from_kubeconfig(access: &Access) -> Result<Client, Error> {
    build(config(access).await?)
}

/// A client for lists and watches alone: it notices within five minutes that the other end is gone without a word.
/// Port-forwards may be silent for longer.
pub fn following(config: Config) -> Result<Client, Error> {
    silent_for(config, SILENCE)
}

pub(super) fn silent_for(mut config: Config, silence: Duration) -> Result<Client, Error> {
    config.read_timeout = Some(silence);
    // Else the time that a connection was idle between two requests counts too.
    config.reset_reader_on_write = true;
    build(config)
}

/// How the user of that context is reached.
pub async fn config(access: &Access) -> Result<Config, Error> {
    let options = KubeConfigOptions { context: access.context.clone(), ..KubeConfigOptions::default() };
    let named =
        |source| Error::Kubeconfig { path: name(access.kubeconfig.as_deref()), source: Box::new(source) };
    match &access.kubeconfig {
        Some(path) => {
            let kubeconfig = Kubeconfig::read_from(path).map_err(named)?;
            Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(named)
        }
        None => Config::from_kubeconfig(&options).await.map_err(named),
    }
}

/// The rights of the pod's service account.
pub fn in_cluster() -> Result<Config, Error> {
    Config::incluster().map_err(|source| Error::InCluster { source: Box::new(source) })
}

fn build(mut config: Config) -> Result<Client, Error> {
    config.connect_timeout = Some(CONNECT);
    let server = config.cluster_url.to_string();
    Client::try_from(config).map_err(|source| Error::Client { server, source: Box::new(source) })
}

fn name(path: Option<&Path>) -> String {
    path.map_or_else(
        || "that $KUBECONFIG or ~/.kube/config names".to_owned(),
        |path| format!("`{}`", path.display()),
    )
}
