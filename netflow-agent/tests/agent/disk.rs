//! A state folder on a disk that is full: capturing goes on, it is said, and it mends itself.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::lab_of;
use crate::running::{Agent, lost, served, stored};
use crate::traffic::{converse, manifests};
use crate::wait;

/// A small file system of its own, unmounted when dropped.
struct Disk(PathBuf);

impl Disk {
    fn mount(folder: &Path, size: &str) -> Self {
        fs::create_dir_all(folder).expect("a folder");
        let options = format!("size={size}");
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(folder).status();
        assert!(mount.is_ok_and(|status| status.success()), "mount a tmpfs");
        Self(folder.to_owned())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // A busy file system is unmounted when its last user has gone.
        drop(Command::new("umount").arg("-l").arg(&self.0).status());
    }
}

#[test]
fn a_full_disk_stops_nothing_and_loses_nothing() {
    let lab = lab_of!("disk::a_full_disk_stops_nothing_and_loses_nothing", 2);
    let folder = tempfile::tempdir().expect("a folder");
    let state = folder.path().join("state");
    let _disk = Disk::mount(&state, "4m");
    let inventory = folder.path().join("cluster.yaml");
    fs::write(&inventory, manifests(&lab)).expect("manifests");
    let path = inventory.to_string_lossy();
    let agent = Agent::start(&lab, &state, &["--interval", "100ms", "--inventory", &path]);
    converse(lab.pod(0), lab.pod(1), 8080, 10);
    assert_eq!(served(&agent.export(), 8080), 10);

    let ballast = state.join("ballast");
    let mut file = fs::File::create(&ballast).expect("a file");
    while file.write_all(&[0; 4_096]).is_ok() {}
    // Rows enough that the store must grow.
    let listen = 1_u16..=1_500;
    for port in listen.clone() {
        converse(lab.pod(0), lab.pod(1), 10_000 + port, 1);
    }
    wait::until("it says that it cannot write", || agent.metric("netflow_store_failing") == 1);
    assert!(agent.ask("/readyz").is_some_and(|answer| answer.starts_with("HTTP/1.0 200")), "still ready");
    assert_eq!(served(&agent.export(), 8080), 10, "what is stored can be read");
    // What changes meanwhile waits beside the flows.
    fs::write(&inventory, manifests(&lab).replace("name: db,", "name: cache,")).expect("manifests");
    wait::until("the inventory is read again", || agent.log().contains("the inventory changed"));
    converse(lab.pod(0), lab.pod(1), 8080, 10);

    drop(file);
    fs::remove_file(&ballast).expect("removed");
    wait::until("it can write again", || agent.metric("netflow_store_failing") == 0);
    let recording = agent.export();
    let of_ports: u64 = listen.map(|port| served(&recording, 10_000 + port)).sum();
    assert_eq!((served(&recording, 8080), of_ports, lost(&recording)), (20, 1_500, 0));
    let ended = |name: &str| {
        let versions = recording.objects.iter().filter(|it| &*it.object.meta().name == name);
        versions.map(|it| it.to.is_some()).collect::<Vec<_>>()
    };
    assert_eq!([ended("db"), ended("cache"), ended("web")], [vec![true], vec![false], vec![false]]);
    agent.stop();
    assert_eq!(served(&stored(&state), 8080), 20);
}
