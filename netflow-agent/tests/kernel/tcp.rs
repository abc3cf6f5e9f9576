//! TCP: both ends, their roles, bytes, and what never came up.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use netflow_agent::flow::{Basis, Outcome, Side};
use netflow_agent::net::Protocol;

use crate::lab;
use crate::lab_of;
use crate::observed::{Key, Observed};

/// The two ends' keys of one TCP flow.
fn ends(client: IpAddr, server: SocketAddr) -> [Key; 2] {
    let key = |side, local, remote| {
        (side, Some(local), remote, server.port(), Protocol::Tcp, Outcome::Established, Basis::Observed)
    };
    [key(Side::Client, client, server.ip()), key(Side::Server, server.ip(), client)]
}

/// One connection: the client sends `up` bytes, the server answers with `down`; both close. A dual-stack server is
/// called by a dual-stack client, at its IPv4 address.
fn exchange(client: &lab::Pod, server: &lab::Pod, at: SocketAddr, up: usize, down: usize) {
    let listener = server.run(|| TcpListener::bind(at).expect("listen"));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (mut stream, _) = listener.accept().expect("accept");
            let mut request = vec![0; up];
            stream.read_exact(&mut request).expect("read the request");
            stream.write_all(&vec![1; down]).expect("answer");
        });
        let mapped = SocketAddr::new(server.ip4.to_ipv6_mapped().into(), at.port());
        let to = if at.ip().is_unspecified() { mapped } else { at };
        let mut stream = client.run(|| TcpStream::connect(to).expect("connect"));
        stream.write_all(&vec![2; up]).expect("send the request");
        stream.read_to_end(&mut Vec::new()).expect("read the answer");
    });
}

#[test]
fn both_ends_know_their_role_and_the_payload() {
    let lab = lab_of!("tcp::both_ends_know_their_role_and_the_payload", 2);
    let (client, server) = (lab.pod(0), lab.pod(1));
    let mut observed = Observed::start(&lab);
    exchange(client, server, server.v4(8080), 10, 5_000);
    exchange(client, server, server.v6(8081), 70_000, 0);

    let four = ends(client.ip4.into(), server.v4(8080));
    let six = ends(client.ip6.into(), server.v6(8081));
    observed.until("four ends closed", |observed| {
        let received =
            |key: &Key| observed.flows.get(key).is_some_and(|counts| counts.sent + counts.received > 0);
        four.iter().chain(&six).all(received)
    });
    for ([client, server], up, down) in [(four, 10, 5_000), (six, 70_000, 0)] {
        let (client, server) = (observed.flows[&client], observed.flows[&server]);
        assert_eq!((client.connections, client.sent, client.received, client.open), (1, up, down, 0));
        assert_eq!((server.connections, server.sent, server.open), (1, down, 0));
        // The end that closes first cannot tell whether the other's FIN was among what it received.
        assert!(server.received == up || server.received + 1 == up, "{server:?}");
    }
    assert_eq!(observed.flows.len(), 4, "{:#?}", observed.flows);
    assert_eq!(observed.lost_in_all(), 0);
}

#[test]
fn dual_stack_sockets_that_talk_ipv4_are_an_ipv4_flow() {
    let lab = lab_of!("tcp::dual_stack_sockets_that_talk_ipv4_are_an_ipv4_flow", 2);
    let (client, server) = (lab.pod(0), lab.pod(1));
    let mut observed = Observed::start(&lab);
    exchange(client, server, "[::]:8080".parse().expect("an address"), 1, 1);
    let keys = ends(client.ip4.into(), server.v4(8080));
    observed.until("both ends", |observed| keys.iter().all(|key| observed.flows.contains_key(key)));
    assert_eq!(observed.flows.len(), 2, "{:#?}", observed.flows);
}

#[test]
fn a_refused_attempt_is_told_from_one_that_timed_out() {
    let lab = lab_of!("tcp::a_refused_attempt_is_told_from_one_that_timed_out", 2);
    let (client, server) = (lab.pod(0), lab.pod(1));
    let mut observed = Observed::start(&lab);
    let to = server.v4(5432);
    client.run(|| TcpStream::connect(to).expect_err("nobody listens"));
    // Nobody has this address; the neighbour is made up, so that the SYN leaves and nothing comes back.
    client.ip("neigh add 10.77.0.99 lladdr 02:00:00:00:00:99 dev eth0\n");
    let nobody: SocketAddr = "10.77.0.99:5432".parse().expect("an address");
    client.run(|| TcpStream::connect_timeout(&nobody, Duration::from_millis(50)).expect_err("silence"));

    let key = |remote, outcome| {
        (Side::Client, Some(client.ip4.into()), remote, 5432, Protocol::Tcp, outcome, Basis::Observed)
    };
    let refused = key(to.ip(), Outcome::Refused);
    let timeout = key(nobody.ip(), Outcome::Timeout);
    observed.until("both attempts", |observed| observed.flows.len() >= 2);
    let keys: Vec<Key> = observed.flows.keys().copied().collect();
    assert_eq!(keys, [refused, timeout], "no end of an attempt is established");
    assert_eq!(observed.flows[&refused].connections, 1);
}

