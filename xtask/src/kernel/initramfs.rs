//! The virtual machine's root file system: a cpio archive ("newc") in memory, packed by the kernel's rules
//! (Documentation/driver-api/early-userspace/buffer-format.rst).

use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::program;

const FOLDER: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;

/// An archive being filled. Folders come before what lies in them.
pub(crate) struct Initramfs {
    bytes: Vec<u8>,
    names: BTreeSet<PathBuf>,
}

impl Initramfs {
    pub(crate) fn new() -> Self {
        Self { bytes: Vec::new(), names: BTreeSet::new() }
    }

    pub(crate) fn folder(&mut self, path: &str) {
        self.folders_of(&Path::new(path).join("inside"));
    }

    /// A file of this content, executable.
    pub(crate) fn file(&mut self, path: &Path, content: &[u8]) {
        self.folders_of(path);
        if self.names.insert(path.to_owned()) {
            self.entry(path, PROGRAM, content);
        }
    }

    /// A program of this machine, at `path`, with the shared libraries it needs where they are here.
    pub(crate) fn program(&mut self, path: &Path, source: &Path) -> Result<(), Box<dyn Error>> {
        self.file(path, &read(source)?);
        for library in libraries(source)? {
            self.file(&library, &read(&library)?);
        }
        Ok(())
    }

    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.entry(Path::new("TRAILER!!!"), 0, &[]);
        self.bytes
    }

    fn folders_of(&mut self, path: &Path) {
        let mut parents: Vec<_> = path.ancestors().skip(1).map(Path::to_owned).collect();
        parents.reverse();
        for parent in parents {
            if parent.components().count() > 1 && self.names.insert(parent.clone()) {
                self.entry(&parent, FOLDER, &[]);
            }
        }
    }

    fn entry(&mut self, path: &Path, mode: u32, content: &[u8]) {
        let name = path.to_string_lossy();
        let name = name.trim_start_matches('/');
        // Inode, mode, owner, group, links, time, size, four device numbers, length of the name, checksum.
        let inode = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        let size = u32::try_from(content.len()).expect("a file of the archive is under 4 GiB");
        let name_len = u32::try_from(name.len() + 1).expect("a path is short");
        self.bytes.extend_from_slice(b"070701");
        for field in [inode, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, name_len, 0] {
            self.bytes.extend_from_slice(format!("{field:08X}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Box<dyn Error>> {
    fs::read(path).map_err(|error| format!("read {}: {error}", path.display()).into())
}

/// What the dynamic linker would load for it; nothing for a static program.
fn libraries(program: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let output = Command::new("ldd").arg(program).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from).collect())
}

/// A kernel module: its file's name and its unpacked content.
pub(crate) type Module = (String, Vec<u8>);

/// The kernel module of that name below the folder, after the modules it needs, each unpacked.
/// Nothing where it is built into the kernel.
pub(crate) fn modules(folder: &Path, name: &str) -> Result<Vec<Module>, Box<dyn Error>> {
    let Some(path) = find_file(folder, &format!("{name}.ko")) else {
        let builtin = find_file(folder, "modules.builtin").map(|list| read(&list)).transpose()?;
        return if String::from_utf8_lossy(&builtin.unwrap_or_default()).contains(&format!("/{name}.ko")) {
            Ok(Vec::new())
        } else {
            Err(format!("no module `{name}` in {}", folder.display()).into())
        };
    };
    let content = match path.extension().and_then(|extension| extension.to_str()) {
        Some("xz") => unpack("xz", &path)?,
        Some("zst") => unpack("zstd", &path)?,
        _ => read(&path)?,
    };
    let mut loaded = Vec::new();
    for needed in needs(&content) {
        loaded.extend(modules(folder, &needed)?);
    }
    loaded.push((format!("{name}.ko"), content));
    Ok(loaded)
}

fn unpack(packer: &str, path: &Path) -> Result<Vec<u8>, Box<dyn Error>> {
    let output = Command::new(packer).arg("-dc").arg(path).output()?;
    if output.status.success() {
        Ok(output.stdout)
    } else {
        Err(format!("`{packer} -dc {}` failed: {}", path.display(), output.status).into())
    }
}

/// The file below the folder whose name begins so.
pub(crate) fn find_file(folder: &Path, stem: &str) -> Option<PathBuf> {
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                open.push(path);
            } else if entry.file_name().to_string_lossy().replace('-', "_").starts_with(stem) {
                return Some(path);
            }
        }
    }
    None
}

/// The `depends=a,b` entry of a module's `.modinfo` section.
fn needs(module: &[u8]) -> Vec<String> {
    let key = b"\0depends=";
    let Some(at) = module.windows(key.len()).position(|window| window == key) else { return Vec::new() };
    let value = &module[at + key.len()..];
    let end = value.iter().position(|byte| *byte == 0).unwrap_or(value.len());
    String::from_utf8_lossy(&value[..end]).split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// Packs `program` and all it needs as the machine's first process.
pub(crate) fn with_init(init: &Path) -> Result<Initramfs, Box<dyn Error>> {
    let mut archive = Initramfs::new();
    for folder in ["/dev", "/proc", "/sys", "/run", "/tmp", "/etc", "/bin"] {
        archive.folder(folder);
    }
    archive.program(Path::new("/init"), init)?;
    for tool in ["ip", "ss", "unshare", "nsenter", "mount", "sh", "setpriv", "sysctl"] {
        if let Some(source) = program::find(tool) {
            archive.program(&Path::new("/bin").join(tool), &source)?;
        }
    }
    Ok(archive)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_padded_to_four_bytes_and_folders_come_first() {
        let mut archive = Initramfs::new();
        archive.file(Path::new("/a/b"), b"xyz");
        let bytes = archive.finish();
        assert_eq!(bytes.len() % 4, 0);
        let text = String::from_utf8_lossy(&bytes);
        let folder = text.find("a\0").expect("the folder");
        let file = text.find("a/b\0").expect("the file");
        assert!(folder < file && text.trim_end_matches('\0').ends_with("TRAILER!!!"));
    }

    #[test]
    fn a_module_names_what_it_needs() {
        assert_eq!(needs(b"license=GPL\0depends=mii,usbcore\0name=x\0"), ["mii", "usbcore"]);
        assert!(needs(b"license=GPL\0depends=\0").is_empty());
    }
}
