//! No silent loss: what the map has no room for goes by the ring, and what the ring has none for is counted.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};

use netflow_agent::sys::bpf::Options;

use crate::lab::Lab;
use crate::lab_of;
use crate::observed::Observed;

/// Sends one datagram to each of `n_peers` addresses that nobody has: as many distinct flows.
fn burst(lab: &Lab, n_peers: u32) {
    let pod = lab.pod(0);
    // What leaves goes nowhere: only the hooks are under test.
    pod.ip("route add blackhole 100.64.0.0/10\n");
    pod.run(|| {
        let socket = UdpSocket::bind("0.0.0.0:0").expect("bind");
        for peer in 1..=n_peers {
            let to = Ipv4Addr::from(u32::from(Ipv4Addr::new(100, 64, 0, 0)) + peer);
            drop(socket.send_to(b"x", SocketAddr::new(IpAddr::V4(to), 9)));
        }
    });
}

#[test]
fn a_burst_beyond_the_map_goes_by_the_ring_and_none_is_lost() {
    let lab = lab_of!("loss::a_burst_beyond_the_map_goes_by_the_ring_and_none_is_lost", 1);
    let options = Options { entries: 100, existing_window: false, ..Options::default() };
    let mut observed = Observed::with(&lab, &options);
    burst(&lab, 1_000);
    observed.until("all of them", |observed| observed.connections(|_| true) >= 1_000);
    assert_eq!(observed.connections(|_| true), 1_000);
    assert_eq!((observed.overflowed, observed.lost_in_all()), (900, 0));
}

#[test]
fn a_burst_beyond_map_and_ring_is_counted_to_the_last_flow() {
    let lab = lab_of!("loss::a_burst_beyond_map_and_ring_is_counted_to_the_last_flow", 1);
    let mut observed = Observed::with(&lab, &Options { existing_window: false, ..Options::default() });
    burst(&lab, 200_000);
    for _ in 0..3 {
        observed.drain();
    }
    let reported = observed.connections(|_| true);
    let lost = observed.lost["ring_full"];
    assert_eq!(reported + lost, 200_000, "{reported} reported, {lost} lost");
    assert_eq!(observed.lost_in_all(), lost);
    assert!(lost > 0 && reported >= 32_768, "{reported} reported, {lost} lost");
}

#[test]
fn drains_beside_a_burst_lose_less_and_count_as_exactly() {
    let lab = lab_of!("loss::drains_beside_a_burst_lose_less_and_count_as_exactly", 1);
    let mut observed = Observed::with(&lab, &Options { existing_window: false, ..Options::default() });
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            burst(&lab, 200_000);
            done.store(true, Ordering::Release);
        });
        while !done.load(Ordering::Acquire) {
            observed.drain();
        }
    });
    for _ in 0..3 {
        observed.drain();
    }
    assert_eq!(observed.connections(|_| true) + observed.lost["ring_full"], 200_000);
}
