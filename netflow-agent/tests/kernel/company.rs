//! Beside others: a second agent, another program before and after ours, one that wants to be alone.

use std::fs::File;
use std::net::{TcpListener, TcpStream};

use aya::programs::links::CgroupAttachMode;
use netflow_agent::flow::Side;
use netflow_agent::sys::bpf::{Capture, Error, Options};

use crate::alone::{occupy, sock_ops, stranger};
use crate::lab::Lab;
use crate::lab_of;
use crate::observed::{NOW, Observed};

fn connect_once(lab: &Lab) {
    let (client, server) = (lab.pod(0), lab.pod(1));
    let listener = server.run(|| TcpListener::bind(server.v4(80)).expect("listen"));
    drop(client.run(|| TcpStream::connect(server.v4(80)).expect("connect")));
    drop(listener.accept().expect("accept"));
}

fn assert_both_ends(observed: &mut Observed) {
    observed.until("both ends, closed", |observed| {
        observed.flows.len() == 2
            && observed.flows.values().all(|counts| counts.connections == 1 && counts.open == 0)
    });
    assert_eq!(observed.connections(|key| key.0 == Side::Server), 1);
}

#[test]
fn another_program_before_or_after_ours_changes_nothing() {
    let lab = lab_of!("company::another_program_before_or_after_ours_changes_nothing", 2);
    let folder = File::open(lab.cgroup()).expect("the lab's folder");
    let mut before = stranger();
    sock_ops(&mut before).attach(&folder, CgroupAttachMode::Single).expect("attach before");
    let mut observed = Observed::start(&lab);
    let mut after = stranger();
    sock_ops(&mut after).attach(&folder, CgroupAttachMode::Single).expect("attach after");
    connect_once(&lab);
    assert_both_ends(&mut observed);
}

#[test]
fn two_captures_see_the_same_and_the_first_lives_on_when_the_second_goes() {
    let lab = lab_of!("company::two_captures_see_the_same_and_the_first_lives_on_when_the_second_goes", 2);
    let mut first = Observed::start(&lab);
    let mut second = Observed::start(&lab);
    connect_once(&lab);
    assert_both_ends(&mut second);
    drop(second);
    assert_both_ends(&mut first);
    connect_once(&lab);
    first.until("the second connection", |observed| observed.connections(|_| true) == 4);
}

#[test]
fn a_program_that_wants_to_be_alone_gives_a_clear_error() {
    let lab = lab_of!("company::a_program_that_wants_to_be_alone_gives_a_clear_error", 0);
    occupy(lab.cgroup());

    let options = Options { cgroup: Some(lab.cgroup().to_path_buf()), ..Options::default() };
    let error = Capture::open(&options, NOW).expect_err("no company");
    assert!(matches!(error, Error::Exclusive { name: "netflow_tcp", .. }), "{error}");
    let checks = netflow_agent::sys::bpf::require::check(Some(lab.cgroup()));
    let check = checks.iter().find(|check| check.name == "programs").expect("a check of this");
    assert_eq!(check.state, netflow_agent::sys::bpf::require::State::Missing, "{check:?}");
}

#[test]
fn when_the_capture_is_dropped_nothing_stays_attached() {
    let lab = lab_of!("company::when_the_capture_is_dropped_nothing_stays_attached", 0);
    let found = || {
        let checks = netflow_agent::sys::bpf::require::check(Some(lab.cgroup()));
        checks.into_iter().find(|check| check.name == "programs").expect("a check of this").found
    };
    let capture = Observed::start(&lab);
    assert!(found().starts_with("10 of others"), "{}", found());
    drop(capture);
    // The kernel ends a link a moment after its last descriptor.
    crate::wait::until("none of ours is left", || found().starts_with("none of others"));
}
