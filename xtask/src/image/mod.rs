//! `cargo xtask image`: the agent's container image, without a container engine. Builds the static binary,
//! lists what is in it, and writes one archive that `docker load`, `ctr images import` and `skopeo` take.
//! The same sources and toolchain give the same bytes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Outcome, cargo, program};

mod archive;
mod sbom;

/// An image larger than this is a mistake.
const LIMIT: usize = 30 * 1024 * 1024;

/// Make the agent's container image.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where to write it [default: target/image/netflow-agent.tar]
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Its name and tag [default: netflow-agent:VERSION]
    #[arg(long, value_name = "NAME:TAG")]
    name: Option<String>,

    /// How to build the binary
    #[arg(long, default_value = "release")]
    profile: String,

    /// For which machine; its glibc must be there as a static library
    #[arg(long, default_value = "x86_64-unknown-linux-gnu")]
    target: String,
}

/// What an image says about itself.
pub(crate) struct Label {
    pub(crate) key: &'static str,
    pub(crate) value: String,
}

/// Where the image is written when nothing else is said.
pub(crate) fn path() -> PathBuf {
    program::root().join("target/image/netflow-agent.tar")
}

/// The image of this tree, built in this profile, at `path`.
pub(crate) fn make(profile: &str) -> Outcome {
    let target = "x86_64-unknown-linux-gnu".to_owned();
    run(&Args { output: None, name: None, profile: profile.to_owned(), target })
}

pub(crate) fn run(args: &Args) -> Outcome {
    let output = args.output.clone().unwrap_or_else(path);
    if let Some(folder) = output.parent() {
        fs::create_dir_all(folder)?;
    }

    let metadata = sbom::metadata(&args.target)?;
    let version = metadata.version()?;
    let name = args.name.clone().unwrap_or_else(|| format!("netflow-agent:{version}"));
    let binary = build(&args.profile, &args.target)?;
    refuse_dynamic(&binary)?;
    let bill = sbom::write(&metadata)?;

    let files = [
        archive::File { path: "netflow-agent", mode: 0o755, bytes: fs::read(&binary)? },
        archive::File { path: "LICENSE", mode: 0o644, bytes: fs::read(program::root().join("LICENSE"))? },
        archive::File { path: "netflow-agent.cdx.json", mode: 0o644, bytes: bill.clone().into_bytes() },
    ];
    let image = archive::image(&name, architecture(&args.target)?, &labels(&version), &files)?;
    if image.len() > LIMIT && args.profile == "release" {
        return Err(format!("the image has {} bytes, more than {LIMIT}", image.len()).into());
    }
    fs::write(output.with_extension("cdx.json"), bill)?;
    if args.output.is_none() {
        // The same program is the command line.
        fs::copy(&binary, output.with_extension(""))?;
    }
    println!("{} {name} {} KiB", output.display(), image.len() / 1_024);
    fs::write(&output, image)?;
    Ok(())
}

fn build(profile: &str, target: &str) -> Result<PathBuf, Box<dyn std::error::Error>> {
    let flags = format!(r#"target.{target}.rustflags=["-Ctarget-feature=+crt-static", "-Cstrip=symbols"]"#);
    let arguments =
        ["build", "--locked", "--package", "netflow-agent", "--profile", profile, "--target", target, "--config", &flags];
    let built = cargo::build(&arguments, false)?;
    let binary = built.into_iter().find(|executable| executable.target == "netflow-agent");
    Ok(binary.ok_or("cargo built no netflow-agent")?.path)
}

/// From scratch there is no loader: a binary that asks for one would never start.
fn refuse_dynamic(binary: &Path) -> Outcome {
    let bytes = fs::read(binary)?;
    if archive::contains(&bytes, b"/ld-linux") || archive::contains(&bytes, b"/ld-musl") {
        return Err(format!("{} is not static: it names a loader", binary.display()).into());
    }
    Ok(())
}

fn architecture(target: &str) -> Result<&'static str, String> {
    match target.split('-').next() {
        Some("x86_64") => Ok("amd64"),
        Some("aarch64") => Ok("arm64"),
        _ => Err(format!("no image architecture is known for `{target}`")),
    }
}

fn labels(version: &str) -> Vec<Label> {
    let label = |key, value: &str| Label { key, value: value.to_owned() };
    let mut labels = vec![
        label("org.opencontainers.image.title", "netflow-agent"),
        label("org.opencontainers.image.description", "eBPF flow observer for Kubernetes that recommends network policy"),
        label("org.opencontainers.image.version", version),
        label("org.opencontainers.image.licenses", "Apache-2.0"),
        label("org.opencontainers.image.source", env!("CARGO_PKG_REPOSITORY")),
    ];
    let mut git = Command::new("git");
    git.current_dir(program::root()).args(["rev-parse", "HEAD"]);
    // A source archive has no history, and its image no revision.
    if let Ok(revision) = program::read(&mut git) {
        labels.push(label("org.opencontainers.image.revision", revision.trim()));
    }
    labels
}

#[cfg(test)]
mod tests {
    use super::{labels, program};

    /// Nobody builds it here: what can be read off it is the same program, started the same way.
    #[test]
    fn the_containerfile_makes_the_same_image() {
        let read = |path: &str| std::fs::read_to_string(program::root().join(path)).expect("part of the repository");
        let text = read("deploy/Containerfile");
        let pinned = read("Cargo.toml");
        let pinned = pinned.lines().find_map(|line| line.strip_prefix("rust-version = \"")?.strip_suffix('"'));
        let version = pinned.expect("the workspace pins its toolchain");
        assert!(text.contains(&format!("/rust:{version}")), "it builds with Rust {version}");
        let (build, image) = text.split_once("FROM scratch\n").expect("the image starts from nothing");
        for words in ["--locked --release --package netflow-agent", "+crt-static", "strip=symbols", "LICENSE /image/LICENSE"] {
            assert!(build.contains(words), "{words}");
        }
        for words in ["COPY --from=build /image/ /", "USER 0:0", "WORKDIR /", "ENTRYPOINT [\"/netflow-agent\"]"] {
            assert!(image.lines().any(|line| line == words), "{words}");
        }
        let own = labels(version);
        for key in ["title", "description", "licenses", "source"] {
            let label = own.iter().find(|label| label.key.ends_with(key)).expect("an image says it");
            assert!(image.contains(&format!("{}=\"{}\"", label.key, label.value)), "{}", label.key);
        }
    }
}
