//! Golden runs of the command line. A folder below `tests/golden` that holds a file `command` is one claim:
//! its name says what is claimed, the command runs in it, and `stdout`, `stderr` and `exit` beside it say
//! what must come out (no file: nothing, and 0). `stdin` is fed when it is there. Where a folder `after` stands
//! beside it, `OUT` in the command is a fresh folder with what is in `before`, and must come to hold that.
//!
//! `NETFLOW_BLESS=1 cargo test --test golden` writes what came out; the diff is then read by a person.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

type Outcome<T> = Result<T, Box<dyn Error>>;

#[test]
fn every_verb_answers_as_written() -> Outcome<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut claims = Vec::new();
    find_claims(&root, &mut claims)?;
    assert!(!claims.is_empty(), "no claims below {}", root.display());

    let bless = std::env::var_os("NETFLOW_BLESS").is_some();
    let mut broken = Vec::new();
    for claim in &claims {
        let came = run_claim(claim)?;
        if bless {
            came.write(claim)?;
        }
        let name = claim.strip_prefix(&root)?.display();
        for (what, expected, got) in Output::read(claim)?.differences(&came) {
            broken.push(format!("{name}: {what}\n{}", difference(&expected, &got)));
        }
    }
    assert!(broken.is_empty(), "{} of {} claims broken:\n{}", broken.len(), claims.len(), broken.join("\n"));
    Ok(())
}

#[derive(Debug, Default, PartialEq)]
struct Output {
    stdout: String,
    stderr: String,
    exit: String,
    /// Every file below the folder that it writes to.
    folder: BTreeMap<String, String>,
}

/// Where a command may write; gone with the value.
struct Folder {
    path: PathBuf,
    _holder: tempfile::TempDir,
}

impl Folder {
    fn of(claim: &Path) -> Outcome<Option<Self>> {
        if !claim.join("after").is_dir() {
            return Ok(None);
        }
        let holder = tempfile::tempdir()?;
        let path = holder.path().join("out");
        if claim.join("before").is_dir() {
            write_files(&path, &files(&claim.join("before"))?)?;
        }
        Ok(Some(Self { path, _holder: holder }))
    }
}

fn files(folder: &Path) -> Outcome<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            let below = files(&path)?.into_iter().map(|(file, text)| (format!("{name}/{file}"), text));
            found.extend(below);
        } else {
            found.insert(name, fs::read_to_string(path)?);
        }
    }
    Ok(found)
}

fn write_files(folder: &Path, files: &BTreeMap<String, String>) -> Outcome<()> {
    for (name, text) in files {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().ok_or("a file is in a folder")?)?;
        fs::write(path, text)?;
    }
    Ok(())
}

impl Output {
    fn read(claim: &Path) -> Outcome<Self> {
        let read = |name: &str| match fs::read_to_string(claim.join(name)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            text => Ok(text.unwrap_or_default()),
        };
        let exit = read("exit")?.trim().to_owned();
        let exit = if exit.is_empty() { "0".to_owned() } else { exit };
        let after = claim.join("after");
        let folder = if after.is_dir() { files(&after)? } else { BTreeMap::new() };
        Ok(Self { stdout: read("stdout")?, stderr: read("stderr")?, exit, folder })
    }

    fn write(&self, claim: &Path) -> Outcome<()> {
        let exit = if self.exit == "0" { String::new() } else { format!("{}\n", self.exit) };
        for (name, text) in [("stdout", &self.stdout), ("stderr", &self.stderr), ("exit", &exit)] {
            let path = claim.join(name);
            if !text.is_empty() {
                fs::write(path, text)?;
            } else if path.exists() {
                fs::remove_file(path)?;
            }
        }
        if claim.join("after").is_dir() {
            fs::remove_dir_all(claim.join("after"))?;
            fs::create_dir(claim.join("after"))?;
            write_files(&claim.join("after"), &self.folder)?;
        }
        Ok(())
    }

    fn differences(&self, came: &Self) -> Vec<(&'static str, String, String)> {
        let (written, found) = (listed(&self.folder), listed(&came.folder));
        let parts = [
            ("stdout", &self.stdout, &came.stdout),
            ("stderr", &self.stderr, &came.stderr),
            ("exit", &self.exit, &came.exit),
            ("folder", &written, &found),
        ];
        let differing = parts.into_iter().filter(|(_, expected, got)| expected != got);
        differing.map(|(what, expected, got)| (what, expected.clone(), got.clone())).collect()
    }
}

/// All files, each after its name.
fn listed(files: &BTreeMap<String, String>) -> String {
    files.iter().map(|(name, text)| format!("== {name}\n{text}")).collect::<Vec<_>>().concat()
}

fn find_claims(folder: &Path, claims: &mut Vec<PathBuf>) -> Outcome<()> {
    let mut entries = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<Outcome<Vec<_>>>()?;
    entries.sort();
    for entry in entries.iter().filter(|entry| entry.is_dir()) {
        if entry.join("command").is_file() {
            claims.push(entry.clone());
        } else {
            find_claims(entry, claims)?;
        }
    }
    Ok(())
}

fn run_claim(claim: &Path) -> Outcome<Output> {
    let line = fs::read_to_string(claim.join("command"))?;
    let folder = Folder::of(claim)?;
    let out = folder.as_ref().map_or_else(|| "OUT".to_owned(), |folder| folder.path.display().to_string());
    let words = split(&line.trim().replace("OUT", &out));
    let (name, arguments) = words.split_first().ok_or("an empty command")?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_netflow-agent"));
    set_name(&mut command, name);
    command.args(arguments).current_dir(claim);
    // The answer depends on the input alone: not on the caller's terminal, node or time zone.
    command.env_clear().env("COLUMNS", "100").env("TZ", "UTC");
    command.stdin(match fs::File::open(claim.join("stdin")) {
        Ok(file) => Stdio::from(file),
        Err(_) => Stdio::null(),
    });
    let output = command.output()?;
    Ok(Output {
        stdout: String::from_utf8(output.stdout)?.replace(&out, "OUT"),
        stderr: String::from_utf8(output.stderr)?.replace(&out, "OUT"),
        folder: folder.map(|folder| files(&folder.path)).transpose()?.unwrap_or_default(),
        exit: output.status.code().map_or_else(|| output.status.to_string(), |code| code.to_string()),
    })
}

/// The binary answers as `kubectl netflow` when that is its name.
#[cfg(unix)]
fn set_name(command: &mut Command, name: &str) {
    use std::os::unix::process::CommandExt;
    command.arg0(name);
}

#[cfg(not(unix))]
fn set_name(_command: &mut Command, _name: &str) {}

/// Words as a shell splits them: by spaces, single and double quotes keep theirs.
fn split(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = None::<String>;
    let mut quote = None;
    for c in line.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// The lines that differ, from the first to the last of them.
fn difference(expected: &str, got: &str) -> String {
    let (expected, got): (Vec<_>, Vec<_>) = (expected.lines().collect(), got.lines().collect());
    let same = expected.iter().zip(&got).take_while(|(a, b)| a == b).count();
    let rest = expected.len().min(got.len()) - same;
    let tail = expected.iter().rev().zip(got.iter().rev()).take(rest).take_while(|(a, b)| a == b).count();
    let removed = expected[same..expected.len() - tail].iter().map(|line| format!("  -{line}\n"));
    let added = got[same..got.len() - tail].iter().map(|line| format!("  +{line}\n"));
    format!("  from line {}:\n{}", same + 1, removed.chain(added).collect::<String>())
}
