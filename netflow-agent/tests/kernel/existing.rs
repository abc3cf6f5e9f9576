//! Connections older than the agent: found while the window is open, with the role that a listener or the ports give.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};

use netflow_agent::flow::{Basis, Outcome, Side};
use netflow_agent::net::Protocol;
use netflow_agent::sys::bpf::Options;

use crate::lab::Pod;
use crate::lab_of;
use crate::observed::{Key, Observed};
use crate::udp;

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
    assert!(observed.capture.programs().iter().all(|name| !name.starts_with("netflow_exist")));
    speak(&mut near, &mut far);
    drop(client.run(|| TcpStream::connect(server.v4(1)).expect_err("nobody listens")));
    observed.until("what came after", |observed| !observed.flows.is_empty());
    assert!(observed.flows.keys().all(|key| key.5 == Outcome::Refused), "{:#?}", observed.flows);
}

/// A connected UDP socket in each pod, to one another, on these ports; `0` lets the kernel choose.
fn connected(near: (&Pod, u16), far: (&Pod, u16)) -> [UdpSocket; 2] {
    let [one, two] = [near, far].map(|(pod, port)| udp::bind(pod, &format!("0.0.0.0:{port}")));
    let at = |pod: &Pod, socket: &UdpSocket| pod.v4(socket.local_addr().expect("its port").port());
    near.0.run(|| one.connect(at(far.0, &two)).expect("connect"));
    far.0.run(|| two.connect(at(near.0, &one)).expect("connect"));
    [one, two]
}

/// A question and its answer by send and recv, which no hook of a system call sees.
fn talk([near, far]: &[UdpSocket; 2]) {
    for (from, to) in [(near, far), (far, near)] {
        from.send(b"still here").expect("send");
        to.recv(&mut [0; 16]).expect("receive");
    }
}

fn udp_key(side: Side, local: &Pod, remote: &Pod, port: u16, outcome: Outcome) -> Key {
    (side, Some(local.ip4.into()), remote.ip4.into(), port, Protocol::Udp, outcome, Basis::Existing)
}

#[test]
fn older_connected_udp_sockets_are_found_at_both_ends_and_newer_ones_are_not_taken_for_older() {
    let lab = lab_of!(
        "existing::older_connected_udp_sockets_are_found_at_both_ends_and_newer_ones_are_not_taken_for_older",
        2
    );
    let (client, server) = (lab.pod(0), lab.pod(1));
    let older = connected((client, 0), (server, 5300));
    let mut observed = Observed::with(&lab, &Options::default());
    let newer = connected((client, 0), (server, 5301));
    for _ in 0..3 {
        talk(&older);
        talk(&newer);
    }
    udp::settle(&mut observed, 3);
    let mut told: Vec<Key> = udp::keys(&observed);
    told.retain(|key| key.6 == Basis::Existing);
    let expected = [
        udp_key(Side::Client, client, server, 5300, Outcome::Established),
        udp_key(Side::Server, server, client, 5300, Outcome::Established),
    ];
    assert_eq!(told, expected);
    for key in expected {
        assert_eq!(observed.flows[&key].connections, 1, "{key:?}");
    }
    // The newer ones: each end connected, and no datagram was seen.
    let rest = observed.flows.keys().filter(|key| key.6 == Basis::Observed);
    assert!(rest.into_iter().all(|key| key.5 == Outcome::Unanswered), "{:#?}", observed.flows);
}

#[test]
fn older_connected_udp_sockets_whose_ports_leave_it_open_claim_no_server() {
    let lab = lab_of!("existing::older_connected_udp_sockets_whose_ports_leave_it_open_claim_no_server", 2);
    let (one, two) = (lab.pod(0), lab.pod(1));
    let equals = connected((one, 7946), (two, 7946));
    let mut observed = Observed::with(&lab, &Options::default());
    talk(&equals);
    udp::settle(&mut observed, 2);
    // Neither end agrees with the other, so neither claim is believed.
    let expected = [
        udp_key(Side::Client, one, two, 7946, Outcome::Established),
        udp_key(Side::Client, two, one, 7946, Outcome::Established),
    ];
    assert_eq!(udp::keys(&observed), expected);
}
