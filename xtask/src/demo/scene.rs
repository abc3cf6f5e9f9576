//! The live part: the lab from the manifests, the agent on it, the traffic, and the story told from the
//! running agent. Everything is removed at the end, however it comes.

use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::manifest::{self, Cluster};
use super::story::Story;
use super::Args;
use crate::Outcome;
use crate::lab::machine::{Addresses, Host, Lab};
use crate::lab::socket;
use crate::program;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const OUTSIDE: Addresses = Addresses {
    v4: (IpAddr::V4(Ipv4Addr::new(192, 0, 2, 100)), 24),
    v6: (IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, 0x100)), 64),
};
const GATEWAY: Addresses = Addresses {
    v4: (IpAddr::V4(Ipv4Addr::new(10, 244, 1, 1)), 24),
    v6: (IpAddr::V6(Ipv6Addr::new(0xfd00, 0x10, 0x244, 1, 0, 0, 0, 1)), 64),
};
const BACKEND: &str = "backend.netpol-demo.svc.cluster.local";
const DATABASE: &str = "database.netpol-demo.svc.cluster.local";

/// The lab and what lives on it.
struct Scene {
    lab: Lab,
    cluster: Cluster,
    pods: Vec<Host>,
}

pub(super) fn play(agent: &Path, args: &Args) -> Outcome {
    let lock_file = lock_file(&args.lab);
    let lock = File::create(&lock_file)?;
    lock.try_lock().map_err(|_busy| "another demo is running")?;

    let mut scene = Scene::build(&args.lab, args.keep)?;
    scene.serve()?;
    let state = scene.lab.folder.join("state");
    let log = scene.lab.folder.join("agent.log");
    let mut running = scene.start_agent(agent, &state, &log)?;
    let live = state.join("agent.sock");
    let told = (|| {
        wait("the agent answers", &mut running, || Story::can_read(agent, &live))?;
        scene.talk()?;
        let story = Story::live(agent, &live, &scene.lab.folder, args.save.as_deref())?;
        wait("every edge is reported", &mut running, || story.is_complete())?;
        story.tell()
    })();
    if let Err(error) = told {
        let words = fs::read_to_string(&log).unwrap_or_default();
        eprint!("the agent said:\n{words}");
        return Err(error);
    }
    if args.keep {
        scene.say_what_to_try(agent, &live);
        return scene.lab.leave();
    }
    stop(&mut running)?;
    scene.lab.end()?;
    Ok(fs::remove_file(lock_file)?)
}

/// Held while a demo runs, so that no second one builds the same lab.
pub(super) fn lock_file(lab: &str) -> PathBuf {
    Path::new("/run").join(format!("{lab}.lock"))
}

impl Scene {
    fn build(name: &str, stay: bool) -> Result<Self> {
        let cluster = Cluster::read()?;
        let mut lab = Lab::begin(name, cluster.node_addresses, GATEWAY, OUTSIDE, stay)?;
        let mut pods = Vec::new();
        for pod in &cluster.pods {
            pods.push(lab.add_pod(&pod.name, &pod.uid, pod.addresses, GATEWAY)?);
        }
        Ok(Self { lab, cluster, pods })
    }

    /// The servers, and the one connection that is older than the agent.
    fn serve(&mut self) -> Outcome {
        let [backend, database, dns] = self.find(["backend", "database", "coredns"])?;
        let mut zone = vec!["dns".to_owned()];
        for (name, pod) in [(BACKEND, backend), (DATABASE, database)] {
            let Addresses { v4, v6 } = self.cluster.pods[pod].addresses;
            zone.extend([format!("{name}={}", v4.0), format!("{name}={}", v6.0)]);
        }
        let zone: Vec<&str> = zone.iter().map(String::as_str).collect();
        let database_ip = self.ip(database);
        self.lab.start(&self.pods[dns], &zone)?;
        self.lab.start(&self.pods[backend], &["serve", "8080"])?;
        self.lab.start(&self.pods[database], &["serve", "5432"])?;
        let Self { lab, pods, .. } = self;
        lab.start_outside(&["serve", "443"])?;
        lab.start(&pods[backend], &["hold", &socket(database_ip, 5432)])
    }

