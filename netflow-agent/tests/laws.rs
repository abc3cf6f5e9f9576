//! A thousand random clusters: what is generated allows what was meant and nothing else, whatever the pods are
//! called, however many there are, and in whatever order the recording tells it. And fifteen deliberate faults,
//! each of which a law must catch.

#[path = "support/faults.rs"]
mod faults;
#[path = "support/laws.rs"]
mod laws;
#[path = "support/naive.rs"]
mod naive;
#[path = "support/pipeline.rs"]
mod pipeline;
#[path = "support/record.rs"]
mod record;
#[path = "support/world.rs"]
mod world;

use std::collections::{BTreeMap, BTreeSet};

use netflow_agent::edge::{join, try_join};
use netflow_agent::identity::Inventory;
use netflow_agent::policy::Options;
use netflow_agent::recording::{Reader, Spilling};
use netflow_agent::sys::scratch;
use netflow_agent::time::Window;
use pipeline::{Outcome, run};
use record::{Case, Shape, record as record_world};
use world::{Access, Kind, Who, World};

const CASES: u64 = 1_000;

fn sane(case: &Case) -> Outcome {
    run(&case.lines, &Options::default(), &|_, _| (), &|_, _| ())
}

fn shapes(seed: u64, world: &World) -> [Case; 2] {
    [Shape { salt: seed }, Shape { salt: seed.wrapping_mul(31) + 7 }].map(|shape| record_world(world, shape))
}

/// Half of the seeds for each of two threads.
fn in_two<T: Send>(seeds: u64, one: impl Fn(u64) -> T + Sync) -> Vec<T> {
    let half = |odd: u64| (0..seeds).filter(|seed| seed % 2 == odd).map(&one).collect::<Vec<T>>();
    std::thread::scope(|scope| {
        let other = scope.spawn(|| half(1));
        let mut all = half(0);
        all.extend(other.join().expect("no law broken"));
        all
    })
}

fn keeps_the_laws(seed: u64) -> Features {
    let world = World::of(seed);
    let cases = shapes(seed, &world);
    let outcomes = [sane(&cases[0]), sane(&cases[1])];
    let less = sane(&record_world(&world.less(seed), Shape { salt: seed }));
    let kept = laws::check(&world, [&cases[0], &cases[1]], [&outcomes[0], &outcomes[1]], seed)
        .and_then(|()| laws::proved(&outcomes[0]))
        .and_then(|()| laws::monotone(&world, &cases[0], [&less, &outcomes[0]], seed));
    if let Err((law, how)) = kept {
        panic!("seed {seed}: not {law}: {how}\n{}", outcomes[0].full);
    }
    features(&world, &cases[0])
}

#[test]
fn a_thousand_clusters_keep_the_laws() {
    let mut all = Features::new();
    for features in in_two(CASES, keeps_the_laws) {
        for (feature, times) in features {
            *all.entry(feature).or_default() += times;
        }
    }
    println!("{CASES} clusters; of these or in these: {all:?}");
    assert!(all.values().all(|count| *count >= 20), "a feature hardly ever occurred: {all:?}");
}

type Features = BTreeMap<&'static str, usize>;

