//! The rules on the tree of files: what may lie in the root, what ARCHITECTURE.md must name, and that no
//! file tells of the machine it was written on.

use std::collections::BTreeSet;

use super::File;

const ROOT: &[&str] = &[
    "netflow-common",
    "netflow-ebpf",
    "netflow-agent",
    "xtask",
    "deploy",
    "Cargo.toml",
    "Cargo.lock",
    "README.md",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "clippy.toml",
    "deny.toml",
    "rustfmt.toml",
    "rust-toolchain.toml",
];

const MAX_ARCHITECTURE_LINES: usize = 250;

/// The folders that hold the programs of the people and machines that wrote a file; assembled here so that
/// this file does not hold them itself.
fn machine_paths() -> [String; 4] {
    ["work", "root", "home", "tmp"].map(|folder| format!("/{folder}/"))
}

pub(super) fn breaches(files: &[File]) -> Vec<String> {
    let mut breaches = root(files);
    breaches.extend(code_map(files));
    for file in files {
        breaches.extend(machine(file));
    }
    breaches
}

fn root(files: &[File]) -> Vec<String> {
    let tops: BTreeSet<&str> = files.iter().filter_map(|file| file.path.split('/').next()).collect();
    tops.into_iter()
        .filter(|top| !top.starts_with('.') && !top.starts_with("LICENSE") && !ROOT.contains(top))
        .map(|top| format!("{top}:1: nothing else belongs in the root"))
        .collect()
}

/// Each room of the agent has its line in ARCHITECTURE.md.
fn code_map(files: &[File]) -> Vec<String> {
    let Some(map) = files.iter().find(|file| file.path == "ARCHITECTURE.md") else {
        return vec!["ARCHITECTURE.md:1: not found".into()];
    };
    let mut breaches = Vec::new();
    let n_lines = map.text.lines().count();
    if n_lines > MAX_ARCHITECTURE_LINES {
        breaches.push(map.breach(n_lines, format!("{n_lines} lines, at most {MAX_ARCHITECTURE_LINES}")));
    }
    let rooms: BTreeSet<&str> = files
        .iter()
        .filter_map(|file| file.path.strip_prefix("netflow-agent/src/")?.split_once('/'))
        .map(|(room, _)| room)
        .collect();
    for room in rooms {
        if !map.text.contains(&format!("`{room}/`")) {
            breaches.push(map.breach(1, format!("the code map does not name `{room}/`")));
        }
    }
    breaches
}

fn machine(file: &File) -> Vec<String> {
    let mut breaches = Vec::new();
    for (index, line) in file.text.lines().enumerate() {
        for path in machine_paths() {
            let is_absolute = line.match_indices(&path).any(|(at, _)| {
                !line[..at].ends_with(|c: char| c.is_alphanumeric() || "._-/}>*".contains(c))
            });
            if is_absolute {
                breaches.push(file.breach(index + 1, format!("`{path}` is a path of one machine")));
            }
        }
    }
    breaches
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> File {
        File { path: path.into(), text: text.into() }
    }

    #[test]
    fn the_root_holds_nothing_else() {
        let files = [file("scripts/a.sh", ""), file(".ci/run", ""), file("Cargo.toml", "")];
        assert_eq!(root(&files), ["scripts:1: nothing else belongs in the root"]);
    }

    #[test]
    fn every_room_is_on_the_map() {
        let map = file("ARCHITECTURE.md", "`edge/` joins flows\n");
        let files = [map, file("netflow-agent/src/edge/mod.rs", ""), file("netflow-agent/src/new/mod.rs", "")];
        assert_eq!(code_map(&files), ["ARCHITECTURE.md:1: the code map does not name `new/`"]);
    }

    #[test]
    fn no_file_tells_of_its_machine() {
        let path = machine_paths()[0].clone();
        let found = machine(&file("README.md", &format!("see {path}notes\n")));
        assert_eq!(found, [format!("README.md:1: `{path}` is a path of one machine")]);
        assert!(machine(&file("README.md", &format!("see target{path}notes\n"))).is_empty());
    }
}
