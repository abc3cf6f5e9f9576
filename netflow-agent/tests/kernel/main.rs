//! The kernel programs against real packets: each test has its own pods (network namespaces with cgroup folders)
//! and its own capture. Needs root; without it every test is skipped, by name.
#![cfg(feature = "capture")]

#[path = "../support/alone.rs"]
mod alone;
#[path = "../support/lab.rs"]
mod lab;
#[path = "../support/lab_of.rs"]
mod lab_of;
#[path = "../support/skip.rs"]
mod skip;
#[path = "../support/wait.rs"]
mod wait;

mod calls;
mod company;
mod existing;
mod loss;
mod mesh;
mod observed;
mod privileges;
mod resolver;
mod stranger;
mod stress;
mod tcp;
mod udp;

use lab_of::lab_of;
