//! What capturing requires of this machine, checked one by one: for `doctor`, and for errors that say more.
//! In: the cgroup folder asked for. Out: one `Check` for each requirement, in a fixed order. Changes nothing.

use std::fs::{self, File};
use std::os::fd::AsFd as _;
use std::path::Path;

use super::{Error, Options, cgroup, load, syscall};

/// How one requirement stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Good,
    /// Capturing works, but something will not be seen, or costs more.
    Limited,
    Missing,
}

/// One requirement: what was found, and what to do where it is not good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    pub name: &'static str,
    pub state: State,
    pub found: String,
    pub fix: Option<String>,
}

impl Check {
    fn good(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, state: State::Good, found: found.into(), fix: None }
    }

    fn limited(name: &'static str, found: impl Into<String>, fix: &str) -> Self {
        Self { name, state: State::Limited, found: found.into(), fix: Some(fix.to_owned()) }
    }

    fn missing(name: &'static str, found: impl Into<String>, fix: &str) -> Self {
        Self { name, state: State::Missing, found: found.into(), fix: Some(fix.to_owned()) }
    }
}

/// The oldest kernel whose helpers suffice: 5.15 lets `sock_ops` ask for the network namespace.
pub const OLDEST: (u32, u32) = (5, 15);

/// Every requirement, in a fixed order. `cgroup` as in `Options`.
pub fn check(cgroup: Option<&Path>) -> Vec<Check> {
    let folder = cgroup::find(cgroup);
    let mut checks = vec![
        kernel(&rustix::system::uname().release().to_string_lossy()),
        btf(Path::new("/sys/kernel/btf/vmlinux")),
        capabilities(&fs::read_to_string("/proc/self/status").unwrap_or_default()),
        lockdown(fs::read_to_string("/sys/kernel/security/lockdown").ok().as_deref()),
        tree(&folder),
    ];
    if let Ok(folder) = &folder {
        checks.push(pods(folder));
        checks.push(company(folder));
    }
    checks.push(trial());
    checks.push(not_seen());
    checks
}

/// Whether a kernel of this release has what the programs ask for.
pub(super) fn is_new_enough(release: &str) -> bool {
    let mut numbers =
        release.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse::<u32>().ok());
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    version >= OLDEST
}

fn kernel(release: &str) -> Check {
    if is_new_enough(release) {
        Check::good("kernel", release)
    } else {
        Check::missing("kernel", release, "needs Linux 5.15 or newer")
    }
}

fn btf(path: &Path) -> Check {
    if path.exists() {
        Check::good("btf", path.display().to_string())
    } else {
        let found = format!("no {}", path.display());
        Check::limited(
            "btf",
            found,
            "state of UDP sockets may not load: boot a kernel with CONFIG_DEBUG_INFO_BTF",
        )
    }
}

/// The effective set of /proc/self/status.
fn capabilities(status: &str) -> Check {
    const NEEDED: [(u32, &str); 2] = [(39, "CAP_BPF"), (12, "CAP_NET_ADMIN")];
    const SYS_ADMIN: u32 = 21;
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let set = line.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(0);
    let has = |bit: u32| set >> bit & 1 == 1;
    let lacks: Vec<&str> =
        NEEDED.into_iter().filter(|(bit, _)| !has(*bit) && !has(SYS_ADMIN)).map(|(_, name)| name).collect();
    if lacks.is_empty() {
        Check::good("capabilities", "CAP_BPF, CAP_NET_ADMIN")
    } else {
        let fix = "run as root, or give the container these capabilities and uid 0";
        Check::missing("capabilities", format!("no {}", lacks.join(", no ")), fix)
    }
}

/// No helper of ours is refused in any mode; the mode is shown because it explains others' failures.
fn lockdown(modes: Option<&str>) -> Check {
    let mode = modes.and_then(|modes| modes.split(['[', ']']).nth(1)).unwrap_or("none");
    Check::good("lockdown", mode)
}

fn tree(folder: &Result<std::path::PathBuf, Error>) -> Check {
    match folder {
        Ok(path) => {
            let mounts = cgroup::mounts().unwrap_or_default();
            let mount = mounts.into_iter().find(|mount| path.starts_with(&mount.path));
            let root = mount.map(|mount| mount.root).unwrap_or_default();
            Check::good("cgroup2", format!("{}, root {root}", path.display()))
        }
        Err(error) => {
            Check::missing("cgroup2", chain(error), error.hint().unwrap_or("give it with --cgroup"))
        }
    }
}

