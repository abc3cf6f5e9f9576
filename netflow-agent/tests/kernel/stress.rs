//! Exactness under pressure: drains and swaps beside traffic, stalls, and pods that go away.

use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use netflow_agent::flow::{Outcome, Side};
use netflow_agent::sys::bpf::Options;

use crate::lab::{Lab, Pod};
use crate::lab_of;
use crate::observed::{Key, Observed};

/// How long the stress lasts, in seconds; `cargo xtask kernel stress` makes it longer.
fn seconds() -> u64 {
    let asked = std::env::var_os("NETFLOW_STRESS_SECONDS");
    asked.and_then(|text| text.to_str()?.parse().ok()).unwrap_or(5)
}

/// Ports of the servers: each a flow of its own, most of them idle between two drains.
const PORTS: std::ops::Range<u16> = 8_000..8_016;

/// Opens and closes connections until `until` says so; returns how many.
fn churn(client: &Pod, server: &Pod, until: impl Fn() -> bool + Sync) -> u64 {
    let made = AtomicU64::new(0);
    let listeners: Vec<TcpListener> =
        server.run(|| PORTS.map(|port| TcpListener::bind(server.v4(port)).expect("listen")).collect());
    std::thread::scope(|scope| {
        for listener in &listeners {
            scope.spawn(move || while listener.accept().is_ok_and(|(_, from)| from.ip() != server.ip4) {});
        }
        client.run(|| {
            while !until() {
                for port in PORTS {
                    drop(TcpStream::connect(server.v4(port)).expect("connect"));
                    made.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        // To oneself: no flow, and the sign for the acceptors to stop.
        server.run(|| PORTS.for_each(|port| drop(TcpStream::connect(server.v4(port)).expect("connect"))));
    });
    made.into_inner()
}

fn of(side: Side) -> impl Fn(&Key) -> bool {
    move |key| key.0 == side && key.5 == Outcome::Established
}

#[test]
fn no_connection_is_lost_between_drains_and_swaps() {
    let lab = lab_of!("stress::no_connection_is_lost_between_drains_and_swaps", 2);
    // Every drain swaps the maps and deletes what is idle.
    let options = Options { refresh: Duration::ZERO, existing_window: false, ..Options::default() };
    let mut observed = Observed::with(&lab, &options);
    let ticks = AtomicU64::new(0);
    let n_ticks = seconds() * 10;
    let made = std::thread::scope(|scope| {
        let traffic =
            scope.spawn(|| churn(lab.pod(0), lab.pod(1), || ticks.load(Ordering::Relaxed) >= n_ticks));
        while ticks.fetch_add(1, Ordering::Relaxed) < n_ticks {
            std::thread::sleep(Duration::from_millis(100));
            observed.drain();
            // Summing up is enough; the samples of minutes would fill the memory.
            observed.samples.clear();
        }
        traffic.join().expect("the traffic")
    });
    observed.until("all of them", |observed| observed.connections(of(Side::Server)) >= made);
    for _ in 0..3 {
        observed.drain();
    }
    assert!(made > 1_000, "{made}");
    let counted = [Side::Client, Side::Server].map(|side| observed.connections(of(side)));
    println!(
        "{made} connections in {} s beside {n_ticks} drains, each with a swap: {} counted at the client, {} at the \
         server, {} lost",
        seconds(),
        counted[0],
        counted[1],
        observed.lost_in_all()
    );
    assert_eq!((counted, observed.lost_in_all()), ([made, made], 0));
}

#[test]
fn a_stalled_drain_loses_nothing() {
    let lab = lab_of!("stress::a_stalled_drain_loses_nothing", 2);
    let mut observed = Observed::start(&lab);
    // As under SIGSTOP: traffic goes on and nobody drains.
    let rounds = AtomicU64::new(0);
    let made = churn(lab.pod(0), lab.pod(1), || rounds.fetch_add(1, Ordering::Relaxed) >= 100);
    observed.until("all of them", |observed| observed.connections(of(Side::Server)) >= made);
    assert_eq!([Side::Client, Side::Server].map(|side| observed.connections(of(side))), [made, made]);
    assert_eq!(observed.lost_in_all(), 0);
}

#[test]
fn a_pod_that_goes_in_mid_connection_has_its_end_told() {
    let lab = lab_of!("stress::a_pod_that_goes_in_mid_connection_has_its_end_told", 2);
    let mut observed = Observed::start(&lab);
    leave_behind(&lab);
    observed.until("the connection", |observed| observed.connections(of(Side::Client)) == 1);
    // The folder of the pod is gone already; its socket closes after it.
    observed.until("both ends closed", |observed| {
        observed.flows.len() == 2 && observed.flows.values().all(|counts| counts.open == 0)
    });
}

/// A connection from a pod whose cgroup is deleted before the connection closes.
fn leave_behind(lab: &Lab) {
    let (client, server) = (lab.pod(0), lab.pod(1));
    let listener = server.run(|| TcpListener::bind(server.v4(80)).expect("listen"));
    let near = client.run(|| TcpStream::connect(server.v4(80)).expect("connect"));
    let far = listener.accept().expect("accept").0;
    crate::wait::until("the pod's folder is gone", || std::fs::remove_dir(&client.cgroup).is_ok());
    drop((near, far));
}
