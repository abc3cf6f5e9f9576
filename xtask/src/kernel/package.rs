//! Debian's kernel packages: which there are, and the chosen ones unpacked in the cache.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::program;

/// The suites asked, oldest first. What the mirror no longer has is passed over.
const SUITES: [&str; 5] = ["bullseye", "bookworm", "trixie", "trixie-backports", "sid"];

/// A kernel package: `linux-image-6.1.0-50-amd64`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Package {
    /// The numbers of the version, most significant first: sorts as releases do.
    release: Vec<u32>,
    version: String,
    name: String,
}

impl Package {
    fn parse(name: &str, version: &str) -> Option<Self> {
        let flavour = name.strip_prefix("linux-image-")?.strip_suffix("-amd64")?;
        if !flavour.starts_with(|first: char| first.is_ascii_digit())
            || ["cloud", "rt"].iter().any(|other| flavour.split('-').any(|part| part == *other))
        {
            return None;
        }
        let upstream = version.split(['-', '~']).next()?;
        let release = upstream.split('.').map(|part| part.parse().ok()).collect::<Option<_>>()?;
        Some(Self { release, version: version.to_owned(), name: name.to_owned() })
    }

    fn is(&self, series: [u32; 2]) -> bool {
        self.release.starts_with(&series)
    }

    /// As the package is versioned: `6.1.176-1`.
    pub(crate) fn version(&self) -> &str {
        &self.version
    }
}

/// The oldest kernel there is, the newest 6.1 and 6.12, and the newest of all.
fn choose(mut packages: Vec<Package>) -> Vec<Package> {
    packages.sort();
    let newest_of = |series| packages.iter().rfind(|package| package.is(series));
    let mut chosen: Vec<_> = [packages.first(), newest_of([6, 1]), newest_of([6, 12]), packages.last()]
        .into_iter()
        .flatten()
        .cloned()
        .collect();
    chosen.sort();
    chosen.dedup();
    chosen
}

/// A private view of the package registry: this machine's own apt settings stay as they are.
pub(crate) struct Registry {
    folder: PathBuf,
}

impl Registry {
    /// Reads the lists of all suites from the mirror that this machine uses.
    pub(crate) fn open(cache: &Path) -> Result<Self, Box<dyn Error>> {
        let folder = cache.join("apt");
        for part in ["lists/partial", "archives/partial"] {
            fs::create_dir_all(folder.join(part))?;
        }
        let mirror = mirror()?;
        let keyring = "/usr/share/keyrings/debian-archive-keyring.gpg";
        let source = |suite| format!("deb [arch=amd64 signed-by={keyring}] {mirror} {suite} main");
        fs::write(folder.join("sources.list"), SUITES.map(source).join("\n"))?;
        let registry = Self { folder };
        // A suite that the mirror dropped makes this fail and the others usable all the same.
        if let Err(error) = program::read(&mut registry.command("apt-get", &["-qq", "update"])) {
            eprintln!("xtask: some package lists are missing: {error}");
        }
        Ok(registry)
    }

    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.folder);
        for (option, value) in [
            ("APT::Sandbox::User", "root".into()),
            ("Dir::Etc::sourcelist", self.folder.join("sources.list")),
            ("Dir::Etc::sourceparts", "-".into()),
            ("Dir::State::lists", self.folder.join("lists")),
            ("Dir::Cache", self.folder.clone()),
            ("Dir::Cache::archives", self.folder.join("archives")),
        ] {
            command.arg("-o").arg(format!("{option}={}", value.display()));
        }
        command.args(arguments);
        command
    }

    pub(crate) fn kernels(&self) -> Result<Vec<Package>, Box<dyn Error>> {
        let names = program::read(&mut self.command("apt-cache", &["pkgnames", "linux-image-"]))?;
        let mut arguments = vec!["madison"];
        arguments.extend(names.lines().filter(|name| name.ends_with("-amd64")));
        let versions = program::read(&mut self.command("apt-cache", &arguments))?;
        let chosen = choose(parse_madison(&versions));
        if chosen.is_empty() { Err("the package registry has no kernel for amd64".into()) } else { Ok(chosen) }
    }

    fn parts(&self, package: &Package) -> Result<Vec<String>, Box<dyn Error>> {
        let wanted = format!("{}={}", package.name, package.version);
        let record = program::read(&mut self.command("apt-cache", &["show", &wanted]))?;
        Ok(parts_of(&package.name, &record))
    }

    /// Downloads and unpacks it, once; the folder holds `boot/` and the modules.
    pub(crate) fn fetch(&self, package: &Package, cache: &Path) -> Result<PathBuf, Box<dyn Error>> {
        let root = cache.join(format!("{}_{}", package.name, package.version));
        if root.is_dir() {
            return Ok(root);
        }
        let beside = root.with_extension("partial");
        for part in self.parts(package)? {
            let wanted = format!("{part}={}", package.version);
            program::read(&mut self.command("apt-get", &["-qq", "download", &wanted]))?;
            let prefix = format!("{part}_");
            let archive = fs::read_dir(&self.folder)?
                .flatten()
                .map(|entry| entry.path())
                .find(|path| file_name(path).starts_with(&prefix))
                .ok_or_else(|| format!("apt-get download left no archive of {wanted}"))?;
            program::read(Command::new("dpkg-deb").arg("-x").arg(&archive).arg(&beside))?;
            fs::remove_file(archive)?;
        }
        fs::rename(beside, &root)?;
        Ok(root)
    }
}

