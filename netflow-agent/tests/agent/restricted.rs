//! The agent as a pod has it: uid 0 with BPF and NET_ADMIN alone, no new privileges, its root and the cgroup tree
//! mounted read-only, a cgroup namespace of its own, and a list of system calls beyond which all is refused.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::lab_of;
use crate::running::{Agent, lost, served};
use crate::traffic::{UID, converse, manifests};

/// Name and number of each call.
macro_rules! calls {
    ($($name:ident)*) => { [$((stringify!($name), libc::$name)),*] };
}

/// The calls that the agent may make: a fourth of what container runtimes allow by default.
const ALLOWED: [(&str, libc::c_long); 92] = calls![
    SYS_accept4 SYS_access SYS_arch_prctl SYS_bind SYS_bpf SYS_brk SYS_chmod SYS_clock_getres
    SYS_clock_gettime SYS_clock_nanosleep SYS_close SYS_connect SYS_dup SYS_epoll_create1 SYS_epoll_ctl
    SYS_epoll_pwait SYS_epoll_wait SYS_eventfd2 SYS_execve SYS_exit SYS_exit_group SYS_faccessat
    SYS_faccessat2 SYS_fallocate SYS_fchmod SYS_fchmodat SYS_fcntl SYS_fdatasync SYS_flock SYS_fstat
    SYS_fstatfs SYS_fsync SYS_ftruncate SYS_futex SYS_getcwd SYS_getdents64 SYS_getegid SYS_geteuid SYS_getgid
    SYS_getpid SYS_getrandom SYS_getrlimit SYS_getsockname SYS_getsockopt SYS_gettid SYS_getuid SYS_ioctl
    SYS_listen SYS_lseek SYS_lstat SYS_madvise SYS_membarrier SYS_mkdir SYS_mkdirat SYS_mmap SYS_mprotect
    SYS_mremap SYS_munmap SYS_nanosleep SYS_newfstatat SYS_open SYS_openat SYS_poll SYS_ppoll SYS_prctl
    SYS_pread64 SYS_prlimit64 SYS_pwrite64 SYS_read SYS_readlink SYS_readlinkat SYS_recvfrom SYS_rseq
    SYS_rt_sigaction SYS_rt_sigprocmask SYS_rt_sigreturn SYS_sched_getaffinity SYS_sched_yield SYS_sendto
    SYS_set_robust_list SYS_set_tid_address SYS_setsockopt SYS_shutdown SYS_sigaltstack SYS_socket
    SYS_socketpair SYS_stat SYS_statx SYS_uname SYS_unlink SYS_write SYS_writev
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
    for (_, number) in ALLOWED {
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

/// What runs under our list runs under that of the runtime.
#[test]
#[cfg(target_arch = "x86_64")]
fn what_the_agent_may_call_a_runtimes_default_profile_allows() {
    let lines = include_str!("runtime_default.txt").lines().filter(|line| !line.starts_with('#'));
    let allowed: std::collections::BTreeSet<&str> = lines.flat_map(str::split_whitespace).collect();
    let beyond: Vec<&str> = ALLOWED
        .iter()
        .filter_map(|(name, _)| name.strip_prefix("SYS_"))
        .filter(|name| !allowed.contains(name))
        .collect();
    assert_eq!(beyond, Vec::<&str>::new());
    assert!(allowed.len() > 3 * ALLOWED.len());
    for refused in ["mount", "unshare", "setns", "perf_event_open", "clone", "clone3", "init_module"] {
        assert!(!allowed.contains(refused), "{refused}");
    }
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
