//! The kernel programs against real packets: each test has its own pods (network namespaces with cgroup folders)
//! and its own capture. Needs root; without it every test is skipped, by name.
#![cfg(feature = "capture")]

#[path = "../support/lab.rs"]
mod lab;
#[path = "../support/skip.rs"]
mod skip;
#[path = "../support/wait.rs"]
mod wait;

mod company;
mod existing;
mod loss;
mod observed;
mod privileges;
mod stress;
mod tcp;
mod udp;

/// A lab for this test, or a return from it with the reason noted.
macro_rules! lab_of {
    ($test:literal, $n_pods:expr) => {
        match crate::lab::missing() {
            None => crate::lab::Lab::new($n_pods),
            Some(reason) => return crate::skip::skip(concat!("kernel::", $test), &reason),
        }
    };
}
use lab_of;
