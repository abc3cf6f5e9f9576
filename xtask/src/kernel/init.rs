//! The first process inside the virtual machine: mounts what a node has, loads the modules, runs the
//! command lines of `/run-these`, says how each ended, and switches the machine off.

use std::ffi::CString;
use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use rustix::mount::{MountFlags, mount};
use rustix::system::{RebootCommand, finit_module, reboot};

use crate::Outcome;

/// What is run, a command line each.
pub(super) const RUN: &str = "/run-these";
/// The modules, loaded in the order of their names.
pub(super) const MODULES: &str = "/modules";
/// Begins the line that says how a command ended: `<mark> STATUS COMMAND`.
pub(super) const MARK: &str = "netflow-vm-ended:";

pub(super) fn run() -> Outcome {
    if std::process::id() != 1 || !Path::new(RUN).exists() {
        return Err("only the first process of the virtual machine runs this".into());
    }
    if let Err(error) = prepare().and_then(|()| run_all()) {
        println!("{MARK} 1 init: {error}");
    }
    reboot(RebootCommand::PowerOff)?;
    Ok(())
}

fn prepare() -> Outcome {
    let none = MountFlags::empty();
    let wanted = [
        ("proc", "/proc"),
        ("sysfs", "/sys"),
        ("devtmpfs", "/dev"),
        ("tmpfs", "/tmp"),
        ("tmpfs", "/run"),
        ("cgroup2", "/sys/fs/cgroup"),
        ("bpf", "/sys/fs/bpf"),
    ];
    for (kind, place) in wanted {
        mount(kind, place, kind, none, None).map_err(|error| format!("mount {kind} on {place}: {error}"))?;
    }
    fs::create_dir_all("/run/netns")?;
    let mut modules: Vec<_> = fs::read_dir(MODULES)?.collect::<Result<_, _>>()?;
    modules.sort_by_key(fs::DirEntry::file_name);
    for module in modules {
        let path = module.path();
        match finit_module(File::open(&path)?, &CString::default(), 0) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(error) => return Err(format!("load {}: {error}", path.display()).into()),
        }
    }
    Ok(())
}

fn run_all() -> Outcome {
    for line in fs::read_to_string(RUN)?.lines() {
        let mut words = line.split_whitespace();
        let Some(program) = words.next() else { continue };
        let status = Command::new(program)
            .args(words)
            .env_clear()
            .env("PATH", "/bin")
            .env("HOME", "/tmp")
            .env("CI", "true")
            .env("RUST_BACKTRACE", "1")
            .status()
            .map_err(|error| format!("start `{line}`: {error}"))?;
        println!("{MARK} {} {line}", status.code().unwrap_or(-1));
    }
    Ok(())
}
