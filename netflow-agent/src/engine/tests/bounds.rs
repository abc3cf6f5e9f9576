//! Memory has bounds, and what they cost is counted: rows that find no room, objects that cannot be saved.

use super::*;
use crate::manifest::{EndpointSlice, SliceEndpoint};

/// A full table is saved and counting starts from zero under the next seq: everything is counted once.
#[test]
fn a_full_table_loses_nothing_that_can_be_saved() {
    let mut engine = Engine::with_limit("node-a".into(), BTreeMap::new(), Vec::new(), 10);
    let mut saved: Vec<Flow> = Vec::new();
    for host in 0..35_u8 {
        for _again in 0..2 {
            let remote = format!("10.1.0.{}", host + 1);
            let output = engine.step(Input::Sample(sample("10.0.0.1", &remote, 80, 0)));
            if let Output::Save(batch) = output {
                saved.extend(batch.flows);
                drop(engine.step(Input::Saved { at: at(10) }));
            }
        }
    }
    saved.extend(drained(&mut engine, 10).flows);
    let mut merged: BTreeMap<_, crate::flow::FlowCounters> = BTreeMap::new();
    for flow in saved {
        merged.entry(flow.key).and_modify(|it| it.merge(&flow.counters)).or_insert(flow.counters);
    }
    assert_eq!(merged.values().map(|it| it.connections).sum::<u64>(), 70);
    assert!(merged.keys().any(|key| key.seq == 3), "seqs: {:?}", merged.keys().map(|it| it.seq));
}

#[test]
fn a_full_table_that_cannot_be_saved_counts_what_it_loses() {
    let mut engine = Engine::with_limit("node-a".into(), BTreeMap::new(), Vec::new(), 10);
    for host in 0..35_u8 {
        let remote = format!("10.1.0.{}", host + 1);
        drop(engine.step(Input::Sample(sample("10.0.0.1", &remote, 80, 0))));
    }
    let batch = drained(&mut engine, 10);
    assert_eq!((batch.flows.len() as u64) + lost(&batch, NOT_STORED), 35);
    assert_eq!(lost(&batch, NOT_STORED), 25);
}

/// One pod that speaks to every address of a network makes a row of each: an hour has room for so many.
#[test]
fn what_an_hour_has_no_room_for_is_counted_over_all_its_seqs() {
    let engine = Engine::with_limit("node-a".into(), BTreeMap::new(), Vec::new(), 10);
    let mut engine = engine.with_rows_per_hour(25);
    let mut batches = Vec::new();
    for host in 0..40_u8 {
        let remote = format!("10.1.0.{}", host + 1);
        if let Output::Save(batch) = engine.step(Input::Sample(sample("10.0.0.1", &remote, 80, 0))) {
            batches.push(batch);
            drop(engine.step(Input::Saved { at: at(10) }));
        }
    }
    batches.push(drained(&mut engine, 10));
    assert_eq!(batches.iter().map(|batch| batch.flows.len()).sum::<usize>(), 25);
    assert_eq!(engine.seen().lost[NOT_STORED], 15);
    // The next hour has room again.
    drop(engine.step(Input::Sample(sample("10.0.0.1", "10.1.0.99", 80, 7_200))));
    assert_eq!(drained(&mut engine, 7_210).flows.len(), 1);
}

fn slice(endpoints: u8) -> Object {
    let endpoint = |host| SliceEndpoint {
        ips: vec![IpAddr::from([10, 244, 1, host])],
        pod: None,
        ready: true,
        node: None,
    };
    Object::EndpointSlice(EndpointSlice {
        meta: meta("shop", "web-abc", "slice"),
        endpoints: (0..endpoints).map(endpoint).collect(),
        ..EndpointSlice::default()
    })
}

/// A Service that rolls for days beside a full disk: each version of its slice waits to be saved.
#[test]
fn versions_that_cannot_be_saved_are_bounded_and_counted() {
    let mut engine = engine();
    let mut saves = 0;
    for turn in 0..2_000_u16 {
        let object = slice(100 + u8::try_from(turn % 100).expect("small"));
        let change = Change::Applied { object, at: at(i64::from(turn)) };
        // Asked for once; the disk is full, and nobody says `Saved`.
        saves += u32::from(engine.step(Input::Change(Box::new(change))) != Output::Nothing);
    }
    assert_eq!(saves, 1);
    let batch = drained(&mut engine, 2_010);
    let (kept, shed) = (batch.objects.len() as u64, lost(&batch, OBJECT_NOT_STORED));
    assert_eq!(kept + shed, 2_000, "{kept} kept, {shed} counted");
    assert!((300..500).contains(&kept), "{kept} of about 150 endpoints each wait");
    assert!(batch.objects.iter().any(|it| it.to.is_none()), "what is so now is told");
    // Saved by now: there is room for as many again.
    for turn in 0..100 {
        applied(&mut engine, slice(if turn % 2 == 0 { 50 } else { 60 }), 2_020 + turn);
    }
    let batch = drained(&mut engine, 2_200);
    assert_eq!((batch.objects.len(), lost(&batch, OBJECT_NOT_STORED)), (101, shed));
}
