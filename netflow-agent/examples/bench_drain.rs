//! `bench_drain CGROUP [ENTRIES]`: fills the flow map with that many entries, a datagram to an address each, and
//! prints the CPU time of drains: from the kernel's map to samples, without what the agent does with them. Run in a
//! pod below CGROUP, with a route to 100.64.0.0/10 that leads nowhere; `cargo xtask bench capture` does.
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

use netflow_agent::sys::bpf::{Capture, Options};
use netflow_agent::time::Time;
use rustix::time::{ClockId, clock_gettime};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let cgroup = arguments.next().ok_or("usage: bench_drain CGROUP [ENTRIES]")?;
    let n_entries: u32 = arguments.next().map_or(Ok(1_000_000), |text| text.to_string_lossy().parse())?;
    let options = Options {
        cgroup: Some(cgroup.into()),
        // Twice the room, or the map would be swapped for being crowded.
        entries: n_entries * 2,
        existing_window: false,
        // No swap in between.
        refresh: Duration::from_hours(1),
        ..Options::default()
    };
    let now = Time::from_seconds(1_700_000_000);
    let mut capture = Capture::open(&options, now)?;
    let mut drain = |what: &str| -> Result<(), Box<dyn std::error::Error>> {
        let before = cpu();
        let drained = capture.drain(now)?;
        let (cpu, n_samples) = (cpu().saturating_sub(before), drained.samples.len());
        println!(
            "drain of {} entries, {what}: {} ms of CPU, {n_samples} samples",
            drained.entries,
            cpu.as_millis()
        );
        Ok(())
    };
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    let first = u32::from(Ipv4Addr::new(100, 64, 0, 1));
    for peer in first..first + n_entries {
        // Refused by the route, after the hook has counted it.
        drop(socket.send_to(b"x", (Ipv4Addr::from(peer), 9)));
    }
    drain("all new")?;
    drain("none changed, and all are told of: nobody answered")?;
    drain("none changed")
}

fn cpu() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    let part = |number: i64| u64::try_from(number).unwrap_or(0);
    Duration::from_secs(part(now.tv_sec)) + Duration::from_nanos(part(now.tv_nsec))
}
