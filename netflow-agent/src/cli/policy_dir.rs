//! Policies as a folder for git: one file per policy below its namespace, and a kustomization. Each file is
//! written beside its place and renamed; files of earlier runs go only where their label says they are ours.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::manifest::{self, Object, Words};
use crate::policy::name::DEFAULT_DENY;
use crate::policy::{MANAGED_BY, Policy, is_ours};
use crate::render::kubernetes::{self, Detail};
use crate::render::tree::{self, Tree};

/// The file that names all others, default denies last.
const KUSTOMIZATION: &str = "kustomization.yaml";

/// A file to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Below the folder, with `/`.
    pub path: String,
    pub bytes: Vec<u8>,
    pub is_policy: bool,
}

/// Why the folder could not be written.
#[derive(Debug, thiserror::Error)]
pub enum DirError {
    #[error("{op} {}", path.display())]
    Io { op: &'static str, path: PathBuf, source: io::Error },
    #[error("{} is not ours: it would be replaced", .0.display())]
    Foreign(PathBuf),
    #[error("`{0}` cannot be the name of a file")]
    Name(String),
}

/// Policies of ours in folders of namespaces that are not written for now: they stay, and stay listed. None where
/// all namespaces are written for.
pub fn others(dir: &Path, namespaces: &[String]) -> Result<Vec<String>, DirError> {
    let mut kept = Vec::new();
    if namespaces.is_empty() || !dir.exists() {
        return Ok(kept);
    }
    for (namespace, folder) in folders(dir)? {
        if !namespaces.contains(&namespace) {
            for path in entries(&folder)?.into_iter().filter(|path| is_yaml(path)) {
                if let Some(name) = path.file_name().and_then(|name| name.to_str())
                    && holds_ours(&path)?
                {
                    kept.push(format!("{namespace}/{name}"));
                }
            }
        }
    }
    Ok(kept)
}

/// All files, the kustomization last; it lists what is kept as well, and every default deny after all else.
pub fn render(policies: &[Policy], detail: Detail, kept: &[String]) -> Result<Vec<File>, DirError> {
    let mut files = Vec::with_capacity(policies.len() + 1);
    for policy in policies {
        for part in [&*policy.namespace, &policy.name] {
            // Names come from recordings; none may climb out of the folder.
            if part.is_empty() || part.starts_with('.') || part.contains(['/', '\\', '\0']) {
                return Err(DirError::Name(part.to_owned()));
            }
        }
        let mut bytes = Vec::new();
        let path = format!("{}/{}.yaml", policy.namespace, policy.name);
        kubernetes::yaml_document(policy, detail, &mut bytes).map_err(|source| DirError::Io {
            op: "render",
            path: PathBuf::from(&path),
            source,
        })?;
        files.push(File { path, bytes, is_policy: true });
    }
    let deny = format!("/{DEFAULT_DENY}.yaml");
    let mut names: Vec<&String> = files.iter().map(|file| &file.path).chain(kept).collect();
    names.sort_by_key(|name| (name.ends_with(&deny), *name));
    let names = Tree::list(names.into_iter().map(|name| Tree::text(name.clone())));
    let kustomization = Tree::map([
        ("apiVersion", Tree::text("kustomize.config.k8s.io/v1beta1")),
        ("kind", Tree::text("Kustomization")),
        ("metadata", Tree::map([("labels", Tree::map([(MANAGED_BY.0, Tree::text(MANAGED_BY.1))]))])),
        // Kustomize sorts by kind and name unless told otherwise: the default denies must stay last.
        ("sortOptions", Tree::map([("order", Tree::text("fifo"))])),
        ("resources", names),
    ]);
    let mut bytes = Vec::new();
    tree::yaml(&kustomization, &mut bytes).map_err(|source| DirError::Io {
        op: "render",
        path: KUSTOMIZATION.into(),
        source,
    })?;
    files.push(File { path: KUSTOMIZATION.to_owned(), bytes, is_policy: false });
    Ok(files)
}

/// Writes what differs and removes what earlier runs left behind, in the folders of these namespaces (none: of
/// all). Nothing is written where a file of somebody else is in the way.
pub fn write(dir: &Path, files: &[File], namespaces: &[String]) -> Result<(), DirError> {
    for file in files {
        let path = dir.join(&file.path);
        let ours = || if file.is_policy { holds_ours(&path) } else { is_our_kustomization(&path) };
        if path.exists() && !ours()? {
            return Err(DirError::Foreign(path));
        }
    }
    // The kustomization comes last, so that it never names what is not there.
    for file in files {
        replace(&dir.join(&file.path), &file.bytes)?;
    }
    remove_stale(dir, files, namespaces)
}

/// Writes beside, then renames.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<(), DirError> {
    let failed = |op| move |source| DirError::Io { op, path: path.to_owned(), source };
    if fs::read(path).is_ok_and(|there| there == bytes) {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(failed("make the folder of"))?;
    }
    let beside = path.with_extension("new");
    let mut file = fs::File::create(&beside).map_err(failed("write beside"))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed("write beside"))?;
    fs::rename(&beside, path).map_err(failed("rename into"))
}

fn holds_ours(path: &Path) -> Result<bool, DirError> {
    let bytes =
        fs::read(path).map_err(|source| DirError::Io { op: "read", path: path.to_owned(), source })?;
    let text = String::from_utf8_lossy(&bytes);
    let Ok(documents) = serde_saphyr::from_multiple::<serde_json::Value>(&text) else { return Ok(false) };
    let ours = |document: &serde_json::Value| {
        let object = manifest::object_from_value(document, &mut Words::default());
        matches!(object, Ok(Object::NetworkPolicy(policy)) if is_ours(&policy.meta))
    };
    Ok(!documents.is_empty() && documents.iter().all(ours))
}

