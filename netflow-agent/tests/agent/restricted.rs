//! The agent as a pod has it: uid 0 with BPF and NET_ADMIN alone, no new privileges, its root and the cgroup tree
//! mounted read-only, a cgroup namespace of its own, and a list of system calls beyond which all is refused.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::lab_of;
use crate::running::{Agent, lost, served};
use crate::traffic::{UID, converse, manifests};

/// The calls that the agent may make. All of them are in the list that container runtimes allow by default
/// (`bpf` there goes with CAP_BPF), which is three times as long: what runs under this one runs under that.
const ALLOWED: [libc::c_long; 92] = [
    libc::SYS_accept4,
    libc::SYS_access,
    libc::SYS_arch_prctl,
    libc::SYS_bind,
    libc::SYS_bpf,
    libc::SYS_brk,
    libc::SYS_chmod,
    libc::SYS_clock_getres,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_close,
    libc::SYS_connect,
    libc::SYS_dup,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_wait,
    libc::SYS_eventfd2,
    libc::SYS_execve,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_fallocate,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_fcntl,
    libc::SYS_fdatasync,
    libc::SYS_flock,
    libc::SYS_fstat,
    libc::SYS_fstatfs,
    libc::SYS_fsync,
    libc::SYS_ftruncate,
    libc::SYS_futex,
    libc::SYS_getcwd,
    libc::SYS_getdents64,
    libc::SYS_getegid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getpid,
    libc::SYS_getrandom,
    libc::SYS_getrlimit,
    libc::SYS_getsockname,
    libc::SYS_getsockopt,
    libc::SYS_gettid,
    libc::SYS_getuid,
    libc::SYS_ioctl,
    libc::SYS_listen,
    libc::SYS_lseek,
    libc::SYS_lstat,
    libc::SYS_madvise,
    libc::SYS_membarrier,
    libc::SYS_mkdir,
    libc::SYS_mkdirat,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_nanosleep,
    libc::SYS_newfstatat,
    libc::SYS_open,
    libc::SYS_openat,
    libc::SYS_poll,
    libc::SYS_ppoll,
    libc::SYS_prctl,
    libc::SYS_pread64,
    libc::SYS_prlimit64,
    libc::SYS_pwrite64,
    libc::SYS_read,
    libc::SYS_readlink,
    libc::SYS_readlinkat,
    libc::SYS_recvfrom,
    libc::SYS_rseq,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_yield,
    libc::SYS_sendto,
    libc::SYS_set_robust_list,
    libc::SYS_set_tid_address,
    libc::SYS_setsockopt,
    libc::SYS_shutdown,
    libc::SYS_sigaltstack,
    libc::SYS_socket,
    libc::SYS_socketpair,
    libc::SYS_stat,
    libc::SYS_statx,
    libc::SYS_uname,
    libc::SYS_unlink,
    libc::SYS_write,
    libc::SYS_writev,
];

/// The filter as the kernel takes it: a wrong machine is killed, `clone` makes threads and no namespaces, `clone3`
/// is not there (so that `clone` is taken), and what is not in the list is not permitted.
fn filter() -> Vec<libc::sock_filter> {
    const LOAD: u16 = 0x20;
    const AND: u16 = 0x54;
    const EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    const ALLOW: u32 = 0x7fff_0000;
    const ERRNO: u32 = 0x0005_0000;
    const KILL: u32 = 0x8000_0000;
    const X86_64: u32 = 0xc000_003e;
    const NAMESPACES: u32 = 0x7e02_0000;
    let (eperm, enosys) = (ERRNO | 0x01, ERRNO | 0x26);
    let step = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let call = |number: libc::c_long| u32::try_from(number).expect("a small number");
    let mut filter = vec![
        step(LOAD, 0, 0, 4),
        step(EQUAL, 1, 0, X86_64),
        step(RETURN, 0, 0, KILL),
        step(LOAD, 0, 0, 0),
        step(EQUAL, 0, 1, call(libc::SYS_clone3)),
        step(RETURN, 0, 0, enosys),
    ];
    for number in ALLOWED {
        filter.extend([step(EQUAL, 0, 1, call(number)), step(RETURN, 0, 0, ALLOW)]);
    }
    filter.extend([
        step(EQUAL, 1, 0, call(libc::SYS_clone)),
        step(RETURN, 0, 0, eperm),
        step(LOAD, 0, 0, 16),
        step(AND, 0, 0, NAMESPACES),
        step(EQUAL, 0, 1, 0),
        step(RETURN, 0, 0, ALLOW),
        step(RETURN, 0, 0, eperm),
    ]);
    filter
}

