//! UDP: which end opened the conversation, and what is no conversation.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use netflow_agent::flow::{Basis, Outcome, Side};
use netflow_agent::net::Protocol;

use crate::lab::Pod;
use crate::lab_of;
use crate::observed::{Key, Observed};

fn key(side: Side, local: Option<IpAddr>, remote: IpAddr, port: u16, outcome: Outcome) -> Key {
    (side, local, remote, port, Protocol::Udp, outcome, Basis::Observed)
}

/// The client's flow: it has no local address, its cgroup says whose it is.
pub(crate) fn client(server: SocketAddr) -> Key {
    key(Side::Client, None, server.ip(), server.port(), Outcome::Established)
}

/// The server's flow, on a socket bound to `local`.
pub(crate) fn server(local: Option<IpAddr>, client: &Pod, port: u16) -> Key {
    key(Side::Server, local, client.ip4.into(), port, Outcome::Established)
}

pub(crate) fn bind(pod: &Pod, at: &str) -> UdpSocket {
    let socket = pod.run(|| UdpSocket::bind(at).expect("bind"));
    socket.set_read_timeout(Some(Duration::from_secs(5))).expect("a socket's timeout");
    socket
}

/// Receives one datagram in `pod` and sends it back to where it came from.
fn answer(pod: &Pod, socket: &UdpSocket) {
    pod.run(|| {
        let mut bytes = [0; 64];
        let (length, from) = socket.recv_from(&mut bytes).expect("a request");
        socket.send_to(&bytes[..length], from).expect("the answer");
    });
}

/// Asks from an unconnected socket and waits for the answer.
fn ask(pod: &Pod, socket: &UdpSocket, to: SocketAddr) {
    pod.run(|| socket.send_to(b"question", to).expect("send"));
}

fn hear(pod: &Pod, socket: &UdpSocket) {
    pod.run(|| socket.recv_from(&mut [0; 64]).expect("an answer"));
}

/// Drains until nothing more comes, and until what is held back for an answer is out.
pub(crate) fn settle(observed: &mut Observed, n_flows: usize) {
    observed.until("the flows", |observed| observed.flows.len() >= n_flows);
    for _ in 0..3 {
        observed.drain();
    }
}

pub(crate) fn keys(observed: &Observed) -> Vec<Key> {
    observed.flows.keys().copied().collect()
}

#[test]
fn a_reply_is_not_a_second_flow() {
    let lab = lab_of!("udp::a_reply_is_not_a_second_flow", 2);
    let (asker, answerer) = (lab.pod(0), lab.pod(1));
    let mut observed = Observed::start(&lab);
    let (asking, answering) = (bind(asker, "0.0.0.0:0"), bind(answerer, "0.0.0.0:5300"));
    for _ in 0..3 {
        ask(asker, &asking, answerer.v4(5300));
        answer(answerer, &answering);
        hear(asker, &asking);
    }
    settle(&mut observed, 2);
    assert_eq!(keys(&observed), [client(answerer.v4(5300)), server(None, asker, 5300)]);
    assert!(observed.flows.values().all(|counts| counts.connections == 1), "{:#?}", observed.flows);
    for sample in &observed.samples {
        let pod = if sample.side == Side::Client { asker } else { answerer };
        assert_eq!(sample.cgroup, Some(pod.cgroup_id()), "{sample:?}");
    }
}

#[test]
fn a_server_on_its_own_address_and_over_ipv6_is_a_server() {
    let lab = lab_of!("udp::a_server_on_its_own_address_and_over_ipv6_is_a_server", 2);
    let (asker, answerer) = (lab.pod(0), lab.pod(1));
    let mut observed = Observed::start(&lab);
    let (asking, answering) = (bind(asker, "[::]:0"), bind(answerer, &answerer.v6(5300).to_string()));
    ask(asker, &asking, answerer.v6(5300));
    answer(answerer, &answering);
    hear(asker, &asking);
    settle(&mut observed, 2);
    let at_server =
        key(Side::Server, Some(answerer.ip6.into()), asker.ip6.into(), 5300, Outcome::Established);
    assert_eq!(keys(&observed), [client(answerer.v6(5300)), at_server]);
}

#[test]
fn a_v4_mapped_client_and_a_dual_stack_server_are_ipv4() {
    let lab = lab_of!("udp::a_v4_mapped_client_and_a_dual_stack_server_are_ipv4", 2);
    let (asker, answerer) = (lab.pod(0), lab.pod(1));
    let mut observed = Observed::start(&lab);
    let (asking, answering) = (bind(asker, "[::]:0"), bind(answerer, "[::]:5300"));
    let mapped = SocketAddr::new(answerer.ip4.to_ipv6_mapped().into(), 5300);
    ask(asker, &asking, mapped);
    answer(answerer, &answering);
    hear(asker, &asking);
    settle(&mut observed, 2);
    assert_eq!(keys(&observed), [client(answerer.v4(5300)), server(None, asker, 5300)]);
}

