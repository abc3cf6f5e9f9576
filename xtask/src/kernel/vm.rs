//! Boots each kernel under qemu with the kernel tests as its only work, and prints what came of it.
#![expect(clippy::disallowed_methods, reason = "the rules on clock and environment are the agent's")]

use std::collections::BTreeSet;
use std::error::Error;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::init::{MARK, MODULES, RUN};
use super::initramfs;
use super::package::Registry;
use crate::{Outcome, cargo, program};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Unpacked kernel packages (folders with boot/ and the modules) instead of Debian's four
    #[arg(long = "kernel", value_name = "FOLDER")]
    kernels: Vec<PathBuf>,
    /// Run the kernel tests whose names contain this, in place of a small set; may be repeated
    #[arg(long = "filter", value_name = "TEXT")]
    filters: Vec<String>,
    /// Run all kernel tests, bursts and stress as well: about four minutes a kernel when emulated
    #[arg(long, conflicts_with = "filters")]
    all: bool,
    /// Seconds after which a machine is given up
    #[arg(long, default_value_t = 600)]
    timeout: u64,
    /// Let the hardware run the machines (KVM); emulated otherwise, which works everywhere
    #[arg(long)]
    accelerate: bool,
}

/// What is run without `--all`: whether everything loads and attaches with few rights, and traffic of every kind.
const SMALL: &[&str] = &["privileges::", "tcp::", "udp::", "existing::"];

/// The oldest kernel that the agent says it runs on; on an older one the tests ask whether it says so.
const OLDEST: (u32, u32) = (5, 15);
const REFUSAL: &str = "the_stated_minimum_holds";

/// A kernel ready to boot.
struct Kernel {
    version: String,
    folder: PathBuf,
}

impl Kernel {
    fn is_too_old(&self) -> bool {
        let mut numbers = self.version.split(['.', '-']).map_while(|number| number.parse::<u32>().ok());
        let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        version < OLDEST
    }

    /// The filters of the tests to run in it; none is all.
    fn tests<'a>(&self, args: &'a Args) -> Vec<&'a str> {
        if self.is_too_old() {
            vec![REFUSAL]
        } else if args.filters.is_empty() && !args.all {
            SMALL.to_vec()
        } else {
            args.filters.iter().map(String::as_str).collect()
        }
    }
}

/// What one machine printed of the tests it ran.
struct Ran {
    version: String,
    is_too_old: bool,
    seconds: u64,
    passed: BTreeSet<String>,
    failed: BTreeSet<String>,
    /// Why the run as a whole does not count, if it does not.
    broken: Option<String>,
    log: PathBuf,
}

pub(super) fn run(args: &Args) -> Outcome {
    if program::find("qemu-system-x86_64").is_none() {
        return Err("qemu-system-x86_64 is missing: install the package qemu-system-x86".into());
    }
    let folder = program::root().join("target/kernel-vm");
    fs::create_dir_all(&folder)?;
    // The build below may lay a new xtask over this one.
    let init = folder.join("init");
    fs::copy(std::env::current_exe()?, &init)?;
    let kernels = kernels(args)?;
    // The whole workspace, as `cargo xtask test` builds it: one package alone would be built a second time.
    let tests = cargo::build(&["test", "--quiet", "--locked", "--no-run"], true)?;
    let is_wanted = |built: &&cargo::Executable| built.kind == "test" && built.target == "kernel";
    let test = &tests.iter().find(is_wanted).ok_or("cargo built no kernel tests")?.path;
    let mut rows = Vec::new();
    for kernel in &kernels {
        let archive = archive(kernel, &init, test, &kernel.tests(args))?;
        rows.push(boot(kernel, &archive, &folder, args)?);
    }
    print!("{}", table(&rows));
    let failed: Vec<_> = rows.iter().filter(|row| row.broken.is_some() || !row.failed.is_empty()).collect();
    for row in &failed {
        let reason = row.broken.clone().unwrap_or_else(|| row.failed.iter().cloned().collect::<Vec<_>>().join(", "));
        eprintln!("xtask: kernel {}: {reason}; see {}", row.version, row.log.display());
    }
    if failed.is_empty() { Ok(()) } else { Err(format!("{} of {} kernels failed", failed.len(), rows.len()).into()) }
}

