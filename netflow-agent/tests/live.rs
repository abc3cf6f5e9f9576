//! The verbs that judge, on a live cluster without agents: what they say is what they say of the same objects from
//! `kubectl get -o json`, with the rights of the user and nothing else.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use apiserver::ApiServer;

#[path = "support/apiserver.rs"]
#[expect(dead_code, reason = "what it accepts is asked elsewhere")]
mod apiserver;
#[path = "support/skip.rs"]
mod skip;
#[path = "support/wait.rs"]
mod wait;

/// A tutorial's policies, of which two links lack an end, and a CNI's DaemonSet.
const CLUSTER: &str = include_str!("live.yaml");
/// All that is read of a live cluster.
const KINDS: &str = "pods,namespaces,nodes,services,replicationcontrollers,deployments,statefulsets,daemonsets,\
                     replicasets,jobs,cronjobs,networkpolicies,endpointslices,ingresses,apiservices,customresourcedefinitions,\
                     validatingwebhookconfigurations,mutatingwebhookconfigurations";

fn netflow(arguments: &[&str], input: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_netflow-agent"));
    command.env_clear().args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary runs");
    if let Some(mut stdin) = child.stdin.take() {
        // Who ends before it has read all says why by its status.
        drop(stdin.write_all(input.as_bytes()));
    }
    child.wait_with_output().expect("the binary ends")
}

/// A kubeconfig that speaks as this user, who has no rights but those bound to it.
fn kubeconfig_of(server: &ApiServer, folder: &Path, user: &str) -> PathBuf {
    let config = server.kubectl(&["config", "view", "--raw", "-o", "json"], "").expect("a kubeconfig");
    let mut config: serde_json::Value = serde_json::from_slice(&config).expect("a kubeconfig");
    for entry in config["users"].as_array_mut().expect("users") {
        entry["user"]["as"] = user.into();
    }
    let path = folder.join(format!("{user}.kubeconfig"));
    fs::write(&path, config.to_string()).expect("our own folder");
    path
}

