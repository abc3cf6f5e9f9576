//! What `run` tells of real traffic: both ends named, attempts apart, nothing left behind.

use std::fs;
use std::net::{TcpListener, TcpStream, UdpSocket};

use netflow_agent::flow::{Outcome, Side};
use netflow_agent::net::Protocol;
use netflow_agent::recording::Recording;

use crate::lab::{Lab, Pod};
use crate::lab_of;
use crate::running::{Agent, lost, served, stored};

pub(crate) const UID: [&str; 2] =
    ["00000000-0000-0000-0000-000000000000", "00000000-0000-0000-0000-000000000001"];

/// The pods of a lab and their node, as manifests.
pub(crate) fn manifests(lab: &Lab) -> String {
    let pod = |index: usize, name: &str| {
        let Pod { ip4, ip6, .. } = lab.pod(index);
        format!(
            "---\napiVersion: v1\nkind: Pod\nmetadata: {{namespace: shop, name: {name}, uid: {uid}, labels: {{app: {name}}}}}\n\
             spec: {{nodeName: node-a, containers: []}}\n\
             status: {{phase: Running, podIPs: [{{ip: \"{ip4}\"}}, {{ip: \"{ip6}\"}}]}}\n",
            uid = UID[index]
        )
    };
    let node = "---\napiVersion: v1\nkind: Node\nmetadata: {name: node-a}\n\
                status: {addresses: [{type: InternalIP, address: 10.77.0.1}]}\n";
    pod(0, "web") + &pod(1, "db") + node
}

/// `n` connections from one pod to the other's port, each with a request and an answer.
pub(crate) fn converse(client: &Pod, server: &Pod, port: u16, n: u32) {
    let listener = server.run(|| TcpListener::bind(server.v4(port)).expect("listen"));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..n {
                let (stream, _) = listener.accept().expect("accept");
                drop(stream);
            }
        });
        client.run(|| {
            for _ in 0..n {
                drop(TcpStream::connect(server.v4(port)).expect("connect"));
            }
        });
    });
}

fn ask_by_udp(client: &Pod, server: &Pod, port: u16) {
    let socket = server.run(|| UdpSocket::bind(("0.0.0.0", port)).expect("bind"));
    client.run(|| {
        let asking = UdpSocket::bind("0.0.0.0:0").expect("bind");
        asking.send_to(b"question", server.v4(port)).expect("send");
        server.run(|| {
            let (_, peer) = socket.recv_from(&mut [0; 16]).expect("receive");
            socket.send_to(b"answer", peer).expect("answer");
        });
        asking.recv_from(&mut [0; 16]).expect("the answer");
    });
}

/// Side, pod, remote, port, protocol, outcome and connections of a flow.
type Told<'a> = (Side, Option<&'a str>, String, u16, Protocol, Outcome, u64);

fn told(recording: &Recording) -> Vec<Told<'_>> {
    let mut told: Vec<_> = recording
        .flows
        .iter()
        .map(|flow| {
            let (key, counters) = (&flow.key, &flow.counters);
            let remote = key.remote.to_string();
            (key.side, key.pod.as_deref(), remote, key.port, key.protocol, key.outcome, counters.connections)
        })
        .collect();
    told.sort();
    told
}

#[test]
fn both_ends_are_named_and_a_stopped_agent_leaves_what_it_told() {
    let lab = lab_of!("traffic::both_ends_are_named_and_a_stopped_agent_leaves_what_it_told", 2);
    let folder = tempfile::tempdir().expect("a folder");
    let (state, inventory) = (folder.path().join("state"), folder.path().join("cluster.yaml"));
    fs::write(&inventory, manifests(&lab)).expect("manifests");
    let path = inventory.to_string_lossy();
    let agent = Agent::start(&lab, &state, &["--inventory", &path, "--interval", "200ms"]);
    let (web, db) = (lab.pod(0), lab.pod(1));
    converse(web, db, 5432, 7);
    ask_by_udp(web, db, 53);
    web.run(|| TcpStream::connect(db.v4(81)).expect_err("nobody listens"));

    let live = agent.export();
    let (ip0, ip1) = (web.ip4.to_string(), db.ip4.to_string());
    let expected = [
        (Side::Client, Some(UID[0]), ip1.clone(), 53, Protocol::Udp, Outcome::Established, 1),
        (Side::Client, Some(UID[0]), ip1.clone(), 81, Protocol::Tcp, Outcome::Refused, 1),
        (Side::Client, Some(UID[0]), ip1, 5432, Protocol::Tcp, Outcome::Established, 7),
        (Side::Server, Some(UID[1]), ip0.clone(), 53, Protocol::Udp, Outcome::Established, 1),
        (Side::Server, Some(UID[1]), ip0, 5432, Protocol::Tcp, Outcome::Established, 7),
    ];
    assert_eq!(told(&live), expected);
    assert_eq!(lost(&live), 0);
    assert_eq!(live.objects.len(), 3);
    assert!(live.flows.iter().all(|flow| flow.counters.first <= flow.counters.last));

    let programs = agent.programs();
    assert!(!programs.is_empty());
    agent.stop();
    assert_eq!(told(&stored(&state)), expected);
    assert_detached(&programs);
}

/// The recording that the verb `export` writes.
fn exported(arguments: &[&str]) -> Recording {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_netflow-agent"))
        .arg("export")
        .args(arguments)
        .output()
        .expect("run export");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    netflow_agent::recording::read([("export", &mut &*output.stdout as &mut dyn std::io::BufRead)])
        .expect("a recording")
        .0
}

