//! Generation on a made-up recording: run it once with `write`, once with `read` for a bare typed
//! read, once with `yaml` for the whole way, so that each has its own memory. `save` puts the recording into the
//! store of an agent, and `read-store` and `yaml-store` begin there. Out: one line of figures.
#![expect(clippy::print_stdout, reason = "figures for a person")]
#![expect(clippy::disallowed_methods, reason = "a benchmark needs a clock")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use netflow_agent::edge::join;
use netflow_agent::engine::Batch;
use netflow_agent::flow::Coverage;
use netflow_agent::identity::Inventory;
use netflow_agent::policy::{Options, generate};
use netflow_agent::recording::{self, Recording};
use netflow_agent::render::kubernetes::{self, Detail};
use netflow_agent::render::proof;
use netflow_agent::sys::store::{self, Store};
use netflow_agent::time::Window;

/// Workloads of one namespace; each talks to the next few.
const NEIGHBOURS: usize = 40;
const PODS: usize = 4;
const HOURS: usize = 24;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["write", path, flows] => write(path, flows.parse()?),
        ["read", path] => {
            let start = Instant::now();
            let recording = read(path)?;
            figures("read", start, recording.flows.len())
        }
        ["yaml", path] => {
            let start = Instant::now();
            yaml(start, &read(path)?)
        }
        ["save", path, folder] => save(path, folder),
        ["read-store", folder] => {
            let start = Instant::now();
            let recording = read_store(folder)?;
            figures("read-store", start, recording.flows.len())
        }
        ["yaml-store", folder] => {
            let start = Instant::now();
            yaml(start, &read_store(folder)?)
        }
        _ => Err("usage: bench_generate write FILE FLOWS | read FILE | yaml FILE | save FILE FOLDER | \
                  read-store FOLDER | yaml-store FOLDER"
            .into()),
    }
}

/// As many workloads as flows over a hundred, with their pods, and flows of both ends over a day.
fn write(path: &str, flows: usize) -> Result<(), Box<dyn std::error::Error>> {
    let workloads = (flows / 100).max(NEIGHBOURS);
    let mut out = BufWriter::new(File::create(path)?);
    let name = |at: usize| (at / NEIGHBOURS, at % NEIGHBOURS);
    let ip = |at: usize, pod: usize| {
        let number = at * PODS + pod;
        format!("10.{}.{}.{}", 64 + number / 62_500, number / 250 % 250, 1 + number % 250)
    };
    for at in 0..workloads {
        let (space, app) = name(at);
        for pod in 0..PODS {
            writeln!(
                out,
                r#"{{"kind":"object","from":"2026-11-20T00:00:00Z","object":{{"apiVersion":"v1","kind":"Pod","metadata":{{"namespace":"ns-{space}","name":"app-{app}-6c9f8d-{pod}","uid":"u-{at}-{pod}","labels":{{"app":"app-{app}","pod-template-hash":"6c9f8d"}},"ownerReferences":[{{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"app-{app}-6c9f8d","uid":"r-{at}","controller":true}}]}},"spec":{{"nodeName":"node-{}"}},"status":{{"phase":"Running","podIPs":[{{"ip":"{}"}}]}}}}}}"#,
                pod % 100,
                ip(at, pod)
            )?;
        }
    }
    for number in 0..flows {
        let (pair, side) = (number / 2, number % 2);
        let from = pair % workloads;
        let step = 1 + pair / workloads % 4;
        let (space, app) = name(from);
        let to = space * NEIGHBOURS + (app + step) % NEIGHBOURS;
        let (hour, seq) = (pair / workloads % HOURS, pair / workloads / HOURS);
        let (a, b) = (pair % PODS, (pair / workloads) % PODS);
        let to = if to < workloads { to } else { from };
        let (side, local, remote, uid) = if side == 0 {
            ("client", ip(from, a), ip(to, b), format!("u-{from}-{a}"))
        } else {
            ("server", ip(to, b), ip(from, a), format!("u-{to}-{b}"))
        };
        writeln!(
            out,
            r#"{{"kind":"flow","node":"node-{}","hour":"2026-11-20T{hour:02}:00:00Z","seq":{seq},"side":"{side}","pod":"{uid}","local":"{local}","remote":"{remote}","port":{},"protocol":"TCP","outcome":"established","basis":"observed","connections":{},"bytes_sent":9120,"bytes_received":48211,"first":"2026-11-20T{hour:02}:03:11Z","last":"2026-11-20T{hour:02}:59:58Z"}}"#,
            pair % 100,
            8_000 + step,
            1 + pair % 900
        )?;
    }
    out.flush()?;
    Ok(())
}

