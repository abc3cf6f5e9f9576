//! Where the inventory comes from: manifests, read again when they change, or the Kubernetes API. In: paths,
//! or a stream of watch events. Out: changes for the engine. What cannot be read leaves what is known.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;
use std::time::{Duration, SystemTime};

use super::super::clock;
use super::shared::Event;
use super::{AgentError, Options, send};
use crate::engine::{Change, Kinds};
use crate::manifest::{Manifests, Object, Severity};

/// How often manifests are looked at.
const LOOK: Duration = Duration::from_secs(2);
/// Folders below the one that was given.
const DEPTH: usize = 8;

/// How many lists must come before the inventory is known.
pub(super) fn lists(options: &Options) -> usize {
    #[cfg(feature = "cluster")]
    if options.kubernetes.is_some() {
        return super::super::cluster::watch::Kind::ALL.len();
    }
    usize::from(options.inventory.is_some())
}

/// All objects of a file or a folder of manifests. What is no manifest at all is an error; an object that an
/// API server would refuse is logged, and names addresses all the same.
pub(super) fn read(path: &Path) -> Result<Vec<Object>, AgentError> {
    let mut manifests = Manifests::default();
    for file in files(path)? {
        let bytes = fs::read(&file).map_err(|source| failed(&file, source))?;
        manifests.read(&file.display().to_string(), &bytes);
    }
    for finding in &manifests.findings {
        if finding.severity == Severity::Error && finding.object.is_empty() {
            return Err(AgentError::Manifest { finding: finding.to_string() });
        }
        tracing::debug!(%finding, "inventory");
    }
    Ok(manifests.objects.into_iter().map(|placed| placed.object).collect())
}

pub(super) fn list(events: &Sender<Event>, objects: Vec<Object>) -> bool {
    send(events, Change::Listed { kinds: Kinds::All, objects, at: clock::now() })
}

/// Reads the manifests again whenever one of them changes, comes or goes.
pub(super) async fn watch(path: PathBuf, events: Sender<Event>) {
    let mut known = fingerprint(&path);
    let mut failing = false;
    loop {
        tokio::time::sleep(LOOK).await;
        let now = fingerprint(&path);
        if now == known && !failing {
            continue;
        }
        known = now;
        let alive = match read(&path) {
            Ok(objects) => {
                failing = false;
                tracing::info!(objects = objects.len(), "the inventory changed and was read again");
                list(&events, objects)
            }
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "the inventory changed and cannot be read; what was known stands");
                }
                events.send(Event::InventoryFailed).is_ok()
            }
        };
        if !alive {
            return;
        }
    }
}

/// The default gateways of this network namespace: those of all pods of this node, when it is a pod's.
pub(super) fn gateways(events: &Sender<Event>) {
    let routes = |path| fs::read_to_string(path).unwrap_or_default();
    let mut ips = gateways_v4(&routes("/proc/net/route"));
    ips.extend(gateways_v6(&routes("/proc/net/ipv6_route")));
    let seen_from = ips.iter().filter_map(|gateway| source_towards(*gateway)).collect();
    send(events, Change::Gateways { ips, seen_from });
}

/// The address that a packet to `peer` would have; nothing is sent.
fn source_towards(peer: IpAddr) -> Option<IpAddr> {
    let any: SocketAddr = match peer {
        IpAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        IpAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect((peer, 9)).ok()?;
    socket.local_addr().ok().map(|address| address.ip())
}

/// Column 2 is the destination, column 3 the gateway: 8 hex digits, lowest byte first.
fn gateways_v4(table: &str) -> Vec<IpAddr> {
    let gateway = |line: &str| {
        let mut words = line.split_ascii_whitespace().skip(1);
        let (destination, gateway) = (words.next()?, words.next()?);
        let gateway = u32::from_str_radix(gateway, 16).ok()?;
        let default = destination == "00000000" && gateway != 0;
        default.then(|| IpAddr::V4(Ipv4Addr::from(gateway.to_be())))
    };
    table.lines().skip(1).filter_map(gateway).collect()
}

/// Destination and its prefix length, source and its, then the next hop, all in hex.
fn gateways_v6(table: &str) -> Vec<IpAddr> {
    let gateway = |line: &str| {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let [_, "00", _, _, hop, ..] = words[..] else { return None };
        let hop = Ipv6Addr::from(u128::from_str_radix(hop, 16).ok()?);
        let usable = !hop.is_unspecified() && !hop.is_unicast_link_local();
        usable.then_some(IpAddr::V6(hop))
    };
    table.lines().filter_map(gateway).collect()
}

fn files(path: &Path) -> Result<Vec<PathBuf>, AgentError> {
    let metadata = fs::metadata(path).map_err(|source| failed(path, source))?;
    if !metadata.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut found = Vec::new();
    collect(path, DEPTH, &mut found)?;
    found.sort_unstable();
    Ok(found)
}

fn collect(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result<(), AgentError> {
    for entry in fs::read_dir(folder).map_err(|source| failed(folder, source))? {
        let path = entry.map_err(|source| failed(folder, source))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        // A mounted ConfigMap keeps its versions in folders that begin with dots.
        if name.starts_with('.') {
            continue;
        }
        let is_manifest = path
            .extension()
            .and_then(|extension| extension.to_str())
            .is_some_and(|extension| matches!(extension, "yaml" | "yml" | "json"));
        match fs::metadata(&path) {
            Ok(metadata) if metadata.is_dir() && depth > 0 => collect(&path, depth - 1, found)?,
            Ok(metadata) if metadata.is_file() && is_manifest => found.push(path),
            _ => {}
        }
    }
    Ok(())
}

/// Changes when a file does, comes or goes. What cannot be read has none.
fn fingerprint(path: &Path) -> BTreeMap<PathBuf, (Option<SystemTime>, u64)> {
    let files = files(path).unwrap_or_default();
    let look = |file: PathBuf| {
        let metadata = fs::metadata(&file).ok()?;
        Some((file, (metadata.modified().ok(), metadata.len())))
    };
    files.into_iter().filter_map(look).collect()
}

fn failed(path: &Path, source: std::io::Error) -> AgentError {
    AgentError::Inventory { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gateways_are_read_as_the_kernel_writes_them() {
        let table = "Iface\tDestination\tGateway \tFlags\n\
                     eth0\t00000000\t0101F40A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
                     eth0\t0001F40A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n";
        assert_eq!(gateways_v4(table), ["10.244.1.1".parse::<IpAddr>().expect("an address")]);
        let table = "00000000000000000000000000000000 00 00000000000000000000000000000000 00 fd000000000000000000000000000001 00000400 00000001 00000000 00000003     eth0\n\
                     fe800000000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001     eth0\n\
                     00000000000000000000000000000000 00 00000000000000000000000000000000 00 00000000000000000000000000000000 ffffffff 00000001 00000000 00200200       lo\n";
        assert_eq!(gateways_v6(table), ["fd00::1".parse::<IpAddr>().expect("an address")]);
        assert!(gateways_v4("").is_empty() && gateways_v6("rubbish 00").is_empty());
    }
}
