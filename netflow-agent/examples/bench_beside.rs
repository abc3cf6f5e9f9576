//! `bench_beside OBJECT hooks CGROUP` and `bench_beside OBJECT packets INTERFACE...`: attaches what `cargo xtask bench
//! capture` measures ours against (`netflow-ebpf/examples/beside.rs`), says `ready`, and empties its map every five
//! seconds until it is killed.
#![expect(clippy::print_stdout, reason = "its parent waits for the word")]

use std::fs::File;
use std::time::Duration;

use aya::Ebpf;
use aya::maps::{HashMap, MapData, RingBuf};
use aya::programs::links::CgroupAttachMode;
use aya::programs::{Program, TcAttachType};

type Outcome = Result<(), Box<dyn std::error::Error>>;

const USAGE: &str = "usage: bench_beside OBJECT hooks CGROUP | OBJECT packets INTERFACE...";

fn main() -> Outcome {
    let mut arguments = std::env::args().skip(1);
    let (object, what) = arguments.next().zip(arguments.next()).ok_or(USAGE)?;
    let places: Vec<String> = arguments.collect();
    let mut ebpf = Ebpf::load(&std::fs::read(object)?)?;
    match what.as_str() {
        "hooks" => attach_hooks(&mut ebpf, places.first().ok_or(USAGE)?)?,
        "packets" => attach_packets(&mut ebpf, &places)?,
        _ => return Err(USAGE.into()),
    }
    println!("ready");
    let flows = ebpf.take_map("FLOWS").ok_or("no map of flows")?;
    let mut flows: HashMap<MapData, [u64; 3], [u64; 5]> = flows.try_into()?;
    let mut ring = RingBuf::try_from(ebpf.take_map("RING").ok_or("no ring")?)?;
    loop {
        std::thread::sleep(Duration::from_secs(5));
        let keys: Vec<_> = flows.keys().filter_map(Result::ok).collect();
        for key in keys {
            // It may be gone meanwhile.
            drop(flows.remove(&key));
        }
        while ring.next().is_some() {}
    }
}

fn attach_hooks(ebpf: &mut Ebpf, cgroup: &str) -> Outcome {
    let folder = File::open(cgroup)?;
    let mode = CgroupAttachMode::Single;
    for (_, program) in ebpf.programs_mut() {
        match program {
            Program::SockOps(program) => {
                program.load()?;
                program.attach(&folder, mode)?;
            }
            Program::CgroupSockAddr(program) => {
                program.load()?;
                program.attach(&folder, mode)?;
            }
            Program::CgroupSock(program) => {
                program.load()?;
                program.attach(&folder, mode)?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn attach_packets(ebpf: &mut Ebpf, interfaces: &[String]) -> Outcome {
    for (_, program) in ebpf.programs_mut() {
        let Program::SchedClassifier(program) = program else { continue };
        program.load()?;
        for interface in interfaces {
            for at in [TcAttachType::Ingress, TcAttachType::Egress] {
                if program.attach(interface, at).is_err() {
                    // Before Linux 6.6 an interface takes programs only in this queue; the second is there already.
                    drop(aya::programs::tc::qdisc_add_clsact(interface));
                    program.attach(interface, at)?;
                }
            }
        }
    }
    Ok(())
}
