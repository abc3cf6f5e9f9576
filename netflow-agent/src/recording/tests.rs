//! The merge law, the fixpoint of reading and writing, and what hostile or foreign lines end in.

use proptest::prelude::*;

use super::shelves::Shelves;
use super::*;
use crate::time::Window;

const SHOP: &str = include_str!("../../tests/recordings/shop.jsonl");

fn read_text(text: &str) -> Result<(Recording, Notes), ReadError> {
    let mut bytes = text.as_bytes();
    read([("test.jsonl", &mut bytes as &mut dyn std::io::BufRead)])
}

fn written(recording: &Recording) -> String {
    let mut out = Vec::new();
    write(recording, &mut out).expect("a vector takes all");
    String::from_utf8(out).expect("text")
}

fn rewritten(text: &str) -> String {
    written(&read_text(text).expect("a recording").0)
}

/// A flow line with some of its fields replaced by others.
fn flow(changes: &[(&str, &str)]) -> String {
    let mut fields = vec![
        ("kind", "\"flow\""),
        ("node", "\"a\""),
        ("hour", "\"2026-11-20T10:00:00Z\""),
        ("seq", "0"),
        ("side", "\"client\""),
        ("local", "\"10.1.0.1\""),
        ("remote", "\"10.1.0.2\""),
        ("port", "80"),
        ("protocol", "\"TCP\""),
        ("outcome", "\"established\""),
        ("basis", "\"observed\""),
        ("connections", "2"),
        ("bytes_sent", "10"),
        ("bytes_received", "20"),
        ("first", "\"2026-11-20T10:01:00Z\""),
        ("last", "\"2026-11-20T10:02:00Z\""),
    ];
    for (name, value) in changes {
        match fields.iter_mut().find(|(field, _)| field == name) {
            Some(field) => field.1 = value,
            None => fields.push((name, value)),
        }
    }
    let fields: Vec<String> = fields
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| format!("\"{name}\":{value}"))
        .collect();
    format!("{{{}}}\n", fields.join(","))
}

#[test]
fn what_is_written_reads_back_as_the_same() {
    let once = rewritten(SHOP);
    assert_eq!(rewritten(&once), once);
    assert_eq!(once.lines().count(), SHOP.lines().count());
}

