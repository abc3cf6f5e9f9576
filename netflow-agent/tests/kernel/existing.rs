//! Connections older than the agent: found while the window is open, with the role that a listener gives.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use netflow_agent::flow::{Basis, Outcome, Side};
use netflow_agent::net::Protocol;
use netflow_agent::sys::bpf::Options;

use crate::lab_of;
use crate::observed::{Key, Observed};

fn speak(from: &mut TcpStream, to: &mut TcpStream) {
    from.write_all(b"still here").expect("send");
    to.read_exact(&mut [0; 10]).expect("receive");
}

#[test]
fn an_older_connection_is_found_at_both_ends_and_a_newer_one_is_not_taken_for_older() {
    let lab = lab_of!(
        "existing::an_older_connection_is_found_at_both_ends_and_a_newer_one_is_not_taken_for_older",
        2
    );
    let (client, server) = (lab.pod(0), lab.pod(1));
    let listeners =
        [server.v4(5432), server.v6(5433)].map(|at| server.run(|| TcpListener::bind(at).expect("listen")));
    let connect = |at: usize| {
        let to = listeners[at].local_addr().expect("its address");
        let near = client.run(|| TcpStream::connect(to).expect("connect"));
        (near, listeners[at].accept().expect("accept").0)
    };
    let mut older = [connect(0), connect(1)];
    let mut observed = Observed::with(&lab, &Options::default());
    let mut newer = connect(0);
    for _ in 0..3 {
        for (near, far) in older.iter_mut().chain([&mut newer]) {
            speak(near, far);
            speak(far, near);
        }
    }
    observed.until("four old ends and two new", |observed| observed.flows.len() >= 6);
    let key = |side, local, remote, port, basis| -> Key {
        (side, Some(local), remote, port, Protocol::Tcp, Outcome::Established, basis)
    };
    let (c4, s4) = (client.ip4.into(), server.ip4.into());
    let (c6, s6) = (client.ip6.into(), server.ip6.into());
    let mut expected = [
        key(Side::Client, c4, s4, 5432, Basis::Observed),
        key(Side::Client, c4, s4, 5432, Basis::Existing),
        key(Side::Client, c6, s6, 5433, Basis::Existing),
        key(Side::Server, s4, c4, 5432, Basis::Observed),
        key(Side::Server, s4, c4, 5432, Basis::Existing),
        key(Side::Server, s6, c6, 5433, Basis::Existing),
    ];
    expected.sort();
    let keys: Vec<Key> = observed.flows.keys().copied().collect();
    assert_eq!(keys, expected);
    assert!(observed.flows.values().all(|counts| counts.connections == 1), "{:#?}", observed.flows);
}

#[test]
fn a_server_whose_listener_is_closed_claims_no_more_than_a_client_of_that_port() {
    let lab =
        lab_of!("existing::a_server_whose_listener_is_closed_claims_no_more_than_a_client_of_that_port", 2);
    let (client, server) = (lab.pod(0), lab.pod(1));
    let listener = server.run(|| TcpListener::bind(server.v4(5432)).expect("listen"));
    let mut near = client.run(|| TcpStream::connect(server.v4(5432)).expect("connect"));
    let mut far = listener.accept().expect("accept").0;
    drop(listener);
    let mut observed = Observed::with(&lab, &Options::default());
    speak(&mut far, &mut near);
    observed.until("both ends", |observed| observed.flows.len() >= 2);
    // Both say client, so neither end agrees with the other: the reader of the flows believes neither claim
    // towards an ephemeral port, and takes that towards 5432 only if it needs no second witness.
    assert!(observed.flows.keys().all(|key| key.0 == Side::Client && key.6 == Basis::Existing));
}

#[test]
fn after_the_window_nothing_looks_at_packets() {
    let lab = lab_of!("existing::after_the_window_nothing_looks_at_packets", 2);
    let (client, server) = (lab.pod(0), lab.pod(1));
    let listener = server.run(|| TcpListener::bind(server.v4(5432)).expect("listen"));
    let mut near = client.run(|| TcpStream::connect(server.v4(5432)).expect("connect"));
    let mut far = listener.accept().expect("accept").0;
    let mut observed = Observed::with(&lab, &Options::default());
    observed.capture.stop_existing().expect("end the window");
    assert!(!observed.capture.programs().contains(&"netflow_exist"));
    speak(&mut near, &mut far);
    drop(client.run(|| TcpStream::connect(server.v4(1)).expect_err("nobody listens")));
    observed.until("what came after", |observed| !observed.flows.is_empty());
    assert!(observed.flows.keys().all(|key| key.5 == Outcome::Refused), "{:#?}", observed.flows);
}
