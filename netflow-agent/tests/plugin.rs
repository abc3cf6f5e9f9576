//! The plugin as kubectl calls it: `kubectl netflow` by the name of the program, and kubectl's completion by the
//! name beside it.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

#[path = "support/skip.rs"]
mod skip;
#[path = "support/tools.rs"]
#[expect(dead_code, reason = "helm and promtool are for others")]
mod tools;

/// kubectl, with both names of the program and nothing else on its path.
struct Kubectl {
    program: PathBuf,
    folder: tempfile::TempDir,
}

impl Kubectl {
    fn find(test: &str) -> Option<Self> {
        let Some(program) = tools::kubectl() else {
            skip::skip(test, "kubectl is not here");
            return None;
        };
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["kubectl-netflow", "kubectl_complete-netflow"] {
            symlink(Path::new(env!("CARGO_BIN_EXE_netflow-agent")), folder.path().join(name))
                .expect("a link");
        }
        Some(Self { program, folder })
    }

    fn run(&self, words: &[&str]) -> Output {
        let mut kubectl = Command::new(&self.program);
        kubectl.args(words).env_clear().env("PATH", self.folder.path()).env("HOME", self.folder.path());
        kubectl.output().expect("kubectl runs")
    }

    /// What the shell's completion is told, as cobra's scripts ask for it.
    fn completed(&self, words: &[&str]) -> Vec<String> {
        let output = self.run(&[&["__complete"], words].concat());
        let text = String::from_utf8(output.stdout).expect("text");
        let candidate = |line: &str| line.split('\t').next().unwrap_or_default().to_owned();
        text.lines().map(candidate).collect()
    }
}

#[test]
fn kubectl_completes_the_plugins_verbs_flags_and_values() {
    let Some(kubectl) = Kubectl::find("kubectl_completes_the_plugins_verbs_flags_and_values") else { return };
    // ":4" says that files are no candidates, ":0" that they are. Of `--flag=value` the shells complete the value.
    for (words, expected) in [
        (&["netflow", "gen"][..], &["generate-policies", ":4"][..]),
        (&["netflow", "observe", "--node-d"], &["--node-deadline", ":4"]),
        (&["netflow", "observe", "--output", ""], &["table", "wide", "json", ":4"]),
        (&["netflow", "observe", "-o", "w"], &["wide", ":4"]),
        (&["netflow", "observe", "--output=j"], &["json", ":4"]),
        (&["netflow", "observe", "--input", ""], &[":0"]),
        (&["netflow", "observe", "--input="], &[":0"]),
        (&["netflow", "observe", "--no-such=j"], &[":4"]),
        (&["netflow", "-n", "shop", "exp"], &["explain", "export", ":4"]),
        (&["netflow", "no-such-verb", ""], &[":4"]),
    ] {
        assert_eq!(kubectl.completed(words), expected, "{words:?}");
    }
    let verbs = kubectl.completed(&["netflow", ""]);
    assert!(verbs.len() > 10 && verbs.iter().any(|verb| verb == "observe"), "{verbs:?}");
}

#[test]
fn kubectl_runs_the_plugin_which_speaks_of_itself_as_typed() {
    let Some(kubectl) = Kubectl::find("kubectl_runs_the_plugin_which_speaks_of_itself_as_typed") else {
        return;
    };
    let version = kubectl.run(&["netflow", "--version"]);
    assert!(version.status.success() && version.stdout.starts_with(b"kubectl-netflow "), "{version:?}");
    let usage = String::from_utf8(kubectl.run(&["netflow", "observe", "--no-such"]).stderr).expect("text");
    assert!(usage.contains("Usage: kubectl netflow observe"), "{usage}");
    // Under this name it asks the cluster, and here is no kubeconfig.
    let output = kubectl.run(&["netflow", "observe"]);
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(1) && words.contains("kubeconfig"), "{words}");
}
