//! A sidecar's redirection inside the pod: what each end shows of it. Needs iptables with the nat table.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Command;

use netflow_agent::flow::Side;

use crate::lab::Pod;
use crate::lab_of;
use crate::observed::Observed;

/// Runs iptables inside the pod; `Err` says why it cannot.
fn iptables(pod: &Pod, rule: &[&str]) -> Result<(), String> {
    let output = Command::new("ip").args(["netns", "exec", &pod.netns, "iptables", "-w"]).args(rule).output();
    let output = output.map_err(|error| format!("needs ip: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if output.status.success() {
        Ok(())
    } else {
        Err(format!("needs iptables with nat and REDIRECT: {said}"))
    }
}

#[test]
fn the_client_shows_the_port_of_the_wire_and_the_server_that_of_the_sidecar() {
    let lab = lab_of!("mesh::the_client_shows_the_port_of_the_wire_and_the_server_that_of_the_sidecar", 2);
    let (client, server) = (lab.pod(0), lab.pod(1));
    let redirect = |chain: &str, from: &str, to: &str| {
        let rule =
            ["-t", "nat", "-A", chain, "-p", "tcp", "--dport", from, "-j", "REDIRECT", "--to-ports", to];
        iptables([server, client][usize::from(chain == "OUTPUT")], &rule)
    };
    // As a sidecar does: all that comes in goes to 15006, all that goes out to 15001.
    if let Err(reason) =
        redirect("PREROUTING", "8080", "15006").and_then(|()| redirect("OUTPUT", "9090", "15001"))
    {
        return crate::skip::skip("kernel::mesh::the_client_shows_the_port_of_the_wire", &reason);
    }
    let mut observed = Observed::start(&lab);
    let inbound = server.run(|| TcpListener::bind("0.0.0.0:15006").expect("listen"));
    let outbound = client.run(|| TcpListener::bind("0.0.0.0:15001").expect("listen"));

    // The application asks for 9090 of the server and reaches its own sidecar, which asks for 8080 there.
    let mut application = client.run(|| TcpStream::connect(server.v4(9090)).expect("connect"));
    drop(outbound.accept().expect("the outbound sidecar"));
    let mut sidecar = client.run(|| TcpStream::connect(server.v4(8080)).expect("connect"));
    let mut end = inbound.accept().expect("the inbound sidecar").0;
    sidecar.write_all(b"request").expect("send");
    end.read_exact(&mut [0; 7]).expect("receive");
    assert_eq!(application.read(&mut [0; 1]).expect("the sidecar closed"), 0);
    drop((application, sidecar, end));

    observed.until("all ends, closed", |observed| {
        observed.flows.len() >= 3 && observed.flows.values().all(|counts| counts.open == 0)
    });
    let told: Vec<_> = observed.flows.keys().map(|key| (key.0, key.2, key.3)).collect();
    let (c4, s4) = (client.ip4.into(), server.ip4.into());
    // No end says 15001: the sidecar's end of it has loopback for an address. 15006 is the server's only, and the
    // client's record beside it has the true port.
    assert_eq!(told, [(Side::Client, s4, 8080), (Side::Client, s4, 9090), (Side::Server, c4, 15006)]);
}
