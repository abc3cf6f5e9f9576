//! The agent alone under load: its CPU, and its memory over the whole time, with the Services and
//! EndpointSlices of a cluster of 10,000 pods known; and its memory once more after a restart. What grows after
//! the first third is an error, and so is more than the bound.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use super::agent::{cpu_ticks, map_memory, mib, status};
use super::arms::{Pods, SERVER, ratio, stop};
use crate::Outcome;

/// Connections a second.
const RATE: u64 = 1_000;
/// Looks at the memory.
const SLICES: u64 = 6;
/// What the agent may take, the file's pages and the maps' included.
const BOUND_KIB: u64 = 30 * 1_024;
/// One interval and a little: the first drain and what it saves are over.
const SETTLED: Duration = Duration::from_secs(12);
/// What the allocator may keep more or less of at any look.
const NOISE_KIB: u64 = 1_024;

pub(super) fn run(agent: &Path, seconds: u64) -> Outcome {
    let slice = (seconds / SLICES).max(1);
    let pods = Pods::begin()?;
    let inventory = pods.lab.folder.join("cluster.yaml");
    std::fs::write(&inventory, cluster())?;
    let inventory = inventory.display().to_string();
    let flags = ["--existing-window", "0s", "--inventory", &inventory];
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
    println!("RSS while it read the manifests: {:.1} MiB at most; now {anonymous:.1} not of a file", mib(status(&running, "VmHWM:")?));
    println!("kernel memory of the maps: {:.1} MiB", mib(map_memory(&running)? / 1_024));
    stop(running)?;
    let again = pods.start_again(agent, &flags)?;
    std::thread::sleep(SETTLED);
    let restarted = status(&again, "VmRSS:")?;
    println!("RSS after a restart on the same folder: {:.1} MiB", mib(restarted));
    stop(again)?;
    pods.lab.end()?;
    // The allocator and the first hours' tables settle in the first third.
    let settled = sizes.get(1).copied().unwrap_or_default();
    let grown = sizes.last().copied().unwrap_or_default().saturating_sub(settled);
    if grown > NOISE_KIB {
        return Err(format!("RSS grew by {:.1} MiB in the last {} s", mib(grown), lasted - 2 * slice).into());
    }
    println!("grown after the first third: {:.1} MiB", mib(grown));
    let most = sizes.iter().copied().max().unwrap_or_default().max(restarted);
    if most > BOUND_KIB {
        return Err(format!("RSS of {:.1} MiB, at most {:.0}", mib(most), mib(BOUND_KIB)).into());
    }
    Ok(())
}

/// 500 Services with 20 endpoints each, in 50 namespaces on 90 nodes.
fn cluster() -> String {
    let mut text = String::new();
    for service in 0..500_u32 {
        let head = format!("namespace: team-{}, uid: {service:08}-0000-4000-8000", service % 50);
        let ip = format!("10.96.{}.{}", service / 250, service % 250 + 1);
        let spec = "ports: [{name: http, port: 80, targetPort: 8080}]";
        // Writing to a string does not fail.
        let _written = write!(
            text,
            "---\napiVersion: v1\nkind: Service\nmetadata: {{name: service-{service}, {head}-000000000000}}\n\
             spec: {{clusterIP: {ip}, clusterIPs: [{ip}], selector: {{app: service-{service}}}, {spec}}}\n\
             ---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\naddressType: IPv4\n\
             metadata: {{name: service-{service}-abcde, {head}-000000000001, labels: {{kubernetes.io/service-name: service-{service}}}}}\n\
             ports: [{{name: http, port: 8080, protocol: TCP}}]\nendpoints:\n"
        );
        for endpoint in 0..20 {
            let pod = service * 20 + endpoint;
            let ip = format!("10.100.{}.{}", pod / 250, pod % 250 + 1);
            let _written = writeln!(
                text,
                "- {{addresses: [{ip}], nodeName: node-{}, conditions: {{ready: true}}, targetRef: {{kind: Pod, \
                 name: service-{service}-5d4f8c7b9-{endpoint:05}, uid: {pod:08x}-aaaa-4bbb-8ccc-{pod:012x}}}}}",
                pod % 90
            );
        }
    }
    text
}
