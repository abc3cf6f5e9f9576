//! Whose rights decide: a user reads flows when Kubernetes lets them open a port of the agents' pods.

use std::path::PathBuf;

use super::kube::Kube;

/// A kubeconfig of a service account with no rights but those bound to it.
fn user(kube: &Kube, name: &str) -> PathBuf {
    kube.kubectl(&["-n", "default", "create", "serviceaccount", name]);
    let token = kube.kubectl(&["-n", "default", "create", "token", name]).trim().to_owned();
    let path = kube.file(
        &format!("{name}.kubeconfig"),
        &std::fs::read_to_string(&kube.kubeconfig).expect("a kubeconfig"),
    );
    let file = path.to_string_lossy().into_owned();
    let config = |arguments: &[&str]| {
        let mut command = std::process::Command::new(kube.program());
        command.args(["--kubeconfig", &file, "config"]).args(arguments);
        super::kube::succeed(&mut command);
    };
    config(&["set-credentials", name, "--token", &token]);
    config(&["set-context", "--current", "--user", name]);
    path
}

pub(crate) fn without_port_forward_nothing_is_read(kube: &Kube) {
    let stranger = user(kube, "stranger");
    let output = kube.netflow_as(&stranger, &["observe", "--since", "1h"]);
    let words = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), output.stdout.is_empty()), (Some(1), true), "{words}");
    assert!(words.contains("forbidden"), "{words}");

    // To see the pods is not to read their flows.
    let onlooker = user(kube, "onlooker");
    let account = "--serviceaccount=default:onlooker";
    kube.kubectl(&["create", "clusterrolebinding", "onlooker", "--clusterrole=view", account]);
    let output = kube.netflow_as(&onlooker, &["observe", "--since", "1h", "-o", "json"]);
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(words.contains("forbidden") && words.contains("node1") && words.contains("node2"), "{words}");
}

pub(crate) fn a_viewer_reads(kube: &Kube) {
    let viewer = user(kube, "viewer");
    let account = "--serviceaccount=default:viewer";
    kube.kubectl(&[
        "-n",
        "netflow",
        "create",
        "rolebinding",
        "viewer",
        "--clusterrole=netflow-viewer",
        account,
    ]);
    let output = kube.netflow_as(&viewer, &["observe", "--since", "1h", "-o", "json"]);
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words}");
    let edges = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(edges.contains("\"web\"") && edges.contains("\"db\""), "{edges}\n{words}");
    // The agents know pods and Services; what only the API tells is missing, and named.
    assert!(words.contains("deployments") && words.contains("networkpolicies"), "{words}");
}