#[test]
fn verbs_ask_a_live_agent_and_read_a_stopped_ones_folder() {
    let lab = lab_of!("traffic::verbs_ask_a_live_agent_and_read_a_stopped_ones_folder", 2);
    let folder = tempfile::tempdir().expect("a folder");
    let state = folder.path().join("state");
    let agent = Agent::start(&lab, &state, &["--interval", "10m"]);
    converse(lab.pod(0), lab.pod(1), 8080, 3);
    let socket = state.join("agent.sock");
    let live = exported(&["--agent", &socket.to_string_lossy()]);
    assert_eq!(served(&live, 8080), 3, "what was not drained yet is drained first");
    agent.stop();
    assert_eq!(exported(&["--state-dir", &state.to_string_lossy()]).flows, live.flows);
}

#[test]
fn followed_edges_come_as_they_happen() {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};
    let lab = lab_of!("traffic::followed_edges_come_as_they_happen", 2);
    let folder = tempfile::tempdir().expect("a folder");
    let (state, inventory) = (folder.path().join("state"), folder.path().join("cluster.yaml"));
    fs::write(&inventory, manifests(&lab)).expect("manifests");
    let path = inventory.to_string_lossy();
    let agent = Agent::start(&lab, &state, &["--inventory", &path, "--interval", "100ms"]);
    let mut following = Command::new(env!("CARGO_BIN_EXE_netflow-agent"))
        .args(["observe", "--follow", "-o", "json", "--agent"])
        .arg(state.join("agent.sock"))
        .stdout(Stdio::piped())
        .spawn()
        .expect("follow");
    let mut lines = BufReader::new(following.stdout.take().expect("piped")).lines();
    let done = std::sync::atomic::AtomicBool::new(false);
    let line = std::thread::scope(|scope| {
        // It may begin to follow a little later: the traffic goes on until it has told.
        scope.spawn(|| {
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                converse(lab.pod(0), lab.pod(1), 8080, 1);
            }
        });
        let line = lines.next().expect("a line").expect("a line");
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        line
    });
    assert!(line.contains("\"name\":\"web\"") && line.contains("\"port\":8080"), "{line}");
    agent.stop();
    // The agent's end is the stream's end.
    drop(lines);
    following.wait().expect("it ends");
}

#[test]
fn what_happens_just_before_the_end_is_in_the_last_drain() {
    let lab = lab_of!("traffic::what_happens_just_before_the_end_is_in_the_last_drain", 2);
    let folder = tempfile::tempdir().expect("a folder");
    let state = folder.path().join("state");
    let agent = Agent::start(&lab, &state, &["--interval", "10m"]);
    converse(lab.pod(0), lab.pod(1), 8080, 25);
    agent.stop();
    assert_eq!(served(&stored(&state), 8080), 25);
}

/// While it stands still for longer than many intervals, the kernel goes on counting.
#[test]
fn a_stalled_agent_loses_nothing() {
    use rustix::process::Signal;
    let lab = lab_of!("traffic::a_stalled_agent_loses_nothing", 2);
    let folder = tempfile::tempdir().expect("a folder");
    let state = folder.path().join("state");
    let agent = Agent::start(&lab, &state, &["--interval", "50ms"]);
    agent.signal(Signal::STOP);
    let begun = netflow_agent::sys::clock::Mark::now();
    for _ in 0..20 {
        converse(lab.pod(0), lab.pod(1), 8080, 50);
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    let stalled = begun.elapsed();
    agent.signal(Signal::CONT);
    let recording = agent.export();
    assert_eq!((served(&recording, 8080), lost(&recording)), (1_000, 0));
    let covered: u32 = recording.coverage.iter().map(|coverage| coverage.observed_seconds).sum();
    assert!(u64::from(covered) + 1 >= stalled.as_secs(), "covered {covered} s of {stalled:?}");
}

#[test]
fn a_changed_inventory_is_read_again() {
    let lab = lab_of!("traffic::a_changed_inventory_is_read_again", 2);
    let folder = tempfile::tempdir().expect("a folder");
    let (state, inventory) = (folder.path().join("state"), folder.path().join("cluster"));
    fs::create_dir(&inventory).expect("a folder");
    let path = inventory.to_string_lossy();
    let agent = Agent::start(&lab, &state, &["--inventory", &path, "--interval", "200ms"]);
    assert!(agent.export().objects.is_empty());
    fs::write(inventory.join("pods.yaml"), manifests(&lab)).expect("manifests");
    crate::wait::until("the pods are known", || agent.export().objects.len() == 3);
    // A file that cannot be read leaves what is known.
    fs::write(inventory.join("pods.yaml"), "kind: [").expect("rubbish");
    crate::wait::until("it is said", || agent.metric("netflow_inventory_stale") == 1);
    assert_eq!(agent.export().objects.iter().filter(|it| it.to.is_none()).count(), 3);
    // So is the time in which nothing was heard, where every later answer finds it.
    let unheard = || agent.export().coverage.iter().map(|it| it.unheard_seconds).sum::<u32>();
    crate::wait::until("the coverage has it", || unheard() >= 1);
    fs::remove_file(inventory.join("pods.yaml")).expect("removed");
    crate::wait::until("they are gone", || agent.export().objects.iter().all(|it| it.to.is_some()));
    let heard_again = unheard();
    converse(lab.pod(0), lab.pod(1), 8080, 10);
    std::thread::sleep(std::time::Duration::from_secs(1));
    assert!(unheard() <= heard_again + 1, "it grew while the inventory could be read");
}

/// None of these programs is loaded any more.
pub(crate) fn assert_detached(programs: &[u32]) {
    crate::wait::until("the programs are gone", || {
        let loaded: Vec<u32> =
            aya::programs::loaded_programs().filter_map(Result::ok).map(|program| program.id()).collect();
        programs.iter().all(|id| !loaded.contains(id))
    });
}
