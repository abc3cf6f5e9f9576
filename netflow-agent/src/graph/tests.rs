//! What a graph looks like, and that no name breaks out of its quotes.

use std::collections::BTreeSet;

use super::*;
use crate::edge::{EdgeKey, Witness};
use crate::flow::Basis;
use crate::identity::WorkloadName;
use crate::manifest::WorkloadKind;
use crate::time::Time;

fn workload(name: &str) -> Endpoint {
    let (namespace, kind) = ("shop".into(), WorkloadKind::Deployment);
    Endpoint::Workload(WorkloadName { namespace, kind, name: name.into() })
}

fn edge(source: Endpoint, destination: Endpoint, port: u16, protocol: Protocol, unconfirmed: bool) -> Edge {
    Edge {
        key: EdgeKey { source, destination, port, protocol },
        witness: Witness::Both,
        via: BTreeSet::new(),
        connections: 2,
        bytes_sent: 0,
        bytes_received: 0,
        hours: BTreeSet::new(),
        first: Time::from_seconds(0),
        last: Time::from_seconds(0),
        basis: Basis::Observed,
        unconfirmed,
        own_node: false,
        node_ports: Vec::new(),
    }
}

fn text(write: impl Fn(&Graph, &mut dyn std::io::Write) -> std::io::Result<()>, graph: &Graph) -> String {
    let mut out = Vec::new();
    write(graph, &mut out).expect("a vector takes all");
    String::from_utf8(out).expect("text")
}

#[test]
fn one_link_holds_all_ports_of_a_pair_and_is_dotted_only_if_all_are_unconfirmed() {
    let outside = || Endpoint::External("192.0.2.1".parse().expect("an address"));
    let edges = [
        edge(workload("a"), workload("b"), 80, Protocol::Tcp, false),
        edge(workload("a"), workload("b"), 53, Protocol::Udp, true),
        edge(workload("a"), outside(), 123, Protocol::Udp, true),
    ];
    let graph = build(&edges);
    let expected = "flowchart LR
  n2[\"192.0.2.1\"]
  subgraph s1[\"shop\"]
    n0[\"deployment/a\"]
    n1[\"deployment/b\"]
  end
  n0 -->|\"53/UDP, 80/TCP\"| n1
  n0 -.->|\"123/UDP\"| n2
";
    assert_eq!(text(mermaid::write, &graph), expected);
    assert_eq!(graph.links[0].connections, 4);
}

#[test]
fn hostile_names_stay_in_their_quotes() {
    let edges = [edge(workload("a\"]; x[\"<script>\n"), workload("b\\"), 80, Protocol::Tcp, false)];
    let graph = build(&edges);
    let mermaid = text(mermaid::write, &graph);
    assert!(mermaid.contains("deployment/a#quot;]; x[#quot;#lt;script#gt; \"]"), "{mermaid}");
    let dot = text(dot::write, &graph);
    assert!(dot.contains(r#"label="deployment/a\"]; x[\"<script> "]"#), "{dot}");
    assert!(dot.contains(r#"label="deployment/b\\"]"#), "{dot}");
}