fn pods(folder: &Path) -> Check {
    if cgroup::holds_pods(folder, 2) {
        return Check::good("pods", "kubelet's folder of pods is in this tree");
    }
    let fix = "on a node with cgroup v1 or hybrid cgroups a pod that uses UDP only is named once its TCP was seen; \
               on another machine there is nothing to fix";
    Check::limited("pods", "no kubelet's folder of pods in this tree", fix)
}

/// Others' programs on the same cgroup. Those that allow company do no harm.
fn company(folder: &Path) -> Check {
    /// `BPF_F_ALLOW_MULTI`, which links always have.
    const MULTI: u32 = 2;
    let Ok(open) = File::open(folder) else {
        return Check::missing(
            "programs",
            format!("{} cannot be opened", folder.display()),
            "mount it readable",
        );
    };
    let mut n_others = 0;
    let mut n_sock_ops = 0;
    for (attach_type, name) in syscall::ATTACH_TYPES {
        match syscall::attached(open.as_fd(), attach_type) {
            Ok((n_programs, flags)) if n_programs > 0 && flags & MULTI == 0 => {
                let found = format!("a program at {name} of {} allows no other beside it", folder.display());
                let fix = "attach it with BPF_F_ALLOW_MULTI or by a link; `bpftool cgroup tree` shows it";
                return Check::missing("programs", found, fix);
            }
            Ok((n_programs, _)) => {
                n_others += n_programs;
                if attach_type == syscall::SOCK_OPS {
                    n_sock_ops = n_programs;
                }
            }
            Err(error) => {
                let fix = "asking needs CAP_NET_ADMIN";
                return Check::limited("programs", format!("cannot be listed: {error}"), fix);
            }
        }
    }
    if n_others == 0 {
        return Check::good("programs", "none of others at our hooks");
    }
    let found = format!("{n_others} of others at our hooks, all of which allow company");
    if n_sock_ops == 0 {
        return Check::good("programs", found);
    }
    // Whether it adds its callbacks or overwrites all cannot be asked; a running agent is one of them.
    let more = "one that overwrites the callbacks of sockets hides failed attempts, and costs bytes, which the loss \
                `callback` counts";
    Check::good("programs", format!("{found}; {n_sock_ops} of them at sock_ops: {more}"))
}

/// Loads everything with small maps, attaches nothing and lets it go.
fn trial() -> Check {
    let options = Options { entries: 64, ring_bytes: 4_096, ..Options::default() };
    match load::load(&options) {
        Ok((_ebpf, names)) => {
            Check::good("load", format!("{} programs load", names.len() + load::WINDOW.len()))
        }
        Err(error) => {
            let fix =
                "the programs need CAP_BPF and CAP_NET_ADMIN: mend what is missing above, then see the cause";
            Check::missing("load", chain(&error), fix)
        }
    }
}

fn not_seen() -> Check {
    let found = "pods whose sockets are not on this kernel (Kata, gVisor), SCTP, raw and packet sockets";
    Check::limited("not seen", found, "none: their flows are absent from every answer, never guessed")
}

/// An error with its causes, the first line of each: the verifier's log has thousands. Some say their cause too.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let mut said = String::new();
    for cause in causes {
        let cause = cause.to_string();
        let line = cause.lines().next().unwrap_or_default();
        if said.is_empty() {
            line.clone_into(&mut said);
        } else if !said.ends_with(line) {
            said = format!("{said}: {line}");
        }
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_is_judged_by_its_first_two_numbers() {
        for (release, state) in [
            ("6.18.44-fc-v595", State::Good),
            ("5.15.0-1-amd64", State::Good),
            ("5.14.0-503.el9", State::Missing),
            ("5.9", State::Missing),
            ("10.0", State::Good),
            ("nonsense", State::Missing),
        ] {
            assert_eq!(kernel(release).state, state, "{release}");
        }
    }

    #[test]
    fn each_missing_capability_is_named_and_sys_admin_makes_up_for_both() {
        for (set, found) in [
            ("0000008000001000", "CAP_BPF, CAP_NET_ADMIN"),
            ("0000008000000000", "no CAP_NET_ADMIN"),
            ("0000000000000000", "no CAP_BPF, no CAP_NET_ADMIN"),
            ("0000000000200000", "CAP_BPF, CAP_NET_ADMIN"),
            ("rubbish", "no CAP_BPF, no CAP_NET_ADMIN"),
        ] {
            assert_eq!(capabilities(&format!("Name:\tx\nCapEff:\t{set}\n")).found, found, "{set}");
        }
    }

    #[test]
    fn the_mode_of_lockdown_is_the_one_in_brackets() {
        for (modes, found) in
            [(Some("none [integrity] confidentiality\n"), "integrity"), (Some(""), "none"), (None, "none")]
        {
            assert_eq!(lockdown(modes).found, found, "{modes:?}");
        }
    }
}
