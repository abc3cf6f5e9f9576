//! The store on real files: what goes in comes out, also after a crash, a full limit or another version.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::engine::Batch;
use crate::flow::{Basis, Coverage, Flow, FlowCounters, FlowKey, Outcome, Side};
use crate::manifest::{Meta, Object, Pod};
use crate::net::Protocol;
use crate::recording::{self, Observed, Recording};
use crate::time::{Hour, Time, Window};

const HOUR: i64 = 500_000;

fn flow(hour: i64, seq: u32, host: u8, connections: u64) -> Flow {
    let hour = Hour::from_index(hour);
    Flow {
        key: FlowKey {
            node: "node-a".into(),
            hour,
            seq,
            side: Side::Client,
            pod: Some("0f4b3a1e-6a0d-4b1e-9a55-0c6a4f7d1234".into()),
            local: None,
            remote: IpAddr::from([10, 0, 0, host]),
            port: 80,
            protocol: Protocol::Tcp,
            outcome: Outcome::Established,
            basis: Basis::Observed,
        },
        counters: FlowCounters {
            connections,
            bytes_sent: 1,
            bytes_received: 2,
            first: hour.start(),
            last: hour.start().plus_seconds(10),
        },
    }
}

fn coverage(hour: i64, seq: u32) -> Coverage {
    Coverage {
        node: "node-a".into(),
        hour: Hour::from_index(hour),
        seq,
        observed_seconds: 10,
        unheard_seconds: 0,
        lost: [(Arc::from("ring_full"), 3)].into(),
    }
}

fn pod(name: &str, from: i64, to: Option<i64>) -> Observed {
    let start = |hour: i64| Hour::from_index(hour).start();
    let meta = Meta {
        namespace: "shop".into(),
        name: name.into(),
        uid: Some(format!("uid-{name}").into()),
        ..Meta::default()
    };
    Observed {
        from: Some(start(from)),
        to: to.map(start),
        gateways: Vec::new(),
        object: Arc::new(Object::Pod(Pod { meta, ips: vec![[10, 0, 0, 9].into()], ..Pod::default() })),
    }
}

fn batch(hour: i64, flows: Vec<Flow>, objects: Vec<Observed>) -> Batch {
    Batch { coverage: vec![coverage(hour, 0)], flows, answered: Vec::new(), objects }
}

fn store(folder: &Path) -> Store {
    Store::open(folder).expect("the store opens").store
}

fn lines(reader: &Reader, window: Window) -> Vec<u8> {
    let mut out = Vec::new();
    reader.write(window, &mut out).expect("the store reads");
    out
}

fn recording(lines: &[u8]) -> Recording {
    let mut lines = lines;
    recording::read([("store", &mut lines as &mut dyn std::io::BufRead)]).expect("lines of a recording").0
}

#[test]
fn what_was_saved_is_a_recording_while_it_runs_and_after() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut store = store(folder.path());
    let object = pod("web", HOUR, None);
    store.save(&batch(HOUR, vec![flow(HOUR, 0, 2, 1)], vec![object.clone()])).expect("saved");
    // The flow grew: one row, the later reading.
    store.save(&batch(HOUR, vec![flow(HOUR, 0, 2, 5), flow(HOUR, 0, 3, 1)], Vec::new())).expect("saved");
    let live = lines(&store.reader(), Window::ALL);
    let read = recording(&live);
    assert_eq!(read.flows, [flow(HOUR, 0, 2, 5), flow(HOUR, 0, 3, 1)]);
    assert_eq!(read.coverage, [coverage(HOUR, 0)]);
    assert_eq!(read.objects, [object]);
    drop(store);
    let stopped = Reader::open(folder.path()).expect("a stopped agent's folder");
    assert_eq!(lines(&stopped, Window::ALL), live);
    assert_eq!(lines(&stopped, Window::ALL), live, "the same bytes each time");
}

#[test]
fn a_window_takes_what_meets_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut store = store(folder.path());
    for hour in HOUR..HOUR + 5 {
        store.save(&batch(hour, vec![flow(hour, 0, 2, 1)], Vec::new())).expect("saved");
    }
    let objects = vec![pod("old", HOUR, Some(HOUR + 1)), pod("now", HOUR + 1, None)];
    store.save(&batch(HOUR + 4, Vec::new(), objects)).expect("saved");
    let start = Hour::from_index(HOUR + 2).start();
    let read = recording(&lines(&store.reader(), Window { from: start, to: start.plus_seconds(5) }));
    let hours = |flows: &[Flow]| flows.iter().map(|it| it.key.hour.index()).collect::<Vec<_>>();
    assert_eq!(hours(&read.flows), [HOUR + 2]);
    assert_eq!(read.coverage.len(), 1);
    assert_eq!(read.objects, [pod("now", HOUR + 1, None)]);
}

