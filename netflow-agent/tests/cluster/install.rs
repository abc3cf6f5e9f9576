//! README.md, followed word by word: the fenced lines of its section "On Kubernetes" are run as they stand,
//! by a user with an empty home. What the kit is instead of kind stands in for `kind`; nothing else does.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::agents::{self, Held};
use super::kube::{IMAGE, Kube, NODES, succeed, wait};

const SECTION: &str = "### On Kubernetes";

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

/// The fenced blocks of shell of the section, in order.
fn blocks() -> Vec<String> {
    let text = fs::read_to_string(workspace().join("README.md")).expect("README.md");
    let (_, section) = text.split_once(SECTION).expect("README.md says how to install");
    let section = section.split("\n### ").next().expect("a first part");
    let blocks =
        section.split("```sh\n").skip(1).map(|block| block.split("```").next().expect("a first part"));
    blocks.map(str::to_owned).collect()
}

/// Runs a block as that user, who waits a while before the first question.
fn follow(kube: &Kube, block: &str) -> String {
    let mut script = String::from("set -euo pipefail\n");
    let mut waited = false;
    let quick = std::env::var_os("NETFLOW_QUICK").is_some();
    for line in block.lines().filter(|line| !quick || !line.starts_with("cargo ")) {
        if line.starts_with("kubectl netflow") && !std::mem::replace(&mut waited, true) {
            script.push_str("sleep 12\n");
        }
        script.push_str(line);
        script.push('\n');
    }
    let real = PathBuf::from(std::env::var_os("HOME").unwrap_or_else(|| "/root".into()));
    let of_rust =
        |name: &str, folder: &str| std::env::var_os(name).map_or_else(|| real.join(folder), PathBuf::from);
    let output = succeed(
        Command::new("bash")
            .args(["-c", &script])
            .current_dir(workspace())
            .env("HOME", kube.home())
            .env("PATH", kube.path())
            .env("KUBECONFIG", &kube.kubeconfig)
            .env("CARGO_HOME", of_rust("CARGO_HOME", ".cargo"))
            .env("RUSTUP_HOME", of_rust("RUSTUP_HOME", ".rustup"))
            .env_remove("CARGO_MANIFEST_DIR"),
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What the user finds beside the cluster: `kind` that is the kit, and an image that registries have.
fn stand_ins(kube: &Kube) {
    let folder = kube.folder.path().join("bin");
    fs::create_dir_all(&folder).expect("our own folder");
    let load = kube.kit("load-image");
    let kind = folder.join("kind");
    let script = format!(
        "#!/bin/sh\n[ \"$1 $2\" = \"load image-archive\" ] && exec {} {IMAGE} \"$(realpath \"$3\")\"\nexit 1\n",
        load.display()
    );
    fs::write(&kind, script).expect("our own folder");
    fs::set_permissions(&kind, fs::Permissions::from_mode(0o755)).expect("our own file");
    let root = kube.folder.path().join("busybox");
    fs::create_dir_all(root.join("bin")).expect("our own folder");
    let script = "cp \"$(command -v busybox)\" bin/busybox && ln -s busybox bin/rm";
    succeed(Command::new("sh").args(["-c", script]).current_dir(&root));
    kube.script("load-image", &["busybox:1", &root.to_string_lossy()]);
}

/// The folder that README.md has its policies written to; gone when the step ends, however it does.
struct Policies(PathBuf);

impl Drop for Policies {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

pub(crate) fn ends_with_policies(kube: &Kube) {
    stand_ins(kube);
    let policies = Policies(workspace().join("policies"));
    assert!(!policies.0.exists(), "{} is in the way", policies.0.display());
    let [install, ..] = &blocks()[..] else { panic!("no commands in {SECTION}") };
    let said = follow(kube, install);
    assert!(said.contains("shop/deployment/web"), "observe shows the cluster's own traffic: {said}");
    let folder = policies.0.to_string_lossy().into_owned();
    let applied = kube.kubectl(&["apply", "--dry-run=server", "--validate=strict", "-k", &folder]);
    for policy in ["web-deployment", "api-deployment", "db-statefulset", "default-deny"] {
        assert!(applied.contains(policy), "no {policy} among {applied}");
    }
}

/// The words for removing it, likewise; the last of them are about the state folders.
pub(crate) fn ends_without_a_trace(kube: &Kube) {
    let held = Held::by_agents();
    let all = blocks();
    let [_, delete, forget] = &all[..] else { panic!("{SECTION} has {} blocks", all.len()) };
    follow(kube, delete);
    agents::are_gone(kube, &held);

    // The kit's nodes share the machine's own folder, so that is what goes; with nobody's flows in it.
    for node in NODES {
        let target = kube.pid(node);
        let umount = ["--target", &target, "--mount", "--", "umount", "/var/lib/netflow"];
        succeed(Command::new("nsenter").args(umount));
    }
    let folder = Path::new("/var/lib/netflow");
    let foreign = fs::read_dir(folder).expect("the kubelet made it").count();
    assert_eq!(foreign, 0, "{} has flows of this machine's own", folder.display());
    fs::write(folder.join("flows.redb"), "a state").expect("root writes there");
    follow(kube, forget);
    wait(10, "the state folder to go", || if folder.exists() { Err("there".to_owned()) } else { Ok(()) });
    let pods = kube.kubectl(&["get", "pods", "-n", "default", "-o", "name"]);
    assert_eq!(pods, "", "left by removing it");
}
