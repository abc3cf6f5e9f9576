//! The kit's cluster: brought up, held for this process alone, and brought down when dropped, or kept for the
//! next run to go on with.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Mutex;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long the kit may take, its packages and images included, where a machine has neither.
const UP_SECONDS: &str = "600";

/// The image's name in the manifests.
pub(crate) const IMAGE: &str = "netflow-agent:0.1.0";

pub(crate) const NODES: [&str; 2] = ["node1", "node2"];

/// The file with the pid of what runs beside a cluster.
const BESIDE: &str = "beside.pid";

/// A running cluster, and where everything of it is.
pub(crate) struct Kube {
    kit: PathBuf,
    kubectl: PathBuf,
    pub(crate) kubeconfig: PathBuf,
    /// Where this run keeps its files, and a kept cluster those of its nodes.
    pub(crate) folder: PathBuf,
    /// It stays when the run ends.
    stays: bool,
    /// Programs that run beside the cluster.
    beside: Mutex<Vec<Child>>,
    _lock: File,
}

impl Kube {
    /// Brings the cluster up, or finds the one that was kept; or says what is missing.
    pub(crate) fn up() -> Result<Self, String> {
        let kit = Path::new(env!("CARGO_MANIFEST_DIR"))
            .ancestors()
            .map(|folder| folder.join("shared/kube"))
            .find(|kit| kit.join("up").is_file())
            .ok_or("the kit `shared/kube` is not beside the project")?;
        let image = std::env::var_os("NETFLOW_IMAGE").ok_or("no image: run `cargo xtask test --cluster`")?;
        let image = PathBuf::from(image);
        let root = Command::new("id").arg("-u").output().map_err(|error| error.to_string())?;
        if root.stdout != b"0\n" {
            return Err("a cluster needs root".to_owned());
        }
        let lock = File::create(std::env::temp_dir().join("netflow-kube.lock"))
            .map_err(|error| error.to_string())?;
        lock.lock().map_err(|error| error.to_string())?;
        // It is there; the new user of README.md is the one who loads it.
        assert!(image.is_file(), "no image at {}", image.display());
        let folder = image.with_file_name("cluster");
        let kept = is_kept();
        assert!(!kept || folder.is_dir(), "no cluster was kept");
        if !kept {
            // A cluster that somebody left behind has a state that no step expects.
            Command::new(kit.join("down")).output().map_err(|error| error.to_string())?;
            end_what_was_beside(&folder);
            drop(fs::remove_dir_all(&folder));
            fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
        }
        let text = bring_up(&kit);
        let value = |name: &str| {
            let found = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            PathBuf::from(found.expect("`up` says where things are"))
        };
        let (kubectl, kubeconfig) = (value("KUBECTL"), value("KUBECONFIG"));
        let stays = kept || std::env::var_os("NETFLOW_CLUSTER").is_some_and(|word| word == "keep");
        let kube = Self { kit, kubectl, kubeconfig, folder, stays, beside: Mutex::default(), _lock: lock };
        if !kept {
            for node in NODES {
                kube.give_own_state(node);
            }
        }
        Ok(kube)
    }

