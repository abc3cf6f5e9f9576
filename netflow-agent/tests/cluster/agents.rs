//! The deployed agent: ready on every node, as closed as the README says, gone without a trace.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::kube::{IMAGE, Kube, NODES, text, wait};

/// Of `linux/capability.h`.
const CAP_NET_ADMIN: u64 = 12;
const CAP_BPF: u64 = 39;

pub(crate) fn by_kustomize_are_ready(kube: &Kube) {
    are_ready_on_both_nodes(kube, IMAGE);
}

/// One on each, from this image, and none restarted on the way.
pub(crate) fn are_ready_on_both_nodes(kube: &Kube, image: &str) {
    let agents = kube.agents();
    let nodes: Vec<&str> = agents.iter().map(|(node, _)| node.as_str()).collect();
    assert_eq!(nodes, NODES);
    let pods = kube.get(&["pods", "-n", "netflow"]);
    for pod in pods["items"].as_array().expect("a list") {
        let status = &pod["status"]["containerStatuses"][0];
        assert_eq!((&status["restartCount"], &status["ready"]), (&0.into(), &true.into()), "{status}");
        assert_eq!(pod["spec"]["containers"][0]["image"], image);
        assert_eq!(pod["status"]["qosClass"], "Burstable");
    }
}

/// The processes of the agents on a node, as this machine sees them: other tests may run agents beside the
/// cluster, in cgroups of their own.
pub(crate) fn processes(node: &str) -> Vec<PathBuf> {
    let folders = fs::read_dir("/proc").expect("procfs").filter_map(Result::ok).map(|entry| entry.path());
    let ours = folders.filter(|folder| {
        let cgroup = fs::read_to_string(folder.join("cgroup")).unwrap_or_default();
        let name = fs::read_to_string(folder.join("comm")).unwrap_or_default();
        name.trim() == "netflow-agent" && cgroup.contains(&format!("/nfk/{node}/kubepods"))
    });
    ours.collect()
}

pub(crate) fn the_process_is_closed(kube: &Kube) {
    for node in NODES {
        let processes = processes(node);
        let [process] = &processes[..] else { panic!("{node}: {processes:?}") };
        rights(process);
        namespaces(process, kube, node);
        mounts(process);
    }
}

fn rights(process: &Path) {
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
    // The first process of a pid namespace of its own.
    assert!(field("NSpid").split_whitespace().last() == Some("1"), "{}", field("NSpid"));
}

/// Not this machine's, and not the node's.
fn namespaces(process: &Path, kube: &Kube, node: &str) {
    let of = |process: &Path, name: &str| fs::read_link(process.join("ns").join(name)).expect("a namespace");
    let holder = PathBuf::from("/proc").join(kube.pid(node));
    for name in ["net", "pid", "mnt", "ipc", "uts"] {
        assert_ne!(of(process, name), of(Path::new("/proc/self"), name), "{name} is the machine's");
        assert_ne!(of(process, name), of(&holder, name), "{name} is that of {node}");
    }
}

fn mounts(process: &Path) {
    let mounts = fs::read_to_string(process.join("mountinfo")).expect("a running process");
    let (mut root, mut cgroups, mut written) = (0, 0, Vec::new());
    for line in mounts.lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        let (folder, options) = (fields[4], fields[5]);
        let read_only = options.split(',').any(|option| option == "ro");
        if folder == "/" || folder.starts_with("/sys/fs/cgroup") {
            assert!(read_only, "{line}");
            root += i32::from(folder == "/");
            cgroups += i32::from(folder != "/");
        }
        let from_disk = !matches!(fields[fields.len() - 3], "proc" | "sysfs" | "devpts" | "mqueue" | "tmpfs");
        if !read_only && from_disk {
            written.push(folder.to_owned());
        }
        assert!(!line.contains("containerd.sock") && !line.contains("docker.sock"), "{line}");
    }
    assert!(root == 1 && cgroups >= 1, "{mounts}");
    // The kubelet gives every container a hosts file and a place for its last words.
    written.retain(|folder| !folder.starts_with("/etc/") && folder != "/dev/termination-log");
    assert_eq!(written, ["/var/lib/netflow"], "what may be written");
}

/// Health and metrics of the agent on a node, asked from node1.
pub(crate) fn fetch(kube: &Kube, node: &str, port: u16, path: &str) -> Result<String, String> {
    fetch_from(kube, &address(kube, node), port, path)
}

/// The address of the agent on a node.
pub(crate) fn address(kube: &Kube, node: &str) -> String {
    let pods = kube.get(&["pods", "-n", "netflow", "--field-selector", &format!("spec.nodeName={node}")]);
    text(&pods["items"][0]["status"]["podIP"])
}