#[test]
fn the_concatenation_of_recordings_is_a_recording() {
    assert_eq!(rewritten(&format!("{SHOP}{SHOP}")), rewritten(SHOP));
    assert_eq!(
        rewritten(&format!("{SHOP}\u{feff}{SHOP}")),
        rewritten(SHOP),
        "an editor's mark in the middle"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_order_of_lines_means_nothing(lines in Just(SHOP.lines().collect::<Vec<_>>()).prop_shuffle()) {
        prop_assert_eq!(rewritten(&lines.join("\n")), rewritten(SHOP));
    }
}

#[test]
fn equal_keys_are_one_flow_that_grew_and_other_seqs_add_up() {
    let grown = [
        ("connections", "5"),
        ("bytes_sent", "1"),
        ("first", "\"2026-11-20T10:00:30Z\""),
        ("last", "\"2026-11-20T10:05:00Z\""),
    ];
    let text = [flow(&[]), flow(&grown), flow(&[("seq", "1")])].concat();
    let (recording, _) = read_text(&text).expect("a recording");
    let counters: Vec<_> = recording
        .flows
        .iter()
        .map(|one| {
            let of = one.counters;
            (one.key.seq, of.connections, of.bytes_sent, of.first.to_string(), of.last.to_string())
        })
        .collect();
    let at = |time: &str| format!("2026-11-20T10:{time}Z");
    assert_eq!(counters, [(0, 5, 10, at("00:30"), at("05:00")), (1, 2, 10, at("01:00"), at("02:00"))]);
}

#[test]
fn coverage_merges_by_node_hour_and_seq() {
    let line = |seq, seconds, lost| {
        format!(
            r#"{{"kind":"coverage","node":"a","hour":"2026-11-20T10:00:00Z","seq":{seq},"observed_seconds":{seconds},"lost":{{"map_full":{lost}}}}}"#
        )
    };
    let text = [line(0, 1_000, 1), line(0, 1_200, 0), line(1, 600, 2)].join("\n");
    let (recording, _) = read_text(&text).expect("a recording");
    let summary = CoverageSummary::of(&recording, Window::ALL);
    let node = &summary.nodes["a"];
    assert_eq!(node.hours.values().copied().collect::<Vec<_>>(), [1_800]);
    assert_eq!(summary.lost().into_iter().collect::<Vec<_>>(), [("map_full", 3)]);
}

#[test]
fn absent_fields_and_foreign_forms_are_taken_as_the_format_says() {
    for (what, text) in [
        ("no seq", flow(&[("seq", "")])),
        ("a v4-mapped address", flow(&[("remote", "\"::ffff:10.1.0.2\"")])),
        ("an unknown field", flow(&[("mood", "{\"a\":[1]}")])),
        ("a null pod", flow(&[("pod", "null")])),
        ("a kind that is not first", format!("{{\"x\":1,{}", &flow(&[])[1..])),
        ("a byte order mark", format!("\u{feff}{}", flow(&[]))),
        ("carriage returns and empty lines", format!("\r\n{}\r\n\n", flow(&[]).trim_end())),
        ("no line end", flow(&[]).trim_end().to_owned()),
        ("an escaped name", flow(&[("node", "\"\\u0061\"")])),
        ("an offset", flow(&[("first", "\"2026-11-20T12:01:00+02:00\"")])),
    ] {
        assert_eq!(rewritten(&text), rewritten(&flow(&[])), "{what}");
    }
}

#[test]
fn a_line_that_is_not_valid_is_an_error_with_its_place() {
    for (what, line) in [
        ("no JSON", "hello".to_owned()),
        ("no object", "[]".to_owned()),
        ("no kind", "{}".to_owned()),
        ("half a line", flow(&[])[..50].to_owned()),
        ("two values", format!("{}{}", flow(&[]).trim_end(), flow(&[]))),
        ("another protocol", flow(&[("protocol", "\"ICMP\"")])),
        ("another side", flow(&[("side", "\"both\"")])),
        ("no remote", flow(&[("remote", "")])),
        ("a remote that is no address", flow(&[("remote", "\"example.com\"")])),
        ("neither local nor pod", flow(&[("local", "")])),
        ("port 0", flow(&[("port", "0")])),
        ("port 65536", flow(&[("port", "65536")])),
        ("a negative count", flow(&[("connections", "-1")])),
        ("first after last", flow(&[("first", "\"2026-11-20T10:03:00Z\"")])),
        ("an hour that is none", flow(&[("hour", "\"2026-11-20T10:30:00Z\"")])),
        ("a time that is none", flow(&[("last", "\"yesterday\"")])),
        ("deep nesting", format!("{{\"kind\":\"flow\",\"x\":{}", "[".repeat(100_000))),
        ("no object in an object line", r#"{"kind":"object"}"#.to_owned()),
        ("an object that is none", r#"{"kind":"object","object":7}"#.to_owned()),
        (
            "a pod with a bad address",
            r#"{"kind":"object","object":{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"},"status":{"podIP":"x"}}}"#
                .to_owned(),
        ),
        (
            "from after to",
            r#"{"kind":"object","from":"2026-11-20T10:00:01Z","to":"2026-11-20T10:00:00Z","object":{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"}}}"#
                .to_owned(),
        ),
    ] {
        let text = format!("{}\n{line}", flow(&[]));
        let error = read_text(&text).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.starts_with("test.jsonl:3: "), "{what}: {error}");
        assert!(error.len() < 400, "{what}: {error}");
    }
}

#[test]
fn unknown_kinds_are_skipped_whatever_they_hold_and_counted_once() {
    let text = format!("{}{{\"kind\":\"weather\",\"port\":\"sunny\"}}\n{{\"kind\":\"weather\"}}", flow(&[]));
    let (recording, notes) = read_text(&text).expect("a recording");
    assert_eq!(recording.flows.len(), 1);
    assert_eq!(notes.warnings().next().as_deref(), Some("skipped 2 lines of unknown kind: `weather` (2)"));
    assert_eq!(read_text(&flow(&[])).expect("a recording").1.warnings().next(), None);
}

#[test]
fn a_duration_counts_back_from_the_last_covered_hour_or_the_latest_flow() {
    let hour_ago = Some("1h".parse().expect("a duration"));
    let from =
        |text: &str| resolve(&read_text(text).expect("a recording").0, hour_ago, None).from.to_string();
    assert_eq!(from(&flow(&[])), "2026-11-20T09:02:00Z");
    let covered = r#"{"kind":"coverage","node":"a","hour":"2026-11-20T11:00:00Z","observed_seconds":60}"#;
    assert_eq!(from(&format!("{}{covered}", flow(&[]))), "2026-11-20T11:00:00Z");
}

/// Read with so many rows in memory at most.
fn spilt(text: &str, rows: usize, missing: usize) -> (Recording<Spilt>, Notes) {
    let scratch = Box::new(Shelves::missing(missing));
    let mut reader = Reader::new(Spilling::new(scratch, rows));
    reader.read("test.jsonl", &mut text.as_bytes()).expect("a recording");
    reader.finish_spilt()
}

#[test]
fn without_any_room_all_is_held_and_it_is_said() {
    let (recording, notes) = spilt(SHOP, 1, 1);
    assert!(notes.warnings().next().is_some_and(|words| words.contains("held in memory")));
    let mut out = Vec::new();
    write_spilt(&recording, Window::ALL, &mut out).expect("a vector takes all");
    assert_eq!(String::from_utf8(out).expect("text"), rewritten(SHOP));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Up to a hundred runs of one row, so that runs are made into one on the way.
    #[test]
    fn what_is_laid_down_is_what_is_held(
        lines in proptest::collection::vec((0..3_u8, 0..4_u8, 0..9_u8, 0..5_u8, 1..9_u8), 0..100),
        rows in 1..40_usize,
    ) {
        let line = |(node, hour, remote, pod, connections): (u8, u8, u8, u8, u8)| {
            let (connections, pod) = (connections.to_string(), format!("\"pod-{pod}\""));
            flow(&[
                ("node", &format!("\"node-{node}\"")),
                ("hour", &format!("\"2026-11-20T1{hour}:00:00Z\"")),
                ("remote", &if remote < 5 { format!("\"10.1.0.{remote}\"") } else { format!("\"fd00::{remote}\"") }),
                ("pod", if pod == "\"pod-0\"" { "null" } else { &pod }),
                ("connections", &connections),
            ])
        };
        let text: String = lines.into_iter().map(line).collect();
        let (held, (laid, notes)) = (read_text(&text).expect("a recording").0, spilt(&text, rows, 0));
        prop_assert_eq!(notes.warnings().count(), 0);
        for _ in 0..2 {
            let mut out = Vec::new();
            write_spilt(&laid, Window::ALL, &mut out).expect("a vector takes all");
            prop_assert_eq!(String::from_utf8(out).expect("text"), written(&held));
        }
        let mut flows = Vec::new();
        laid.flows.each(&mut |flow| flows.push(flow.clone())).expect("shelves can be read");
        prop_assert_eq!(flows.len(), held.flows.len());
        let summary = CoverageSummary::try_of(&laid, Window::ALL).expect("shelves can be read");
        prop_assert_eq!(summary, CoverageSummary::of(&held, Window::ALL));
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut input = bytes.as_slice();
        drop(read([("x", &mut input as &mut dyn std::io::BufRead)]));
    }
}
