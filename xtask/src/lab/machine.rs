//! One machine of the lab, with the pods that live on it: builds the namespaces, the links and the cgroup2
//! folders, and starts programs in them.

use std::io::{BufRead, BufReader};
use std::net::IpAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::netlink::{Namespace, Route};
use super::{cgroup, janitor};
use crate::Outcome;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Two addresses of one thing, one of each family, with the length of their network.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Addresses {
    pub(crate) v4: (IpAddr, u8),
    pub(crate) v6: (IpAddr, u8),
}

impl Addresses {
    fn both(self) -> [(IpAddr, u8); 2] {
        [self.v4, self.v6]
    }
}

/// A namespace of the lab: its process, its cgroup2 folder.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) pid: u32,
    cgroup: PathBuf,
    namespace: Namespace,
}

/// The lab. What it started ends, and what it made is removed, when it is dropped: by the janitor, which
/// does the same when this process is killed.
#[derive(Debug)]
pub(crate) struct Lab {
    /// The folder for sockets and state.
    pub(crate) folder: PathBuf,
    /// The cgroup2 folder that the agent takes for its node's root.
    pub(crate) cgroup: PathBuf,
    pub(crate) node: Host,
    outside: Host,
    stay: bool,
    control: PathBuf,
    programs: Vec<Child>,
    janitor: Option<Child>,
}

const BRIDGE: &str = "cni0";

impl Lab {
    /// A node with a bridge for its pods, and a machine outside beside it. `stay` keeps all of it after us.
    pub(crate) fn begin(name: &str, node: Addresses, gateway: Addresses, outside: Addresses, stay: bool) -> Result<Self> {
        let folder = Path::new("/run").join(name);
        let control = cgroup::mount()?.join(name);
        janitor::remove(&folder, &control)?;
        let janitor = start_janitor(&folder, &control)?;
        std::fs::create_dir_all(&folder).map_err(|error| format!("make {}: {error}", folder.display()))?;

        let cgroup = control.join("node");
        let mut programs = Vec::new();
        let node_host = host(&cgroup.join("system.slice/kubelet.service"), stay, &mut programs)?;
        let outside_host = host(&control.join("outside"), stay, &mut programs)?;
        let lab = Self {
            folder,
            cgroup,
            node: node_host,
            outside: outside_host,
            stay,
            control,
            programs,
            janitor: Some(janitor),
        };
        lab.link(node, gateway, outside).map_err(|error| format!("link the lab: {error}"))?;
        Ok(lab)
    }

    fn link(&self, node: Addresses, gateway: Addresses, outside: Addresses) -> std::io::Result<()> {
        self.node.namespace.inside(|| {
            std::fs::write("/proc/sys/net/ipv4/ip_forward", "1")?;
            std::fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1")
        })?;
        let inside = self.node.namespace.links()?;
        inside.add_bridge(BRIDGE)?;
        inside.add_veth("eth0", "eth0", &self.outside.namespace)?;
        let beyond = self.outside.namespace.links()?;
        for links in [&inside, &beyond] {
            links.set_up("lo")?;
            links.set_up("eth0")?;
        }
        inside.set_up(BRIDGE)?;
        for (ip, prefix) in gateway.both() {
            inside.add_address(BRIDGE, ip, prefix)?;
        }
        for ((node_ip, prefix), (ip, _)) in node.both().into_iter().zip(outside.both()) {
            inside.add_address("eth0", node_ip, prefix)?;
            beyond.add_address("eth0", ip, prefix)?;
        }
        // The way back to the pods.
        for ((ip, prefix), (via, _)) in gateway.both().into_iter().zip(node.both()) {
            beyond.add_route(network(ip, prefix), prefix, Route::Via(via))?;
        }
        Ok(())
    }

