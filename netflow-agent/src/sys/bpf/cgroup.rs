//! Where the programs attach: the root of the node's cgroup2 tree. In: mountinfo, and the folder given with
//! `--cgroup`. Out: a folder that is the node's, or the reason why none is.

use std::fs;
use std::path::{Path, PathBuf};

use super::Error;

const MOUNTINFO: &str = "/proc/self/mountinfo";

/// A cgroup2 file system as this process has it mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// The part of the tree that is mounted: `/`, or `/../..` seen from a private cgroup namespace.
    pub root: String,
    pub path: PathBuf,
}

/// Every cgroup2 mount, in the order of mountinfo.
pub fn mounts() -> Result<Vec<Mount>, Error> {
    let text = fs::read_to_string(MOUNTINFO)
        .map_err(|source| Error::Read { path: PathBuf::from(MOUNTINFO), source })?;
    Ok(text.lines().filter_map(parse).collect())
}

/// One line of mountinfo, when it is a cgroup2 mount.
fn parse(line: &str) -> Option<Mount> {
    let (before, after) = line.split_once(" - ")?;
    if after.split(' ').next()? != "cgroup2" {
        return None;
    }
    let mut fields = before.split(' ').skip(3);
    let root = unescape(fields.next()?);
    Some(Mount { root, path: PathBuf::from(unescape(fields.next()?)) })
}

/// mountinfo writes space, tab, newline and backslash as three octal digits.
fn unescape(field: &str) -> String {
    let mut text = String::with_capacity(field.len());
    let mut rest = field;
    while let Some((before, after)) = rest.split_once('\\') {
        text.push_str(before);
        let code = after.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        if let Some(code) = code {
            text.push(char::from(code));
            rest = &after[3..];
        } else {
            text.push('\\');
            rest = after;
        }
    }
    text + rest
}

/// The folder to attach to: `given`, or the cgroup2 mount below it, or the mount that is the node's.
pub fn find(given: Option<&Path>) -> Result<PathBuf, Error> {
    let mounts = mounts()?;
    let Some(given) = given else {
        let whole = mounts.iter().find(|mount| is_whole(&mount.path));
        let first = mounts.first().ok_or(Error::NoCgroup2)?;
        return whole
            .map(|mount| mount.path.clone())
            .ok_or_else(|| Error::Subtree { path: first.path.clone(), root: first.root.clone() });
    };
    let given =
        fs::canonicalize(given).map_err(|source| Error::Read { path: given.to_path_buf(), source })?;
    // On a hybrid host cgroup2 is a mount below the folder that is handed in.
    let below = mounts.iter().find(|mount| mount.path.starts_with(&given)).map(|mount| mount.path.clone());
    let inside = || mounts.iter().any(|mount| given.starts_with(&mount.path)).then(|| given.clone());
    let path = below.or_else(inside).filter(|path| path.join("cgroup.procs").exists());
    let path = path.ok_or_else(|| Error::NotCgroup2 { path: given.clone() })?;
    if is_whole(&path) {
        return Ok(path);
    }
    let root = mounts.iter().find(|mount| path.starts_with(&mount.path)).map(|mount| mount.root.clone());
    Err(Error::Subtree { path, root: root.unwrap_or_default() })
}

/// Whether all pods of a node are below: the root of the whole tree (it alone has no `cgroup.events`), or a
/// nested node's root, which has the pods' folder.
pub fn is_whole(path: &Path) -> bool {
    !path.join("cgroup.events").exists() || holds_pods(path, 2)
}

/// Whether kubelet's folder of pods is at most `depth` folders down.
pub fn holds_pods(path: &Path, depth: usize) -> bool {
    let Ok(entries) = fs::read_dir(path) else { return false };
    let folders =
        entries.filter_map(Result::ok).filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let mut below = Vec::new();
    for folder in folders {
        if folder.file_name().to_string_lossy().contains("kubepods") {
            return true;
        }
        below.push(folder.path());
    }
    depth > 1 && below.iter().any(|path| holds_pods(path, depth - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_is_read_with_its_root_whatever_its_name() {
        let mount = |root: &str, path: &str| Some(Mount { root: root.to_owned(), path: PathBuf::from(path) });
        for (line, expected) in [
            (
                "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate",
                mount("/", "/sys/fs/cgroup"),
            ),
            ("31 23 0:26 /../.. /host/c\\040g ro - cgroup2 none rw", mount("/../..", "/host/c g")),
            ("32 23 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu", None),
            ("garbage", None),
            ("33 23 - cgroup2", None),
        ] {
            assert_eq!(parse(line), expected, "{line}");
        }
    }

    #[test]
    fn an_escape_that_is_none_stays_as_it_is() {
        for (field, expected) in [("a\\134b", "a\\b"), ("a\\9", "a\\9"), ("\\", "\\"), ("\\é12", "\\é12")] {
            assert_eq!(unescape(field), expected, "{field}");
        }
    }
}