    fn start_agent(&self, agent: &Path, state: &Path, log: &Path) -> Result<Child> {
        let mut command = self.pods[self.cluster.pod("netflow-agent")?].exec(agent)?;
        command.arg("run").arg("--state-dir").arg(state).arg("--inventory").arg(manifest::cluster_folder());
        command.arg("--node").arg(&self.cluster.node).arg("--cgroup").arg(&self.lab.cgroup);
        command.args(["--interval", "1s"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(log)?);
        Ok(command.spawn()?)
    }

    /// What the pods do while the agent looks; external-client does nothing.
    fn talk(&self) -> Outcome {
        let [frontend, backend, database, dns] = self.find(["frontend", "backend", "database", "coredns"])?;
        let dns = self.ip(dns).to_string();
        let database_ip = self.ip(database);
        let call = |pod: usize, name: &str, port: &str| {
            self.pods[pod].call(&["call", name, port, "--dns", &dns, "--times", "5"])
        };
        call(frontend, BACKEND, "8080")?;
        call(backend, DATABASE, "5432")?;
        call(backend, &OUTSIDE.v4.0.to_string(), "443")?;
        // The kubelet's probe comes from the node.
        self.lab.node.call(&["call", &self.ip(backend).to_string(), "8080"])?;
        let attempt = |port: u16, expected: &str| {
            let to = socket(database_ip, port);
            self.pods[frontend].call(&["attempt", &to, "--expect", expected])
        };
        attempt(5433, "refused")?;
        self.pods[database].lose(self.ip(frontend))?;
        attempt(5432, "timeout")
    }

    fn find<const N: usize>(&self, stems: [&str; N]) -> Result<[usize; N]> {
        let mut found = [0; N];
        for (place, stem) in found.iter_mut().zip(stems) {
            *place = self.cluster.pod(stem)?;
        }
        Ok(found)
    }

    fn ip(&self, pod: usize) -> IpAddr {
        self.cluster.pods[pod].addresses.v4.0
    }

    fn say_what_to_try(&self, agent: &Path, live: &Path) {
        let agent = program_name(agent);
        let live = live.display();
        println!("\nThe lab and the agent go on. As root, try:");
        for verb in ["observe -o wide", "observe --follow", "graph -o mermaid", "generate-policies --since 1h"] {
            println!("  {agent} {verb} --agent {live}");
        }
        for (pod, host) in self.cluster.pods.iter().zip(&self.pods) {
            println!("  nsenter --target {} --net    # in {}/{}", host.pid, pod.namespace, pod.name);
        }
        println!("and remove it all with\n  cargo xtask demo --remove");
    }
}

fn program_name(agent: &Path) -> String {
    agent.strip_prefix(program::root()).unwrap_or(agent).display().to_string()
}

/// Waits until `is_done`, at most 20 s, as long as the agent runs.
fn wait(what: &str, agent: &mut Child, is_done: impl Fn() -> Result<bool>) -> Outcome {
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(20) {
        if is_done()? {
            return Ok(());
        }
        if let Some(status) = agent.try_wait()? {
            return Err(format!("the agent ended before {what}: {status}").into());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Err(format!("waited 20 s in vain until {what}").into())
}

/// A clean stop: the agent drains, saves, detaches and exits with 0.
fn stop(agent: &mut Child) -> Outcome {
    let pid = i32::try_from(agent.id()).ok().and_then(Pid::from_raw).ok_or("the agent has no pid")?;
    kill_process(pid, Signal::TERM)?;
    let status = agent.wait()?;
    if status.success() { Ok(()) } else { Err(format!("the agent did not stop cleanly: {status}").into()) }
}