#[test]
fn loopback_and_traffic_to_oneself_are_no_flows() {
    let lab = lab_of!("tcp::loopback_and_traffic_to_oneself_are_no_flows", 2);
    let pod = lab.pod(0);
    let mut observed = Observed::start(&lab);
    for at in [
        "127.0.0.1:8080".parse().expect("an address"),
        "[::1]:8080".parse().expect("an address"),
        pod.v4(8081),
        pod.v6(8082),
    ] {
        exchange(pod, pod, at, 1, 1);
        pod.run(|| TcpStream::connect(SocketAddr::new(at.ip(), 1)).expect_err("nobody listens"));
    }
    // A flow after them: whatever they had left would have come with it.
    exchange(pod, lab.pod(1), lab.pod(1).v4(9000), 1, 1);
    observed.until("the flow after them", |observed| observed.flows.len() >= 2);
    assert!(observed.flows.keys().all(|key| key.3 == 9000), "{:#?}", observed.flows);
}

#[test]
fn a_thousand_short_connections_are_one_flow_and_all_counted() {
    let lab = lab_of!("tcp::a_thousand_short_connections_are_one_flow_and_all_counted", 2);
    all_are_counted(&lab, 1_000);
}

#[test]
fn a_burst_of_13_000_distinct_connections_is_counted_to_the_last() {
    let lab = lab_of!("tcp::a_burst_of_13_000_distinct_connections_is_counted_to_the_last", 2);
    all_are_counted(&lab, 13_000);
}

/// As many connections as fast as it goes, each from a port of its own and over at once.
fn all_are_counted(lab: &lab::Lab, n_connections: u64) {
    let (client, server) = (lab.pod(0), lab.pod(1));
    let mut observed = Observed::start(lab);
    let listener = server.run(|| TcpListener::bind(server.v4(80)).expect("listen"));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..n_connections {
                drop(listener.accept().expect("accept"));
            }
        });
        client.run(|| {
            for _ in 0..n_connections {
                drop(TcpStream::connect(server.v4(80)).expect("connect"));
            }
        });
    });
    let [at_client, at_server] = ends(client.ip4.into(), server.v4(80));
    observed.until("all are closed", |observed| {
        let closed = |key| {
            let counts = observed.flows.get(key);
            counts.is_some_and(|counts| counts.connections == n_connections && counts.open == 0)
        };
        closed(&at_client) && closed(&at_server)
    });
    assert_eq!(observed.flows.len(), 2, "{:#?}", observed.flows);
    assert_eq!(observed.lost_in_all(), 0);
}

#[test]
fn a_connection_that_stays_open_is_told_again_after_a_refresh() {
    let lab = lab_of!("tcp::a_connection_that_stays_open_is_told_again_after_a_refresh", 2);
    let (client, server) = (lab.pod(0), lab.pod(1));
    let options = netflow_agent::sys::bpf::Options {
        refresh: Duration::ZERO,
        existing_window: false,
        ..Default::default()
    };
    let mut observed = Observed::with(&lab, &options);
    let listener = server.run(|| TcpListener::bind(server.v4(80)).expect("listen"));
    let stream = client.run(|| TcpStream::connect(server.v4(80)).expect("connect"));
    let [key, _] = ends(client.ip4.into(), server.v4(80));
    observed.until("told several times", |observed| {
        observed.flows.get(&key).is_some_and(|counts| counts.n_samples >= 4)
    });
    assert_eq!((observed.flows[&key].connections, observed.flows[&key].open), (1, 1));
    drop((stream, listener));
    observed.until("closed", |observed| observed.flows[&key].open == 0);
    let n_samples = observed.flows[&key].n_samples;
    observed.drain();
    observed.drain();
    assert_eq!(observed.flows[&key].n_samples, n_samples, "a closed connection is told no more");
}
