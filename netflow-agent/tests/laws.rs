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

use std::collections::BTreeMap;

use netflow_agent::policy::Options;
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

#[test]
fn a_thousand_clusters_keep_the_laws() {
    let mut features: BTreeMap<&str, usize> = BTreeMap::new();
    for seed in 0..CASES {
        let world = World::of(seed);
        let cases = shapes(seed, &world);
        let outcomes = [sane(&cases[0]), sane(&cases[1])];
        count(&mut features, &world, &cases[0]);
        if let Err((law, how)) =
            laws::check(&world, [&cases[0], &cases[1]], [&outcomes[0], &outcomes[1]], seed)
        {
            panic!("seed {seed}: not {law}: {how}\n{}", outcomes[0].full);
        }
    }
    println!("{CASES} clusters; of these or in these: {features:?}");
    assert!(features.values().all(|count| *count >= 20), "a feature hardly ever occurred: {features:?}");
}

fn count(features: &mut BTreeMap<&'static str, usize>, world: &World, case: &Case) {
    let hostile =
        |at: &world::Workload| at.selector.iter().any(|(_, value)| world::HOSTILE.contains(&value.as_str()));
    let done =
        || world.intents.iter().enumerate().filter(|(at, _)| !case.idle.contains(at)).map(|(_, one)| one);
    let by = |access| done().filter(|one| one.access == access).count();
    let itself = |one: &&world::Intent| {
        one.from == one.to
            && matches!(one.from, Who::Workload(at) if world.workloads[at].kind == Kind::StatefulSet)
    };
    for (feature, times) in [
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
    ] {
        *features.entry(feature).or_default() += times;
    }
}

#[test]
fn each_of_the_fifteen_faults_breaks_a_law() {
    let mut caught: BTreeMap<&str, (&str, u64)> = BTreeMap::new();
    for fault in faults::ALL {
        for seed in 0..200 {
            let world = World::of(seed);
            let cases = shapes(seed, &world);
            let outcomes = [fault.run(&cases[0]), fault.run(&cases[1])];
            let broken = laws::check(&world, [&cases[0], &cases[1]], [&outcomes[0], &outcomes[1]], seed);
            if let Err((law, _)) = broken {
                caught.insert(fault.name, (law, seed));
                break;
            }
        }
    }
    println!("{}/{} faults caught, by law and first seed: {caught:?}", caught.len(), faults::ALL.len());
    let missed: Vec<&str> =
        faults::ALL.iter().map(|fault| fault.name).filter(|name| !caught.contains_key(name)).collect();
    assert!(missed.is_empty(), "not caught: {missed:?}");
    assert_eq!(faults::ALL.len(), 15);
}