fn said(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn path(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

#[test]
fn the_verbs_that_judge_read_a_live_cluster() {
    let server = match ApiServer::start() {
        Ok(server) => server,
        Err(reason) => return skip::skip("the_verbs_that_judge_read_a_live_cluster", &reason),
    };
    server.kubectl(&["apply", "--validate=strict", "-f", "-"], CLUSTER).expect("the server takes them");
    let listed = server.kubectl(&["get", KINDS, "-A", "-o", "json"], "").expect("a list");
    let listed = String::from_utf8(listed).expect("JSON");
    let folder = tempfile::tempdir().expect("a folder");
    let kubeconfig = path(&server.kubeconfig);
    let queries = path(&folder.path().join("queries.jsonl"));
    let question = r#"{"from":"netpol-demo/backend","to":"netpol-demo/database","port":80,"protocol":"TCP"}"#;
    fs::write(&queries, question).expect("our own folder");

    let ends = ["-n", "netpol-demo", "--from", "backend", "--to", "database", "--port", "80"];
    for (verb, exit) in [
        (&["evaluate", "--queries", &queries][..], 0),
        (&[&["explain"], &ends[..]].concat(), 0),
        (&[&["assert", "--denied"], &ends[..]].concat(), 0),
        (&[&["assert", "--allowed"], &ends[..]].concat(), 3),
        (&["connectivity"], 0),
        (&["connectivity", "-o", "json", "-n", "netpol-demo"], 0),
        (&["audit"], 0),
        (&["audit", "-o", "json", "--cni", "auto", "--fail-on", "warning"], 3),
        (&["audit", "pod", "netpol-demo/frontend"], 0),
    ] {
        let live = said(&netflow(&[verb, &["--kubeconfig", &kubeconfig]].concat(), ""));
        let files = said(&netflow(&[verb, &["-f", "-"]].concat(), &listed));
        assert_eq!(live.0, Some(exit), "{verb:?}: {}", live.2);
        assert!(live.1.len() > 40 || verb.contains(&"--denied"), "{verb:?} says too little: {}", live.1);
        assert_eq!((live.0, &live.1), (files.0, &files.1), "{verb:?}\n{}", live.2);
        // The audit asks for flows too, and says that there are none.
        let without_flows = live.2.contains("no agent answered");
        assert_eq!(without_flows, verb[0] == "audit", "{verb:?}: {}", live.2);
    }
    live_is_a_side_of_a_difference(&server, &listed);
    rights_decide(&server, folder.path());
    a_reader_lacks_nothing_and_has_nothing_too_much(&server, folder.path());
}

fn live_is_a_side_of_a_difference(server: &ApiServer, listed: &str) {
    let kubeconfig = path(&server.kubeconfig);
    let diff = |changed: &str| said(&netflow(&["diff", "live", "-", "--kubeconfig", &kubeconfig], changed));
    assert_eq!(diff(listed), (Some(0), String::new(), String::new()), "the same means nothing to print");
    let changed = diff(&CLUSTER.replace("port: 5432", "port: 5433"));
    assert_eq!(changed.0, Some(3), "{changed:?}");
    let words: Vec<&str> = changed.1.split_whitespace().collect();
    let row = |change: &str, port: &str| {
        let row = [change, "netpol-demo/backend", "netpol-demo/ledger", "TCP", port];
        assert!(words.windows(5).any(|found| found == row), "{changed:?}");
    };
    row("allowed", "5433");
    row("denied", "5432");
}

/// A stranger learns nothing, and a guest of one namespace that namespace, and that the rest is not read.
fn rights_decide(server: &ApiServer, folder: &Path) {
    let ends = ["--from", "backend", "--to", "database", "--port", "80", "-n", "netpol-demo"];
    let explain = |user: &str, more: &[&str]| {
        let kubeconfig = path(&kubeconfig_of(server, folder, user));
        said(&netflow(&[&["explain", "--kubeconfig", &kubeconfig], &ends[..], more].concat(), ""))
    };
    let (exit, out, words) = explain("stranger", &[]);
    assert_eq!((exit, out.as_str()), (Some(1), ""), "{words}");
    assert!(
        words.contains("forbidden") && words.contains("hint: policies are judged on what you may list"),
        "{words}"
    );

    let role = ["create", "role", "guest", "--verb=list", "-n", "netpol-demo"];
    let resources = "--resource=pods,services,networkpolicies.networking.k8s.io,deployments.apps";
    server.kubectl(&[&role[..], &[resources]].concat(), "").expect("a role");
    let binding = ["create", "rolebinding", "guest", "--role=guest", "--user=guest", "-n", "netpol-demo"];
    server.kubectl(&binding, "").expect("a binding");
    let (exit, out, words) = explain("guest", &[]);
    assert_eq!(exit, Some(0), "{words}");
    assert!(out.starts_with("denied: netpol-demo/backend may not reach"), "{out}");
    assert!(words.contains("incomplete: not read: Pod: only namespace netpol-demo could be read"), "{words}");
    assert!(words.contains("incomplete: not read: Namespace: list namespaces"), "{words}");
    assert_eq!(explain("guest", &["--require-complete"]).0, Some(4));

    let (exit, out, words) =
        said(&netflow(&["audit", "--kubeconfig", &path(&kubeconfig_of(server, folder, "stranger"))], ""));
    assert_eq!((exit, out.as_str()), (Some(1), ""), "{words}");
    assert!(words.contains("forbidden"), "{words}");
}

/// With both roles no right is missed; without any one of them exactly that is named.
fn a_reader_lacks_nothing_and_has_nothing_too_much(server: &ApiServer, folder: &Path) {
    let roles = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/base/viewer.yaml");
    server.kubectl(&["apply", "-f", &path(&roles)], "").expect("the roles");
    let bind = ["create", "clusterrolebinding", "reader", "--clusterrole=netflow-reader", "--user=reader"];
    server.kubectl(&bind, "").expect("a binding");
    server.kubectl(&["create", "namespace", "netflow"], "").expect("a namespace");
    let bind =
        ["create", "rolebinding", "reader", "--clusterrole=netflow-viewer", "--user=reader", "-n", "netflow"];
    server.kubectl(&bind, "").expect("a binding");
    let may = |namespace| {
        let asked =
            ["auth", "can-i", "create", "pods", "--subresource=portforward", "--as=reader", "-n", namespace];
        server.kubectl(&asked, "").is_ok()
    };
    wait::until("forwards are to the agents", || may("netflow"));
    assert!(!may("netpol-demo"), "and to nobody else");

    let kubeconfig = path(&kubeconfig_of(server, folder, "reader"));
    let lost = || -> Vec<String> {
        let words = said(&netflow(&["audit", "--kubeconfig", &kubeconfig], "")).2;
        let lists = words.lines().filter_map(|line| line.split_once(": list ").or(line.split_once("list ")));
        lists.filter_map(|(_, rest)| rest.split_once(':')).map(|(plural, _)| plural.to_owned()).collect()
    };
    // The API server hears of a changed role a little later.
    let until = |expected: &[&str]| wait::until(&format!("lost is {expected:?}"), || lost() == expected);
    until(&[]);
    let whole =
        server.kubectl(&["get", "clusterrole", "netflow-reader", "-o", "json"], "").expect("the role");
    let whole: serde_json::Value = serde_json::from_slice(&whole).expect("JSON");
    let kinds = server.kubectl(&["api-resources", "--verbs=list", "-o", "name"], "").expect("what there is");
    let kinds = String::from_utf8(kinds).expect("text");
    let mut without_each = 0;
    for (at, rule) in whole["rules"].as_array().expect("rules").iter().enumerate() {
        for (number, plural) in rule["resources"].as_array().expect("resources").iter().enumerate() {
            let (group, plural) =
                (rule["apiGroups"][0].as_str().expect("a group"), plural.as_str().expect("a name"));
            let name = if group.is_empty() { plural.to_owned() } else { format!("{plural}.{group}") };
            if !kinds.lines().any(|one| one == name) {
                continue;
            }
            let mut less = whole.clone();
            less["metadata"]["resourceVersion"] = serde_json::Value::Null;
            less["rules"][at]["resources"][number] = "nothings".into();
            server.kubectl(&["replace", "-f", "-"], &less.to_string()).expect("a role");
            until(&[plural]);
            without_each += 1;
        }
    }
    assert_eq!(without_each, 18, "all that this server has");
}

#[test]
fn an_api_server_that_is_away_is_said_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let kubeconfig = folder.path().join("config");
    let text = "{apiVersion: v1, kind: Config, current-context: c, clusters: [{name: c, cluster: {server: \
                'http://127.0.0.1:1'}}], users: [{name: c, user: {}}], contexts: [{name: c, context: {cluster: c, user: c}}]}";
    fs::write(&kubeconfig, text).expect("our own folder");
    for verb in [&["connectivity"][..], &["audit"], &["diff", "live", "-"]] {
        let (exit, out, words) = said(&netflow(&[verb, &["--kubeconfig", &path(&kubeconfig)]].concat(), ""));
        assert_eq!((exit, out.as_str()), (Some(1), ""), "{verb:?}: {words}");
        assert_eq!(words.matches("netflow: ").count(), 1, "{verb:?}: {words}");
    }
}