#[test]
fn a_connected_client_that_uses_recvfrom_is_answered() {
    let lab = lab_of!("udp::a_connected_client_that_uses_recvfrom_is_answered", 2);
    let (asker, answerer) = (lab.pod(0), lab.pod(1));
    let mut observed = Observed::start(&lab);
    let (asking, answering) = (bind(asker, "0.0.0.0:0"), bind(answerer, "0.0.0.0:53"));
    asker.run(|| asking.connect(answerer.v4(53)).expect("connect"));
    asker.run(|| asking.send(b"question").expect("send"));
    answer(answerer, &answering);
    hear(asker, &asking);
    settle(&mut observed, 2);
    assert_eq!(keys(&observed), [client(answerer.v4(53)), server(None, asker, 53)]);
}

#[test]
fn a_sender_without_an_answer_is_unanswered() {
    let lab = lab_of!("udp::a_sender_without_an_answer_is_unanswered", 2);
    let asker = lab.pod(0);
    let mut observed = Observed::start(&lab);
    let asking = bind(asker, "0.0.0.0:0");
    asker.ip("neigh add 10.77.0.99 lladdr 02:00:00:00:00:99 dev eth0\n");
    let nobody: SocketAddr = "10.77.0.99:514".parse().expect("an address");
    ask(asker, &asking, nobody);
    settle(&mut observed, 1);
    assert_eq!(keys(&observed), [key(Side::Client, None, nobody.ip(), 514, Outcome::Unanswered)]);
}

#[test]
fn a_resolvers_probing_connects_make_no_flow() {
    let lab = lab_of!("udp::a_resolvers_probing_connects_make_no_flow", 2);
    let (prober, peer) = (lab.pod(0), lab.pod(1));
    let mut observed = Observed::start(&lab);
    // As getaddrinfo does: a socket, a connect to each address with the port asked for, a close at once.
    let n_slow: usize = prober.run(|| [80, 443, 8080].into_iter().map(|port| probe(peer, port)).sum());
    let (asking, answering) = (bind(prober, "0.0.0.0:0"), bind(peer, "0.0.0.0:5300"));
    ask(prober, &asking, peer.v4(5300));
    answer(peer, &answering);
    hear(prober, &asking);
    settle(&mut observed, 2);
    let begun: Vec<Key> = keys(&observed).into_iter().filter(|key| key.3 != 5300).collect();
    // A probe that was held up for longer than a probe lasts counts as unanswered, never as more.
    assert!(begun.len() <= n_slow && begun.iter().all(|key| key.5 == Outcome::Unanswered), "{begun:#?}");
}

/// Connects one socket to two addresses in turn; returns how many of the probes lasted longer than one does.
fn probe(peer: &Pod, port: u16) -> usize {
    let now = || {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0))
    };
    let socket = UdpSocket::bind("0.0.0.0:0").expect("bind");
    let mut begun = Vec::new();
    for address in [peer.v4(port), "10.77.0.1:80".parse().expect("an address"), peer.v4(port)] {
        begun.push(now());
        socket.connect(address).expect("connect");
    }
    drop(socket);
    begun.push(now());
    begun.windows(2).filter(|pair| pair[1].saturating_sub(pair[0]) >= Duration::from_micros(90)).count()
}

#[test]
fn gossip_between_equal_ports_has_one_client_and_one_server() {
    let lab = lab_of!("udp::gossip_between_equal_ports_has_one_client_and_one_server", 2);
    let (first, second) = (lab.pod(0), lab.pod(1));
    let mut observed = Observed::start(&lab);
    let (one, two) = (bind(first, "0.0.0.0:7946"), bind(second, "0.0.0.0:7946"));
    for _ in 0..4 {
        ask(first, &one, second.v4(7946));
        hear(second, &two);
        ask(second, &two, first.v4(7946));
        hear(first, &one);
    }
    settle(&mut observed, 2);
    assert_eq!(keys(&observed), [client(second.v4(7946)), server(None, first, 7946)]);
}

