//! How the eBPF object is made, and from what. Included by netflow-agent's build script and by `cargo xtask
//! ebpf`, so that both hash the same sources and run the same build. In: the workspace folder. Out: the object's
//! bytes, the hash of its sources, the lock beside the committed object.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest as _, Sha256};

/// The committed object and its lock, from the workspace folder.
pub(crate) const OBJECT: &str = "netflow-ebpf/prebuilt/netflow.o";
pub(crate) const LOCK: &str = "netflow-ebpf/prebuilt/netflow.lock";

/// The version of bpf-linker; later ones want a system LLVM.
pub(crate) const LINKER: &str = "0.10.4";

/// What to do where the object cannot be built.
pub(crate) const FIX: &str =
    "rustup component add rust-src && cargo install bpf-linker --version =0.10.4 --locked";

/// Folders and files that the object is made of, beside the locked dependencies.
const SOURCES: [&str; 6] = [
    "netflow-common/Cargo.toml",
    "netflow-common/src",
    "netflow-ebpf/Cargo.toml",
    "netflow-ebpf/recipe.rs",
    "netflow-ebpf/src",
    "rust-toolchain.toml",
];

/// Says of the committed object what it is and what it was made of.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Lock {
    pub(crate) object: String,
    pub(crate) sources: String,
    pub(crate) rustc: String,
    pub(crate) linker: String,
}

impl Lock {
    /// Reads the lock of a workspace.
    pub(crate) fn read(root: &Path) -> Result<Self, String> {
        let path = root.join(LOCK);
        let text = fs::read_to_string(&path).map_err(|error| format!("read {LOCK}: {error}"))?;
        let fields: BTreeMap<&str, &str> = text.lines().filter_map(|line| line.split_once(" = ")).collect();
        let field = |name: &str| {
            fields.get(name).map(ToString::to_string).ok_or_else(|| format!("{LOCK} has no `{name}`"))
        };
        Ok(Self {
            object: field("object")?,
            sources: field("sources")?,
            rustc: field("rustc")?,
            linker: field("linker")?,
        })
    }

    pub(crate) fn to_text(&self) -> String {
        let Self { object, sources, rustc, linker } = self;
        format!(
            "# Written by `cargo xtask ebpf`: sha256 of the object and of its sources, and what built it.\n\
             object = {object}\nsources = {sources}\nrustc = {rustc}\nlinker = {linker}\n"
        )
    }
}

/// The hash of bytes as the lock spells it.
pub(crate) fn hash(bytes: &[u8]) -> String {
    spell(&Sha256::digest(bytes))
}

