//! What the capture needs to start, and what stands in its way.

use std::path::Path;
use std::process::{Command, Output};

use netflow_agent::sys::bpf::require::OLDEST;
use netflow_agent::sys::bpf::{Capture, Error, Options, cgroup};

use crate::lab_of;
use crate::observed::{NOW, chain};

/// The folder to attach to, in the environment of a test that runs itself again with less.
const CHILD: &str = "NETFLOW_TEST_CGROUP";

/// Runs `test` again, alone, under `wrapper`.
fn run_again(test: &str, cgroup: &Path, wrapper: &[&str]) -> Output {
    let own = std::env::current_exe().expect("this test's path");
    Command::new(wrapper[0])
        .args(&wrapper[1..])
        .arg(own)
        .args([test, "--exact", "--nocapture"])
        .env(CHILD, cgroup)
        .output()
        .expect("run this test again")
}

/// The folder given to a test that was run again.
fn given() -> Option<std::path::PathBuf> {
    std::env::var_os(CHILD).map(Into::into)
}

fn open(cgroup: &Path) -> Result<Capture, Error> {
    Capture::open(&Options { cgroup: Some(cgroup.to_path_buf()), ..Options::default() }, NOW)
}

fn assert_passed(output: &Output) {
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

#[test]
fn bpf_and_net_admin_alone_load_attach_and_drain_everything() {
    if let Some(cgroup) = given() {
        let mut capture = open(&cgroup).unwrap_or_else(|error| panic!("{}", chain(&error)));
        capture.drain(NOW).expect("drain");
        capture.stop_existing().expect("end the window");
        capture.finish(NOW).expect("finish");
        return;
    }
    let name = "privileges::bpf_and_net_admin_alone_load_attach_and_drain_everything";
    let lab = lab_of!("privileges::bpf_and_net_admin_alone_load_attach_and_drain_everything", 0);
    let small = ["setpriv", "--no-new-privs", "--bounding-set", "-all,+bpf,+net_admin", "--"];
    assert_passed(&run_again(name, lab.cgroup(), &small));
}

#[test]
fn without_bpf_the_error_names_the_capabilities() {
    if let Some(cgroup) = given() {
        let error = open(&cgroup).expect_err("no capability to load");
        assert!(error.hint().is_some_and(|hint| hint.contains("CAP_BPF")), "{error}");
        return;
    }
    let name = "privileges::without_bpf_the_error_names_the_capabilities";
    let lab = lab_of!("privileges::without_bpf_the_error_names_the_capabilities", 0);
    let smaller = ["setpriv", "--no-new-privs", "--bounding-set", "-all,+net_admin", "--"];
    assert_passed(&run_again(name, lab.cgroup(), &smaller));
}

#[test]
fn a_pods_own_cgroup_is_refused_by_name() {
    let lab = lab_of!("privileges::a_pods_own_cgroup_is_refused_by_name", 1);
    let error = open(&lab.pod(0).cgroup).expect_err("not the node's tree");
    assert!(matches!(error, Error::Subtree { .. }), "{error}");
}

#[test]
fn a_folder_that_is_no_cgroup_is_refused() {
    let _lab = lab_of!("privileges::a_folder_that_is_no_cgroup_is_refused", 0);
    let error = open(Path::new("/proc")).expect_err("not cgroup2");
    assert!(matches!(error, Error::NotCgroup2 { .. }), "{error}");
}

#[test]
fn a_private_cgroup_namespace_still_finds_the_nodes_tree() {
    if let Some(cgroup) = given() {
        let capture = open(&cgroup).unwrap_or_else(|error| panic!("{}", chain(&error)));
        assert_eq!(capture.cgroup(), cgroup);
        return;
    }
    let name = "privileges::a_private_cgroup_namespace_still_finds_the_nodes_tree";
    let lab = lab_of!("privileges::a_private_cgroup_namespace_still_finds_the_nodes_tree", 0);
    assert_passed(&run_again(name, lab.cgroup(), &["unshare", "-C", "--"]));
}

#[test]
fn the_stated_minimum_holds() {
    let lab = lab_of!("privileges::the_stated_minimum_holds", 0);
    let opened = open(lab.cgroup());
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let mut numbers = release.split(['.', '-']).map_while(|number| number.parse::<u32>().ok());
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    match opened {
        Ok(_capture) => assert!(version >= OLDEST, "{release} is older than what is stated"),
        Err(Error::Kernel { .. }) => assert!(version < OLDEST, "{release} is not too old"),
        Err(error) => panic!("{}", chain(&error)),
    }
}

#[test]
fn a_folder_above_the_mount_finds_it_as_on_a_hybrid_host() {
    let _lab = lab_of!("privileges::a_folder_above_the_mount_finds_it_as_on_a_hybrid_host", 0);
    let mount = cgroup::mounts().expect("mountinfo").remove(0).path;
    let above = mount.parent().expect("not the root").to_path_buf();
    let found = [None, Some(above.as_path()), Some(mount.as_path())].map(cgroup::find);
    for found in found {
        // A container's own tree is refused, whichever way it is given.
        match found {
            Ok(found) => assert_eq!(found, mount),
            Err(error) => assert!(matches!(error, Error::Subtree { .. }), "{error}"),
        }
    }
}