fn read(path: &str) -> Result<Recording, Box<dyn std::error::Error>> {
    let mut input = BufReader::with_capacity(256 << 10, File::open(path)?);
    let (recording, _notes) = recording::read([(path, &mut input as &mut dyn BufRead)])?;
    Ok(recording)
}

/// Every flow as one agent would have saved it, in batches as it saves them.
fn save(path: &str, folder: &str) -> Result<(), Box<dyn std::error::Error>> {
    const BATCH: usize = 20_000;
    let recording = read(path)?;
    let mut opened = Store::open(Path::new(folder))?;
    let node: Arc<str> = "node-0".into();
    let hours: BTreeSet<_> = recording.flows.iter().map(|flow| (flow.key.hour, flow.key.seq)).collect();
    let coverage = hours.into_iter().map(|(hour, seq)| Coverage {
        node: Arc::clone(&node),
        hour,
        seq,
        observed_seconds: 3_600,
        unheard_seconds: 0,
        lost: BTreeMap::new(),
    });
    let about = Batch { objects: recording.objects, coverage: coverage.collect(), ..Batch::default() };
    opened.store.save(&about)?;
    for flows in recording.flows.chunks(BATCH) {
        let mut batch = Batch { flows: flows.to_vec(), ..Batch::default() };
        batch.flows.iter_mut().for_each(|flow| flow.key.node = Arc::clone(&node));
        opened.store.save(&batch)?;
    }
    Ok(())
}

/// As a verb reads the store: its lines go through a pipe to the reader of recordings.
fn read_store(folder: &str) -> Result<Recording, Box<dyn std::error::Error>> {
    let store = store::Reader::open(Path::new(folder))?;
    let (output, input) = std::io::pipe()?;
    let mut lines = recording::Reader::default();
    std::thread::scope(|scope| -> Result<(), Box<dyn std::error::Error>> {
        let written = scope.spawn(move || store.write(Window::ALL, &mut BufWriter::new(input)));
        lines.read(folder, &mut BufReader::new(output))?;
        Ok(written.join().map_err(|_panic| "the store's reader panicked")??)
    })?;
    Ok(lines.finish().0)
}

fn yaml(start: Instant, recording: &Recording) -> Result<(), Box<dyn std::error::Error>> {
    let inventory = Inventory::of(&recording.objects, Window::ALL);
    let joined = join(recording, &inventory, Window::ALL);
    let joining = start.elapsed().as_millis();
    let answer = generate(&joined.edges, &inventory, &Options::default());
    let generating = start.elapsed().as_millis();
    let mut bytes = Vec::new();
    kubernetes::yaml(&answer.policies, Detail::Short, &mut bytes)?;
    let policies = proof::parse("stream", &bytes)?;
    let parsing = start.elapsed().as_millis();
    proof::prove(policies, recording.objects.iter().map(|one| &*one.object), &joined.edges, &answer)?;
    println!(
        "yaml: {} edges, {} policies, {} KiB; read and join {joining} ms, generate {} ms, render and parse {} ms",
        joined.edges.len(),
        answer.policies.len(),
        bytes.len() >> 10,
        generating - joining,
        parsing - generating,
    );
    figures("yaml", start, recording.flows.len())
}

fn figures(what: &str, start: Instant, flows: usize) -> Result<(), Box<dyn std::error::Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("").trim().to_owned();
    println!("{what}: {flows} flows, {} ms, peak {peak}", start.elapsed().as_millis());
    Ok(())
}