fn spell(digest: &[u8]) -> String {
    digest.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

/// The hash of everything that the object is made of.
pub(crate) fn hash_sources(root: &Path) -> Result<String, String> {
    let mut files = Vec::new();
    for source in SOURCES {
        list(&root.join(source), &mut files).map_err(|error| format!("read {source}: {error}"))?;
    }
    files.sort();
    let mut hasher = Sha256::new();
    for path in files {
        let bytes = fs::read(&path).map_err(|error| format!("read {}: {error}", path.display()))?;
        let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().replace('\\', "/");
        hasher.update(format!("{name} {}\n", bytes.len()));
        hasher.update(&bytes);
    }
    hasher.update(locked_dependencies(root)?);
    Ok(spell(&hasher.finalize()))
}

fn list(path: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    if !path.is_dir() {
        files.push(path.to_path_buf());
        return Ok(());
    }
    for entry in fs::read_dir(path)? {
        list(&entry?.path(), files)?;
    }
    Ok(())
}

/// The packages of Cargo.lock that netflow-ebpf is built from: name, version and checksum, in order.
fn locked_dependencies(root: &Path) -> Result<String, String> {
    let text =
        fs::read_to_string(root.join("Cargo.lock")).map_err(|error| format!("read Cargo.lock: {error}"))?;
    let blocks: Vec<&str> = text.split("[[package]]").skip(1).collect();
    let field = |block: &str, name: &str| {
        let line = block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = "));
        line.unwrap_or_default().trim_matches('"').to_owned()
    };
    let mut wanted = vec![("netflow-ebpf".to_owned(), None)];
    let mut found = BTreeSet::new();
    while let Some((name, version)) = wanted.pop() {
        for block in &blocks {
            let own = field(block, "version");
            let is_meant =
                field(block, "name") == name && version.as_ref().is_none_or(|version| *version == own);
            if is_meant && found.insert(format!("{name} {own} {}", field(block, "checksum"))) {
                let listed = block.split_once("dependencies = [").map_or("", |(_, list)| list);
                // `"name"`, or `"name version"` where there are several.
                for entry in
                    listed.lines().filter_map(|line| line.trim().strip_prefix('"')?.strip_suffix("\","))
                {
                    let mut words = entry.split(' ').map(str::to_owned);
                    wanted.push((words.next().unwrap_or_default(), words.next()));
                }
            }
        }
    }
    Ok(found.into_iter().collect::<Vec<_>>().join("\n"))
}

/// Builds the object from source, stripped but for its BTF. The same bytes from any folder.
pub(crate) fn build(root: &Path, target: &Path) -> Result<Vec<u8>, String> {
    build_target(root, target, "--bin", "netflow-ebpf")
}

/// Builds one target of netflow-ebpf in the way of the object: `kind` is `--bin` or `--example`.
pub(crate) fn build_target(root: &Path, target: &Path, kind: &str, name: &str) -> Result<Vec<u8>, String> {
    let sysroot = sysroot(root)?;
    let version = linker_version(root)?;
    if !version.ends_with(LINKER) {
        return Err(format!("{version} is not bpf-linker {LINKER}"));
    }
    let mut command = cargo(root, "build", target);
    command.args([kind, name]).env("CARGO_ENCODED_RUSTFLAGS", flags(root, &sysroot));
    let status = command.status().map_err(|error| format!("run cargo: {error}"))?;
    if !status.success() {
        return Err(format!("cargo build of {name}: {status}"));
    }
    let folder = target.join("bpfel-unknown-none/release");
    let built = if kind == "--example" { folder.join("examples").join(name) } else { folder.join(name) };
    let stripped = target.join(name).with_extension("o");
    strip(&sysroot, &built, &stripped)?;
    fs::read(&stripped).map_err(|error| format!("read {}: {error}", stripped.display()))
}

/// Clippy on every target of netflow-ebpf as the kernel's machine sees it; the host compiles next to nothing of them.
pub(crate) fn lint(root: &Path, target: &Path) -> Result<Command, String> {
    sysroot(root)?;
    let mut command = cargo(root, "clippy", target);
    command.args(["--bins", "--examples", "--", "-D", "warnings"]);
    Ok(command)
}

/// The toolchain's folder, once it is sure that it has what the kernel's machine needs.
fn sysroot(root: &Path) -> Result<PathBuf, String> {
    let sysroot = PathBuf::from(output(root, "rustc", &["--print", "sysroot"])?);
    if !sysroot.join("lib/rustlib/src/rust/library/Cargo.lock").exists() {
        return Err("the source of Rust's core library is not installed".to_owned());
    }
    Ok(sysroot)
}

/// Cargo on netflow-ebpf for the kernel's machine, without what an outer cargo put into the environment, on the
/// workspace's own toolchain.
fn cargo(root: &Path, task: &str, target: &Path) -> Command {
    let mut command = Command::new("cargo");
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        let outer = name.starts_with("CARGO") && name != "CARGO_HOME";
        if outer || name.starts_with("RUSTC") || name == "RUSTFLAGS" || name == "RUSTUP_TOOLCHAIN" {
            command.env_remove(name);
        }
    }
    command
        .current_dir(root)
        .args([task, "--quiet", "--locked", "--release", "--package", "netflow-ebpf"])
        .args(["--target", "bpfel-unknown-none", "-Z", "build-std=core", "--target-dir"])
        .arg(target)
        .env("RUSTC_BOOTSTRAP", "1")
        // No program reads another machine's registers, so the object is one for all little-endian ones.
        .env("AYA_BPF_TARGET_ARCH", "x86_64")
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1")
        .env("CARGO_PROFILE_RELEASE_DEBUG", "2")
        .env("CARGO_PROFILE_RELEASE_INCREMENTAL", "false")
        .env("CARGO_PROFILE_RELEASE_LTO", "off")
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "3")
        .env("CARGO_PROFILE_RELEASE_PANIC", "abort")
        .env("CARGO_PROFILE_RELEASE_STRIP", "none");
    command
}

fn flags(root: &Path, sysroot: &Path) -> OsString {
    let home = std::env::var_os("CARGO_HOME").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cargo"),
        PathBuf::from,
    );
    let mut flags: OsString = "-Cdebuginfo=2\x1f-Clink-arg=--btf".into();
    // Without CAP_PERFMON the verifier refuses the byte loops that bpf-linker makes of memcpy otherwise.
    flags.push("\x1f-Clink-arg=--disable-expand-memcpy-in-order");
    for (from, to) in [(root, "/netflow"), (sysroot, "/rust"), (&home, "/cargo")] {
        flags.push("\x1f--remap-path-prefix=");
        flags.push(from);
        flags.push("=");
        flags.push(to);
    }
    flags
}

/// Takes the debug sections out with the objcopy that comes with rustc.
fn strip(sysroot: &Path, from: &Path, to: &Path) -> Result<(), String> {
    let rustlib = sysroot.join("lib/rustlib");
    let hosts = fs::read_dir(&rustlib).map_err(|error| format!("read {}: {error}", rustlib.display()))?;
    let objcopy = hosts
        .filter_map(Result::ok)
        .map(|host| host.path().join("bin/rust-objcopy"))
        .find(|path| path.exists())
        .ok_or("this toolchain has no rust-objcopy")?;
    let status = Command::new(&objcopy)
        .env("LD_LIBRARY_PATH", sysroot.join("lib"))
        .env("DYLD_LIBRARY_PATH", sysroot.join("lib"))
        .arg("--strip-debug")
        .args([from, to])
        .status()
        .map_err(|error| format!("run {}: {error}", objcopy.display()))?;
    if status.success() { Ok(()) } else { Err(format!("rust-objcopy: {status}")) }
}

/// `rustc 1.95.0 (59807616e 2026-04-14)`.
pub(crate) fn rustc_version(root: &Path) -> Result<String, String> {
    output(root, "rustc", &["--version"])
}

/// `bpf-linker 0.10.4`.
pub(crate) fn linker_version(root: &Path) -> Result<String, String> {
    output(root, "bpf-linker", &["--version"])
}

fn output(root: &Path, program: &str, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(root)
        .env_remove("RUSTUP_TOOLCHAIN")
        .output()
        .map_err(|error| format!("run {program}: {error}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
