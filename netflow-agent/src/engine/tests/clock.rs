//! The wall clock is set, back or forward, while the agent runs.

use super::*;

/// It is `seconds` now and was `before`.
fn set_back(engine: &mut Engine, before: i64, seconds: i64) {
    let set_back = SetBack { now: at(seconds), milliseconds: (before - seconds) * 1_000 };
    assert_eq!(engine.step(Input::SetBack(set_back)), Output::Nothing);
}

/// Heard an hour ahead of time, a pod would otherwise own its address in an hour, and no news of it would count.
#[test]
fn after_the_clock_was_set_back_news_count_and_pods_have_their_addresses() {
    let mut engine = engine();
    let started = |uid: &str, ips: &[&str]| Object::Pod(Pod { started: None, ..pod(uid, "node-a", ips) });
    applied(&mut engine, started("early", &["10.244.1.5"]), 3_600);
    applied(&mut engine, started("second", &["10.244.1.6"]), 3_605);
    drop(drained(&mut engine, 3_610));
    applied(&mut engine, started("later", &["10.244.1.7"]), 3_611);
    set_back(&mut engine, 3_620, 20);
    // Seen before the clock was set, drained after it: by the new time, and the pods held their addresses.
    for local in ["10.244.1.5", "10.244.1.6", "10.244.1.7"] {
        drop(engine.step(Input::Sample(sample(local, "10.96.0.1", 443, 12))));
    }
    // The news after it: one pod goes, another comes.
    deleted(&mut engine, started("early", &["10.244.1.5"]), 40);
    applied(&mut engine, started("new", &["10.244.1.5"]), 45);
    let batch = drained(&mut engine, 50);
    assert_eq!(batch.flows.len(), 3);
    let mut told: Vec<(&str, i64, Option<i64>)> = batch
        .objects
        .iter()
        .map(|it| {
            let second = |time: Time| time.seconds() - at(0).seconds();
            (&*it.object.meta().name, it.from.map_or(0, second), it.to.map(second))
        })
        .collect();
    told.sort_unstable();
    let expected = [
        // What the store has under a time that never was is closed there, and told again.
        ("early", 0, Some(40)),
        ("early", 3_600, Some(3_600)),
        ("later", 11, None),
        ("new", 45, None),
        ("second", 5, None),
        ("second", 3_605, Some(3_605)),
    ];
    assert_eq!(told, expected);
}

#[test]
fn samples_that_wait_are_given_up_a_minute_after_the_clock_was_set_back() {
    let mut engine = engine();
    drop(engine.step(Input::Sample(wildcard(7, None, 3_600))));
    drop(engine.step(Input::Drained(Span { first: at(3_600), last: at(3_610) })));
    set_back(&mut engine, 3_610, 0);
    drop(drained(&mut engine, 10));
    assert!(!engine.seen().lost.contains_key(LOCAL_UNKNOWN));
    drop(drained(&mut engine, 80));
    assert_eq!(engine.seen().lost[LOCAL_UNKNOWN], 1);
}

/// Forward by a day: the hours between are not covered, and say so by having no line.
#[test]
fn a_clock_set_forward_leaves_a_gap_that_shows() {
    let mut engine = engine();
    drop(engine.step(Input::Sample(sample("10.0.0.1", "10.0.0.2", 80, 0))));
    let before = drained(&mut engine, 10);
    let day = 24 * 3_600;
    drop(engine.step(Input::Sample(sample("10.0.0.1", "10.0.0.2", 80, day))));
    let after = drained(&mut engine, day + 10);
    let hours = |batch: &Batch| batch.coverage.iter().map(|it| it.hour.index()).collect::<Vec<_>>();
    assert_eq!(hours(&after), [hours(&before)[0] + 24]);
    let counts = [&before, &after].map(|batch| batch.flows[0].counters.connections);
    assert_eq!(counts, [1, 1], "each hour counts its own");
}