#[test]
fn an_engine_goes_on_where_the_store_ended() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut first = store(folder.path());
    let objects = vec![pod("gone", HOUR, Some(HOUR + 1)), pod("open", HOUR, None)];
    first.save(&batch(HOUR, vec![flow(HOUR, 0, 2, 1)], objects)).expect("saved");
    drop(first);
    let resumed = Store::open(folder.path()).expect("the store opens").resumed;
    assert_eq!(resumed.next_seq, [(Hour::from_index(HOUR), 1)].into());
    assert_eq!(resumed.open, [pod("open", HOUR, None)]);
}

#[test]
fn answered_questions_are_taken_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut store = store(folder.path());
    let question = flow(HOUR, 0, 2, 1);
    store.save(&batch(HOUR, vec![question.clone()], Vec::new())).expect("saved");
    let taken = Batch { answered: vec![question.key], ..batch(HOUR, Vec::new(), Vec::new()) };
    store.save(&taken).expect("saved");
    assert!(recording(&lines(&store.reader(), Window::ALL)).flows.is_empty());
}

#[test]
fn one_agent_a_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = store(folder.path());
    let second = Store::open(folder.path()).expect_err("the folder is taken");
    assert!(matches!(second, StoreError::Locked { .. }), "{second}");
    assert!(second.hint().is_some_and(|hint| hint.contains("--state-dir")));
    let reader = Reader::open(folder.path()).expect_err("an agent is running");
    assert!(matches!(reader, StoreError::Running { .. }), "{reader}");
    assert!(reader.hint().is_some_and(|hint| hint.contains("agent.sock")));
    drop(first);
    drop(store(folder.path()));
}

#[test]
fn a_folder_without_a_store_is_said_to_be_none() {
    let folder = tempfile::tempdir().expect("a folder");
    let error = Reader::open(folder.path()).expect_err("there is nothing");
    assert!(matches!(error, StoreError::NoStore { .. }), "{error}");
    let error = Reader::open(&folder.path().join("not-there")).expect_err("there is nothing");
    assert!(matches!(error, StoreError::NoStore { .. }), "{error}");
}

#[test]
fn another_layout_and_a_damaged_file_are_set_aside_not_misread() {
    let damage: [fn(&Path); 5] = [
        |file| std::fs::write(file, b"no store at all, but long enough to be looked at").expect("written"),
        |file| {
            let bytes = std::fs::read(file).expect("read");
            std::fs::write(file, &bytes[..bytes.len() / 2]).expect("written");
        },
        |file| relabel(file, layout::LAYOUT + 1),
        |file| relabel(file, 0),
        |file| {
            let database = redb::Database::open(file).expect("opens");
            let write = database.begin_write().expect("begins");
            let mut objects = write.open_table(layout::OBJECTS).expect("a table");
            objects.insert(&b"no key"[..], (i64::MAX, &b"no line"[..])).expect("inserted");
            drop(objects);
            write.commit().expect("committed");
        },
    ];
    for (case, damage) in damage.iter().enumerate() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut first = store(folder.path());
        first.save(&batch(HOUR, vec![flow(HOUR, 0, 2, 1)], Vec::new())).expect("saved");
        drop(first);
        damage(&folder.path().join(FILE));
        let opened = Store::open(folder.path()).unwrap_or_else(|error| panic!("case {case}: {error:?}"));
        let aside = opened.set_aside.unwrap_or_else(|| panic!("case {case}: nothing was set aside"));
        assert!(aside.exists());
        let mut store = opened.store;
        assert_eq!(opened.resumed, Resumed::default());
        store.save(&batch(HOUR, vec![flow(HOUR, 0, 3, 1)], Vec::new())).expect("saved");
        assert_eq!(recording(&lines(&store.reader(), Window::ALL)).flows.len(), 1);
    }
}

fn relabel(file: &Path, version: u32) {
    let database = redb::Database::open(file).expect("our own file");
    let write = database.begin_write().expect("a transaction");
    write.open_table(layout::META).expect("the table").insert("layout", version).expect("a row");
    write.commit().expect("committed");
}

