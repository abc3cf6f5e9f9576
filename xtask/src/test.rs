//! `cargo xtask test`: builds every test, runs each executable, and counts what ran and what was skipped.
//!
//! A test that this machine cannot run appends `NAME: REASON` to the file in `NETFLOW_SKIPS` and returns;
//! it is then counted as skipped and named at the end. With `CI=true` a skip is a failure.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::Outcome;
use crate::cargo::{self, Executable};
use crate::image;
use crate::program;

/// The test targets that need root: they run through sudo where this process is not root.
const PRIVILEGED: &[&str] = &["agent", "cluster", "demo", "kernel"];

#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is one flag of the command line")]
pub(crate) struct Args {
    /// Run only the tests whose name contains this
    filter: Option<String>,

    /// The tests on a real cluster, and only those: brings it up, and down again
    #[arg(long)]
    cluster: bool,

    /// With --cluster: build the image unoptimised, and leave that line of README.md out
    #[arg(long, requires = "cluster")]
    quick: bool,

    /// With --cluster: leave it up when the run ends, however it ends
    #[arg(long, requires = "cluster")]
    keep: bool,

    /// With --cluster: run on the cluster that was left up, and only the steps whose name contains the filter
    #[arg(long, requires = "cluster", conflicts_with_all = ["keep", "quick"])]
    kept: bool,
}

#[derive(Debug, Default)]
struct Count {
    passed: usize,
    failed: usize,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let executables = if args.cluster { cluster(args)? } else { cargo::build(&["test", "--quiet", "--locked", "--no-run"], true)? };
    let skips = SkipFile::create()?;
    let mut total = Count::default();
    let mut broken = Vec::new();
    for executable in &executables {
        let count = run_executable(executable, &skips.path, args, &mut broken)?;
        total.passed += count.passed;
        total.failed += count.failed;
    }

    let skipped = skips.read()?;
    for skip in &skipped {
        println!("skipped {skip}");
    }
    for name in &broken {
        println!("failed {name}");
    }
    let passed = total.passed.saturating_sub(skipped.len());
    println!("{passed} passed, {} failed, {} skipped", total.failed, skipped.len());
    if !broken.is_empty() {
        return Err("a test failed".into());
    }
    if program::is_ci() && !skipped.is_empty() {
        return Err("CI must run every test: see the skipped ones above".into());
    }
    Ok(())
}

/// The image goes into the cluster, so it is built first, as it is released.
fn cluster(args: &Args) -> Result<Vec<Executable>, Box<dyn std::error::Error>> {
    if !args.kept {
        image::make(if args.quick { "dev" } else { "release" })?;
    }
    let arguments =
        ["test", "--quiet", "--locked", "--no-run", "--package", "netflow-agent", "--features", "test-cluster", "--test", "cluster"];
    cargo::build(&arguments, true)
}

fn run_executable(
    executable: &Executable,
    skips: &Path,
    args: &Args,
    broken: &mut Vec<String>,
) -> Result<Count, Box<dyn std::error::Error>> {
    let mut command = if PRIVILEGED.contains(&executable.target.as_str()) {
        privileged(&executable.path)
    } else {
        Command::new(&executable.path)
    };
    command.current_dir(&executable.package).env("CARGO_MANIFEST_DIR", &executable.package);
    command.env("NETFLOW_IMAGE", image::path());
    command.env("NETFLOW_SKIPS", skips).args(args.filter.as_deref()).stdin(Stdio::null());
    if args.quick {
        command.env("NETFLOW_QUICK", "true");
    }
    if args.keep || args.kept {
        command.env("NETFLOW_CLUSTER", if args.keep { "keep" } else { "kept" });
    }
    let package = executable.package.file_name().unwrap_or_default().to_string_lossy();
    let name = format!("{package} {} {}", executable.kind, executable.target);

    let output = if args.cluster { shown(&mut command) } else { command.output() };
    let output = output.map_err(|error| format!("start {name}: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let count = count(&text);
    if output.status.success() {
        println!("{name}: {} passed", count.passed);
        return Ok(count);
    }
    let shown = if args.cluster { "" } else { &text };
    println!("{shown}{}{name}: {}", String::from_utf8_lossy(&output.stderr), output.status);
    let failed = failures(&text);
    // An executable that died without naming a test has failed as a whole.
    let count = Count { failed: count.failed.max(1), ..count };
    if failed.is_empty() {
        broken.push(name);
    } else {
        broken.extend(failed.into_iter().map(|test| format!("{name}: {test}")));
    }
    Ok(count)
}

/// Runs it and shows what it writes as it comes: a run on a cluster takes minutes.
fn shown(command: &mut Command) -> std::io::Result<Output> {
    let mut child = command.stdout(Stdio::piped()).spawn()?;
    let mut stdout = Vec::new();
    if let Some(pipe) = child.stdout.take() {
        for line in BufReader::new(pipe).lines() {
            let line = line?;
            println!("{line}");
            stdout.extend_from_slice(line.as_bytes());
            stdout.push(b'\n');
        }
    }
    Ok(Output { status: child.wait()?, stdout, stderr: Vec::new() })
}

/// As root through sudo where that asks for no password or a person can be asked; else as oneself, and the
/// tests skip by name.
fn privileged(path: &Path) -> Command {
    if !program::is_root() && program::find("sudo").is_some() {
        let may = Command::new("sudo").args(["-n", "true"]).stderr(Stdio::null()).status();
        if may.is_ok_and(|status| status.success()) {
            let mut command = Command::new("sudo");
            command.args(["-n", "--preserve-env=CI,NETFLOW_CLUSTER,NETFLOW_IMAGE,NETFLOW_QUICK,NETFLOW_SKIPS,CARGO_MANIFEST_DIR", "--"]).arg(path);
            return command;
        }
    }
    Command::new(path)
}

/// Adds up the closing lines of the test harness.
fn count(text: &str) -> Count {
    let mut count = Count::default();
    for line in text.lines() {
        let Some(rest) = line.strip_prefix("test result: ") else { continue };
        let figure = |what: &str| {
            let before = rest.split_once(&format!(" {what}"))?.0;
            before.rsplit(' ').next()?.parse::<usize>().ok()
        };
        count.passed += figure("passed").unwrap_or(0);
        count.failed += figure("failed").unwrap_or(0);
    }
    count
}

fn failures(text: &str) -> Vec<String> {
    let lines = text.lines().filter_map(|line| line.strip_prefix("test ")?.strip_suffix(" ... FAILED"));
    lines.map(str::to_owned).collect()
}

/// The file that skipped tests write to; gone when the run ends.
struct SkipFile {
    path: PathBuf,
}

impl SkipFile {
    fn create() -> std::io::Result<Self> {
        let path = std::env::temp_dir().join(format!("netflow-skips-{}", std::process::id()));
        fs::write(&path, "")?;
        Ok(Self { path })
    }

    fn read(&self) -> std::io::Result<Vec<String>> {
        let mut lines: Vec<String> = fs::read_to_string(&self.path)?.lines().map(str::to_owned).collect();
        lines.sort();
        Ok(lines)
    }
}

impl Drop for SkipFile {
    fn drop(&mut self) {
        drop(fs::remove_file(&self.path));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_harness_line_is_read() {
        let text = "test a::b ... FAILED\ntest result: FAILED. 12 passed; 1 failed; 0 ignored; 0 measured\n";
        let count = count(text);
        assert_eq!((count.passed, count.failed), (12, 1));
        assert_eq!(failures(text), ["a::b"]);
    }
}
