//! The shop: deployed, visited from outside, rolled over in the middle, and an address that changes hands.

use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::kube::{Kube, succeed, text, wait};

const WORKLOADS: &[(&str, &str)] = &[
    ("shop", "deployment/web"),
    ("shop", "deployment/api"),
    ("shop", "statefulset/db"),
    ("shop", "deployment/cache"),
    ("billing", "deployment/web"),
];

pub(crate) fn is_at_work(kube: &Kube) {
    // The machine outside that `legacy` stands for; it ends with the cluster's namespaces.
    let outside = kube
        .inside("outside", &["nettool", "serve", "-tcp", "9001"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("nsenter starts");
    kube.keep(outside);
    let applied = kube.feed(&["apply", "-f", "-"], include_str!("shop.yaml"));
    assert!(applied.status.success(), "{}", String::from_utf8_lossy(&applied.stderr));
    for (namespace, workload) in WORKLOADS {
        kube.kubectl(&["-n", namespace, "rollout", "status", workload, "--timeout=90s"]);
    }
    kube.kubectl(&["-n", "shop", "create", "job", "--from=cronjob/report", "report-now"]);
    visit_from_outside(kube);
    kube.kubectl(&["-n", "shop", "rollout", "restart", "deployment/api"]);
    kube.kubectl(&["-n", "shop", "rollout", "status", "deployment/api", "--timeout=90s"]);
    kube.kubectl(&["-n", "shop", "wait", "--for=condition=complete", "job/report-now", "--timeout=60s"]);
    visit_from_outside(kube);
    // Two rounds of every client and a drain at both ends.
    std::thread::sleep(Duration::from_secs(15));
}

fn visit_from_outside(kube: &Kube) {
    for node in ["10.77.0.11:30080", "10.77.0.12:30080"] {
        succeed(&mut kube.inside("outside", &["nettool", "probe", "-count", "6", "-every", "50ms", node]));
    }
}

/// A pod that is gone leaves its address to another workload's pod within seconds; what the second says is
/// never the first's.
pub(crate) fn an_address_used_again_is_the_new_pods(kube: &Kube) {
    let first = caller(kube, "first", "cache-tcp:1");
    let address = text(&first["status"]["podIP"]);
    kube.kubectl(&["-n", "ops", "delete", "pod", "first", "--grace-period=1"]);
    give_next(kube, &address);
    let second = caller(kube, "second", "web.billing.svc.cluster.local:80");
    assert_eq!(text(&second["status"]["podIP"]), address, "the address was not used again");
    let edges = wait(45, "the second pod's edge", || {
        let (edges, _) = kube.netflow(&["observe", "--since", "1h", "-o", "json"]);
        let found = edges.lines().any(|line| line.contains("\"second\"") && line.contains("\"billing\""));
        if found { Ok(edges) } else { Err("not yet".to_owned()) }
    });
    let wrong =
        edges.lines().find(|line| line.contains("\"name\":\"first\"") && line.contains("\"billing\""));
    assert_eq!(wrong, None, "the first pod is credited with the second's flow");
}

fn caller(kube: &Kube, name: &str, to: &str) -> Value {
    let manifest = serde_json::json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": name, "namespace": "ops", "labels": { "app": name } },
        "spec": {
            "nodeName": "node2", "terminationGracePeriodSeconds": 1,
            "containers": [{
                "name": "call", "image": "netflow-test/toolbox:1", "imagePullPolicy": "Never",
                "command": ["sh", "-c", format!("while :; do nettool probe {to}; sleep 1; done")],
            }],
        },
    });
    let applied = kube.feed(&["apply", "-f", "-"], &manifest.to_string());
    assert!(applied.status.success(), "{}", String::from_utf8_lossy(&applied.stderr));
    wait(60, "the pod's address", || {
        let pod = kube.get(&["pod", "-n", "ops", name]);
        let running = pod["status"]["phase"] == "Running" && pod["status"]["podIP"].is_string();
        if running { Ok(pod) } else { Err(pod["status"]["phase"].to_string()) }
    })
}

/// The CNI plugin gives addresses in turn, from the one after the last; so the last is set to the one before.
fn give_next(kube: &Kube, address: &str) {
    let (network, last) = address.rsplit_once('.').expect("an IPv4 address");
    let before = last.parse::<u8>().expect("an IPv4 address") - 1;
    let pid = kube.pid("node2");
    let file = "/var/lib/cni/networks/pods/last_reserved_ip.0";
    let script = format!("[ -e {file} ] && printf %s {network}.{before} > {file}");
    succeed(Command::new("nsenter").args(["--target", &pid, "--mount", "--", "sh", "-c", &script]));
}