#[test]
fn a_newer_layout_is_not_read_by_an_older_version() {
    let folder = tempfile::tempdir().expect("a folder");
    drop(store(folder.path()));
    relabel(&folder.path().join(FILE), 7);
    let error = Reader::open(folder.path()).expect_err("layout 7");
    assert!(matches!(error, StoreError::Layout { found: 7, .. }), "{error}");
}

#[test]
fn what_is_too_old_goes_with_its_objects() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut store = store(folder.path());
    for hour in HOUR..HOUR + 10 {
        let objects = vec![pod(&format!("of-{hour}"), hour, Some(hour + 1))];
        store.save(&batch(hour, vec![flow(hour, 0, 2, 1)], objects)).expect("saved");
    }
    store.save(&batch(HOUR + 9, Vec::new(), vec![pod("stays", HOUR, None)])).expect("saved");
    let limits = Limits { age: Duration::from_hours(3), bytes: u64::MAX };
    let now = Hour::from_index(HOUR + 9).start().plus_seconds(60);
    store.retain(limits, now).expect("cleaned");
    let read = recording(&lines(&store.reader(), Window::ALL));
    let hours: Vec<i64> = read.flows.iter().map(|it| it.key.hour.index() - HOUR).collect();
    assert_eq!(hours, [6, 7, 8, 9]);
    assert_eq!(read.coverage.len(), 4);
    assert_eq!(read.objects.len(), 6, "{:?}", read.objects);
}

#[test]
fn what_is_too_much_goes_oldest_first_and_the_file_stays_small() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut store = store(folder.path());
    let limits = Limits { age: Duration::from_hours(24 * 14), bytes: 2 << 20 };
    for hour in HOUR..HOUR + 24 {
        for part in 0..8_u16 {
            let flows: Vec<Flow> = (0..250_u16)
                .map(|host| {
                    let mut flow = flow(hour, 0, 2, 1);
                    flow.key.port = 1 + part * 250 + host;
                    flow
                })
                .collect();
            store.save(&batch(hour, flows, Vec::new())).expect("saved");
        }
        store.retain(limits, Hour::from_index(hour).start().plus_seconds(3_599)).expect("cleaned");
        assert!(store.file_bytes() <= 3 << 20, "{} bytes at hour {hour}", store.file_bytes());
    }
    let read = recording(&lines(&store.reader(), Window::ALL));
    let hours: std::collections::BTreeSet<i64> = read.flows.iter().map(|it| it.key.hour.index()).collect();
    assert!(hours.len() >= 3 && hours.last() == Some(&(HOUR + 23)), "{hours:?}");
    assert_eq!(hours.len() * 2_000, read.flows.len(), "an hour is there whole or not at all");
    assert_eq!(read.coverage.len(), hours.len());
}

#[test]
fn an_hour_is_read_whole_while_the_next_batch_is_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut store = store(folder.path());
    store.save(&batch(HOUR, vec![flow(HOUR, 0, 2, 1)], Vec::new())).expect("saved");
    let reader = store.reader();
    let written = std::thread::spawn(move || {
        for connections in 2..40 {
            let flows = (2..12).map(|host| flow(HOUR, 0, host, connections)).collect();
            store.save(&batch(HOUR, flows, Vec::new())).expect("saved");
        }
        store
    });
    let mut sizes = std::collections::BTreeSet::new();
    while !written.is_finished() {
        let read = recording(&lines(&reader, Window::ALL));
        let counts: std::collections::BTreeSet<u64> =
            read.flows.iter().map(|it| it.counters.connections).collect();
        assert_eq!(counts.len(), 1, "a batch is there whole or not at all: {counts:?}");
        sizes.insert(read.flows.len());
    }
    drop(written.join().expect("the writer ends"));
    assert!(sizes.iter().all(|size| matches!(size, 1 | 10)), "{sizes:?}");
}

#[test]
fn times_are_kept_to_the_millisecond() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut store = store(folder.path());
    let mut flow = flow(HOUR, 0, 2, 1);
    flow.counters.last = Time::from_milliseconds(flow.counters.first.milliseconds() + 1_234);
    store.save(&batch(HOUR, vec![flow.clone()], Vec::new())).expect("saved");
    assert_eq!(recording(&lines(&store.reader(), Window::ALL)).flows, [flow]);
}
