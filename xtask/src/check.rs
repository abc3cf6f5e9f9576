//! `cargo xtask check`: the whole gate before a merge, the same at hand and in CI.

use std::path::Path;
use std::process::Command;

use crate::program::{self, cargo};
use crate::{Outcome, ebpf, tidy};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

fn lints() -> Outcome {
    program::run(cargo().args(["clippy", "--quiet", "--locked", "--all-targets", "--", "-D", "warnings"]))?;
    ebpf::lint()
}

pub(crate) fn run(_args: &Args) -> Outcome {
    program::run(cargo().args(["fmt", "--all", "--check"]))?;
    tidy::run(&tidy::Args {})?;
    lints()?;
    let sets = [
        &["--no-default-features"][..],
        &["--no-default-features", "--features", "cluster"],
        &["--features", "test-cluster"],
    ];
    for features in sets {
        let mut command = cargo();
        command.args(["clippy", "--quiet", "--locked", "--package", "netflow-agent", "--all-targets"]);
        program::run(command.args(features).args(["--", "-D", "warnings"]))?;
    }
    macos()?;
    deny()?;
    println!("check: all good");
    Ok(())
}

/// The command line alone, checked for macOS wherever its standard library is installed. Nothing is linked, so a
/// C compiler that makes nothing will do.
fn macos() -> Outcome {
    const TARGET: &str = "aarch64-apple-darwin";
    let asked = Command::new("rustc").args(["--print", "target-libdir", "--target", TARGET]).output()?;
    if !Path::new(String::from_utf8_lossy(&asked.stdout).trim()).is_dir() {
        println!("macOS: skipped, its standard library is not installed (rustup target add {TARGET})");
        return Ok(());
    }
    let mut command = cargo();
    command.args(["clippy", "--quiet", "--locked", "--package", "netflow-agent", "--lib", "--bins"]);
    command.args(["--target", TARGET, "--no-default-features", "--features", "cluster"]);
    if cfg!(not(target_os = "macos")) {
        command.env("CC_aarch64_apple_darwin", "true").env("AR_aarch64_apple_darwin", "true");
    }
    program::run(command.args(["--", "-D", "warnings"]))
}

/// Licences, bans and sources; advisories too where their database can be had.
fn deny() -> Outcome {
    if program::find("cargo-deny").is_none() {
        if program::is_ci() {
            return Err("cargo-deny is missing: cargo install cargo-deny --locked".into());
        }
        println!("deny: skipped, cargo-deny is not installed (cargo install cargo-deny --locked)");
        return Ok(());
    }
    program::run(deny_command().args(["check", "--show-stats", "bans", "licenses", "sources"]))?;
    let fetched = deny_command().args(["fetch", "db"]).output().is_ok_and(|output| output.status.success());
    if !fetched {
        println!("deny: advisories not checked, their database cannot be fetched here");
        return Ok(());
    }
    program::run(deny_command().args(["check", "--disable-fetch", "advisories"]))
}

fn deny_command() -> Command {
    let mut command = cargo();
    command.args(["deny", "--locked"]);
    command
}
