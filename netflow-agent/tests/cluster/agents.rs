//! The deployed agent: ready on every node, as closed as the README says, gone without a trace.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::kube::{IMAGE, Kube, succeed, wait};

/// Of `linux/capability.h`.
const CAP_NET_ADMIN: u64 = 12;
const CAP_BPF: u64 = 39;

pub(crate) fn agents_become_ready_on_both_nodes(kube: &Kube) {
    let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/base");
    kube.kubectl(&["apply", "-k", &base.to_string_lossy()]);
    kube.kubectl(&["-n", "netflow", "rollout", "status", "daemonset/netflow-agent", "--timeout=90s"]);
    let agents = kube.agents();
    let nodes: Vec<&str> = agents.iter().map(|(node, _)| node.as_str()).collect();
    assert_eq!(nodes, ["node1", "node2"]);
    let pods = kube.get(&["pods", "-n", "netflow"]);
    for pod in pods["items"].as_array().expect("a list") {
        assert_eq!(pod["status"]["containerStatuses"][0]["restartCount"], 0, "{}", pod["metadata"]["name"]);
        assert_eq!(pod["spec"]["containers"][0]["image"], IMAGE);
    }
}

/// The running agents' processes, as this machine sees them.
fn processes() -> Vec<PathBuf> {
    let folders = fs::read_dir("/proc").expect("procfs").filter_map(Result::ok).map(|entry| entry.path());
    let ours = folders.filter(|folder| {
        let cgroup = fs::read_to_string(folder.join("cgroup")).unwrap_or_default();
        let name = fs::read_to_string(folder.join("comm")).unwrap_or_default();
        name.trim() == "netflow-agent" && cgroup.contains("kubepods")
    });
    ours.collect()
}

pub(crate) fn the_process_is_closed(kube: &Kube) {
    let processes = processes();
    assert_eq!(processes.len(), 2, "{processes:?}");
    for process in processes {
        let status = fs::read_to_string(process.join("status")).expect("a running process");
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.expect("the kernel tells it").trim().to_owned()
        };
        let allowed = 1_u64 << CAP_NET_ADMIN | 1 << CAP_BPF;
        for set in ["CapPrm", "CapEff", "CapBnd"] {
            let capabilities = u64::from_str_radix(&field(set), 16).expect("hexadecimal");
            assert_eq!(capabilities, allowed, "{set} {capabilities:#x}");
        }
        for set in ["CapInh", "CapAmb"] {
            let capabilities = u64::from_str_radix(&field(set), 16).expect("hexadecimal");
            assert_eq!(capabilities & !allowed, 0, "{set} {capabilities:#x}");
        }
        assert_eq!(field("NoNewPrivs"), "1");
        assert_eq!(field("Seccomp"), "2", "a filter is in force");
        // The pod's first process, in its own namespaces: not the machine's, and not the node's.
        assert!(field("NSpid").split_whitespace().last() == Some("1"), "{}", field("NSpid"));
        for namespace in ["net", "pid", "mnt", "ipc"] {
            let of = |process: &Path| fs::read_link(process.join("ns").join(namespace)).expect("a namespace");
            assert_ne!(of(&process), of(Path::new("/proc/self")), "{namespace}");
        }
        for node in ["node1", "node2"] {
            let net = succeed(&mut kube.inside(node, &["readlink", "/proc/self/ns/net"]));
            let net = String::from_utf8_lossy(&net.stdout).trim().to_owned();
            let own = fs::read_link(process.join("ns/net")).expect("a namespace");
            assert_ne!(own.to_string_lossy(), net, "the agent is in the network of {node}");
        }
        mounts(&process);
    }
}

fn mounts(process: &Path) {
    let mounts = fs::read_to_string(process.join("mountinfo")).expect("a running process");
    let mut seen = 0;
    for line in mounts.lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        let (folder, options) = (fields[4], fields[5]);
        let read_only = options.split(',').any(|option| option == "ro");
        if folder == "/" || folder.starts_with("/sys/fs/cgroup") {
            assert!(read_only, "{line}");
            seen += 1;
        }
        assert!(!line.contains("containerd.sock") && !line.contains("docker.sock"), "{line}");
    }
    assert!(seen >= 2, "{mounts}");
}

/// From another pod's place on the network: health and metrics answer, the query API does not.
pub(crate) fn the_network_hears_of_health_and_metrics_only(kube: &Kube) {
    let pods = kube.get(&["pods", "-n", "netflow"]);
    for pod in pods["items"].as_array().expect("a list") {
        let address = pod["status"]["podIP"].as_str().expect("an address");
        let fetch = |port: u16, path: &str| {
            let url = format!("http://{address}:{port}{path}");
            let words = ["timeout", "3", "busybox", "wget", "-Y", "off", "-q", "-O", "-", &url];
            kube.inside("node1", &words).output().expect("nsenter starts")
        };
        for path in ["/livez", "/readyz", "/metrics"] {
            assert!(fetch(9464, path).status.success(), "{address} {path}");
        }
        let metrics = String::from_utf8_lossy(&fetch(9464, "/metrics").stdout).into_owned();
        assert!(metrics.contains("netflow_attached 1"), "{metrics}");
        assert!(!fetch(9464, "/v1/export").status.success(), "flows are on the network");
        assert!(!fetch(9465, "/v1/export").status.success(), "the query port is on the network");
    }
}

pub(crate) fn deleted_it_leaves_the_state_folder(kube: &Kube) {
    let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/base");
    kube.kubectl(&["delete", "-k", &base.to_string_lossy(), "--timeout=60s"]);
    wait(20, "the agents to end", || match processes().as_slice() {
        [] => Ok(()),
        left => Err(format!("{left:?}")),
    });
    let left =
        succeed(&mut kube.command(&["get", "clusterroles,clusterrolebindings,namespaces", "-o", "name"]));
    let left = String::from_utf8_lossy(&left.stdout).into_owned();
    assert!(!left.contains("netflow"), "{left}");
    // bpftool is not everywhere; the kernel's own list is.
    let programs = Command::new("bpftool").args(["cgroup", "tree"]).output();
    if let Ok(programs) = programs {
        assert!(!String::from_utf8_lossy(&programs.stdout).contains("netflow"), "programs stay attached");
    }
}
