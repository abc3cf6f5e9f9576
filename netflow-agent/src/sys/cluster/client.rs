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

/// A client with the rights of the user of that context.
pub async fn from_kubeconfig(access: &Access) -> Result<Client, Error> {
    let options = KubeConfigOptions { context: access.context.clone(), ..KubeConfigOptions::default() };
    let named =
        |source| Error::Kubeconfig { path: name(access.kubeconfig.as_deref()), source: Box::new(source) };
    let config = match &access.kubeconfig {
        Some(path) => {
            let kubeconfig = Kubeconfig::read_from(path).map_err(named)?;
            Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(named)?
        }
        None => Config::from_kubeconfig(&options).await.map_err(named)?,
    };
    build(config)
}

/// A client with the rights of the pod's service account.
pub fn in_cluster() -> Result<Client, Error> {
    let config = Config::incluster().map_err(|source| Error::InCluster { source: Box::new(source) })?;
    build(config)
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
