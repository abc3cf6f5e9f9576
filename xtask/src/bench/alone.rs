//! The agent alone under load: its CPU, and its memory over the whole time, with the Services and
//! EndpointSlices of a cluster of 10,000 pods known; and its memory once more after a restart: from manifests, and
//! from a server that answers as the Kubernetes API does, without TLS. What grows after the first third is an error,
//! and so is more than the bound.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::agent::{cpu_ticks, map_memory, mib, status};
use super::arms::{Pods, SERVER, ratio, stop};
use super::cluster;
use crate::Outcome;

/// Connections a second.
const RATE: u64 = 1_000;
/// Looks at the memory.
const SLICES: u64 = 6;
/// What the agent may take, the file's pages and the maps' included.
const BOUND_KIB: u64 = 30 * 1_024;
/// The first drain and what it saves are over, and what reading the inventory took is given back.
const SETTLED: Duration = Duration::from_secs(20);
/// What the allocator may keep more or less of at any look.
const NOISE_KIB: u64 = 1_024;

/// Where the lab's API server listens, in the node's network.
const API: &str = "127.0.0.1:6443";

pub(super) fn run(agent: &Path, seconds: u64) -> Outcome {
    let mut pods = Pods::begin_as("netflow-bench-agent")?;
    let (manifests, kubeconfig) = write(&pods)?;
    let folder = pods.lab.folder.join("api").display().to_string();
    pods.lab.start_on_node(&["api", API, &folder])?;
    println!("the inventory from manifests:");
    let mut most = measure(&pods, agent, seconds, &["--inventory", &manifests])?;
    println!("the inventory from the Kubernetes API:");
    most = most.max(measure(&pods, agent, seconds, &["--kubeconfig", &kubeconfig])?);
    pods.lab.end()?;
    if most > BOUND_KIB {
        return Err(format!("RSS of {:.1} MiB, at most {:.0}", mib(most), mib(BOUND_KIB)).into());
    }
    Ok(())
}

/// The most that the agent had after its start, or after a restart.
fn measure(pods: &Pods, agent: &Path, seconds: u64, inventory: &[&str]) -> Result<u64, Box<dyn std::error::Error>> {
    let slice = (seconds / SLICES).max(1);
    let mut flags = vec!["--existing-window", "0s", "--node", cluster::OURS];
    flags.extend(inventory);
    let running = pods.start_agent(agent, &flags)?;
    let before = cpu_ticks(&running)?;
    let (mut made, mut sizes) = (0, Vec::new());
    for number in 1..=SLICES {
        let (milliseconds, rate) = ((slice * 1_000).to_string(), RATE.to_string());
        let load = ["connect", SERVER, "--milliseconds", &milliseconds, "--rate", &rate];
        made += pods.client.load(&pods.server, &load)?.0;
        let size = status(&running, "VmRSS:")?;
        println!("after {:>4} s: RSS {:.1} MiB", number * slice, mib(size));
        sizes.push(size);
    }
    let ticks = cpu_ticks(&running)? - before;
    let lasted = slice * SLICES;
    println!("CPU at {} connections/s: {:.2} % of a core", made / lasted, ratio(ticks, lasted));
    let anonymous = mib(status(&running, "RssAnon:")?);
    let highest = mib(status(&running, "VmHWM:")?);
    println!("RSS while it read the inventory: {highest:.1} MiB at most; now {anonymous:.1} not of a file");
    println!("kernel memory of the maps: {:.1} MiB", mib(map_memory(&running)? / 1_024));
    stop(running)?;
    let again = pods.start_again(agent, &flags)?;
    std::thread::sleep(SETTLED);
    let restarted = status(&again, "VmRSS:")?;
    let anonymous = mib(status(&again, "RssAnon:")?);
    println!("RSS after a restart on the same folder: {:.1} MiB, {anonymous:.1} of it not of a file", mib(restarted));
    stop(again)?;
    // The allocator and the first hours' tables settle in the first third.
    let settled = sizes.get(1).copied().unwrap_or_default();
    let grown = sizes.last().copied().unwrap_or_default().saturating_sub(settled);
    if grown > NOISE_KIB {
        return Err(format!("RSS grew by {:.1} MiB in the last {} s", mib(grown), lasted - 2 * slice).into());
    }
    println!("grown after the first third: {:.1} MiB", mib(grown));
    Ok(sizes.iter().copied().max().unwrap_or_default().max(restarted))
}

/// The cluster as manifests, as the server's folder, and the way to the server.
fn write(pods: &Pods) -> Result<(String, String), Box<dyn std::error::Error>> {
    let folder = pods.lab.folder.join("api");
    std::fs::create_dir_all(&folder)?;
    let mut manifests = String::new();
    let mut kinds = std::collections::BTreeMap::<&str, String>::new();
    for (kind, object) in cluster::objects() {
        // Writing to a string does not fail.
        let _written = write!(manifests, "---\n{object:#}\n");
        let _written = writeln!(kinds.entry(kind).or_default(), "{object}");
    }
    for (kind, lines) in kinds {
        std::fs::write(folder.join(kind), lines)?;
    }
    let path = |name: &str| -> PathBuf { pods.lab.folder.join(name) };
    std::fs::write(path("cluster.yaml"), manifests)?;
    let kubeconfig = serde_json::json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "lab",
        "clusters": [{ "name": "lab", "cluster": { "server": format!("http://{API}") } }],
        "contexts": [{ "name": "lab", "context": { "cluster": "lab", "user": "lab" } }],
        "users": [{ "name": "lab", "user": {} }],
    });
    std::fs::write(path("kubeconfig"), kubeconfig.to_string())?;
    Ok((path("cluster.yaml").display().to_string(), path("kubeconfig").display().to_string()))
}
