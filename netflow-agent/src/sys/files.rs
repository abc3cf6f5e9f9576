//! Manifests on disk or on standard input. In: names as `-f` takes them. Out: each file's name and bytes,
//! in the order of the names. A folder gives its .yaml, .yml and .json files; hidden ones are left out.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Larger files are refused: no manifest of a real cluster comes near.
pub const LARGEST_BYTES: u64 = 512 << 20;
/// Folders within folders, when they are followed.
const DEEPEST: usize = 32;

/// Whether folders within a folder are read too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Folders {
    One,
    All,
}

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    #[error("read `{}`", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("`{}` is larger than {} MiB: split it", path.display(), LARGEST_BYTES >> 20)]
    TooLarge { path: PathBuf },
    #[error("no .yaml, .yml or .json file in `{}`", path.display())]
    Empty { path: PathBuf },
    #[error("folders deeper than {DEEPEST} levels at `{}`", path.display())]
    TooDeep { path: PathBuf },
}

/// Hands each file to `each`. `-` is `input`.
pub fn read(
    names: &[PathBuf],
    folders: Folders,
    input: &mut dyn Read,
    each: &mut dyn FnMut(&str, &[u8]),
) -> Result<(), FilesError> {
    for name in names {
        if name.as_os_str() == "-" {
            each("standard input", &all(Path::new("-"), input)?);
            continue;
        }
        for path in list(name, folders)? {
            let mut file = fs::File::open(&path).map_err(|source| failed(&path, source))?;
            each(&path.to_string_lossy(), &all(&path, &mut file)?);
        }
    }
    Ok(())
}

/// The files that a name stands for, sorted.
pub fn list(name: &Path, folders: Folders) -> Result<Vec<PathBuf>, FilesError> {
    if !fs::metadata(name).map_err(|source| failed(name, source))?.is_dir() {
        return Ok(vec![name.to_owned()]);
    }
    let mut found = Vec::new();
    collect(name, folders, 0, &mut found)?;
    if found.is_empty() {
        return Err(FilesError::Empty { path: name.to_owned() });
    }
    found.sort_unstable();
    Ok(found)
}

fn collect(
    folder: &Path,
    folders: Folders,
    depth: usize,
    found: &mut Vec<PathBuf>,
) -> Result<(), FilesError> {
    if depth > DEEPEST {
        return Err(FilesError::TooDeep { path: folder.to_owned() });
    }
    for entry in fs::read_dir(folder).map_err(|source| failed(folder, source))? {
        let path = entry.map_err(|source| failed(folder, source))?.path();
        // A mounted ConfigMap keeps its versions in hidden folders, and links to them.
        if path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".")) {
            continue;
        }
        let metadata = fs::metadata(&path).map_err(|source| failed(&path, source))?;
        let extension = path.extension().and_then(|extension| extension.to_str());
        if metadata.is_dir() {
            if folders == Folders::All {
                collect(&path, folders, depth + 1, found)?;
            }
        } else if matches!(extension, Some("yaml" | "yml" | "json")) {
            found.push(path);
        }
    }
    Ok(())
}

fn all(path: &Path, from: &mut dyn Read) -> Result<Vec<u8>, FilesError> {
    let mut bytes = Vec::new();
    from.take(LARGEST_BYTES + 1).read_to_end(&mut bytes).map_err(|source| failed(path, source))?;
    if bytes.len() as u64 > LARGEST_BYTES {
        return Err(FilesError::TooLarge { path: path.to_owned() });
    }
    Ok(bytes)
}

fn failed(path: &Path, source: io::Error) -> FilesError {
    FilesError::Read { path: path.to_owned(), source }
}
