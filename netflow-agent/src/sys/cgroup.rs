//! The pods' folders in a cgroup2 tree. In: the tree's mount point. Out: the id that the kernel gives with a
//! socket, and the UID in the folder's name, as both cgroup drivers write it. Reads names and inode numbers
//! only.

use std::fs::{self, DirEntry};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use crate::engine::PodCgroup;

/// kubelets are found at most this deep: `/kubelet.slice/kubelet-kubepods.slice`, or a node in a container.
const DEPTH: usize = 6;
/// A pod's own folders: containers, and what they make below themselves.
const POD_DEPTH: usize = 4;
/// More folders than this in one tree are no node's.
const FOLDERS: usize = 200_000;

/// All pod folders below a mount. What cannot be read (it may vanish meanwhile) is left out.
pub fn pods(root: &Path) -> Vec<PodCgroup> {
    let mut found = Vec::new();
    search(root, DEPTH, &mut found);
    found
}

fn search(folder: &Path, depth: usize, found: &mut Vec<PodCgroup>) {
    for entry in folders(folder) {
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        if is_kubepods(name) {
            if let Ok(metadata) = entry.metadata() {
                kubepods(&entry.path(), metadata.ino(), 3, found);
            }
        } else if depth > 0 {
            search(&entry.path(), depth - 1, found);
        }
    }
}

/// `kubepods`, then the quality of service, then the pods.
fn kubepods(folder: &Path, tree: u64, depth: usize, found: &mut Vec<PodCgroup>) {
    for entry in folders(folder) {
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        match pod_uid(name) {
            Some(uid) => pod(&entry, &uid.into(), tree, POD_DEPTH, found),
            None if depth > 0 => kubepods(&entry.path(), tree, depth - 1, found),
            None => {}
        }
    }
}

fn pod(entry: &DirEntry, uid: &Arc<str>, tree: u64, depth: usize, found: &mut Vec<PodCgroup>) {
    if found.len() >= FOLDERS {
        return;
    }
    if let Ok(metadata) = entry.metadata() {
        found.push(PodCgroup { id: metadata.ino(), pod: Arc::clone(uid), tree });
    }
    if depth > 0 {
        for below in folders(&entry.path()) {
            pod(&below, uid, tree, depth - 1, found);
        }
    }
}

fn folders(folder: &Path) -> impl Iterator<Item = DirEntry> {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
}

/// `kubepods` (cgroupfs), `kubepods.slice` (systemd), `kubelet-kubepods.slice` (kind).
fn is_kubepods(name: &str) -> bool {
    let stem = name.strip_suffix(".slice").unwrap_or(name);
    stem == "kubepods" || stem.ends_with("-kubepods")
}

/// The UID in `pod<uid>` (cgroupfs) or `kubepods-burstable-pod<uid with _ for ->.slice` (systemd). A static
/// pod's is a hash without dashes.
fn pod_uid(name: &str) -> Option<String> {
    let uid = match name.strip_suffix(".slice") {
        Some(stem) => stem.rsplit_once("-pod").map(|(_, uid)| uid.replace('_', "-"))?,
        None => name.strip_prefix("pod")?.to_owned(),
    };
    let fits = uid.len() >= 8 && uid.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
    fits.then_some(uid)
}

#[cfg(test)]
mod tests {
    use super::*;

    const UID: &str = "0f4b3a1e-6a0d-4b1e-9a55-0c6a4f7d1234";

    #[test]
    fn both_drivers_names_carry_the_uid() {
        for (name, expected) in [
            (format!("pod{UID}"), Some(UID)),
            (format!("kubepods-burstable-pod{}.slice", UID.replace('-', "_")), Some(UID)),
            (format!("kubepods-pod{}.slice", UID.replace('-', "_")), Some(UID)),
            (format!("kubelet-kubepods-besteffort-pod{}.slice", UID.replace('-', "_")), Some(UID)),
            ("pod8f1b6a0d4b1e9a550c6a4f7d12345678".to_owned(), Some("8f1b6a0d4b1e9a550c6a4f7d12345678")),
            ("burstable".to_owned(), None),
            ("kubepods-burstable.slice".to_owned(), None),
            ("podman".to_owned(), None),
            ("pod".to_owned(), None),
        ] {
            assert_eq!(pod_uid(&name).as_deref(), expected, "{name}");
        }
    }

    #[test]
    fn pods_are_found_under_every_kubelet_of_the_tree() {
        let tree = tempfile::tempdir().expect("a folder");
        let make = |path: &str| fs::create_dir_all(tree.path().join(path)).expect("a folder");
        make(&format!("kubepods/burstable/pod{UID}/abc/inner"));
        let other = "1f4b3a1e-6a0d-4b1e-9a55-0c6a4f7d1234";
        make(&format!(
            "machine.slice/node2/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice/kubelet-kubepods-besteffort-pod{}.slice/cri-containerd-abc.scope",
            other.replace('-', "_")
        ));
        make("system.slice/ssh.service");
        let mut found = pods(tree.path());
        found.sort_by(|one, two| one.pod.cmp(&two.pod));
        let uids: Vec<&str> = found.iter().map(|it| &*it.pod).collect();
        assert_eq!(uids, [UID, UID, UID, other, other]);
        assert_ne!(found[0].tree, found[4].tree);
        let id = fs::metadata(tree.path().join(format!("kubepods/burstable/pod{UID}"))).expect("it").ino();
        assert!(found.iter().any(|it| it.id == id));
    }
}
