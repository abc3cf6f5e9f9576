//! The shop: it opens, is visited from outside, rolled over in the middle, and has a pod that lives a second.

use std::collections::BTreeSet;
use std::process::Stdio;

use serde_json::{Value, json};

use super::answers;
use super::expected::EDGES;
use super::kube::{Kube, succeed, text, wait};

const WORKLOADS: &[(&str, &str)] = &[
    ("shop", "deployment/web"),
    ("shop", "deployment/api"),
    ("shop", "statefulset/db"),
    ("shop", "deployment/cache"),
    ("shop", "deployment/kiosk"),
    ("billing", "deployment/web"),
];

pub(crate) fn opens(kube: &Kube) {
    // The machine outside that `legacy` stands for; it ends with the cluster's namespaces.
    let outside = kube
        .inside("outside", &["nettool", "serve", "-tcp", "9001"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("nsenter starts");
    kube.keep(outside);
    apply(kube, include_str!("shop.yaml"));
    for (namespace, workload) in WORKLOADS {
        kube.kubectl(&["-n", namespace, "rollout", "status", workload, "--timeout=300s"]);
    }
    wait(180, "the pods without a keeper", || {
        let pods = kube.get(&["pods", "-n", "ops"]);
        let running = |pod: &Value| pod["status"]["phase"] == "Running";
        if pods["items"].as_array().expect("a list").iter().all(running) {
            Ok(())
        } else {
            Err(pods.to_string())
        }
    });
}

pub(crate) fn is_at_work(kube: &Kube) {
    kube.kubectl(&["-n", "shop", "create", "job", "--from=cronjob/report", "report-now"]);
    visit_from_outside(kube);
    live_a_second(kube);
    // Labels that change while the pods run.
    kube.kubectl(&["-n", "billing", "label", "pods", "-l", "app=web", "shift=late"]);
    kube.kubectl(&["-n", "shop", "rollout", "restart", "deployment/api"]);
    kube.kubectl(&["-n", "shop", "rollout", "status", "deployment/api", "--timeout=300s"]);
    kube.kubectl(&["-n", "shop", "wait", "--for=condition=complete", "job/report-now", "--timeout=300s"]);
    // Killed, not asked to end; its Deployment has another.
    kube.kubectl(&["-n", "shop", "delete", "pods", "-l", "app=cache", "--force", "--grace-period=0"]);
    kube.kubectl(&["-n", "shop", "rollout", "status", "deployment/cache", "--timeout=300s"]);
    visit_from_outside(kube);
    wait(180, "every edge of the list", || {
        let seen: BTreeSet<String> =
            kube.lines(&["observe", "--since", "1h", "-o", "json"]).iter().map(answers::name).collect();
        let missing: Vec<_> = EDGES.iter().filter(|edge| !seen.contains(**edge)).collect();
        if missing.is_empty() { Ok(()) } else { Err(format!("{missing:?} are not there yet")) }
    });
}

/// How often the database answered `api`, as its pods log it.
pub(crate) fn answered(kube: &Kube) -> u64 {
    let log = kube.kubectl(&["-n", "shop", "logs", "-l", "app=api", "-c", "call", "--tail=-1"]);
    log.lines().filter(|line| line.starts_with("ok db-")).count() as u64
}

/// Through the NodePort at both nodes, and through the port of the host.
fn visit_from_outside(kube: &Kube) {
    for door in ["10.77.0.11:30080", "10.77.0.12:30080", "10.77.0.12:8090"] {
        succeed(&mut kube.inside("outside", &["nettool", "probe", "-count", "6", "-every", "50ms", door]));
    }
}

/// Asks for a name, calls once, is over, and is deleted at once.
fn live_a_second(kube: &Kube) {
    apply(kube, &pod("blink", "nettool probe web.billing:80").to_string());
    wait(180, "the pod that lives a second", || {
        let phase = text(&kube.get(&["pod", "-n", "ops", "blink"])["status"]["phase"]);
        if phase == "Succeeded" { Ok(()) } else { Err(phase) }
    });
    kube.kubectl(&["-n", "ops", "delete", "pod", "blink"]);
}

/// A pod of `ops` on node2 that runs a line of shell.
pub(crate) fn pod(name: &str, script: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": name, "namespace": "ops", "labels": { "app": name } },
        "spec": {
            "nodeName": "node2", "terminationGracePeriodSeconds": 1, "restartPolicy": "Never",
            "containers": [{
                "name": "call", "image": "netflow-test/toolbox:1", "imagePullPolicy": "Never",
                "command": ["sh", "-c", script],
            }],
        },
    })
}

pub(crate) fn apply(kube: &Kube, manifest: &str) {
    let applied = kube.feed(&["apply", "-f", "-"], manifest);
    assert!(applied.status.success(), "{}", String::from_utf8_lossy(&applied.stderr));
}