pub(crate) fn fetch_from(kube: &Kube, address: &str, port: u16, path: &str) -> Result<String, String> {
    let url = format!("http://{address}:{port}{path}");
    let words = ["timeout", "3", "busybox", "wget", "-Y", "off", "-q", "-O", "-", &url];
    let output = kube.inside("node1", &words).output().expect("nsenter starts");
    let answer = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        Ok(answer)
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

/// From another pod's place on the network: health and metrics answer, the query API does not.
pub(crate) fn the_network_hears_of_health_and_metrics_only(kube: &Kube) {
    for node in NODES {
        for path in ["/livez", "/readyz", "/startupz", "/metrics"] {
            let answer = fetch(kube, node, 9464, path);
            assert!(answer.is_ok(), "{node} {path}: {answer:?}");
        }
        let metrics = fetch(kube, node, 9464, "/metrics").expect("it answered above");
        assert!(metrics.contains("netflow_attached 1"), "{metrics}");
        for path in ["/v1/export", "/v1/follow", "/v1/status"] {
            assert!(fetch(kube, node, 9464, path).is_err(), "{path}: flows are on the network");
            assert!(fetch(kube, node, 9465, path).is_err(), "the query port is on the network");
        }
    }
    // The kernel's own table: nothing but the two ports listens, and one of them on loopback.
    for process in NODES.map(processes).concat() {
        assert_eq!(listening(&process), ["0100007F:24F9", "00000000:24F8"].map(str::to_owned).into());
    }
}

/// Local addresses as `/proc/net/tcp` has them: 9464 is 24F8, 9465 is 24F9.
fn listening(process: &Path) -> BTreeSet<String> {
    const LISTEN: &str = "0A";
    let tables = ["tcp", "tcp6", "udp", "udp6"].map(|table| {
        let text = fs::read_to_string(process.join("net").join(table)).unwrap_or_default();
        let lines = text.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
        let open = lines.filter(|words| table.starts_with("udp") || words[3] == LISTEN);
        open.map(|words| words[1].to_owned()).collect::<Vec<_>>()
    });
    tables.concat().into_iter().collect()
}

/// What the kernel holds for the agents: programs, maps and links by their numbers.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Held(BTreeSet<(&'static str, u32)>);

impl Held {
    pub(crate) fn by_agents() -> Self {
        let mut held = BTreeSet::new();
        for process in NODES.map(processes).concat() {
            for file in fs::read_dir(process.join("fdinfo")).expect("procfs").filter_map(Result::ok) {
                let text = fs::read_to_string(file.path()).unwrap_or_default();
                for (kind, field) in [("program", "prog_id:"), ("map", "map_id:"), ("link", "link_id:")] {
                    let number = text.lines().find_map(|line| line.strip_prefix(field));
                    held.extend(
                        number.and_then(|number| number.trim().parse().ok()).map(|number| (kind, number)),
                    );
                }
            }
        }
        assert!(held.len() > 10, "{held:?}");
        Self(held)
    }

    /// Those that the kernel still has.
    pub(crate) fn left(&self) -> Vec<(&'static str, u32)> {
        let mut there = BTreeSet::new();
        there.extend(aya::programs::loaded_programs().filter_map(Result::ok).map(|it| ("program", it.id())));
        there.extend(aya::maps::loaded_maps().filter_map(Result::ok).map(|it| ("map", it.id())));
        there.extend(aya::programs::loaded_links().filter_map(Result::ok).map(|it| ("link", it.id())));
        self.0.intersection(&there).copied().collect()
    }
}

/// After `kubectl delete`: no process, nothing in the kernel, nothing in the API, nothing pinned, and on each
/// node's disk the state folder only.
pub(crate) fn are_gone(kube: &Kube, held: &Held) {
    wait(120, "the agents to end", || match NODES.map(processes).concat() {
        left if left.is_empty() => Ok(()),
        left => Err(format!("{left:?}")),
    });
    wait(60, "the kernel to let go", || match held.left() {
        left if left.is_empty() => Ok(()),
        left => Err(format!("{left:?}")),
    });
    let kinds = "clusterroles,clusterrolebindings,namespaces,customresourcedefinitions";
    let left = kube.kubectl(&["get", kinds, "-o", "name"]);
    assert!(!left.contains("netflow"), "{left}");
    for node in NODES {
        // The kernel's own two files are in every bpffs.
        let found = kube.shell(
            node,
            "find /sys/fs/bpf /run /etc /opt /var/lib/cni -xdev -name '*netflow*' 2>/dev/null; \
             ls /sys/fs/bpf | grep -vx -e maps.debug -e progs.debug || true",
        );
        assert_eq!(found, "", "left on {node}");
        let state = fs::read_dir(kube.state_folder(node)).expect("the state folder stays").count();
        assert!(state > 0, "the state folder of {node} is empty");
    }
}