    /// A pod on the node: a namespace on the bridge, in the folder that a kubelet would make.
    pub(crate) fn add_pod(&mut self, name: &str, uid: &str, own: Addresses, gateway: Addresses) -> Result<Host> {
        let folder = self.cgroup.join(format!("kubepods/besteffort/pod{uid}/{name}"));
        let pod = host(&folder, self.stay, &mut self.programs)?;
        let port = port(&pod);
        let link = || -> std::io::Result<()> {
            let outer = self.node.namespace.links()?;
            outer.add_veth(&port, "eth0", &pod.namespace)?;
            outer.put_on_bridge(&port, BRIDGE)?;
            outer.set_up(&port)?;
            let inner = pod.namespace.links()?;
            inner.set_up("lo")?;
            inner.set_up("eth0")?;
            for ((ip, prefix), (via, _)) in own.both().into_iter().zip(gateway.both()) {
                inner.add_address("eth0", ip, prefix)?;
                let any: IpAddr = if ip.is_ipv4() { [0; 4].into() } else { [0_u16; 8].into() };
                inner.add_route(any, 0, Route::Via(via))?;
            }
            Ok(())
        };
        link().map_err(|error| format!("link pod {name}: {error}"))?;
        Ok(pod)
    }

    /// Starts a program that goes on, and waits until it says it is ready.
    pub(crate) fn start(&mut self, at: &Host, program: &[&str]) -> Result<()> {
        let mut command = at.command(self.stay)?;
        self.programs.push(start(command.args(program), self.stay)?);
        Ok(())
    }

    /// Starts a program of the node itself.
    pub(crate) fn start_on_node(&mut self, program: &[&str]) -> Result<()> {
        let mut command = self.node.command(self.stay)?;
        self.programs.push(start(command.args(program), self.stay)?);
        Ok(())
    }

    /// Starts a program on the machine outside.
    pub(crate) fn start_outside(&mut self, program: &[&str]) -> Result<()> {
        let mut command = self.outside.command(self.stay)?;
        self.programs.push(start(command.args(program), self.stay)?);
        Ok(())
    }

    /// Another program in the node's network, in a cgroup2 folder of its own outside the node's, with the
    /// capabilities BPF and NET_ADMIN alone.
    pub(crate) fn exec(&self, name: &str, program: &Path) -> Result<Command> {
        let mut command = self.beside(name)?;
        command.args(["exec", "--"]).arg(program);
        Ok(command)
    }

    /// The same with PERFMON too, which other agents ask for.
    pub(crate) fn exec_with_perfmon(&self, name: &str, program: &Path) -> Result<Command> {
        let mut command = self.beside(name)?;
        command.args(["exec", "--perfmon", "--"]).arg(program);
        Ok(command)
    }

    fn beside(&self, name: &str) -> Result<Command> {
        let mut command = myself()?;
        command.arg("--cgroup").arg(self.control.join(name)).arg("--net").arg(self.node.pid.to_string());
        Ok(command)
    }

    /// The node's interfaces: its own, its bridge, and its end of each pod's.
    pub(crate) fn interfaces(pods: &[&Host]) -> Vec<String> {
        let own = ["eth0", BRIDGE].map(str::to_owned);
        own.into_iter().chain(pods.iter().map(|pod| port(pod))).collect()
    }

    /// Leaves everything running when this value ends.
    pub(crate) fn leave(mut self) -> Outcome {
        self.programs.clear();
        if let Some(janitor) = &mut self.janitor
            && let Some(input) = &mut janitor.stdin
        {
            std::io::Write::write_all(input, b"k")?;
        }
        Ok(())
    }

    /// Removes the lab now, and says what stood in the way.
    pub(crate) fn end(mut self) -> Outcome {
        self.dismiss()
    }

    fn dismiss(&mut self) -> Outcome {
        let Some(mut janitor) = self.janitor.take() else { return Ok(()) };
        drop(janitor.stdin.take());
        let status = janitor.wait()?;
        for program in &mut self.programs {
            program.wait()?;
        }
        if status.success() { Ok(()) } else { Err("the lab could not be removed".into()) }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if let Err(error) = self.dismiss() {
            eprintln!("xtask: {error}");
        }
    }
}