fn kernels(args: &Args) -> Result<Vec<Kernel>, Box<dyn Error>> {
    if !args.kernels.is_empty() {
        let named = |folder: &PathBuf| Kernel {
            version: folder.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            folder: folder.clone(),
        };
        return Ok(args.kernels.iter().map(named).collect());
    }
    let cache = cache()?;
    let registry = Registry::open(&cache)?;
    let mut kernels = Vec::new();
    for package in registry.kernels()? {
        let folder = registry.fetch(&package, &cache)?;
        kernels.push(Kernel { version: package.version().to_owned(), folder });
    }
    Ok(kernels)
}

/// Outlives `target/`: a kernel package is 50 to 100 MB and never changes.
fn cache() -> Result<PathBuf, Box<dyn Error>> {
    let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let cache = base.or_else(home).ok_or("neither XDG_CACHE_HOME nor HOME is set")?.join("netflow/kernels");
    fs::create_dir_all(&cache)?;
    Ok(cache)
}

fn boot(kernel: &Kernel, archive: &[u8], folder: &Path, args: &Args) -> Result<Ran, Box<dyn Error>> {
    let initrd = folder.join(format!("{}.cpio", kernel.version));
    fs::write(&initrd, archive)?;
    let log = folder.join(format!("{}.log", kernel.version));
    let image = initramfs::find_file(&kernel.folder, "vmlinuz")
        .ok_or_else(|| format!("no vmlinuz in {}", kernel.folder.display()))?;
    let mut command = Command::new("qemu-system-x86_64");
    command
        .args(["-nodefaults", "-display", "none", "-serial", "stdio", "-no-reboot", "-m", "1024", "-smp", "2"])
        .args(if args.accelerate { ["-accel", "kvm", "-cpu", "host"] } else { ["-accel", "tcg", "-cpu", "max"] })
        .arg("-kernel")
        .arg(image)
        .arg("-initrd")
        .arg(&initrd)
        // An emulated timer may be late on a busy machine, and the kernel's check of it panics.
        .args(["-append", "console=ttyS0 panic=-1 quiet no_timer_check -- kernel init"])
        .stdin(Stdio::null())
        .stdout(File::create(&log)?);
    eprintln!("$ {}", program::line(&command));
    let begun = Instant::now();
    let ended = wait(command.spawn()?, Duration::from_secs(args.timeout))?;
    fs::remove_file(initrd)?;
    let seconds = begun.elapsed().as_secs();
    let printed = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
    let mut ran = read(&printed);
    if !ended {
        ran.broken = Some(format!("not done after {} s", args.timeout));
    }
    Ok(Ran { version: kernel.version.clone(), is_too_old: kernel.is_too_old(), seconds, log, ..ran })
}

/// Whether it ended by itself in time.
fn wait(mut machine: Child, limit: Duration) -> Result<bool, Box<dyn Error>> {
    let deadline = Instant::now() + limit;
    while machine.try_wait()?.is_none() {
        if Instant::now() > deadline {
            machine.kill()?;
            machine.wait()?;
            return Ok(false);
        }
        sleep(Duration::from_millis(100));
    }
    Ok(true)
}

fn archive(kernel: &Kernel, init: &Path, test: &Path, filters: &[&str]) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut archive = initramfs::with_init(init)?;
    archive.program(Path::new("/bin/kernel-tests"), test)?;
    // No iptables in there, which the redirection of a mesh needs.
    let command = format!("/bin/kernel-tests --test-threads=1 --skip mesh:: {}\n", filters.join(" "));
    archive.file(Path::new(RUN), command.as_bytes());
    let mut loaded = Vec::new();
    for name in ["bridge", "veth"] {
        for module in initramfs::modules(&kernel.folder, name)? {
            if !loaded.contains(&module) {
                loaded.push(module);
            }
        }
    }
    for (order, (name, content)) in loaded.iter().enumerate() {
        archive.file(&Path::new(MODULES).join(format!("{order:02}-{name}")), content);
    }
    Ok(archive.finish())
}

