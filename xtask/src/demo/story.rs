//! What the demo prints, in order: edges, graph, policies, replay, and the proof of the negative. Each part is
//! what a verb of the agent wrote; the story fails when one of them is not what the lab must give.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use super::manifest;
use crate::Outcome;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Source, destination, port and protocol of every edge that the lab's traffic makes.
const EDGES: &[(&str, &str, u64, &str)] = &[
    ("netpol-demo/frontend", "netpol-demo/backend", 8080, "TCP"),
    ("netpol-demo/backend", "netpol-demo/database", 5432, "TCP"),
    ("netpol-demo/frontend", "kube-system/coredns", 53, "UDP"),
    ("netpol-demo/backend", "kube-system/coredns", 53, "UDP"),
    ("netpol-demo/backend", "192.0.2.100", 443, "TCP"),
];

/// Who tells it, from what, and where it is kept.
pub(super) struct Story {
    agent: PathBuf,
    source: [String; 2],
    folder: PathBuf,
    save: Option<PathBuf>,
    is_temporary: bool,
}

impl Story {
    /// From the agent that listens on `socket`.
    pub(super) fn live(agent: &Path, socket: &Path, folder: &Path, save: Option<&Path>) -> Result<Self> {
        let source = ["--agent".into(), socket.display().to_string()];
        Self::new(agent, source, folder.to_owned(), save, false)
    }

    /// From the recording that lies beside the manifests.
    pub(super) fn recorded(agent: &Path, save: Option<&Path>) -> Result<Self> {
        let recording = manifest::folder().join("recording.jsonl");
        let source = ["--input".into(), recording.display().to_string()];
        let folder = std::env::temp_dir().join(format!("netflow-demo-{}", std::process::id()));
        fs::create_dir(&folder)?;
        Self::new(agent, source, folder, save, true)
    }

    fn new(
        agent: &Path,
        source: [String; 2],
        folder: PathBuf,
        save: Option<&Path>,
        is_temporary: bool,
    ) -> Result<Self> {
        if let Some(save) = save.filter(|save| !save.is_dir()) {
            fs::create_dir_all(save).map_err(|error| format!("make {}: {error}", save.display()))?;
            give_to_user(save)?;
        }
        Ok(Self { agent: agent.to_owned(), source, folder, save: save.map(Path::to_owned), is_temporary })
    }

    /// Whether an agent answers on `socket`.
    pub(super) fn can_read(agent: &Path, socket: &Path) -> Result<bool> {
        let mut command = Command::new(agent);
        command.arg("observe").arg("--agent").arg(socket);
        let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status()?;
        Ok(status.success())
    }

    /// Whether every edge, the connection older than the agent, and both attempts have been reported.
    pub(super) fn is_complete(&self) -> Result<bool> {
        let edges = self.edges()?;
        let recording = self.read(&["export"])?;
        let has = |word: &str| recording.contains(&format!("\"{word}\""));
        let is_there = |edge: &(&str, &str, u64, &str)| edges.iter().any(|seen| is(seen, edge));
        Ok(EDGES.iter().all(is_there) && has("existing") && has("refused") && has("timeout"))
    }

    pub(super) fn tell(&self) -> Outcome {
        say("Who talked to whom", "observe --since 1h -o wide");
        self.keep("edges.txt", &self.show(&["observe", "--since", "1h", "-o", "wide"])?)?;
        self.check_edges()?;

        say("The graph", "graph --since 1h -o mermaid");
        self.keep("graph.mmd", &self.show(&["graph", "--since", "1h", "-o", "mermaid"])?)?;

        say("The policies", "generate-policies --since 1h");
        let cluster = manifest::cluster_folder().display().to_string();
        let policies = self.show(&["generate-policies", "--since", "1h"])?;
        let file = self.folder.join("policies.yaml");
        fs::write(&file, &policies)?;
        self.keep("policies.yaml", &policies)?;
        self.check_policies()?;

        let file = file.display().to_string();
        say("The replay: every observed edge against these policies", "replay --since 1h -f policies.yaml -o wide");
        self.keep("replay.txt", &self.show(&["replay", "--since", "1h", "-f", &file, "-o", "wide"])?)?;

        say(
            "The proof of the negative: what nobody did is denied",
            "evaluate -f cluster -f policies.yaml --queries denied.jsonl",
        );
        let queries = manifest::folder().join("denied.jsonl").display().to_string();
        let verdicts = run(&self.agent, &["evaluate", "-f", &cluster, "-f", &file, "--queries", &queries])?;
        print!("{verdicts}");
        check_denied(&verdicts, &fs::read_to_string(&queries)?)?;

        self.keep("recording.jsonl", &self.read(&["export"])?)?;
        println!("\nAll of it is as the lab's traffic says it must be.");
        Ok(())
    }

