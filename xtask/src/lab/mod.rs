//! The lab: network namespaces with their own cgroup2 folders as pods, and the small programs that run in
//! them. Nothing here is a task of its own; `cargo xtask demo` starts its programs by these hidden words.
//!
//! A program of the lab ends when its standard input does, so that none outlives who started it; with
//! `--stay` it ends when its cgroup is killed.

use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use rustix::thread::{
    CapabilitySet, UnshareFlags, capability_is_in_bounding_set, remove_capability_from_bounding_set,
};

use crate::Outcome;

mod api;
mod call;
pub(crate) mod cgroup;
mod dns;
pub(crate) mod janitor;
pub(crate) mod load;
pub(crate) mod machine;
pub(crate) mod netlink;
mod serve;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The cgroup2 folder to move to first
    #[arg(long)]
    cgroup: Option<PathBuf>,
    /// The process whose network namespace to enter
    #[arg(long, conflicts_with = "new_net")]
    net: Option<u32>,
    /// Begin a network namespace
    #[arg(long)]
    new_net: bool,
    /// Do not end with standard input
    #[arg(long)]
    stay: bool,
    #[command(subcommand)]
    program: Program,
}

#[derive(Debug, clap::Subcommand)]
enum Program {
    /// Keep the namespace alive
    Pause,
    /// Answer each TCP connection with what it sends
    Serve { ports: Vec<u16> },
    /// Answer an agent as an API server would, from a file of objects per kind
    Api { listen: SocketAddr, folder: PathBuf },
    /// Answer DNS queries over UDP from `NAME=ADDRESS` pairs
    Dns { names: Vec<String> },
    /// Resolve a name over UDP, and send a request to each of its addresses
    Call(call::Call),
    /// Keep one connection open and talk on it
    Hold { to: SocketAddr },
    /// Try to connect, and fail as expected
    Attempt {
        to: SocketAddr,
        #[arg(long, value_enum)]
        expect: call::Expected,
        #[arg(long, default_value_t = 1000)]
        timeout_ms: u64,
    },
    /// Both ends of a conversation, as fast as it goes
    Load(load::Load),
    /// Become another program, with the capabilities BPF and NET_ADMIN alone
    Exec {
        /// Keep PERFMON too
        #[arg(long)]
        perfmon: bool,
        #[arg(trailing_var_arg = true, required = true)]
        command: Vec<String>,
    },
    /// Remove the lab when standard input ends
    Janitor { folder: PathBuf, control: PathBuf },
}

pub(crate) fn run(args: &Args) -> Outcome {
    if let Some(folder) = &args.cgroup {
        cgroup::enter(folder)?;
    }
    if let Some(pid) = args.net {
        let file = std::fs::File::open(format!("/proc/{pid}/ns/net"))?;
        let kind = Some(rustix::thread::LinkNameSpaceType::Network);
        rustix::thread::move_into_link_name_space(std::os::fd::AsFd::as_fd(&file), kind)?;
    }
    if args.new_net {
        new_network_namespace()?;
    }
    if let Program::Exec { perfmon, command } = &args.program {
        let more = if *perfmon { CapabilitySet::PERFMON } else { CapabilitySet::empty() };
        keep_capabilities(CapabilitySet::BPF | CapabilitySet::NET_ADMIN | more)?;
        return Err(Command::new(&command[0]).args(&command[1..]).exec().into());
    }
    if let Program::Janitor { folder, control } = &args.program {
        return janitor::run(folder, control);
    }
    if !args.stay {
        std::thread::spawn(end_with_input);
    }
    match &args.program {
        Program::Pause => {
            println!("ready");
            loop {
                std::thread::park();
            }
        }
        Program::Serve { ports } => serve::run(ports),
        Program::Api { listen, folder } => api::run(*listen, folder),
        Program::Dns { names } => dns::serve(names),
        Program::Call(call) => call.run(),
        Program::Hold { to } => call::hold(*to),
        Program::Attempt { to, expect, timeout_ms } => {
            call::attempt(*to, *expect, Duration::from_millis(*timeout_ms))
        }
        Program::Load(load) => load.run(args.cgroup.as_ref()),
        Program::Exec { .. } | Program::Janitor { .. } => Ok(()),
    }
}

/// Leaves these in the bounding set: root gets no others with the next program.
fn keep_capabilities(kept: CapabilitySet) -> io::Result<()> {
    for capability in CapabilitySet::all().difference(kept).iter() {
        // An older kernel does not know the newest.
        if capability_is_in_bounding_set(capability).is_ok_and(|is_in| is_in) {
            remove_capability_from_bounding_set(capability)?;
        }
    }
    Ok(())
}

#[expect(deprecated, reason = "its one hazard is a shared file table, which is not touched here")]
fn new_network_namespace() -> io::Result<()> {
    Ok(rustix::thread::unshare(UnshareFlags::NEWNET)?)
}

#[expect(clippy::exit, reason = "whoever started this program is gone")]
fn end_with_input() {
    let mut rest = Vec::new();
    drop(io::stdin().read_to_end(&mut rest));
    std::process::exit(0);
}

/// `ADDRESS:PORT`, with brackets where the family needs them.
pub(crate) fn socket(ip: IpAddr, port: u16) -> String {
    SocketAddr::new(ip, port).to_string()
}