/// Reads the lines of libtest and of `init` out of the console.
fn read(console: &str) -> Ran {
    // A test that starts itself again with fewer rights is told twice.
    let mut passed = BTreeSet::new();
    let mut failed = BTreeSet::new();
    let mut status = None;
    for line in console.lines().map(str::trim) {
        if let Some((name, verdict)) = line.strip_prefix("test ").and_then(|rest| rest.rsplit_once(" ... ")) {
            match verdict {
                "ok" => drop(passed.insert(name.to_owned())),
                "FAILED" => drop(failed.insert(name.to_owned())),
                _ => {}
            }
        } else if let Some(rest) = line.strip_prefix(MARK) {
            status = Some(rest.trim().to_owned());
        }
    }
    let broken = match status.as_deref() {
        None => Some("the machine ended before the tests did".to_owned()),
        Some(text) if text.starts_with("0 ") && passed.is_empty() => Some("no test ran".to_owned()),
        Some(text) if !text.starts_with("0 ") && failed.is_empty() => Some(text.to_owned()),
        Some(_) => None,
    };
    let (version, is_too_old, seconds, log) = Default::default();
    Ran { version, is_too_old, seconds, passed, failed, broken, log }
}

/// The README's kernel table.
fn table(rows: &[Ran]) -> String {
    let mut text = String::from("| Debian kernel | loads and attaches | traffic tests | seconds |\n|---|---|---|---|\n");
    for row in rows {
        let is_good = row.broken.is_none() && row.failed.is_empty();
        let of = |is_traffic: bool, tests: &BTreeSet<String>| {
            tests.iter().filter(|test| test.starts_with("privileges::") != is_traffic).count()
        };
        let ratio = |is_traffic| {
            let passed = of(is_traffic, &row.passed);
            format!("{passed} of {}", passed + of(is_traffic, &row.failed))
        };
        let (loads, traffic) = match (row.is_too_old, is_good) {
            (true, true) => (format!("refused: needs {}.{}", OLDEST.0, OLDEST.1), "-".to_owned()),
            (true, false) => ("not refused as it should".to_owned(), "-".to_owned()),
            (false, _) => (ratio(false), ratio(true)),
        };
        writeln!(text, "| {} | {loads} | {traffic} | {} |", row.version, row.seconds).expect("writing to a String");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_counts_only_when_the_machine_said_how_it_ended() {
        let good = read("test udp::a ... ok\r\ntest tcp::b ... ok\r\nnetflow-vm-ended: 0 /bin/kernel-tests\r\n");
        assert_eq!((good.passed.len(), good.failed.len(), good.broken), (2, 0, None));
        let cut = read("test udp::a ... ok\r\n");
        assert!(cut.broken.is_some());
        let bad = read("test udp::a ... FAILED\r\nnetflow-vm-ended: 101 /bin/kernel-tests\r\n");
        assert_eq!((bad.failed, bad.broken), (BTreeSet::from(["udp::a".to_owned()]), None));
        let empty = read("netflow-vm-ended: 0 /bin/kernel-tests\r\n");
        assert!(empty.broken.is_some());
        let loader = read("netflow-vm-ended: 1 init: mount\r\n");
        assert_eq!(loader.broken.as_deref(), Some("1 init: mount"));
    }

    #[test]
    fn an_old_kernel_is_asked_only_whether_it_is_refused() {
        let kernel = |version: &str| Kernel { version: version.into(), folder: PathBuf::new() };
        let (all, filters) = (false, Vec::new());
        let args = Args { kernels: Vec::new(), filters, all, timeout: 1, accelerate: false };
        assert_eq!(kernel("5.10.218-1").tests(&args), [REFUSAL]);
        for version in ["5.15.1-1", "6.1.176-1", "7.2.13-1"] {
            assert_eq!(kernel(version).tests(&args), SMALL);
        }
        let args = Args { all: true, ..args };
        assert!(kernel("6.1.176-1").tests(&args).is_empty());
    }
}
