//! A lab of network namespaces as pods: each with its own folder of cgroup2 and two addresses, on one bridge.
//! Threads of the test enter a pod and open real sockets there. Dropping a lab removes all of it.

use std::fs;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use netflow_agent::sys::bpf::cgroup;
use rustix::thread::{LinkNameSpaceType, gettid, move_into_link_name_space};

/// One lab; its node is a namespace with the bridge, its pods hang from it.
pub(crate) struct Lab {
    name: String,
    cgroup: PathBuf,
    pods: Vec<Pod>,
}

/// One pod: a network namespace and a cgroup folder.
#[derive(Clone)]
pub(crate) struct Pod {
    pub(crate) netns: String,
    pub(crate) cgroup: PathBuf,
    pub(crate) ip4: Ipv4Addr,
    pub(crate) ip6: Ipv6Addr,
}

/// Why this machine cannot hold a lab; `None` when it can.
pub(crate) fn missing() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("needs root".to_owned());
    }
    if !Command::new("ip").arg("-V").stdout(Stdio::null()).status().is_ok_and(|status| status.success()) {
        return Some("needs iproute2's ip".to_owned());
    }
    Home::mount().err().map(|error| format!("needs cgroup2: {error}"))
}

/// The folder that this process lives in while it has labs: threads can only join folders below their process's.
static HOME: Mutex<Home> = Mutex::new(Home { n_labs: 0 });

struct Home {
    n_labs: usize,
}

impl Home {
    fn mount() -> Result<PathBuf, String> {
        let mounts = cgroup::mounts().map_err(|error| error.to_string())?;
        mounts.into_iter().next().map(|mount| mount.path).ok_or_else(|| "none is mounted".to_owned())
    }

    /// Moves this process into a folder of its own for its first lab.
    fn enter(&mut self) -> Result<PathBuf, String> {
        let folder = Self::mount()?.join(format!("netflow-test-{}", std::process::id()));
        if self.n_labs == 0 {
            fs::create_dir(&folder).map_err(|error| error.to_string())?;
            move_process(&folder)?;
        }
        self.n_labs += 1;
        Ok(folder)
    }

    /// Moves back and removes the folder after the last lab.
    fn leave(&mut self) -> Result<(), String> {
        self.n_labs -= 1;
        if self.n_labs > 0 {
            return Ok(());
        }
        let mount = Self::mount()?;
        move_process(&mount)?;
        let folder = mount.join(format!("netflow-test-{}", std::process::id()));
        // A child that has just ended leaves it a moment later.
        crate::wait::until("the labs' folder is empty", || fs::remove_dir(&folder).is_ok());
        Ok(())
    }
}

fn move_process(folder: &Path) -> Result<(), String> {
    fs::write(folder.join("cgroup.procs"), std::process::id().to_string())
        .map_err(|error| format!("move into {}: {error}", folder.display()))
}