/// One that we wrote says so by the same label.
fn is_our_kustomization(path: &Path) -> Result<bool, DirError> {
    let bytes =
        fs::read(path).map_err(|source| DirError::Io { op: "read", path: path.to_owned(), source })?;
    let text = String::from_utf8_lossy(&bytes);
    let Ok(document) = serde_saphyr::from_str::<serde_json::Value>(&text) else { return Ok(false) };
    Ok(document["metadata"]["labels"][MANAGED_BY.0] == MANAGED_BY.1)
}

/// One level of folders below, as we write them; anything else is left alone.
fn remove_stale(dir: &Path, files: &[File], namespaces: &[String]) -> Result<(), DirError> {
    let kept: BTreeSet<PathBuf> = files.iter().map(|file| dir.join(&file.path)).collect();
    let written = |name: &String| namespaces.is_empty() || namespaces.contains(name);
    for (_, folder) in folders(dir)?.into_iter().filter(|(name, _)| written(name)) {
        let mut emptied = false;
        for path in entries(&folder)? {
            if is_yaml(&path) && !kept.contains(&path) && holds_ours(&path)? {
                let failed = |source| DirError::Io { op: "remove", path: path.clone(), source };
                fs::remove_file(&path).map_err(failed)?;
                emptied = true;
            }
        }
        if emptied {
            // A folder with anything left in it stays.
            drop(fs::remove_dir(&folder));
        }
    }
    Ok(())
}

/// The folders below, by name.
fn folders(dir: &Path) -> Result<Vec<(String, PathBuf)>, DirError> {
    let paths = entries(dir)?.into_iter().filter(|path| path.is_dir() && !path.is_symlink());
    let named = |path: PathBuf| Some((path.file_name()?.to_str()?.to_owned(), path));
    Ok(paths.filter_map(named).collect())
}

fn is_yaml(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "yaml") && path.is_file()
}

fn entries(dir: &Path) -> Result<Vec<PathBuf>, DirError> {
    let failed = |source| DirError::Io { op: "list", path: dir.to_owned(), source };
    let mut paths = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        paths.push(entry.map_err(failed)?.path());
    }
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Direction;
    use crate::policy::Selector;

    fn deny(namespace: &str) -> Policy {
        Policy {
            namespace: namespace.into(),
            name: "default-deny-all".to_owned(),
            workloads: Vec::new(),
            selector: Selector::default(),
            directions: Direction::BOTH.to_vec(),
            rules: Vec::new(),
        }
    }

    fn files(namespaces: &[&str]) -> Vec<File> {
        let policies: Vec<Policy> = namespaces.iter().map(|namespace| deny(namespace)).collect();
        render(&policies, Detail::None, &[]).expect("names of files")
    }

    #[test]
    fn stale_files_go_only_where_they_are_ours() {
        let dir = tempfile::tempdir().expect("a folder");
        write(dir.path(), &files(&["shop", "ops"]), &[]).expect("written");
        let theirs = dir.path().join("ops/theirs.yaml");
        fs::write(&theirs, "kind: ConfigMap\napiVersion: v1\nmetadata: {name: a}\n").expect("written");
        write(dir.path(), &files(&["shop"]), &[]).expect("written");
        assert!(theirs.exists() && !dir.path().join("ops/default-deny-all.yaml").exists());
        assert!(dir.path().join("shop/default-deny-all.yaml").exists());
    }

    #[test]
    fn other_namespaces_stay_and_stay_listed_before_the_default_denies() {
        let dir = tempfile::tempdir().expect("a folder");
        write(dir.path(), &files(&["shop", "ops"]), &[]).expect("written");
        let named = [String::from("shop")];
        let kept = others(dir.path(), &named).expect("listed");
        let policies = [Policy { name: "web".to_owned(), ..deny("shop") }, deny("shop")];
        let files = render(&policies, Detail::None, &kept).expect("names of files");
        write(dir.path(), &files, &named).expect("written");
        assert!(dir.path().join("ops/default-deny-all.yaml").exists());
        let listed = fs::read_to_string(dir.path().join(KUSTOMIZATION)).expect("there");
        let order = "- shop/web.yaml\n- ops/default-deny-all.yaml\n- shop/default-deny-all.yaml\n";
        assert!(listed.ends_with(order), "{listed}");
    }

    #[test]
    fn a_kustomization_of_somebody_else_is_not_replaced() {
        let dir = tempfile::tempdir().expect("a folder");
        fs::write(dir.path().join(KUSTOMIZATION), "resources: [theirs.yaml]\n").expect("written");
        assert!(matches!(write(dir.path(), &files(&["shop"]), &[]), Err(DirError::Foreign(_))));
        assert!(!dir.path().join("shop").exists(), "nothing is written beside it");
    }

    #[test]
    fn a_file_of_somebody_else_is_not_replaced() {
        let dir = tempfile::tempdir().expect("a folder");
        fs::create_dir(dir.path().join("shop")).expect("a folder");
        let path = dir.path().join("shop/default-deny-all.yaml");
        fs::write(&path, "not: ours\n").expect("written");
        assert!(matches!(write(dir.path(), &files(&["shop"]), &[]), Err(DirError::Foreign(_))));
        assert_eq!(fs::read(&path).expect("there"), b"not: ours\n");
    }

    #[test]
    fn no_name_climbs_out_of_the_folder() {
        for name in ["..", "a/b", ".hidden", ""] {
            assert!(matches!(render(&[deny(name)], Detail::None, &[]), Err(DirError::Name(_))), "{name}");
        }
    }
}
