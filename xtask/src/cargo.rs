//! What cargo built: reads its JSON messages and returns the executables.

use std::error::Error;
use std::path::PathBuf;

use serde::Deserialize;

use crate::program;

/// One executable that cargo has built.
#[derive(Debug)]
pub(crate) struct Executable {
    /// The name of its target: a test file's stem, a library's name, a binary's name.
    pub(crate) target: String,
    /// `lib`, `bin`, `test`, `bench` or `example`.
    pub(crate) kind: String,
    /// The folder of its package.
    pub(crate) package: PathBuf,
    pub(crate) path: PathBuf,
}

#[derive(Deserialize)]
struct Message {
    reason: String,
    manifest_path: Option<PathBuf>,
    target: Option<Target>,
    executable: Option<PathBuf>,
    #[serde(default)]
    profile: Profile,
}

#[derive(Deserialize)]
struct Target {
    kind: Vec<String>,
    name: String,
}

#[derive(Default, Deserialize)]
struct Profile {
    #[serde(default)]
    test: bool,
}

/// The executables that `cargo ARGUMENTS` makes; with `tests`, its test executables only.
pub(crate) fn build(arguments: &[&str], tests: bool) -> Result<Vec<Executable>, Box<dyn Error>> {
    let mut command = program::cargo();
    command.args(arguments).arg("--message-format=json-render-diagnostics");
    eprintln!("$ cargo {}", arguments.join(" "));
    let mut executables = Vec::new();
    for line in program::read(&mut command)?.lines() {
        let Ok(message) = serde_json::from_str::<Message>(line) else { continue };
        let (Some(target), Some(path), Some(manifest)) =
            (message.target, message.executable, message.manifest_path)
        else {
            continue;
        };
        if message.reason == "compiler-artifact" && message.profile.test == tests {
            let kind = target.kind.into_iter().next().unwrap_or_default();
            let package = manifest.parent().map(PathBuf::from).unwrap_or_default();
            executables.push(Executable { target: target.name, kind, package, path });
        }
    }
    executables.sort_by(|a, b| (&a.package, &a.kind, &a.target).cmp(&(&b.package, &b.kind, &b.target)));
    Ok(executables)
}
