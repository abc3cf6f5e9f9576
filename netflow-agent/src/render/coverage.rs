//! What was observed, in words. In: the coverage of a window. Out: a line for the window, then one for each
//! hour or node that is missing, that was watched in part, or that lost flows; nodes that lack the same share one.

use std::collections::{BTreeMap, BTreeSet};

use super::words::count;
use crate::recording::{CoverageSummary, NodeCoverage};
use crate::time::Hour;

/// Each line names what it is about: an hour that no line names was watched by every node.
pub fn words(coverage: &CoverageSummary) -> Vec<String> {
    let Some((from, to)) = coverage.span else {
        return vec!["nothing was observed in the window".to_owned()];
    };
    let nodes = count(coverage.nodes.len(), "node");
    if coverage.assumed {
        let said = "no coverage lines: taken as fully covered from the first to the last flow";
        return vec![format!("window {from} to {to}, {nodes}; {said}")];
    }
    let (observed, all) = coverage.node_hours();
    let mut words = vec![format!("window {from} to {to}, {nodes}; {observed} of {all} node-hours observed")];
    words.extend(missing(coverage));
    for (name, node) in coverage.nodes.iter().filter(|(_, node)| !node.partial.is_empty()) {
        let hours = node.partial.iter().map(|(hour, all)| {
            let watched = node.hours.get(hour).copied().unwrap_or_default();
            format!("{hour} {watched} of {all} s")
        });
        let hours: Vec<String> = hours.collect();
        words.push(format!(
            "observed in part: node {name}, {} ({})",
            count(hours.len(), "hour"),
            hours.join(", ")
        ));
    }
    words.extend(unheard(coverage));
    for (cause, lost) in coverage.lost() {
        words.push(format!("lost: {lost} ({cause})"));
    }
    words
}

fn missing(coverage: &CoverageSummary) -> Vec<String> {
    let mut alike: BTreeMap<&BTreeSet<Hour>, Vec<&str>> = BTreeMap::new();
    for (name, node) in coverage.nodes.iter().filter(|(_, node)| !node.missing.is_empty()) {
        alike.entry(&node.missing).or_default().push(name);
    }
    let line = |(hours, nodes): (&BTreeSet<Hour>, Vec<&str>)| {
        let (noun, each) = if nodes.len() == 1 { ("node", "") } else { ("nodes", " each") };
        let nodes = nodes.join(", ");
        format!("not observed: {noun} {nodes}, {}{each} ({})", count(hours.len(), "hour"), spans(hours))
    };
    let mut lines: Vec<String> = alike.into_iter().map(line).collect();
    lines.sort_unstable();
    lines
}

/// Where names were completed afterwards, and what came and went meanwhile may have none.
fn unheard(coverage: &CoverageSummary) -> Vec<String> {
    let nodes = coverage.nodes.iter().filter(|(_, node)| !node.unheard.is_empty());
    let line = |(name, node): (&std::sync::Arc<str>, &NodeCoverage)| {
        let seconds: u32 = node.unheard.values().fold(0, |all, seconds| all.saturating_add(*seconds));
        let hours: BTreeSet<Hour> = node.unheard.keys().copied().collect();
        format!(
            "named afterwards: node {name}, {seconds} s in {} ({}): the inventory could not be read; pods that came and \
             went meanwhile have no name",
            count(hours.len(), "hour"),
            spans(&hours)
        )
    };
    nodes.map(line).collect()
}

