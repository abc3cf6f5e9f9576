//! A large cluster, and pods that end: ten thousand addresses known, a pod's cgroup gone before its connection.

use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use netflow_agent::flow::Side;

use crate::lab_of;
use crate::running::{Agent, lost, served, stored};
use crate::traffic::{UID, converse, manifests};

/// Pods of a hundred other nodes, one JSON object a line.
fn others(n_pods: u32) -> String {
    let mut text = String::new();
    for pod in 0..n_pods {
        let ip = std::net::Ipv4Addr::from(u32::from(std::net::Ipv4Addr::new(10, 200, 0, 0)) + pod);
        let (node, namespace) = (pod % 100, pod % 40);
        writeln!(
            text,
            r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"namespace":"team-{namespace}","name":"web-{pod}","uid":"{pod:08x}-aaaa-4bbb-8ccc-000000000000","labels":{{"app":"web-{namespace}"}}}},"spec":{{"nodeName":"node-{node}","containers":[]}},"status":{{"phase":"Running","podIPs":[{{"ip":"{ip}"}}]}}}}"#
        )
        .expect("memory takes it");
    }
    text
}

#[test]
fn ten_thousand_addresses_are_known_now_and_after_a_restart() {
    let lab = lab_of!("many::ten_thousand_addresses_are_known_now_and_after_a_restart", 2);
    let folder = tempfile::tempdir().expect("a folder");
    let (state, inventory) = (folder.path().join("state"), folder.path().join("cluster"));
    fs::create_dir(&inventory).expect("a folder");
    fs::write(inventory.join("others.json"), others(10_000)).expect("manifests");
    fs::write(inventory.join("ours.yaml"), manifests(&lab)).expect("manifests");
    let path = inventory.to_string_lossy();
    let flags = ["--inventory", &path, "--interval", "500ms"];
    let agent = Agent::start(&lab, &state, &flags);
    assert_eq!(agent.metric("netflow_objects{kind=\"Pod\"}"), 10_002);
    converse(lab.pod(0), lab.pod(1), 8080, 20);
    let first = agent.export();
    assert_eq!((first.objects.len(), served(&first, 8080), lost(&first)), (10_003, 20, 0));
    assert!(first.flows.iter().all(|flow| flow.key.pod.is_some()), "{:?}", first.flows);
    agent.stop();

    let agent = Agent::start(&lab, &state, &flags);
    converse(lab.pod(0), lab.pod(1), 8080, 20);
    let second = agent.export();
    assert_eq!(second.objects, first.objects, "nothing changed, so nothing is told again");
    assert_eq!(served(&second, 8080), 40);
    agent.stop();
}

#[test]
fn a_pod_whose_cgroup_goes_first_keeps_its_connection() {
    let lab = lab_of!("many::a_pod_whose_cgroup_goes_first_keeps_its_connection", 2);
    let folder = tempfile::tempdir().expect("a folder");
    let (state, inventory) = (folder.path().join("state"), folder.path().join("cluster.yaml"));
    fs::write(&inventory, manifests(&lab)).expect("manifests");
    let path = inventory.to_string_lossy();
    let agent = Agent::start(&lab, &state, &["--inventory", &path, "--interval", "100ms"]);
    let (client, server) = (lab.pod(0), lab.pod(1));
    let listener = server.run(|| TcpListener::bind(server.v4(8080)).expect("listen"));
    let mut asking = client.run(|| TcpStream::connect(server.v4(8080)).expect("connect"));
    let (mut answering, _) = listener.accept().expect("accept");
    asking.write_all(&[1; 1_000]).expect("send");
    answering.read_exact(&mut [0; 1_000]).expect("receive");
    assert_eq!(served(&agent.export(), 8080), 1, "told while it is open");

    // Only the socket is left of the client's pod; it is the kernel that keeps it now.
    crate::wait::until("the folder is gone", || fs::remove_dir(&client.cgroup).is_ok());
    asking.write_all(&[1; 2_000]).expect("send");
    answering.read_exact(&mut [0; 2_000]).expect("receive");
    drop((asking, answering));
    crate::wait::until("both ends are closed", || {
        let flows = agent.export().flows;
        flows.iter().filter(|flow| flow.key.port == 8080).count() == 2
            && flows.iter().all(|flow| flow.counters.bytes_sent.max(flow.counters.bytes_received) == 3_000)
    });
    agent.stop();
    let left = stored(&state);
    assert_eq!(lost(&left), 0);
    let of = |side| left.flows.iter().find(|flow| flow.key.side == side).expect("a flow");
    let pods = [Side::Client, Side::Server].map(|side| of(side).key.pod.as_deref());
    assert_eq!(pods, [Some(UID[0]), Some(UID[1])]);
    assert_eq!(of(Side::Client).counters.connections, 1);
}