impl Host {
    fn command(&self, stay: bool) -> Result<Command> {
        let mut command = myself()?;
        command.arg("--cgroup").arg(&self.cgroup).arg("--net").arg(self.pid.to_string());
        if stay {
            command.arg("--stay");
        }
        Ok(command)
    }

    /// Runs a program to its end.
    pub(crate) fn call(&self, program: &[&str]) -> Outcome {
        let mut command = self.command(true)?;
        let output = command.args(program).stdin(Stdio::null()).output()?;
        if output.status.success() {
            return Ok(());
        }
        Err(format!("{}: {}", program.join(" "), String::from_utf8_lossy(&output.stderr).trim()).into())
    }

    /// Runs the load towards `server` to its end: how much was done, and the nanoseconds of CPU it took.
    pub(crate) fn load(&self, server: &Self, arguments: &[&str]) -> Result<(u64, u64)> {
        let mut command = self.command(true)?;
        command.arg("load").args(arguments).arg("--server-net").arg(server.pid.to_string());
        command.arg("--server-cgroup").arg(&server.cgroup);
        let text = crate::program::read(command.stdin(Stdio::null()))?;
        let mut numbers = text.split_whitespace().map(str::parse);
        match (numbers.next(), numbers.next()) {
            (Some(done), Some(cpu_ns)) => Ok((done?, cpu_ns?)),
            _ => Err("the load said nothing".into()),
        }
    }

    /// Another program in this host, with the capabilities BPF and NET_ADMIN alone.
    pub(crate) fn exec(&self, program: &Path) -> Result<Command> {
        let mut command = self.command(true)?;
        command.args(["exec", "--"]).arg(program);
        Ok(command)
    }

    /// What this host sends to `ip` is lost.
    pub(crate) fn lose(&self, ip: IpAddr) -> std::io::Result<()> {
        self.lose_network(ip, if ip.is_ipv4() { 32 } else { 128 })
    }

    /// What this host sends to `ip/prefix` is lost.
    pub(crate) fn lose_network(&self, ip: IpAddr, prefix: u8) -> std::io::Result<()> {
        self.namespace.links()?.add_route(ip, prefix, Route::Blackhole)
    }
}

/// The node's end of a pod's interface.
fn port(pod: &Host) -> String {
    format!("veth{}", pod.pid)
}

/// `xtask lab`, this very program.
fn myself() -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("lab");
    Ok(command)
}

fn host(folder: &Path, stay: bool, programs: &mut Vec<Child>) -> Result<Host> {
    let mut command = myself()?;
    command.arg("--cgroup").arg(folder).arg("--new-net");
    if stay {
        command.arg("--stay");
    }
    let child = start(command.arg("pause"), stay)?;
    let namespace = Namespace::of(child.id())?;
    let host = Host { pid: child.id(), cgroup: folder.to_owned(), namespace };
    programs.push(child);
    Ok(host)
}

/// Starts a program of the lab in a process group of its own, so that a Ctrl-C is for the task alone. One that
/// outlives the task keeps none of its outputs open: whoever reads them waits for their end.
fn start(command: &mut Command, stay: bool) -> Result<Child> {
    if stay {
        command.stderr(Stdio::null());
    }
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0).spawn()?;
    let mut line = String::new();
    if let Some(output) = child.stdout.take() {
        BufReader::new(output).read_line(&mut line)?;
    }
    if line.trim() == "ready" { Ok(child) } else { Err("a program of the lab did not start".into()) }
}

fn start_janitor(folder: &Path, control: &Path) -> Result<Child> {
    let mut command = myself()?;
    command.args(["janitor".as_ref(), folder, control]);
    Ok(command.stdin(Stdio::piped()).process_group(0).spawn()?)
}

/// The first address of the network that `ip/prefix` lies in.
fn network(ip: IpAddr, prefix: u8) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
            IpAddr::V4((u32::from(ip) & mask).into())
        }
        IpAddr::V6(ip) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
            IpAddr::V6((u128::from(ip) & mask).into())
        }
    }
}