#[test]
fn a_server_that_asks_upstream_from_its_own_socket_is_both() {
    let lab = lab_of!("udp::a_server_that_asks_upstream_from_its_own_socket_is_both", 3);
    let (asker, middle, upstream) = (lab.pod(0), lab.pod(1), lab.pod(2));
    let mut observed = Observed::start(&lab);
    let (asking, relay, answering) =
        (bind(asker, "0.0.0.0:0"), bind(middle, "0.0.0.0:53"), bind(upstream, "0.0.0.0:5353"));
    let back = asking.local_addr().expect("its port").port();
    for _ in 0..3 {
        ask(asker, &asking, middle.v4(53));
        hear(middle, &relay);
        // Twice, as for both families of a name: a question that follows an answer is no reply.
        for _ in 0..2 {
            ask(middle, &relay, upstream.v4(5353));
            answer(upstream, &answering);
            hear(middle, &relay);
        }
        ask(middle, &relay, asker.v4(back));
        hear(asker, &asking);
    }
    settle(&mut observed, 4);
    let mut expected = [
        client(middle.v4(53)),
        server(None, asker, 53),
        client(upstream.v4(5353)),
        server(None, middle, 5353),
    ];
    expected.sort();
    assert_eq!(keys(&observed), expected);
}

#[test]
fn loopback_and_multicast_are_no_flows() {
    let lab = lab_of!("udp::loopback_and_multicast_are_no_flows", 2);
    let (pod, peer) = (lab.pod(0), lab.pod(1));
    let mut observed = Observed::start(&lab);
    let socket = bind(pod, "0.0.0.0:0");
    for to in ["127.0.0.1:53", "224.0.0.251:5353", "255.255.255.255:67"] {
        // Broadcast is refused to a socket that did not ask for it, after the hook has seen it.
        drop(pod.run(|| socket.send_to(b"anybody", to)));
    }
    let answering = bind(peer, "0.0.0.0:5300");
    ask(pod, &socket, peer.v4(5300));
    answer(peer, &answering);
    hear(pod, &socket);
    settle(&mut observed, 2);
    assert_eq!(keys(&observed), [client(peer.v4(5300)), server(None, pod, 5300)]);
}

#[test]
fn sockets_older_than_the_agent_get_their_role_by_the_port() {
    let lab = lab_of!("udp::sockets_older_than_the_agent_get_their_role_by_the_port", 2);
    let (asker, answerer) = (lab.pod(0), lab.pod(1));
    let (asking, answering) = (bind(asker, "0.0.0.0:0"), bind(answerer, "0.0.0.0:53"));
    ask(asker, &asking, answerer.v4(53));
    let mut observed = Observed::start(&lab);
    // The first thing seen of the server is that it answers, of the client that it hears.
    let to = asker.v4(asking.local_addr().expect("its port").port());
    ask(answerer, &answering, to);
    hear(asker, &asking);
    settle(&mut observed, 2);
    let existing = |key: Key| (key.0, key.1, key.2, key.3, key.4, key.5, Basis::Existing);
    assert_eq!(keys(&observed), [existing(client(answerer.v4(53))), existing(server(None, asker, 53))]);
}

#[test]
fn a_conversation_that_goes_on_is_told_again_after_each_swap() {
    let lab = lab_of!("udp::a_conversation_that_goes_on_is_told_again_after_each_swap", 2);
    let (asker, answerer) = (lab.pod(0), lab.pod(1));
    let options = netflow_agent::sys::bpf::Options {
        refresh: Duration::ZERO,
        existing_window: false,
        ..Default::default()
    };
    let mut observed = Observed::with(&lab, &options);
    let (asking, answering) = (bind(asker, "0.0.0.0:0"), bind(answerer, "0.0.0.0:5300"));
    for _ in 0..10 {
        ask(asker, &asking, answerer.v4(5300));
        answer(answerer, &answering);
        hear(asker, &asking);
        observed.drain();
    }
    settle(&mut observed, 2);
    assert_eq!(keys(&observed), [client(answerer.v4(5300)), server(None, asker, 5300)]);
    for counts in observed.flows.values() {
        assert!(counts.n_samples >= 9 && counts.connections == 1, "{counts:?}");
    }
}

#[test]
fn a_quic_client_that_moves_to_another_port_stays_one_flow() {
    let lab = lab_of!("udp::a_quic_client_that_moves_to_another_port_stays_one_flow", 2);
    let (mover, answerer) = (lab.pod(0), lab.pod(1));
    let mut observed = Observed::start(&lab);
    let answering = bind(answerer, "0.0.0.0:4433");
    // Connected, with send and recv, which no hook sees; each path a socket with a port of its own.
    let paths = [bind(mover, "0.0.0.0:0"), bind(mover, "0.0.0.0:0")];
    for path in &paths {
        mover.run(|| path.connect(answerer.v4(4433)).expect("connect"));
        mover.run(|| path.send(b"initial").expect("send"));
        answer(answerer, &answering);
        mover.run(|| path.recv(&mut [0; 64]).expect("an answer"));
    }
    settle(&mut observed, 2);
    let unheard = key(Side::Client, None, answerer.ip4.into(), 4433, Outcome::Unanswered);
    assert_eq!(
        keys(&observed),
        [unheard, server(None, mover, 4433)],
        "the server's end says it was answered"
    );
    assert_eq!(observed.flows[&unheard].connections, 2);
}

