//! `netflow-agent run` as a process, on real traffic between pods of a lab. Needs root; without it every test
//! that captures is skipped, by name.
#![cfg(feature = "capture")]

#[path = "../support/alone.rs"]
mod alone;
#[path = "../support/lab.rs"]
#[expect(dead_code, reason = "the kernel's tests use more of it")]
mod lab;
#[path = "../support/lab_of.rs"]
mod lab_of;
#[path = "../support/skip.rs"]
mod skip;
#[path = "../support/wait.rs"]
mod wait;

mod clock;
mod company;
mod disk;
mod doctor;
mod durable;
mod folder;
mod generated;
mod many;
mod refused;
mod restricted;
mod running;
mod stalled;
mod traffic;

use lab_of::lab_of;
