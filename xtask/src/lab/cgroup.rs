//! The lab's folders in cgroup2: found, entered, and removed with all that runs in them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// Where cgroup2 is mounted; on a hybrid machine not at `/sys/fs/cgroup` itself.
pub(crate) fn mount() -> Result<PathBuf, Box<dyn std::error::Error>> {
    let table = fs::read_to_string("/proc/self/mountinfo")?;
    for line in table.lines() {
        let Some((before, after)) = line.split_once(" - ") else { continue };
        if after.split(' ').next() == Some("cgroup2")
            && let Some(point) = before.split(' ').nth(4)
        {
            return Ok(PathBuf::from(point));
        }
    }
    Err("cgroup2 is not mounted: mount -t cgroup2 none /sys/fs/cgroup/unified".into())
}

/// Moves this process into the folder, which is made where it is missing.
pub(crate) fn enter(folder: &Path) -> Result<(), Box<dyn std::error::Error>> {
    fs::create_dir_all(folder).map_err(|error| format!("make {}: {error}", folder.display()))?;
    let file = folder.join("cgroup.procs");
    fs::write(&file, std::process::id().to_string())
        .map_err(|error| format!("enter {}: {error}", file.display()).into())
}

/// Kills what runs below the folder and removes it; nothing to do where it is not there.
pub(crate) fn remove(folder: &Path) -> io::Result<()> {
    if !folder.exists() {
        return Ok(());
    }
    // `cgroup.kill` came with Linux 5.14; before, one by one.
    if fs::write(folder.join("cgroup.kill"), "1").is_err() {
        for pid in processes(folder)? {
            // It may have ended by itself.
            kill_process(pid, Signal::KILL).ok();
        }
    }
    let mut error = None;
    for _ in 0..200 {
        match remove_folders(folder) {
            Ok(()) => return Ok(()),
            Err(busy) => error = Some(busy),
        }
        std::thread::sleep(Duration::from_millis(25));
    }
    Err(error.unwrap_or_else(|| io::Error::other("busy")))
}

fn remove_folders(folder: &Path) -> io::Result<()> {
    for below in subfolders(folder)? {
        remove_folders(&below)?;
    }
    fs::remove_dir(folder)
}

fn processes(folder: &Path) -> io::Result<Vec<Pid>> {
    let text = fs::read_to_string(folder.join("cgroup.procs"))?;
    let mut pids: Vec<Pid> = text.lines().filter_map(|line| Pid::from_raw(line.parse().ok()?)).collect();
    for below in subfolders(folder)? {
        pids.extend(processes(&below)?);
    }
    Ok(pids)
}

fn subfolders(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut below = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            below.push(entry.path());
        }
    }
    Ok(below)
}
