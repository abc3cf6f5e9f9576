//! An image archive. In: files, labels, a name. Out: the bytes of a tar that is an OCI image layout and,
//! for older engines, a `docker save` archive as well. One layer, no times, root's files.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::Label;

/// A file of the image's root folder.
pub(crate) struct File {
    pub(crate) path: &'static str,
    pub(crate) mode: u32,
    pub(crate) bytes: Vec<u8>,
}

/// Something that others name by the hash of its bytes.
struct Blob {
    hash: String,
    bytes: Vec<u8>,
}

impl Blob {
    fn new(bytes: Vec<u8>) -> Self {
        use std::fmt::Write;
        let mut hash = String::new();
        for byte in Sha256::digest(&bytes) {
            write!(hash, "{byte:02x}").expect("a String takes all that is written");
        }
        Self { hash, bytes }
    }

    fn descriptor(&self, media_type: &str) -> Value {
        json!({ "mediaType": media_type, "digest": format!("sha256:{}", self.hash), "size": self.bytes.len() })
    }

    fn path(&self) -> String {
        format!("blobs/sha256/{}", self.hash)
    }
}

/// The archive of an image that starts its first file.
pub(crate) fn image(name: &str, architecture: &str, labels: &[Label], files: &[File]) -> serde_json::Result<Vec<u8>> {
    let entries: Vec<_> = files.iter().map(|file| (file.path.to_owned(), file.mode, file.bytes.as_slice())).collect();
    let layer = Blob::new(tar(&entries));
    let labels: serde_json::Map<_, _> =
        labels.iter().map(|label| (label.key.to_owned(), Value::from(label.value.as_str()))).collect();
    let entrypoint = files.first().map(|file| format!("/{}", file.path));
    let config = Blob::new(serde_json::to_vec(&json!({
        "architecture": architecture,
        "os": "linux",
        "config": { "Entrypoint": [entrypoint], "Labels": labels, "User": "0:0", "WorkingDir": "/" },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{}", layer.hash)] },
    }))?);
    let manifest = Blob::new(serde_json::to_vec(&json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": config.descriptor("application/vnd.oci.image.config.v1+json"),
        "layers": [layer.descriptor("application/vnd.oci.image.layer.v1.tar")],
        "annotations": labels,
    }))?);

    let tag = name.rsplit_once(':').map_or("latest", |(_, tag)| tag);
    let mut described = manifest.descriptor("application/vnd.oci.image.manifest.v1+json");
    described["annotations"] =
        json!({ "io.containerd.image.name": full_name(name), "org.opencontainers.image.ref.name": tag });
    let index = serde_json::to_vec(&json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [described],
    }))?;
    let saved = serde_json::to_vec(&json!([
        { "Config": config.path(), "RepoTags": [name], "Layers": [layer.path()] }
    ]))?;
    Ok(tar(&[
        ("oci-layout".to_owned(), 0o644, br#"{"imageLayoutVersion":"1.0.0"}"#),
        ("index.json".to_owned(), 0o644, &index),
        ("manifest.json".to_owned(), 0o644, &saved),
        (config.path(), 0o644, &config.bytes),
        (manifest.path(), 0o644, &manifest.bytes),
        (layer.path(), 0o644, &layer.bytes),
    ]))
}

/// The name as container runtimes keep it: with its registry.
fn full_name(name: &str) -> String {
    match name.split_once('/') {
        Some((first, _)) if first.contains(['.', ':']) || first == "localhost" => name.to_owned(),
        Some(_) => format!("docker.io/{name}"),
        None => format!("docker.io/library/{name}"),
    }
}

const BLOCK: usize = 512;

/// A POSIX tar of regular files, in the order given.
fn tar(entries: &[(String, u32, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    for (path, mode, bytes) in entries {
        out.extend_from_slice(&header(path, *mode, bytes.len()));
        out.extend_from_slice(bytes);
        out.resize(out.len().next_multiple_of(BLOCK), 0);
    }
    out.resize(out.len() + 2 * BLOCK, 0);
    out
}

fn header(path: &str, mode: u32, size: usize) -> [u8; BLOCK] {
    let mut header = [0; BLOCK];
    let mut put = |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
    assert!(path.len() <= 100, "a tar header has no room for `{path}`");
    put(0, path);
    put(100, &format!("{mode:07o}"));
    put(108, "0000000");
    put(116, "0000000");
    put(124, &format!("{size:011o}"));
    put(136, "00000000000");
    put(148, "        ");
    put(156, "0");
    put(257, "ustar\0");
    put(263, "00");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}

/// Whether these bytes occur.
pub(crate) fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::{File, Label, full_name, image, tar};

    #[test]
    fn a_name_gets_its_registry() {
        let table = [
            ("netflow-agent:1", "docker.io/library/netflow-agent:1"),
            ("team/netflow-agent:1", "docker.io/team/netflow-agent:1"),
            ("localhost:5000/netflow-agent:1", "localhost:5000/netflow-agent:1"),
            ("registry.example/netflow-agent:1", "registry.example/netflow-agent:1"),
        ];
        for (name, full) in table {
            assert_eq!(full_name(name), full);
        }
    }

    #[test]
    fn the_same_files_give_the_same_bytes() {
        let make = || {
            let file = File { path: "netflow-agent", mode: 0o755, bytes: vec![7; 1_000] };
            image("netflow-agent:1", "amd64", &[], &[file]).expect("plain JSON")
        };
        assert_eq!(make(), make());
    }

    #[test]
    fn config_and_manifest_carry_the_labels() {
        let file = File { path: "netflow-agent", mode: 0o755, bytes: vec![7; 1_000] };
        let label = Label { key: "org.opencontainers.image.version", value: "9.8.7".to_owned() };
        let archive = image("netflow-agent:1", "amd64", &[label], &[file]).expect("plain JSON");
        let text = String::from_utf8_lossy(&archive);
        assert_eq!(text.matches(r#""org.opencontainers.image.version":"9.8.7""#).count(), 2);
        assert!(text.contains(r#""Entrypoint":["/netflow-agent"]"#) && text.contains(r#""User":"0:0""#));
    }

    #[test]
    fn a_tar_is_read_by_tar() {
        let folder = std::env::temp_dir().join(format!("netflow-xtask-tar-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a temporary folder");
        let file = folder.join("a.tar");
        std::fs::write(&file, tar(&[("x".into(), 0o755, b"one"), ("y".into(), 0o644, &[0; 512])])).expect("written");
        let listed = std::process::Command::new("tar").arg("-tvf").arg(&file).output().expect("tar is installed");
        std::fs::remove_dir_all(&folder).expect("ours to remove");
        assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
        let lines = String::from_utf8_lossy(&listed.stdout);
        assert!(lines.contains("-rwxr-xr-x 0/0") && lines.contains(" 3 ") && lines.contains(" 512 "), "{lines}");
    }
}