/// From 7.x on the image and the modules are packages of their own, which the named one depends on.
fn parts_of(name: &str, record: &str) -> Vec<String> {
    let flavour = name.trim_start_matches("linux-image-");
    let parts = ["binary", "modules"].map(|part| format!("linux-{part}-{flavour}"));
    let depends = record.lines().find_map(|line| line.strip_prefix("Depends:")).unwrap_or_default();
    let depended = |part: &String| depends.split([' ', ',']).any(|word| word == part);
    std::iter::once(name.to_owned()).chain(parts.into_iter().filter(depended)).collect()
}

fn file_name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

/// `name | version | source` a line.
fn parse_madison(text: &str) -> Vec<Package> {
    let mut packages: Vec<_> = text
        .lines()
        .filter_map(|line| {
            let mut columns = line.split('|').map(str::trim);
            Package::parse(columns.next()?, columns.next()?)
        })
        .collect();
    packages.sort();
    packages.dedup();
    packages
}

/// The Debian mirror that this machine's apt reads.
fn mirror() -> Result<String, Box<dyn Error>> {
    let policy = program::read(Command::new("apt-cache").arg("policy")).map_err(|error| {
        format!("{error}; without Debian's apt, name unpacked packages with --kernel FOLDER")
    })?;
    policy
        .split_whitespace()
        .find(|word| word.starts_with("http") && word.trim_end_matches('/').ends_with("/debian"))
        .map(str::to_owned)
        .ok_or_else(|| "this machine's apt names no Debian mirror; use --kernel FOLDER".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTED: &str = "\
linux-image-5.10.0-32-amd64 | 5.10.223-1 | mirror bullseye/main amd64 Packages
linux-image-6.1.0-47-amd64 | 6.1.170-3 | mirror bookworm/main amd64 Packages
linux-image-6.1.0-50-amd64 | 6.1.176-1 | mirror bookworm/main amd64 Packages
linux-image-6.1.0-50-amd64-unsigned | 6.1.176-1 | mirror bookworm/main amd64 Packages
linux-image-6.1.0-50-cloud-amd64 | 6.1.176-1 | mirror bookworm/main amd64 Packages
linux-image-6.1.0-50-rt-amd64 | 6.1.176-1 | mirror bookworm/main amd64 Packages
linux-image-6.12.107+deb13-amd64 | 6.12.107-1 | mirror trixie/main amd64 Packages
linux-image-6.12.94+deb13-amd64 | 6.12.94-1 | mirror trixie/main amd64 Packages
linux-image-7.2.13+deb14-amd64 | 7.2.13-1 | mirror sid/main amd64 Packages
linux-image-7.2.9+deb13-amd64 | 7.2.9-1~bpo13+1 | mirror trixie-backports/main amd64 Packages
";

    #[test]
    fn a_kernel_split_in_packages_is_fetched_whole() {
        let name = "linux-image-7.2.13+deb14-amd64";
        let record = "Depends: linux-base (>= 4.17~), linux-binary-7.2.13+deb14-amd64 (= 7.2.13-1), linux-modules-7.2.13+deb14-amd64 (= 7.2.13-1)\n";
        let split = [name, "linux-binary-7.2.13+deb14-amd64", "linux-modules-7.2.13+deb14-amd64"];
        assert_eq!(parts_of(name, record), split);
        assert_eq!(parts_of(name, "Depends: kmod\n"), [name]);
    }

    #[test]
    fn oldest_two_long_term_and_newest_are_chosen() {
        let chosen = choose(parse_madison(LISTED));
        let versions: Vec<_> = chosen.iter().map(Package::version).collect();
        assert_eq!(versions, ["5.10.223-1", "6.1.176-1", "6.12.107-1", "7.2.13-1"]);
    }
}
