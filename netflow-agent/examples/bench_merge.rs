//! The answers of made-up nodes as one: streamed as their agents' would be, merged, joined. In: how many nodes
//! and hours.
//! Out: one line of figures. Nodes are made up as they are asked, so that memory is the merge's own.
#![expect(clippy::print_stdout, reason = "figures for a person")]
#![expect(clippy::disallowed_methods, reason = "a benchmark needs a clock")]

use std::fmt::Write as _;
use std::time::Instant;

use futures::StreamExt;
use futures::stream;
use netflow_agent::cli::source::ROWS;
use netflow_agent::edge::{Witness, try_join};
use netflow_agent::identity::Inventory;
use netflow_agent::recording::{Reader, Spilling};
use netflow_agent::sys::cluster::gather::{Chunk, Piece, Source, merge};
use netflow_agent::sys::scratch;
use netflow_agent::time::Window;

const PODS_PER_NODE: usize = 30;
const REPLICAS: usize = 10;
/// Workloads that each workload calls; each of its pods calls one pod of each.
const CALLS: usize = 4;
const PARALLEL: usize = 16;
/// Chunks of an answer are as large as an agent sends them.
const CHUNK: usize = 64 << 10;

/// So many nodes with their pods.
#[derive(Clone, Copy)]
struct Cluster {
    nodes: usize,
    hours: usize,
}

impl Cluster {
    const fn pods(self) -> usize {
        self.nodes * PODS_PER_NODE
    }

    const fn workloads(self) -> usize {
        self.pods() / REPLICAS
    }

    /// Whom a pod calls, by number of the call.
    const fn callee(self, pod: usize, call: usize) -> usize {
        let workload = (pod / REPLICAS + call) % self.workloads();
        workload * REPLICAS + (pod * 3 + call) % REPLICAS
    }

    /// And who calls it: 7 undoes the 3.
    const fn caller(self, pod: usize, call: usize) -> usize {
        let workload = (pod / REPLICAS + self.workloads() - call) % self.workloads();
        workload * REPLICAS + (pod % REPLICAS + REPLICAS - call) * 7 % REPLICAS
    }

    /// What the agent of a node says of its pods and, hour by hour, of their flows.
    fn part(self, node: usize, part: usize, text: &mut String) {
        let pods = (node..self.pods()).step_by(self.nodes);
        let written = if part == 0 {
            pods.clone().try_for_each(|pod| object(pod, node, text))
        } else {
            let hour = time(part - 1);
            let coverage = writeln!(
                text,
                r#"{{"kind":"coverage","node":"node-{node}","hour":"{hour}:00:00Z","seq":0,"observed_seconds":3600,"lost":{{}}}}"#
            );
            coverage.and_then(|()| {
                pods.clone().try_for_each(|pod| {
                    (1..=CALLS).try_for_each(|call| {
                        flow("client", pod, self.callee(pod, call), call, (node, &hour), text)?;
                        flow("server", pod, self.caller(pod, call), call, (node, &hour), text)
                    })
                })
            })
        };
        written.unwrap_or_default();
    }

    fn answer(self, node: usize) -> Source {
        let chunks = stream::unfold((0, String::new()), move |(mut part, mut text)| async move {
            while text.len() < CHUNK && part <= self.hours {
                self.part(node, part, &mut text);
                part += 1;
            }
            let rest = text.split_off(text.len().min(CHUNK));
            (!text.is_empty()).then(|| (Ok(Chunk::Bytes(text.into())), (part, rest)))
        });
        Source { node: format!("node-{node}"), chunks: chunks.boxed() }
    }

    fn answers(self) -> Vec<Source> {
        (0..self.nodes).map(|node| self.answer(node)).collect()
    }
}

/// Day and hour of the so-manieth hour.
fn time(hour: usize) -> String {
    format!("2026-11-{:02}T{:02}", 1 + hour / 24, hour % 24)
}

fn ip(pod: usize) -> String {
    format!("10.{}.{}.{}", 64 + pod / 62_500, pod / 250 % 250, 1 + pod % 250)
}