/// `10:00`, or `10:00 to 13:00` for hours that follow each other.
fn spans(hours: &BTreeSet<Hour>) -> String {
    let hours: Vec<Hour> = hours.iter().copied().collect();
    let runs = hours.chunk_by(|one, next| one.index() + 1 == next.index());
    let span = |run: &[Hour]| match run {
        [] => String::new(),
        [only] => only.to_string(),
        [first, .., last] => format!("{first} to {}", last.end()),
    };
    runs.map(span).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use crate::recording::{CoverageSummary, Reader};
    use crate::time::{Moment, Window};

    /// `NODE HOUR SECONDS [LOST [UNHEARD]]` for coverage, `+NODE [CREATED]` for a node that is known by its object, `FIRST-LAST`
    /// in hours and minutes for a flow of node a.
    fn recording(lines: &str) -> crate::recording::Recording {
        let mut text = String::new();
        for line in lines.split(';').map(str::trim) {
            let words: Vec<&str> = line.split_whitespace().collect();
            let line = match words.as_slice() {
                [span] if span.contains('-') => {
                    let (first, last) = span.split_once('-').expect("two times");
                    format!(
                        r#"{{"kind":"flow","node":"a","hour":"2026-11-20T{}:00:00Z","side":"client","local":"10.0.0.1","remote":"10.0.0.2","port":80,"protocol":"TCP","outcome":"established","connections":1,"first":"2026-11-20T{first}:00Z","last":"2026-11-20T{last}:00Z"}}"#,
                        &first[..2]
                    )
                }
                [node] => format!(
                    r#"{{"kind":"object","object":{{"apiVersion":"v1","kind":"Node","metadata":{{"name":"{}"}}}}}}"#,
                    &node[1..]
                ),
                [node, hour] => format!(
                    r#"{{"kind":"object","object":{{"apiVersion":"v1","kind":"Node","metadata":{{"name":"{}","creationTimestamp":"2026-11-20T{hour}:00:00Z"}}}}}}"#,
                    &node[1..]
                ),
                [node, hour, seconds, more @ ..] => format!(
                    r#"{{"kind":"coverage","node":"{node}","hour":"2026-11-20T{hour}:00:00Z","observed_seconds":{seconds},"unheard_seconds":{},"lost":{{"map_full":{}}}}}"#,
                    more.get(1).unwrap_or(&"0"),
                    more.first().unwrap_or(&"0")
                ),
                [] => String::new(),
            };
            text.extend([line.as_str(), "\n"]);
        }
        let mut reader = Reader::default();
        reader.read("case", &mut text.as_bytes()).expect("a recording");
        reader.finish().0
    }

    fn summary(lines: &str, since: &str, until: &str) -> CoverageSummary {
        let recording = recording(lines);
        let moment = |text: &str| text.parse::<Moment>().ok();
        let window = crate::recording::resolve(&recording, moment(since), moment(until));
        assert!(window.from <= window.to);
        CoverageSummary::of(&recording, window)
    }

    /// Claim, lines, `--since`, `--until`, and what must be said beside the window.
    type Case = (&'static str, &'static str, &'static str, &'static str, &'static str);

    const CASES: &[Case] = &[
        ("all was watched", "a 10 3600; a 11 3600; b 10 3600; b 11 3600", "", "", ""),
        (
            "the window asks for more than there is",
            "a 10 3600; a 11 3600; b 10 3600; b 11 3600",
            "3h",
            "",
            "not observed: nodes a, b, 1 hour each (2026-11-20T09:00:00Z)",
        ),
        (
            "and for later",
            "a 10 3600; a 11 3600; b 10 3600; b 11 3600",
            "",
            "2026-11-20T13:00:00Z",
            "not observed: nodes a, b, 1 hour each (2026-11-20T12:00:00Z)",
        ),
        (
            "an hour between",
            "a 10 3600; a 12 3600",
            "",
            "",
            "not observed: node a, 1 hour (2026-11-20T11:00:00Z)",
        ),
        (
            "a run of hours",
            "a 10 3600; a 14 3600",
            "",
            "",
            "not observed: node a, 3 hours (2026-11-20T11:00:00Z to 2026-11-20T14:00:00Z)",
        ),
        (
            "a node that is known by its object",
            "a 10 3600; a 11 3600; b 10 3600; b 11 3600; +c",
            "",
            "",
            "not observed: node c, 2 hours (2026-11-20T10:00:00Z to 2026-11-20T12:00:00Z)",
        ),
        (
            "a node's first hour, half of it",
            "a 10 3600; a 11 3600; b 10 3600; b 11 3600; c 11 1800; +c 11",
            "",
            "",
            "observed in part: node c, 1 hour (2026-11-20T11:00:00Z 1800 of 3600 s)",
        ),
        (
            "nobody watches a node before it exists",
            "a 10 3600; a 11 3600; b 10 3600; b 11 3600; c 11 3600; +c 11",
            "",
            "",
            "",
        ),
        (
            "a line of no seconds observed nothing",
            "a 10 3600; a 11 3600; b 10 3600; b 11 3600; c 10 3600; c 11 0",
            "",
            "",
            "not observed: node c, 1 hour (2026-11-20T11:00:00Z)",
        ),
        (
            "half an hour between",
            "a 10 3600; a 11 1800; a 12 3600",
            "",
            "",
            "observed in part: node a, 1 hour (2026-11-20T11:00:00Z 1800 of 3600 s)",
        ),
        ("an export in the middle of the last hour", "a 10 3600; a 11 1200; 10:00-11:20", "", "", ""),
        (
            "the last hour went on: flows are later",
            "a 10 3600; a 11 1200; 10:00-11:50",
            "",
            "",
            "observed in part: node a, 1 hour (2026-11-20T11:00:00Z 1200 of 3000 s)",
        ),
        (
            "one hour alone, half watched",
            "a 10 1800; 10:03-10:59",
            "",
            "",
            "observed in part: node a, 1 hour (2026-11-20T10:00:00Z 1800 of 3360 s)",
        ),
        (
            "one node watched longer",
            "a 10 3600; b 10 1800",
            "",
            "",
            "observed in part: node b, 1 hour (2026-11-20T10:00:00Z 1800 of 3600 s)",
        ),
        ("the first hour is cut by the window", "a 10 1800; a 11 3600", "2026-11-20T10:30:00Z", "", ""),
        (
            "a window that ends half a minute into an hour",
            "a 10 3600; a 11 3600",
            "",
            "2026-11-20T12:00:30Z",
            "",
        ),
        ("lost flows", "a 10 3600 7", "", "", "lost: 7 (map_full)"),
        (
            "nothing is complete where nothing was seen",
            "a 10 3600; a 11 3600; b 10 3600; b 11 3600",
            "2026-11-21T10:00:00Z",
            "",
            "nothing was observed in the window",
        ),
        ("nor in an empty recording", "", "", "", "nothing was observed in the window"),
    ];

    #[test]
    fn an_hour_without_a_line_was_not_observed_and_is_named() {
        for (claim, lines, since, until, expected) in CASES {
            let summary = summary(lines, since, until);
            let words = super::words(&summary);
            let told: Vec<&str> =
                words.iter().map(String::as_str).filter(|line| !line.starts_with("window ")).collect();
            assert_eq!(told.join("; "), *expected, "{claim}");
            assert_eq!(summary.is_complete(), expected.is_empty(), "{claim}");
        }
    }

    #[test]
    fn what_was_named_afterwards_is_said_and_is_no_gap() {
        let summary =
            summary("a 10 3600 0 2700; a 11 3600 0 900; a 12 3600; b 10 3600; b 11 3600; b 12 3600", "", "");
        let words = super::words(&summary);
        assert_eq!(
            words[1..],
            [concat!(
                "named afterwards: node a, 3600 s in 2 hours (2026-11-20T10:00:00Z to 2026-11-20T12:00:00Z): ",
                "the inventory could not be read; pods that came and went meanwhile have no name"
            )]
        );
        assert!(summary.is_complete(), "every flow was counted");
    }

    #[test]
    fn without_coverage_lines_all_is_taken_as_covered_and_it_says_so() {
        let summary = summary("10:05-10:50", "", "");
        let words = super::words(&summary);
        assert!(
            words[0].starts_with(
                "window 2026-11-20T10:05:00Z to 2026-11-20T10:50:00Z, 1 node; no coverage lines"
            ),
            "{words:?}"
        );
        assert!(summary.is_complete());
        assert_eq!(CoverageSummary::of(&recording("10:05-10:50"), Window::ALL), summary);
    }
}
