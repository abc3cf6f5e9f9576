//! `cargo xtask ebpf`: builds the eBPF object and writes it with its lock; `--check` builds and compares byte for
//! byte with what is committed.

use std::fs;
use std::path::{Path, PathBuf};

#[path = "../../netflow-ebpf/recipe.rs"]
mod recipe;

use recipe::{LINKER, LOCK, Lock, OBJECT};

use crate::{Outcome, program};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Compare with the committed object instead of writing it
    #[arg(long)]
    check: bool,
}

pub(crate) fn run(args: &Args) -> Outcome {
    println!("{}", make(program::root(), args.check)?);
    Ok(())
}

/// Lints the programs for the kernel's machine, as which they are built; where the toolchain lacks its core library
/// that is said, and is an error in CI.
pub(crate) fn lint() -> Outcome {
    let root = program::root();
    match recipe::lint(root, &root.join("target/ebpf")) {
        Ok(mut command) => program::run(&mut command),
        Err(error) if program::is_ci() => Err(error.into()),
        Err(error) => {
            println!("clippy on netflow-ebpf: skipped, {error} (rustup component add rust-src)");
            Ok(())
        }
    }
}

/// Builds a program that only a benchmark attaches, an example of netflow-ebpf; returns where it lies.
pub(crate) fn example(name: &str) -> Result<PathBuf, String> {
    let root = program::root();
    let target = root.join("target/ebpf");
    recipe::build_target(root, &target, "--example", name)?;
    Ok(target.join(name).with_extension("o"))
}

/// Builds, and compares instead of writing when `check`. `Err` says what differs.
fn make(root: &Path, check: bool) -> Result<String, String> {
    let bytes = recipe::build(root, &root.join("target/ebpf"))
        .map_err(|error| format!("{error}\nto build it: {}", recipe::FIX))?;
    let lock = Lock {
        object: recipe::hash(&bytes),
        sources: recipe::hash_sources(root)?,
        rustc: recipe::rustc_version(root)?,
        linker: recipe::linker_version(root)?,
    };
    if !check {
        let write = |path: &str, bytes: &[u8]| {
            fs::write(root.join(path), bytes).map_err(|error| format!("write {path}: {error}"))
        };
        write(OBJECT, &bytes)?;
        write(LOCK, lock.to_text().as_bytes())?;
        return Ok(format!("{OBJECT}: {} bytes, sha256 {}", bytes.len(), lock.object));
    }
    let committed = Lock::read(root)?;
    if committed.sources != lock.sources {
        return Err(format!("{LOCK} is of other sources: run `cargo xtask ebpf` and commit the result"));
    }
    let object = fs::read(root.join(OBJECT)).map_err(|error| format!("read {OBJECT}: {error}"))?;
    if object != bytes {
        return Err(format!(
            "{OBJECT} is not what the sources give here with {} and bpf-linker {LINKER} (committed with {} and {})",
            lock.rustc, committed.rustc, committed.linker
        ));
    }
    Ok(format!("{OBJECT} is what the sources give, byte for byte: sha256 {}", lock.object))
}
