//! Kill -9 at any instant, under traffic: the store opens, nothing that was drained is lost, and no program
//! stays attached.

use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::lab_of;
use crate::running::{Agent, lost, lost_to, served, stored};
use crate::traffic::assert_detached;

const KILLS: u64 = 100;
const PORT: u16 = 8080;

#[test]
fn a_hundred_kills_lose_nothing_that_was_drained() {
    let lab = lab_of!("durable::a_hundred_kills_lose_nothing_that_was_drained", 2);
    let folder = tempfile::tempdir().expect("a folder");
    let state = folder.path().join("state");
    let (client, server) = (lab.pod(0), lab.pod(1));
    let listener = server.run(|| TcpListener::bind(server.v4(PORT)).expect("listen"));
    let (ending, made) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !ending.load(Ordering::Relaxed) {
                drop(listener.accept());
            }
        });
        scope.spawn(|| {
            client.run(|| {
                while !ending.load(Ordering::Relaxed) {
                    drop(TcpStream::connect(server.v4(PORT)).expect("connect"));
                    made.fetch_add(1, Ordering::Relaxed);
                    std::thread::sleep(Duration::from_millis(2));
                }
                // One more: the server may wait for it.
                drop(TcpStream::connect(server.v4(PORT)));
            });
        });
        let _ends = EndsTraffic(&ending);
        let mut known = 0;
        for round in 0..KILLS {
            let agent = Agent::start(&lab, &state, &["--interval", "50ms", "--existing-window", "0"]);
            // Every instant of the interval, and of the save in it, is met in some round.
            std::thread::sleep(Duration::from_millis((round * 37) % 130));
            let told = served(&agent.export(), PORT);
            std::thread::sleep(Duration::from_micros((round * 7_919) % 60_000));
            let programs = agent.programs();
            agent.kill();
            let left = stored(&state);
            let kept = served(&left, PORT);
            assert!(kept >= told && told >= known, "round {round}: {kept} kept, {told} told, {known} before");
            assert!(kept <= made.load(Ordering::Relaxed) + 1, "round {round}: counted twice");
            // A handshake that is under way while the programs are attached is counted as unclear, not guessed.
            let unclear = lost_to(&left, "callback");
            assert!(lost(&left) == unclear && unclear <= round + 1, "round {round}: {unclear} unclear");
            assert_detached(&programs);
            known = kept;
        }
    });
}

/// Ends the traffic whether the test passed or not: the scope waits for its threads.
struct EndsTraffic<'a>(&'a AtomicBool);

impl Drop for EndsTraffic<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
