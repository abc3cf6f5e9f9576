//! The manifests under `deploy/demo/cluster`, as far as the lab is built from them.

use std::error::Error;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::lab::machine::Addresses;
use crate::program;

#[derive(Debug, Deserialize)]
struct Object {
    kind: String,
    metadata: Metadata,
    #[serde(default)]
    status: Status,
}

#[derive(Debug, Deserialize)]
struct Metadata {
    name: String,
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    uid: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    #[serde(default, rename = "podIPs")]
    pod_ips: Vec<PodAddress>,
    #[serde(default)]
    addresses: Vec<NodeAddress>,
}

#[derive(Debug, Deserialize)]
struct PodAddress {
    ip: IpAddr,
}

#[derive(Debug, Deserialize)]
struct NodeAddress {
    #[serde(rename = "type")]
    kind: String,
    address: String,
}

/// A pod of the demo.
#[derive(Debug)]
pub(super) struct Pod {
    pub(super) name: String,
    pub(super) namespace: String,
    pub(super) uid: String,
    pub(super) addresses: Addresses,
}

/// What the manifests say that the lab must be.
#[derive(Debug)]
pub(super) struct Cluster {
    pub(super) node: String,
    pub(super) node_addresses: Addresses,
    pub(super) pods: Vec<Pod>,
}

/// The folder of the demo's files.
pub(super) fn folder() -> PathBuf {
    program::root().join("deploy/demo")
}

/// The folder of the cluster's manifests.
pub(super) fn cluster_folder() -> PathBuf {
    folder().join("cluster")
}

impl Cluster {
    pub(super) fn read() -> Result<Self, Box<dyn Error>> {
        let mut node = None;
        let mut pods = Vec::new();
        for object in objects(&cluster_folder())? {
            let Object { kind, metadata, status } = object;
            if kind == "Node" {
                let internal = status.addresses.iter().filter(|address| address.kind == "InternalIP");
                let ips = internal.map(|address| address.address.parse()).collect::<Result<Vec<_>, _>>()?;
                node = Some((metadata.name, addresses(&ips)?));
            } else if kind == "Pod" {
                let ips: Vec<_> = status.pod_ips.iter().map(|address| address.ip).collect();
                let Metadata { name, namespace, uid } = metadata;
                pods.push(Pod { name, namespace, uid, addresses: addresses(&ips)? });
            }
        }
        let (node, node_addresses) = node.ok_or("the demo's manifests hold no Node")?;
        Ok(Self { node, node_addresses, pods })
    }

    /// The pod whose name begins so.
    pub(super) fn pod(&self, stem: &str) -> Result<usize, String> {
        let found = self.pods.iter().position(|pod| pod.name.starts_with(&format!("{stem}-")));
        found.ok_or_else(|| format!("the demo's manifests hold no pod {stem}"))
    }
}

fn objects(folder: &Path) -> Result<Vec<Object>, Box<dyn Error>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder)? {
        paths.push(entry?.path());
    }
    paths.sort();
    let mut objects = Vec::new();
    for path in paths {
        let text = fs::read_to_string(&path)?;
        let read = serde_saphyr::from_multiple::<Object>(&text);
        objects.extend(read.map_err(|error| format!("read {}: {error}", path.display()))?);
    }
    Ok(objects)
}

/// One address of each family; the lab's networks are /24 and /64.
fn addresses(ips: &[IpAddr]) -> Result<Addresses, &'static str> {
    let v4 = ips.iter().find(|ip| ip.is_ipv4()).ok_or("no IPv4 address")?;
    let v6 = ips.iter().find(|ip| ip.is_ipv6()).ok_or("no IPv6 address")?;
    Ok(Addresses { v4: (*v4, 24), v6: (*v6, 64) })
}
