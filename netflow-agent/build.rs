//! Puts the eBPF object where the agent includes it: the committed one when it was made of these sources, else
//! one built here, else a failure that says in one line what is missing.

use std::path::{Path, PathBuf};
use std::{env, fs};

#[path = "../netflow-ebpf/recipe.rs"]
#[expect(dead_code, reason = "`cargo xtask ebpf` uses the rest")]
mod recipe;

fn main() {
    if env::var_os("CARGO_FEATURE_CAPTURE").is_none() {
        return;
    }
    let manifest = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let root = manifest.parent().expect("netflow-agent is a folder of the workspace");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    for input in ["netflow-common", "netflow-ebpf", "Cargo.lock", "rust-toolchain.toml"] {
        println!("cargo:rerun-if-changed={}", root.join(input).display());
    }
    match object(root, &out) {
        Ok(bytes) => fs::write(out.join("netflow.o"), bytes).expect("cargo's output folder takes a file"),
        Err(error) => {
            println!("cargo:error={error}");
            println!(
                "cargo:error=the committed eBPF object is not of these sources; to build it: {}",
                recipe::FIX
            );
        }
    }
}

fn object(root: &Path, out: &Path) -> Result<Vec<u8>, String> {
    let sources = recipe::hash_sources(root)?;
    if let Ok(lock) = recipe::Lock::read(root)
        && lock.sources == sources
    {
        let bytes = fs::read(root.join(recipe::OBJECT))
            .map_err(|error| format!("read {}: {error}", recipe::OBJECT))?;
        if recipe::hash(&bytes) != lock.object {
            return Err(format!("{} is not what {} says", recipe::OBJECT, recipe::LOCK));
        }
        return Ok(bytes);
    }
    recipe::build(root, &out.join("ebpf"))
}
