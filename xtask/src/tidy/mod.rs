//! `cargo xtask tidy`: the layout rules of ARCHITECTURE.md, as checks. Reads the files that git knows;
//! prints one line for each breach and fails when there is one.

use std::fs;
use std::path::PathBuf;

use crate::Outcome;
use crate::program;

mod rooms;
mod source;
mod tree;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// A text file of the repository: its path from the root, with `/`, and what it holds.
pub(crate) struct File {
    pub(crate) path: String,
    pub(crate) text: String,
}

impl File {
    /// The file's lines that are code of the product: no comments, nothing from the unit tests on.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let is_test = self.path.ends_with("/tests.rs") || self.path.contains("/tests/");
        let lines = self.text.lines().enumerate().map(|(index, line)| (index + 1, line));
        lines
            .take_while(move |(_, line)| !is_test && line.trim() != "#[cfg(test)]")
            .filter(|(_, line)| !line.trim_start().starts_with("//"))
    }

    fn is_rust(&self) -> bool {
        std::path::Path::new(&self.path).extension().is_some_and(|extension| extension == "rs")
    }

    fn breach(&self, line: usize, rule: impl std::fmt::Display) -> String {
        format!("{}:{line}: {rule}", self.path)
    }
}

pub(crate) fn run(_args: &Args) -> Outcome {
    let files = read_files()?;
    let breaches = breaches(&files);
    for breach in &breaches {
        println!("{breach}");
    }
    match breaches.len() {
        0 => {
            println!("tidy: {} files keep the rules", files.len());
            Ok(())
        }
        n_breaches => Err(format!("tidy: {n_breaches} breaches of ARCHITECTURE.md's rules").into()),
    }
}

fn breaches(files: &[File]) -> Vec<String> {
    let mut breaches = tree::breaches(files);
    for file in files.iter().filter(|file| file.is_rust()) {
        breaches.extend(source::breaches(file));
    }
    breaches.extend(rooms::breaches(files));
    breaches.sort();
    breaches.dedup();
    breaches
}

/// What git tracks or would track, less what is deleted and what is not text.
fn read_files() -> Result<Vec<File>, Box<dyn std::error::Error>> {
    let mut git = std::process::Command::new("git");
    git.current_dir(program::root());
    git.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let mut paths: Vec<PathBuf> =
        program::read(&mut git)?.split_terminator('\0').map(PathBuf::from).collect();
    paths.sort();
    paths.dedup();
    let mut files = Vec::new();
    for path in paths {
        if let Ok(text) = fs::read_to_string(program::root().join(&path)) {
            files.push(File { path: path.to_string_lossy().replace('\\', "/"), text });
        }
    }
    Ok(files)
}
