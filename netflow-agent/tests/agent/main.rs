//! `netflow-agent run` as a process, on real traffic between pods of a lab. Needs root; without it every test
//! that captures is skipped, by name.
#![cfg(feature = "capture")]

#[path = "../support/lab.rs"]
#[expect(dead_code, reason = "the kernel's tests use more of it")]
mod lab;
#[path = "../support/skip.rs"]
mod skip;
#[path = "../support/wait.rs"]
mod wait;

mod disk;
mod durable;
mod refused;
mod running;
mod traffic;

/// A lab for this test, or a return from it with the reason noted.
macro_rules! lab_of {
    ($test:literal, $n_pods:expr) => {
        match crate::lab::missing() {
            None => crate::lab::Lab::new($n_pods),
            Some(reason) => return crate::skip::skip(concat!("agent::", $test), &reason),
        }
    };
}
use lab_of;
