//! The agent stands still for a minute (SIGSTOP, as a starved node does it): the kernel counts on alone, and
//! what its map and ring have no room for is counted as lost, to the last flow.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use netflow_agent::sys::clock::Mark;
use rustix::process::Signal;

use crate::lab_of;
use crate::running::{Agent, lost, served};
use crate::traffic::converse;

/// More than the map and the ring hold together.
const PEERS: u32 = 60_000;

#[test]
fn a_minute_of_standing_still_loses_what_it_counts_and_nothing_else() {
    let lab = lab_of!("stalled::a_minute_of_standing_still_loses_what_it_counts_and_nothing_else", 2);
    let folder = tempfile::tempdir().expect("a folder");
    let state = folder.path().join("state");
    let agent = Agent::start(&lab, &state, &["--interval", "1s", "--existing-window", "0"]);
    agent.signal(Signal::STOP);
    let begun = Mark::now();
    // Known to the map before it is full: such a flow goes on being counted.
    converse(lab.pod(0), lab.pod(1), 8080, 50);
    let pod = lab.pod(0);
    // What leaves goes nowhere: only the hooks are under test.
    pod.ip("route add blackhole 100.64.0.0/10\n");
    pod.run(|| {
        let socket = UdpSocket::bind("0.0.0.0:0").expect("bind");
        for peer in 1..=PEERS {
            let to = Ipv4Addr::from(u32::from(Ipv4Addr::new(100, 64, 0, 0)) + peer);
            drop(socket.send_to(b"x", SocketAddr::new(IpAddr::V4(to), 9)));
        }
    });
    while begun.elapsed() < Duration::from_mins(1) {
        converse(lab.pod(0), lab.pod(1), 8080, 50);
        std::thread::sleep(Duration::from_secs(5));
    }
    converse(lab.pod(0), lab.pod(1), 8080, 50);
    let stalled = begun.elapsed();
    agent.signal(Signal::CONT);

    let recording = agent.export();
    let asked = recording.flows.iter().filter(|flow| flow.key.port == 9);
    let reported: u64 = asked.map(|flow| flow.counters.connections).sum();
    let lost = lost(&recording);
    assert_eq!(reported + lost, u64::from(PEERS), "{reported} reported, {lost} lost");
    assert!(lost > 0 && reported > 32_000, "{reported} reported, {lost} lost");
    assert_eq!(agent.metric("netflow_lost_flows_total{cause=\"ring_full\"}"), lost);
    assert_eq!(served(&recording, 8080) % 50, 0, "each connection is counted once");
    assert!(served(&recording, 8080) >= 100);
    let covered: u32 = recording.coverage.iter().map(|coverage| coverage.observed_seconds).sum();
    assert!(u64::from(covered) + 1 >= stalled.as_secs(), "covered {covered} s of {stalled:?}");
    agent.stop();
}
