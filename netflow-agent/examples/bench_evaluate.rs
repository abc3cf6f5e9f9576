//! The engine on a made-up cluster of N workloads with N policies: `cargo xtask bench evaluate` calls it once for
//! each N, so that the memory is that of one size. Out: one line of figures.
#![expect(clippy::print_stdout, reason = "figures for a person")]

use std::fmt::Write as _;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use netflow_agent::audit::{self, Scene};
use netflow_agent::connectivity::Connectivity;
use netflow_agent::evaluate::{Cluster, End, Snapshot, Verdict};
use netflow_agent::manifest::{self, Object};
use netflow_agent::net::Protocol;

type Error = Box<dyn std::error::Error>;

/// Workloads of one namespace.
const NEIGHBOURS: usize = 40;
const N_VERDICTS: usize = 20_000_000;

fn main() -> Result<(), Error> {
    let n_workloads: usize = std::env::args().nth(1).ok_or("usage: bench_evaluate WORKLOADS")?.parse()?;
    let yaml = manifests(n_workloads)?;

    let start = on_core()?;
    let read = manifest::read("cluster.yaml", yaml.as_bytes());
    if let Some(error) = read.first_error() {
        return Err(error.to_string().into());
    }
    let objects: Vec<Object> = read.objects.into_iter().map(|placed| placed.object).collect();
    let reading = on_core()?.saturating_sub(start);
    let snapshot = Arc::new(Snapshot::new(&objects));
    let (mut others, mut policies) = (Vec::new(), Vec::new());
    for object in objects {
        match object {
            Object::NetworkPolicy(policy) => policies.push(policy),
            other => others.push(other),
        }
    }
    let n_policies = policies.len();
    let cluster = Cluster::compile(snapshot, policies);
    let compiling = on_core()?.saturating_sub(start + reading);
    let connectivity = Connectivity::new(&cluster);
    let whole = on_core()?.saturating_sub(start);
    let peak = peak_mebibytes()?;
    let spreading = whole.saturating_sub(reading + compiling);

    let (auditing, n_findings) = audited(&cluster, others)?;
    let (judging, n_allowed) = judge(&cluster, n_workloads)?;
    let rate = n_verdicts_per_second(judging) / 1e6;
    let yaml_bytes = u32::try_from(yaml.len())?;
    println!(
        "{n_workloads:>9} {n_policies:>8} {:>7.2} {:>8.0} {:>10.1} {:>14.1} {:>9.0} {peak:>7} {:>11} {rate:>12.1} {:>8.1}% {:>9.0} {n_findings:>9}",
        f64::from(yaml_bytes) / 1e6,
        milliseconds(reading),
        milliseconds(compiling),
        milliseconds(spreading),
        milliseconds(whole),
        connectivity.n_pairs(),
        100.0 * f64::from(n_allowed) / 20e6,
        milliseconds(auditing),
    );
    Ok(())
}

/// All findings of `audit`, nothing being observed.
fn audited(cluster: &Cluster, mut objects: Vec<Object>) -> Result<(Duration, usize), Error> {
    objects.extend(cluster.policies().iter().cloned().map(Object::NetworkPolicy));
    let start = on_core()?;
    let scene = Scene::new(cluster, &objects);
    let findings = audit::audit(&scene, &[], &audit::Options::default());
    Ok((on_core()?.saturating_sub(start), findings.len()))
}

fn milliseconds(span: Duration) -> f64 {
    span.as_secs_f64() * 1e3
}

fn n_verdicts_per_second(span: Duration) -> f64 {
    20e6 / span.as_secs_f64()
}