/// For this thread and what it becomes.
#[expect(unsafe_code, reason = "prctl(2) with a filter: no crate of ours wraps it")]
fn confine() {
    let mut filter = filter();
    let program = libc::sock_fprog {
        len: u16::try_from(filter.len()).expect("a short filter"),
        filter: filter.as_mut_ptr(),
    };
    // SAFETY: the kernel copies the program, which lives until the call returns.
    let result = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
}

/// The agent's arguments, one a line, in the environment of this test when it is started to become the agent.
const BECOME: &str = "NETFLOW_TEST_BECOME";

/// What a container's runtime does before it starts a process. `$1` is the cgroup tree, `$2` stays writable.
const SCRIPT: &str = r#"set -e
mount --make-rprivate /
mount --bind "$2" "$2"
mount --bind "$1" "$1"
mount -o remount,bind,ro "$1"
mount -o remount,bind,ro /
shift 2
exec "$@"
"#;

/// This test again, in place of the agent, with less of everything.
fn confined(cgroup: &Path, state: &Path, test: &str, flags: &[&str]) -> Command {
    let mut words: Vec<PathBuf> = vec!["run".into()];
    words
        .extend(["--query", "off", "--metrics", "off", "--node", "node-a", "--state-dir"].map(PathBuf::from));
    words.extend([state.to_owned(), "--cgroup".into(), cgroup.to_owned()]);
    words.extend(flags.iter().map(PathBuf::from));
    let words: Vec<String> = words.iter().map(|word| word.display().to_string()).collect();
    let mut command = Command::new("unshare");
    command.args(["--mount", "--cgroup", "--", "sh", "-c", SCRIPT, "sh"]).arg(cgroup).arg(state);
    command.args(["setpriv", "--no-new-privs", "--bounding-set", "-all,+bpf,+net_admin", "--"]);
    command.arg(std::env::current_exe().expect("this test's path")).args([test, "--exact", "--nocapture"]);
    command.env(BECOME, words.join("\n"));
    command
}

/// A line of /proc/PID/status.
fn status(agent: &Agent, name: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{}/status", agent.pid())).expect("its status");
    let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("this line");
    line.trim_start_matches(':').trim().to_owned()
}

#[test]
#[cfg(target_arch = "x86_64")]
fn two_capabilities_and_a_read_only_world_are_enough() {
    let test = "restricted::two_capabilities_and_a_read_only_world_are_enough";
    if let Some(words) = std::env::var_os(BECOME) {
        let words = words.into_string().expect("text");
        confine();
        let error = Command::new(env!("CARGO_BIN_EXE_netflow-agent")).args(words.lines()).exec();
        panic!("become the agent: {error}");
    }
    let lab = lab_of!("restricted::two_capabilities_and_a_read_only_world_are_enough", 2);
    let folder = tempfile::tempdir().expect("a folder");
    let (state, inventory) = (folder.path().join("state"), folder.path().join("cluster.yaml"));
    fs::create_dir(&state).expect("a folder");
    fs::write(&inventory, manifests(&lab)).expect("manifests");
    let path = inventory.to_string_lossy();
    let flags = ["--inventory", &path, "--interval", "200ms", "--existing-window", "1s"];
    let command = confined(lab.cgroup(), &state, test, &flags);
    let agent = Agent::become_by(command, &state);

    assert_eq!(status(&agent, "Name"), "netflow-agent");
    assert_eq!(status(&agent, "Uid").split_whitespace().next(), Some("0"));
    let both = format!("{:016x}", 1_u64 << 39 | 1 << 12);
    for set in ["CapEff", "CapPrm", "CapBnd"] {
        assert_eq!(status(&agent, set), both, "{set}");
    }
    assert_eq!((status(&agent, "NoNewPrivs"), status(&agent, "Seccomp")), ("1".into(), "2".into()));
    let mounts = fs::read_to_string(format!("/proc/{}/mountinfo", agent.pid())).expect("its mounts");
    let cgroup = lab.cgroup().display().to_string();
    for path in ["/", &cgroup] {
        let mount = mounts.lines().rfind(|line| line.split(' ').nth(4) == Some(path));
        let options = mount.and_then(|mount| mount.split(' ').nth(5)).unwrap_or_default();
        assert!(options.split(',').any(|option| option == "ro"), "{path}: {mount:?}");
    }

    converse(lab.pod(0), lab.pod(1), 8080, 30);
    let recording = agent.export();
    assert_eq!((served(&recording, 8080), lost(&recording)), (30, 0));
    let mut pods: Vec<_> = recording.flows.iter().map(|flow| flow.key.pod.as_deref()).collect();
    pods.sort_unstable();
    assert_eq!(pods, [Some(UID[0]), Some(UID[1])]);
    assert_eq!(agent.metric("netflow_attached"), 1);
    agent.stop();
}