    pub(crate) fn script(&self, name: &str, arguments: &[&str]) {
        succeed(Command::new(self.kit.join(name)).args(arguments));
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.kubectl);
        command.arg("--kubeconfig").arg(&self.kubeconfig).args(arguments);
        command
    }

    /// kubectl, which must succeed; what it wrote.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> String {
        String::from_utf8_lossy(&succeed(&mut self.command(arguments)).stdout).into_owned()
    }

    pub(crate) fn program(&self) -> &Path {
        &self.kubectl
    }

    /// A program of the kit's own.
    pub(crate) fn tool(&self, name: &str) -> PathBuf {
        self.kubectl.with_file_name(name)
    }

    /// A script of the kit.
    pub(crate) fn kit(&self, name: &str) -> PathBuf {
        self.kit.join(name)
    }

    /// Ends the program with the cluster, be it a later run that brings that down.
    pub(crate) fn keep(&self, child: Child) {
        self.file(BESIDE, &child.id().to_string());
        self.beside.lock().expect("one thread").push(child);
    }

    pub(crate) fn get(&self, arguments: &[&str]) -> Value {
        let mut all = vec!["get", "-o", "json"];
        all.extend(arguments);
        serde_json::from_str(&self.kubectl(&all)).expect("kubectl writes JSON")
    }

    /// kubectl with a manifest on its standard input.
    pub(crate) fn feed(&self, arguments: &[&str], manifest: &str) -> Output {
        let mut command = self.command(arguments);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("kubectl starts");
        child.stdin.take().expect("a pipe").write_all(manifest.as_bytes()).expect("kubectl reads");
        child.wait_with_output().expect("kubectl ends")
    }

    /// The plugin that README.md had installed, with the rights of a kubeconfig.
    pub(crate) fn netflow_as(&self, kubeconfig: &Path, arguments: &[&str]) -> Output {
        Command::new(&self.kubectl)
            .arg("netflow")
            .args(arguments)
            .env("KUBECONFIG", kubeconfig)
            .env("PATH", self.path())
            .stdin(Stdio::null())
            .output()
            .expect("kubectl starts")
    }

    /// The home of the user who followed README.md.
    pub(crate) fn home(&self) -> PathBuf {
        self.folder.join("home")
    }

    /// That user's search path: the home's programs, this run's, and the machine's.
    pub(crate) fn path(&self) -> std::ffi::OsString {
        let old = std::env::var_os("PATH").unwrap_or_default();
        let tools = self.kubectl.parent().expect("kubectl is in the kit's bin");
        let mut folders = vec![self.home().join(".local/bin"), self.folder.join("bin"), tools.to_owned()];
        folders.extend(std::env::split_paths(&old));
        std::env::join_paths(folders).expect("folders without colons")
    }

    /// The plugin as the administrator, which must succeed; stdout and stderr.
    pub(crate) fn netflow(&self, arguments: &[&str]) -> (String, String) {
        let output = self.netflow_as(&self.kubeconfig, arguments);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(
            output.status.success(),
            "netflow {arguments:?}: {}\n{}{}",
            output.status,
            text(&output.stdout),
            text(&output.stderr)
        );
        (text(&output.stdout), text(&output.stderr))
    }

    /// The lines of an answer in JSON.
    pub(crate) fn lines(&self, arguments: &[&str]) -> Vec<Value> {
        let (lines, _) = self.netflow(arguments);
        lines.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
    }

    /// A file of this run.
    pub(crate) fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.folder.join(name);
        fs::write(&path, content).expect("our own folder");
        path
    }

    /// For whoever reads why a step failed.
    pub(crate) fn tell_state(&self) {
        for arguments in [
            &["get", "pods", "-A", "-o", "wide"][..],
            &["-n", "netflow", "describe", "pods"],
            &["-n", "netflow", "logs", "-l", "app.kubernetes.io/component=agent", "--prefix", "--tail", "40"],
        ] {
            let output = self.command(arguments).output();
            let text =
                output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
            println!("{text}");
        }
        tell_logs();
    }

    /// The names of the agents' pods, by node.
    pub(crate) fn agents(&self) -> Vec<(String, String)> {
        let pods = self.get(&["pods", "-n", "netflow", "-l", "app.kubernetes.io/component=agent"]);
        let mut agents: Vec<_> = pods["items"]
            .as_array()
            .expect("a list")
            .iter()
            .filter(|pod| pod["metadata"].get("deletionTimestamp").is_none())
            .map(|pod| (text(&pod["spec"]["nodeName"]), text(&pod["metadata"]["name"])))
            .collect();
        agents.sort();
        agents
    }
}

impl Drop for Kube {
    fn drop(&mut self) {
        if self.stays {
            return;
        }
        for child in self.beside.lock().expect("one thread").iter_mut() {
            drop(child.kill());
            drop(child.wait());
        }
        drop(Command::new(self.kit.join("down")).output());
        drop(fs::remove_dir_all(&self.folder));
    }
}

/// Whether the run goes on with the cluster that an earlier one kept.
pub(crate) fn is_kept() -> bool {
    std::env::var_os("NETFLOW_CLUSTER").is_some_and(|word| word == "kept")
}

/// A cluster that was kept had the kit's `nettool` beside it, in a network that went with it.
fn end_what_was_beside(folder: &Path) {
    let pid = fs::read_to_string(folder.join(BESIDE)).unwrap_or_default();
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    if !pid.is_empty() && name.trim() == "nettool" {
        drop(Command::new("kill").arg(pid).output());
    }
}

/// What `up` says of where things are.
fn bring_up(kit: &Path) -> String {
    let up = Command::new("timeout").arg(UP_SECONDS).arg(kit.join("up")).output().expect("timeout starts");
    if !up.status.success() {
        tell_logs();
        drop(Command::new(kit.join("down")).output());
        panic!("the cluster did not come up: {}: {}", up.status, String::from_utf8_lossy(&up.stderr));
    }
    String::from_utf8_lossy(&up.stdout).into_owned()
}

/// The last words of the kit's daemons.
fn tell_logs() {
    let kit =
        std::env::var_os("NETFLOW_KUBE_DIR").map_or_else(|| "/var/tmp/netflow-kube".into(), PathBuf::from);
    let Ok(logs) = fs::read_dir(kit.join("log/run")) else { return };
    let mut logs: Vec<_> = logs.filter_map(Result::ok).map(|entry| entry.path()).collect();
    logs.sort();
    for log in logs {
        let text = String::from_utf8_lossy(&fs::read(&log).unwrap_or_default()).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        println!("== {}", log.display());
        for line in &lines[lines.len().saturating_sub(8)..] {
            println!("{line}");
        }
    }
}

pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

pub(crate) fn succeed(command: &mut Command) -> Output {
    let output = command.output().expect("the program starts");
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// Until the condition holds; the last reason why not, when it never does.
#[expect(clippy::disallowed_methods, reason = "a wait has a deadline")]
pub(crate) fn wait<T>(seconds: u64, what: &str, mut holds: impl FnMut() -> Result<T, String>) -> T {
    let end = Instant::now() + Duration::from_secs(seconds);
    loop {
        match holds() {
            Ok(value) => return value,
            Err(reason) => assert!(Instant::now() < end, "waited {seconds} s for {what}: {reason}"),
        }
        sleep(Duration::from_millis(300));
    }
}