    /// The edges are exactly those that the traffic makes: none missing, and nothing for the probe's peer,
    /// the attempts or external-client.
    fn check_edges(&self) -> Outcome {
        let seen = self.edges()?;
        for edge in EDGES {
            if !seen.iter().any(|other| is(other, edge)) {
                return Err(format!("the edge {edge:?} is missing").into());
            }
        }
        let from_a_node = |edge: &Value| edge["source"]["kind"] == "Node";
        let surplus = seen.iter().find(|edge| !from_a_node(edge) && !EDGES.iter().any(|known| is(edge, known)));
        match surplus {
            Some(edge) => Err(format!("an edge that no traffic made: {edge}").into()),
            None => Ok(()),
        }
    }

    /// The policies mean and read what an expert wrote by hand, byte for byte without their evidence.
    fn check_policies(&self) -> Outcome {
        let bare = self.read(&["generate-policies", "--since", "1h", "--evidence", "none"])?;
        let expected = fs::read_to_string(manifest::folder().join("policies.yaml"))?;
        if bare == expected {
            return Ok(());
        }
        let differing = bare.lines().zip(expected.lines()).position(|(a, b)| a != b);
        let line = differing.map_or(bare.lines().count().min(expected.lines().count()), |at| at) + 1;
        Err(format!("the policies are not those of deploy/demo/policies.yaml, from line {line} on:\n{bare}").into())
    }

    fn edges(&self) -> Result<Vec<Value>> {
        let text = self.read(&["observe", "-o", "json"])?;
        text.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
    }

    /// Runs a verb on the story's source, its words on stderr passed through.
    fn show(&self, verb: &[&str]) -> Result<String> {
        let text = self.run(verb, Stdio::inherit())?;
        print!("{text}");
        std::io::stdout().flush()?;
        Ok(text)
    }

    fn read(&self, verb: &[&str]) -> Result<String> {
        self.run(verb, Stdio::null())
    }

    fn run(&self, verb: &[&str], words: Stdio) -> Result<String> {
        let mut command = Command::new(&self.agent);
        command.args(verb).args(&self.source).stdin(Stdio::null()).stderr(words);
        output(&mut command, verb)
    }

    /// Writes one file of `--save`, for the user who asked for it.
    fn keep(&self, name: &str, text: &str) -> Outcome {
        let Some(folder) = &self.save else { return Ok(()) };
        let file = folder.join(name);
        fs::write(&file, text).map_err(|error| format!("write {}: {error}", file.display()))?;
        Ok(give_to_user(&file)?)
    }
}

/// What root writes under sudo belongs to who asked for it.
fn give_to_user(path: &Path) -> std::io::Result<()> {
    let id = |name: &str| std::env::var_os(name)?.to_str()?.parse::<u32>().ok();
    match (id("SUDO_UID"), id("SUDO_GID")) {
        (Some(user), Some(group)) => std::os::unix::fs::chown(path, Some(user), Some(group)),
        _ => Ok(()),
    }
}

impl Drop for Story {
    fn drop(&mut self) {
        if self.is_temporary {
            drop(fs::remove_dir_all(&self.folder));
        }
    }
}

fn run(agent: &Path, arguments: &[&str]) -> Result<String> {
    let mut command = Command::new(agent);
    output(command.args(arguments).stdin(Stdio::null()).stderr(Stdio::inherit()), arguments)
}

fn output(command: &mut Command, verb: &[&str]) -> Result<String> {
    let output = command.stdout(Stdio::piped()).output()?;
    let text = String::from_utf8(output.stdout)?;
    if output.status.success() {
        return Ok(text);
    }
    Err(format!("`netflow-agent {}` ended with {}:\n{text}", verb.join(" "), output.status).into())
}

fn say(what: &str, command: &str) {
    println!("\n## {what}\n$ netflow-agent {command}\n");
}

/// Whether an edge, as JSON, is the one described.
fn is(edge: &Value, (source, destination, port, protocol): &(&str, &str, u64, &str)) -> bool {
    let end = |end: &Value| match end["ip"].as_str() {
        Some(ip) => ip.to_owned(),
        None => format!("{}/{}", end["namespace"].as_str().unwrap_or(""), end["name"].as_str().unwrap_or("")),
    };
    end(&edge["source"]) == *source
        && end(&edge["destination"]) == *destination
        && edge["port"] == *port
        && edge["protocol"] == *protocol
}

/// Every query came back, and denied.
fn check_denied(verdicts: &str, queries: &str) -> Outcome {
    let asked = queries.lines().filter(|line| !line.trim().is_empty()).count();
    let mut denied = 0;
    for line in verdicts.lines() {
        let verdict: Value = serde_json::from_str(line)?;
        if verdict["verdict"] != "denied" {
            return Err(format!("not denied: {line}").into());
        }
        denied += 1;
    }
    if denied == asked { Ok(()) } else { Err(format!("{denied} verdicts for {asked} queries").into()) }
}