/// How often each feature occurs in a world, all of them named.
fn features(world: &World, case: &Case) -> Features {
    let hostile =
        |at: &world::Workload| at.selector.iter().any(|(_, value)| world::HOSTILE.contains(&value.as_str()));
    let done =
        || world.intents.iter().enumerate().filter(|(at, _)| !case.idle.contains(at)).map(|(_, one)| one);
    let by = |access| done().filter(|one| one.access == access).count();
    let itself = |one: &&world::Intent| {
        one.from == one.to
            && matches!(one.from, Who::Workload(at) if world.workloads[at].kind == Kind::StatefulSet)
    };
    Features::from([
        ("dual stack", usize::from(world.dual)),
        ("hostile label", world.workloads.iter().filter(|one| hostile(one)).count()),
        ("host network", world.workloads.iter().filter(|one| one.host_network).count()),
        ("rolling update", world.workloads.iter().filter(|one| one.rolling).count()),
        ("same labels", world.workloads.iter().filter(|one| one.twin.is_some()).count()),
        ("unknown controller", world.workloads.iter().filter(|one| !one.known).count()),
        ("address reused", case.reused),
        ("by cluster address", by(Access::ClusterIp)),
        ("by named target port", by(Access::NamedTarget)),
        ("headless", by(Access::Headless)),
        ("by node port", by(Access::NodePort)),
        (
            "node dialled",
            done().filter(|one| one.witness != 2 && world.dialled_node_port(one).is_some()).count(),
        ),
        ("by load balancer", by(Access::LoadBalancer)),
        ("by manual endpoints", by(Access::Manual)),
        ("by external name", by(Access::ExternalName)),
        ("server only", done().filter(|one| one.witness == 2).count()),
        ("both ends", done().filter(|one| one.witness == 0).count()),
        ("over IPv6", done().filter(|one| [&one.from, &one.to].into_iter().any(over_v6)).count()),
        (
            "external",
            done()
                .filter(|one| matches!(one.to, Who::External(_)) || matches!(one.from, Who::External(_)))
                .count(),
        ),
        ("node", done().filter(|one| one.to == Who::Node || one.from == Who::Node).count()),
        ("attempt", world.attempts.len()),
        ("StatefulSet among itself", done().filter(itself).count()),
        ("client only", done().filter(|one| one.witness == 1).count()),
    ])
}

fn over_v6(who: &Who) -> bool {
    matches!(who, Who::External(ip) if ip.contains(':'))
}

/// With seven rows in memory and all others in files, the edges are the same.
#[test]
fn what_does_not_fit_into_memory_is_joined_as_what_does() {
    in_two(200, |seed| {
        for case in shapes(seed, &World::of(seed)) {
            let held = pipeline::read(&case.lines);
            let mut reader = Reader::new(Spilling::new(Box::new(scratch::Files), 7));
            reader.read("case", &mut case.lines.join("\n").as_bytes()).expect("a recording");
            let (laid, notes) = reader.finish_spilt();
            assert_eq!(notes.warnings().next(), None);
            let inventory = Inventory::of(&held.objects, Window::ALL);
            let joined = try_join(&laid, &inventory, Window::ALL).expect("the files can be read");
            assert_eq!(joined, join(&held, &inventory, Window::ALL), "seed {seed}");
        }
    });
}

#[test]
fn each_of_the_fifteen_faults_breaks_a_law() {
    let first = |fault: &faults::Fault| {
        (0..200).find_map(|seed| {
            let world = World::of(seed);
            let cases = shapes(seed, &world);
            let outcomes = [fault.run(&cases[0]), fault.run(&cases[1])];
            let broken = laws::check(&world, [&cases[0], &cases[1]], [&outcomes[0], &outcomes[1]], seed);
            broken.err().map(|(law, _)| (law, seed))
        })
    };
    let caught: Vec<(&str, Option<(&str, u64)>)> =
        faults::ALL.iter().map(|fault| (fault.name, first(fault))).collect();
    let number = |name: &&str| name.split(' ').next().unwrap_or_default().to_owned();
    let missed: Vec<&str> = caught.iter().filter(|one| one.1.is_none()).map(|one| one.0).collect();
    let numbers: BTreeSet<String> = caught.iter().map(|one| number(&one.0)).collect();
    let missed_numbers: BTreeSet<String> = missed.iter().map(number).collect();
    println!(
        "{}/{} faults caught in {} mutants, by law and first seed: {caught:?}",
        numbers.difference(&missed_numbers).count(),
        numbers.len(),
        caught.len()
    );
    assert!(missed.is_empty(), "not caught: {missed:?}");
    assert_eq!(numbers.len(), 15);
}