fn home() -> MutexGuard<'static, Home> {
    HOME.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Lab {
    /// A lab with `n_pods` pods, 10.77.0.2 and fd77::2 the first.
    pub(crate) fn new(n_pods: u8) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("nft{}x{number}", std::process::id());
        let cgroup = home().enter().expect("a writable cgroup2").join(format!("node{number}"));
        make_threaded(&cgroup);
        make_threaded(&cgroup.join("kubepods"));
        let mut lab = Self { name, cgroup, pods: Vec::new() };
        let node = lab.netns("node");
        ip(&format!("netns add {node}"));
        ip_in(
            &node,
            "link add br0 type bridge\nlink set br0 up\naddr add 10.77.0.1/16 dev br0\naddr add fd77::1/64 dev br0 nodad\nlink set lo up\n",
        );
        for index in 0..n_pods {
            lab.add_pod(index);
        }
        lab
    }

    fn netns(&self, what: &str) -> String {
        format!("{}-{what}", self.name)
    }

    fn add_pod(&mut self, index: u8) {
        let netns = self.netns(&index.to_string());
        let node = self.netns("node");
        let last = u16::from(index) + 2;
        let pod = Pod {
            cgroup: self.cgroup.join("kubepods").join(format!("pod00000000-0000-0000-0000-{index:012}")),
            ip4: Ipv4Addr::new(10, 77, 0, index + 2),
            ip6: Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, last),
            netns,
        };
        make_threaded(&pod.cgroup);
        ip(&format!("netns add {}", pod.netns));
        ip_in(
            &node,
            &format!(
                "link add v{index} type veth peer name eth0 netns {}\nlink set v{index} master br0 up\n",
                pod.netns
            ),
        );
        ip_in(
            &pod.netns,
            &format!(
                "link set lo up\naddr add {}/16 dev eth0\naddr add {}/64 dev eth0 nodad\nlink set eth0 up\nroute add default via 10.77.0.1\n",
                pod.ip4, pod.ip6
            ),
        );
        self.pods.push(pod);
    }

    /// The folder to attach to: all pods are below.
    pub(crate) fn cgroup(&self) -> &Path {
        &self.cgroup
    }

    pub(crate) fn pod(&self, index: usize) -> &Pod {
        &self.pods[index]
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for what in self.pods.iter().map(|pod| pod.netns.clone()).chain([self.netns("node")]) {
            ip(&format!("netns delete {what}"));
        }
        // Threads that have just ended leave their folder a moment later.
        let folders = self.pods.iter().map(|pod| pod.cgroup.clone());
        for folder in folders.chain([self.cgroup.join("kubepods"), self.cgroup.clone()]) {
            crate::wait::until("a cgroup folder is empty", || {
                fs::remove_dir(&folder).is_ok() || !folder.exists()
            });
        }
        home().leave().expect("leave the lab's cgroup");
    }
}

impl Pod {
    /// Does `work` on a thread inside the pod and gives back what it returns: sockets stay the pod's.
    pub(crate) fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                self.enter();
                work()
            });
            match thread.join() {
                Ok(value) => value,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }

    /// Moves the calling thread into the pod for good.
    pub(crate) fn enter(&self) {
        let thread = gettid().as_raw_nonzero().to_string();
        fs::write(self.cgroup.join("cgroup.threads"), thread).expect("join the pod's cgroup");
        let netns = fs::File::open(format!("/run/netns/{}", self.netns)).expect("the pod's namespace");
        move_into_link_name_space(std::os::fd::AsFd::as_fd(&netns), Some(LinkNameSpaceType::Network))
            .expect("enter the pod's namespace");
    }

    /// The inode number of the pod's folder: its cgroup id.
    pub(crate) fn cgroup_id(&self) -> u64 {
        std::os::unix::fs::MetadataExt::ino(&fs::metadata(&self.cgroup).expect("the pod's folder"))
    }

    pub(crate) fn v4(&self, port: u16) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(self.ip4), port)
    }

    pub(crate) fn v6(&self, port: u16) -> SocketAddr {
        SocketAddr::new(IpAddr::V6(self.ip6), port)
    }

    /// Runs `ip COMMAND` for each line inside the pod.
    pub(crate) fn ip(&self, lines: &str) {
        ip_in(&self.netns, lines);
    }
}

fn make_threaded(folder: &Path) {
    fs::create_dir(folder).expect("make a cgroup folder");
    fs::write(folder.join("cgroup.type"), "threaded").expect("make the folder take threads");
}

fn ip(arguments: &str) {
    let status = Command::new("ip").args(arguments.split(' ')).status().expect("run ip");
    assert!(status.success(), "ip {arguments}: {status}");
}

fn ip_in(netns: &str, lines: &str) {
    let mut child =
        Command::new("ip").args(["-n", netns, "-batch", "-"]).stdin(Stdio::piped()).spawn().expect("run ip");
    child.stdin.take().expect("piped").write_all(lines.as_bytes()).expect("hand lines to ip");
    let status = child.wait().expect("ip ends");
    assert!(status.success(), "ip -n {netns}: {status}: {lines}");
}