#[test]
fn a_servers_own_socket_for_one_peer_is_no_client() {
    let lab = lab_of!("udp::a_servers_own_socket_for_one_peer_is_no_client", 2);
    let (asker, answerer) = (lab.pod(0), lab.pod(1));
    let mut observed = Observed::start(&lab);
    let asking = bind(asker, "0.0.0.0:0");
    let [answering, own] = [shared(answerer, 4433), shared(answerer, 4433)];
    ask(asker, &asking, answerer.v4(4433));
    // Two sockets on one port: either may have it.
    let (first, peer) = answerer.run(|| {
        let mut bytes = [0; 64];
        own.recv_from(&mut bytes).map_or_else(
            |_nothing| (&answering, answering.recv_from(&mut bytes).expect("a request").1),
            |(_, from)| (&own, from),
        )
    });
    let second = if std::ptr::eq(first, &raw const own) { &answering } else { &own };
    answerer.run(|| second.connect(peer).expect("connect"));
    answerer.run(|| second.send(b"answer").expect("send"));
    hear(asker, &asking);
    settle(&mut observed, 2);
    assert_eq!(keys(&observed), [client(answerer.v4(4433)), server(None, asker, 4433)]);
}

/// A socket on a port that others may have too.
fn shared(pod: &Pod, port: u16) -> UdpSocket {
    use rustix::net::{AddressFamily, SocketType, bind, socket, sockopt};
    let socket = pod.run(|| {
        let socket = socket(AddressFamily::INET, SocketType::DGRAM, None).expect("a socket");
        sockopt::set_socket_reuseaddr(&socket, true).expect("share the port");
        bind(&socket, &SocketAddr::from(([0, 0, 0, 0], port))).expect("bind");
        UdpSocket::from(socket)
    });
    socket.set_read_timeout(Some(Duration::from_millis(500))).expect("a socket's timeout");
    socket
}

#[test]
fn a_broadcast_makes_no_client_that_was_answered() {
    let lab = lab_of!("udp::a_broadcast_makes_no_client_that_was_answered", 2);
    let (caller, listener) = (lab.pod(0), lab.pod(1));
    let mut observed = Observed::start(&lab);
    let (calling, listening) = (bind(caller, "0.0.0.0:0"), bind(listener, "0.0.0.0:9999"));
    calling.set_broadcast(true).expect("allow broadcast");
    let everybody: SocketAddr = "10.77.255.255:9999".parse().expect("an address");
    ask(caller, &calling, everybody);
    hear(listener, &listening);
    settle(&mut observed, 2);
    let unheard = key(Side::Client, None, everybody.ip(), 9999, Outcome::Unanswered);
    assert_eq!(keys(&observed), [unheard, server(None, caller, 9999)]);
}

#[test]
fn a_wildcard_socket_shares_its_namespace_with_the_pods_tcp_and_outlives_its_pod() {
    let lab =
        lab_of!("udp::a_wildcard_socket_shares_its_namespace_with_the_pods_tcp_and_outlives_its_pod", 2);
    let (asker, answerer) = (lab.pod(0), lab.pod(1));
    let mut observed = Observed::start(&lab);
    let (asking, answering) = (bind(asker, "0.0.0.0:0"), bind(answerer, "0.0.0.0:5300"));
    ask(asker, &asking, answerer.v4(5300));
    answer(answerer, &answering);
    hear(asker, &asking);
    // A refused connect is enough for TCP to teach the namespace's address.
    drop(asker.run(|| std::net::TcpStream::connect(answerer.v4(1)).expect_err("nobody listens")));
    let cgroup = asker.cgroup_id();
    crate::wait::until("the pod's folder is gone", || std::fs::remove_dir(&asker.cgroup).is_ok());
    settle(&mut observed, 3);
    let of = |protocol| {
        let found =
            observed.samples.iter().find(|sample| sample.side == Side::Client && sample.protocol == protocol);
        found.expect("the client's sample")
    };
    let (udp, tcp) = (of(Protocol::Udp), of(Protocol::Tcp));
    assert_eq!((udp.local, udp.cgroup), (None, Some(cgroup)));
    assert_eq!((tcp.local, tcp.netns.is_some()), (Some(asker.ip4.into()), true));
    assert_eq!(udp.netns, tcp.netns);
}