fn object(pod: usize, node: usize, text: &mut String) -> std::fmt::Result {
    let workload = pod / REPLICAS;
    writeln!(
        text,
        r#"{{"kind":"object","from":"2026-11-01T00:00:00Z","object":{{"apiVersion":"v1","kind":"Pod","metadata":{{"namespace":"team-{}","name":"app-{workload}-6c9f8d7b5c-{pod:05}","uid":"{pod:08x}-0000-4000-8000-000000000000","labels":{{"app":"app-{workload}","pod-template-hash":"6c9f8d7b5c"}},"ownerReferences":[{{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"app-{workload}-6c9f8d7b5c","uid":"r-{workload}","controller":true}}]}},"spec":{{"nodeName":"node-{node}"}},"status":{{"phase":"Running","podIPs":[{{"ip":"{}"}}]}}}}}}"#,
        workload % 40,
        ip(pod)
    )
}

fn flow(
    side: &str,
    pod: usize,
    remote: usize,
    call: usize,
    (node, hour): (usize, &str),
    text: &mut String,
) -> std::fmt::Result {
    writeln!(
        text,
        r#"{{"kind":"flow","node":"node-{node}","hour":"{hour}:00:00Z","seq":0,"side":"{side}","pod":"{pod:08x}-0000-4000-8000-000000000000","local":"{}","remote":"{}","port":{},"protocol":"TCP","outcome":"established","basis":"observed","connections":12,"bytes_sent":9120,"bytes_received":48211,"first":"{hour}:03:11Z","last":"{hour}:59:58Z"}}"#,
        ip(pod),
        ip(remote),
        8_000 + call
    )
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Option<Vec<usize>> = std::env::args().skip(1).map(|word| word.parse().ok()).collect();
    let Some([nodes, hours]) = words.as_deref().and_then(|words| words.as_array()).copied() else {
        return Err("usage: bench_merge NODES HOURS".into());
    };
    let cluster = Cluster { nodes, hours };
    // How long it takes to make the answers up, and what the merge holds before any line is read.
    let start = Instant::now();
    let (mut bytes, mut blocks) = (0, 0);
    let mut pieces = merge(cluster.answers(), PARALLEL);
    while let Some(piece) = pieces.next().await {
        if let Piece::Lines { lines, .. } = piece {
            bytes += lines.len();
            blocks += 1;
        }
    }
    let making = start.elapsed();
    let streaming = peak()?;

    let start = Instant::now();
    let mut reader = Reader::new(Spilling::new(Box::new(scratch::Files), ROWS));
    let mut pieces = merge(cluster.answers(), PARALLEL);
    while let Some(piece) = pieces.next().await {
        match piece {
            Piece::Begun { .. } => {}
            Piece::Lines { node, lines } | Piece::Coverage { node, lines } => {
                reader.read_node(&node, &mut lines.as_slice())?;
            }
            Piece::Ended { outcome, .. } => outcome?,
        }
    }
    let (recording, said) = reader.finish_spilt();
    if let Some(warning) = said.warnings().next() {
        return Err(warning.into());
    }
    let read = start.elapsed().saturating_sub(making);
    let start = Instant::now();
    let inventory = Inventory::of(&recording.objects, Window::ALL);
    let joined = try_join(&recording, &inventory, Window::ALL)?;
    let whole = joined.edges.len() == cluster.workloads() * CALLS
        && joined.edges.iter().all(|edge| edge.witness == Witness::Both && edge.hours.len() == hours);
    if !whole || recording.coverage.len() != nodes * hours {
        return Err(format!("{} edges, not each with both witnesses", joined.edges.len()).into());
    }
    let peak = peak()?;
    let rows = u32::try_from(joined.flows)?;
    println!(
        "{nodes:>5} {hours:>5} {rows:>9} {:>7} {blocks:>7} {:>13.1} {:>8} {:>8} {:>8} {:>9.0} {:>10}",
        bytes >> 20,
        kib(streaming) / 1_024.0,
        read.as_millis(),
        start.elapsed().as_millis(),
        joined.edges.len(),
        kib(peak) / 1_024.0,
        peak * 1_024 / rows,
    );
    Ok(())
}

fn kib(kib: u32) -> f64 {
    f64::from(kib)
}

/// The most memory that this process has had, in KiB.
fn peak() -> Result<u32, Box<dyn std::error::Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}
