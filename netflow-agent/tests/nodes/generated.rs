//! `generate-policies` on a live cluster: the score against the policies in force, what they hid, and that what was
//! applied changes nothing, holds what was seen, and is judged as tight as it was told.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::server::{Script, Server};
use super::shop::{Shop, program, words};

fn policy(name: &str, labels: &Value, spec: &Value) -> Value {
    json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"namespace": "shop", "name": name, "uid": name, "labels": labels}, "spec": spec})
}

fn with_policies(shop: &Shop, policies: Vec<Value>) -> Server {
    let mut script: Script = shop.script();
    script.objects.insert("networkpolicies".to_owned(), policies);
    Server::start(script)
}

/// What the verb prints on the cluster: stdout, stderr.
fn told(shop: &Shop, server: &Server, flags: &[&str]) -> (String, String) {
    let output = shop.ask(server, &[&["generate-policies"], flags].concat());
    let said = words(&output.stderr);
    assert!(output.status.success(), "{flags:?}: {said}");
    (words(&output.stdout), said)
}

fn parsed(yaml: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(yaml).expect("policies")
}

/// `69.2 % (9 of 13)` before these words.
fn score(said: &str, before: &str) -> String {
    let line = said.lines().find(|line| line.starts_with("least privilege")).expect("a score");
    let part = line.split(", ").flat_map(|part| part.split(": ")).find(|part| part.ends_with(before));
    part.unwrap_or_else(|| panic!("no {before}: {line}")).trim_end_matches(before).to_owned()
}

#[test]
fn the_score_and_the_gaps_are_those_of_the_policies_in_force() {
    let shop = Shop::now();
    let open =
        policy("all", &json!({}), &json!({"podSelector": {}, "ingress": [{}], "policyTypes": ["Ingress"]}));
    let ours = json!({"app.kubernetes.io/managed-by": "netflow"});
    let spec = json!({"podSelector": {"matchLabels": {"app": "gone"}}, "policyTypes": ["Ingress"]});
    let server = with_policies(&shop, vec![open, policy("gone-deployment", &ours, &spec)]);
    let (yaml, said) = told(&shop, &server, &["--evidence", "none"]);
    assert!(parsed(&yaml).len() > 3, "{yaml}");
    // It allows every Ingress, so it is as good as none.
    assert_eq!(score(&said, " with those in force"), score(&said, " without any"), "{said}");
    assert_ne!(score(&said, " with these policies"), score(&said, " without any"), "{said}");
    let gap =
        |about: &str| said.lines().find(|line| line.starts_with(&format!("gap live-policy: {about}: ")));
    let all = gap("NetworkPolicy shop/all").expect("named");
    assert!(all.contains("it stays in force and adds to what is generated"), "{all}");
    let gone = gap("NetworkPolicy shop/gone-deployment").expect("named");
    assert!(gone.contains("ours and no longer generated, delete it"), "{gone}");
    let (diff, _) = told(&shop, &server, &["--diff"]);
    assert!(diff.contains("added shop/frontend-deployment\n+ "), "{diff}");
    assert!(diff.contains("stale shop/gone-deployment"), "{diff}");
}

#[test]
fn without_policies_in_force_nothing_is_said_of_them() {
    let shop = Shop::now();
    let (_, said) = told(&shop, &with_policies(&shop, Vec::new()), &[]);
    assert!(said.contains("least privilege") && !said.contains("in force"), "{said}");
}

#[test]
fn what_was_applied_changes_nothing_and_holds_what_was_seen() {
    let shop = Shop::now();
    let server = with_policies(&shop, Vec::new());
    let intent = server.file("intent.yaml", "").display().to_string();
    let (yaml, before) = told(&shop, &server, &["--evidence", "none", "--assertions", &intent]);
    let policies: PathBuf = server.file("policies.yaml", &yaml);
    let recording = server.file("cluster.jsonl", &words(&shop.ask(&server, &["export"]).stdout));
    let mut assert = program();
    assert.args(["assert", "--assertions", &intent, "-f"]).arg(&policies).arg("--input").arg(&recording);
    let output = assert.output().expect("the program runs");
    assert!(output.status.success(), "{}{}", words(&output.stdout), words(&output.stderr));
    assert!(std::fs::read_to_string(&intent).expect("written").matches("expect: allowed").count() > 3);

    let after = with_policies(&shop, parsed(&yaml));
    for flags in [&["--only-changed", "--evidence", "none"][..], &["--diff"]] {
        let (out, said) = told(&shop, &after, flags);
        assert_eq!(out, "", "{flags:?}: {said}");
        assert_eq!(score(&said, " with those in force"), score(&said, " with these policies"), "{said}");
        assert_eq!(score(&said, " with these policies"), score(&before, " with these policies"));
    }
    // One that changed is the only one printed.
    let mut changed = parsed(&yaml);
    changed[0]["spec"]["podSelector"] = json!({});
    let name = changed[0]["metadata"]["name"].as_str().expect("a name").to_owned();
    let after = with_policies(&shop, changed);
    let (out, _) = told(&shop, &after, &["--only-changed", "--evidence", "none"]);
    let printed = parsed(&out);
    assert!(printed.len() == 1 && printed[0]["metadata"]["name"] == *name, "{out}");
    let (diff, _) = told(&shop, &after, &["--diff"]);
    assert!(diff.starts_with(&format!("changed shop/{name}\n")) && !diff.contains("added "), "{diff}");
}

#[test]
fn a_policy_of_that_name_that_is_not_ours_stops_the_run() {
    let shop = Shop::now();
    let theirs = policy("frontend-deployment", &json!({}), &json!({"podSelector": {}}));
    let output = shop.ask(&with_policies(&shop, vec![theirs]), &["generate-policies"]);
    assert_eq!((output.status.code(), words(&output.stdout)), (Some(1), String::new()));
    let said = words(&output.stderr);
    assert!(said.contains("NetworkPolicy shop/frontend-deployment is not ours"), "{said}");
}