/// Both directions of connections between workloads drawn at random, three in four of them neighbours.
fn judge(cluster: &Cluster, n_workloads: usize) -> Result<(Duration, u32), Error> {
    let ends: Vec<End> = cluster.snapshot().subjects().map(|(id, _)| End::Subject { id, ip: None }).collect();
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut draw = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 33) as usize % below
    };
    let questions: Vec<(End, End, u16)> = (0..1 << 20)
        .map(|_| {
            let from = draw(n_workloads);
            let to = if draw(4) > 0 {
                (from - from % NEIGHBOURS + draw(NEIGHBOURS)).min(n_workloads - 1)
            } else {
                draw(n_workloads)
            };
            (ends[from], ends[to], if draw(2) == 0 { 8080 } else { 5432 })
        })
        .collect();
    let start = on_core()?;
    let mut n_allowed = 0;
    for (from, to, port) in questions.iter().cycle().take(N_VERDICTS) {
        let judged = cluster.judge(*from, *to, *port, Protocol::Tcp);
        n_allowed += u32::from(black_box(judged).verdict == Verdict::Allowed);
    }
    Ok((on_core()?.saturating_sub(start), n_allowed))
}

/// Time that this thread was on a core: other work on the machine is not counted, though its traces in the
/// caches are.
fn on_core() -> Result<Duration, Error> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanoseconds = text.split(' ').next().ok_or("no figure in schedstat")?;
    Ok(Duration::from_nanos(nanoseconds.parse()?))
}

/// The most memory that this process has held.
fn peak_mebibytes() -> Result<u64, Error> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse::<u64>()? / 1024)
}

/// A Deployment and a policy of both directions for each workload: three neighbours may reach it, it may reach
/// two neighbours, the DNS, a workload of the next namespace, and every tenth a range outside.
fn manifests(n_workloads: usize) -> Result<String, std::fmt::Error> {
    let mut yaml = String::new();
    for at in 0..n_workloads {
        let (home, place) = (at / NEIGHBOURS, at % NEIGHBOURS);
        let next = |step: usize| home * NEIGHBOURS + (place + step) % NEIGHBOURS;
        writeln!(yaml, "---\napiVersion: apps/v1\nkind: Deployment")?;
        writeln!(yaml, "metadata: {{name: app-{at}, namespace: team-{home}}}")?;
        writeln!(yaml, "spec:\n  replicas: 2\n  selector: {{matchLabels: {{app: app-{at}}}}}\n  template:")?;
        writeln!(yaml, "    metadata: {{labels: {{app: app-{at}, tier: t{}}}}}", at % 3)?;
        writeln!(yaml, "    spec:\n      containers:\n      - name: main\n        image: registry/app:{at}")?;
        writeln!(yaml, "        ports:\n        - name: http\n          containerPort: 8080")?;
        writeln!(yaml, "---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy")?;
        writeln!(yaml, "metadata: {{name: app-{at}, namespace: team-{home}}}")?;
        writeln!(yaml, "spec:\n  podSelector: {{matchLabels: {{app: app-{at}}}}}")?;
        writeln!(yaml, "  policyTypes: [Ingress, Egress]\n  ingress:\n  - from:")?;
        for step in [NEIGHBOURS - 1, NEIGHBOURS - 2, 5] {
            writeln!(yaml, "    - podSelector: {{matchLabels: {{app: app-{}}}}}", next(step))?;
        }
        writeln!(yaml, "    - namespaceSelector: {{matchLabels: {{kubernetes.io/metadata.name: team-0}}}}")?;
        writeln!(yaml, "    ports:\n    - port: http\n    - {{port: 9000, endPort: 9010}}\n  egress:")?;
        for step in [1, 2] {
            writeln!(yaml, "  - to:\n    - podSelector: {{matchLabels: {{app: app-{}}}}}", next(step))?;
            writeln!(yaml, "    ports:\n    - {{port: 8080, protocol: TCP}}")?;
        }
        writeln!(
            yaml,
            "  - to:\n    - namespaceSelector: {{matchLabels: {{kubernetes.io/metadata.name: kube-system}}}}"
        )?;
        writeln!(yaml, "      podSelector: {{matchLabels: {{k8s-app: kube-dns}}}}")?;
        writeln!(yaml, "    ports:\n    - {{port: 53, protocol: UDP}}\n    - {{port: 53, protocol: TCP}}")?;
        if at % 10 == 0 {
            let (high, low) = (at / 256 % 256, at % 256);
            writeln!(
                yaml,
                "  - to:\n    - ipBlock: {{cidr: 203.{high}.{low}.0/24}}\n    ports:\n    - {{port: 443}}"
            )?;
        }
    }
    Ok(yaml)
}
