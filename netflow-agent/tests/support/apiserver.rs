//! A real API server from the kit beside the project, for tests that ask it what it accepts. It listens on
//! loopback only, and is ended and forgotten when the value is dropped.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A running etcd and API server.
pub(crate) struct ApiServer {
    script: PathBuf,
    kubectl: PathBuf,
    pub(crate) kubeconfig: PathBuf,
    /// Its port is one for the whole machine.
    _lock: File,
}

impl ApiServer {
    /// Starts one; the error says what is missing.
    pub(crate) fn start() -> Result<Self, String> {
        let above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
        let script = { above }
            .map(|folder| folder.join("shared/kube/apiserver-only"))
            .find(|file| file.is_file())
            .ok_or("no shared/kube/apiserver-only beside the project")?;
        let lock = File::create(std::env::temp_dir().join("netflow-apiserver.lock"))
            .map_err(|error| error.to_string())?;
        lock.lock().map_err(|error| error.to_string())?;
        let output = Command::new("bash").arg(&script).stdin(Stdio::null()).output();
        let output = output.map_err(|error| format!("{}: {error}", script.display()))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let said = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)).map(PathBuf::from);
        match (said("KUBECONFIG="), said("KUBECTL=")) {
            (Some(kubeconfig), Some(kubectl)) => Ok(Self { script, kubectl, kubeconfig, _lock: lock }),
            _ => Err(format!("no API server: {}", String::from_utf8_lossy(&output.stderr).trim())),
        }
    }

    /// Whether the server accepts a manifest, without storing it; the error is what it says.
    pub(crate) fn accepts(&self, manifest: &str) -> Result<(), String> {
        // Only the server's own word counts, not what kubectl finds before it asks.
        self.kubectl(&["create", "--dry-run=server", "--validate=false", "-f", "-"], manifest).map(drop)
    }

    /// What kubectl prints; the error is what it says.
    pub(crate) fn kubectl(&self, arguments: &[&str], input: &str) -> Result<Vec<u8>, String> {
        let mut kubectl = Command::new(&self.kubectl);
        kubectl.arg("--kubeconfig").arg(&self.kubeconfig).args(arguments);
        let spawned = kubectl.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = spawned.map_err(|error| error.to_string())?;
        let Some(mut pipe) = child.stdin.take() else { return Err("no pipe to kubectl".to_owned()) };
        let input = input.to_owned();
        // It answers while it still reads.
        let writer = std::thread::spawn(move || pipe.write_all(input.as_bytes()));
        let output = child.wait_with_output().map_err(|error| error.to_string())?;
        writer
            .join()
            .map_err(|panic| format!("the writer: {panic:?}"))?
            .map_err(|error| error.to_string())?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        let ended = Command::new("bash").arg(&self.script).arg("down").status();
        drop(ended);
    }
}
