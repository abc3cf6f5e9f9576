//! The shop's recording, moved to the latest whole hours, cut by node; and the program that asks for it.

use std::collections::BTreeMap;
use std::process::{Command, Output};

use netflow_agent::recording;
use netflow_agent::time::Time;
use serde_json::{Value, json};

use super::server::{Answer, Script, Server};

const SHOP: &str = include_str!("../recordings/shop.jsonl");

/// The two hours of the shop, as they are now.
pub(crate) struct Shop {
    /// What `--since` and `--until` take.
    pub since: String,
    pub until: String,
    /// Node -> its lines; the objects come from each, but of the pods its own.
    pub nodes: BTreeMap<String, String>,
}

impl Shop {
    pub(crate) fn now() -> Self {
        let begin: Time = "2026-11-20T10:00:00Z".parse().expect("a time");
        let now = netflow_agent::sys::clock::now().hour().start();
        let shift = now.seconds() - 7_200 - begin.seconds();
        let mut nodes: BTreeMap<String, String> = BTreeMap::new();
        let mut objects = String::new();
        for line in SHOP.lines() {
            let mut line: Value = serde_json::from_str(line).expect("a line of JSON");
            moved(&mut line, shift);
            let text = format!("{line}\n");
            match line["node"].as_str() {
                Some(node) => nodes.entry(node.to_owned()).or_default().push_str(&text),
                None => objects.push_str(&text),
            }
        }
        for (node, lines) in &mut nodes {
            *lines = written(&format!("{}{lines}", own(&objects, node)));
        }
        let (since, until) = (now.plus_seconds(-7_200).to_string(), now.plus_seconds(-1).to_string());
        Self { since, until, nodes }
    }

    /// Both nodes answer, and everything may be read.
    pub(crate) fn script(&self) -> Script {
        let mut script = Script::default();
        for (node, lines) in &self.nodes {
            script.answers.insert(node.clone(), Answer::Whole(lines.clone()));
        }
        let node =
            |name: &String| json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": name } });
        script.objects.insert("nodes".to_owned(), self.nodes.keys().map(node).collect());
        script
    }

    /// The program, asked for these two hours.
    pub(crate) fn ask(&self, server: &Server, words: &[&str]) -> Output {
        let window = ["--since", &self.since, "--until", &self.until];
        let output = program().args(words).args(window).arg("--kubeconfig").arg(server.kubeconfig()).output();
        output.expect("the program runs")
    }
}

/// All but other nodes' pods.
fn own(objects: &str, node: &str) -> String {
    let is_own = |line: &&str| {
        let line: Value = serde_json::from_str(line).expect("a line of JSON");
        let (object, on) = (&line["object"], &line["object"]["spec"]["nodeName"]);
        object["kind"] != "Pod" || on.is_null() || on == node
    };
    objects.split_inclusive('\n').filter(is_own).collect()
}

/// As an agent's own writer puts it.
fn written(lines: &str) -> String {
    let mut reader = recording::Reader::default();
    reader.read("shop", &mut lines.as_bytes()).expect("a recording");
    let mut out = Vec::new();
    recording::write(&reader.finish().0, &mut out).expect("memory takes it");
    words(&out)
}

pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_netflow-agent"));
    command.env_clear().stdin(std::process::Stdio::null());
    command
}

pub(crate) fn words(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// All times in a value, so many seconds later.
fn moved(value: &mut Value, seconds: i64) {
    match value {
        Value::String(text) => {
            if let Ok(time) = text.parse::<Time>() {
                *text = time.plus_seconds(seconds).to_string();
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| moved(item, seconds)),
        Value::Object(fields) => fields.values_mut().for_each(|field| moved(field, seconds)),
        _ => {}
    }
}
