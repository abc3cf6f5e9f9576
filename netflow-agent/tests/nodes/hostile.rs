//! Agents that answer anything but a recording of their node: each is a named gap, and the others are heard.

use super::server::{Answer, Server};
use super::shop::{Shop, words};

const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/jsonl\r\n";

fn raw(headers: &str, body: &[u8]) -> Answer {
    Answer::Raw([HEAD.as_bytes(), headers.as_bytes(), b"\r\n", body].concat())
}

/// What node b answers, and how the gap is named.
type Case = (&'static str, Answer, &'static str);

const NO_RECORDING: &str = "missing: node node-b: its answer is no recording: ";

/// Lines that are none.
fn lines(shop: &Shop) -> Vec<Case> {
    let own = &shop.nodes["node-b"];
    let with = |line: &str| Answer::Whole(format!("{own}{line}\n"));
    let flow = own.lines().find(|line| line.contains("\"flow\"")).expect("a flow");
    let coverage = own.lines().find(|line| line.contains("\"coverage\"")).expect("coverage");
    vec![
        ("half a line", with(&flow[..60]), NO_RECORDING),
        ("no JSON", with("<html>"), NO_RECORDING),
        (
            "flows of another node",
            with(&flow.replace("node-b", "node-a")),
            "a flow of another node, `node-a`",
        ),
        (
            "coverage of another node",
            with(&coverage.replace("node-b", "node-a")),
            "coverage of another node, `node-a`",
        ),
        (
            "a pod of another node",
            with(
                r#"{"kind":"object","object":{"apiVersion":"v1","kind":"Pod","metadata":{"namespace":"n","name":"p"},"spec":{"nodeName":"node-a"},"status":{"podIP":"10.9.9.9"}}}"#,
            ),
            "a pod of another node, `node-a`",
        ),
        (
            "what a later version may know",
            with(&flow.replace("\"protocol\":\"", "\"protocol\":\"Q")),
            NO_RECORDING,
        ),
        (
            "coverage that is none",
            with(&coverage.replace("\"observed_seconds\":", "\"observed_seconds\":-")),
            NO_RECORDING,
        ),
        ("a line of 5 MiB", with(&"x".repeat(5 << 20)), "its answer holds a line of more than 4 MiB"),
    ]
}

/// Answers that are none.
fn answers(shop: &Shop) -> Vec<Case> {
    let own = &shop.nodes["node-b"];
    let length = |bytes: &[u8]| format!("Content-Length: {}\r\n", bytes.len());
    let gzip = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0xab, b'\n', 0xff];
    let unread = "missing: node node-b: read the answer of pod agent-node-b";
    vec![
        ("bytes that are no text", raw(&length(&gzip), &gzip), NO_RECORDING),
        (
            "compressed without being asked",
            raw(&format!("Content-Encoding: gzip\r\n{}", length(&gzip)), &gzip),
            NO_RECORDING,
        ),
        ("two lengths", raw("Content-Length: 5\r\nContent-Length: 6\r\n", b"abcde\n"), unread),
        ("an answer shorter than it says", raw("Content-Length: 500\r\n", b"\n"), "missing: node node-b: "),
        ("a chunk without length", raw("Transfer-Encoding: chunked\r\n", b"zz\r\n"), unread),
        ("no HTTP", Answer::Raw(b"SSH-2.0-x\r\n\r\n".to_vec()), unread),
        (
            "an error",
            Answer::Raw(b"HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n".to_vec()),
            "answered with status 500",
        ),
        (
            "a page elsewhere",
            Answer::Raw(
                b"HTTP/1.1 302 X\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n".to_vec(),
            ),
            "answered with status 302",
        ),
        ("bytes without end", Answer::Trickle(own.clone()), "pod agent-node-b was not done within 3 s"),
    ]
}

#[test]
fn an_answer_that_is_none_is_a_named_gap() {
    let shop = Shop::now();
    let alone = {
        let mut script = shop.script();
        script.answers.remove("node-b");
        edges_from_a(&shop, &Server::start(script), "no agent").0
    };
    assert!(alone.contains("frontend"), "{alone}");
    for (claim, answer, named) in lines(&shop).into_iter().chain(answers(&shop)) {
        let mut script = shop.script();
        script.answers.insert("node-b".to_owned(), answer);
        let server = Server::start(script);
        let (edges, said) = edges_from_a(&shop, &server, claim);
        assert!(said.contains(named), "{claim}: {said}");
        assert!(
            said.contains("answered: node-a\n") && said.contains("missing: node node-b: "),
            "{claim}: {said}"
        );
        assert_eq!(said.matches("missing: ").count(), 1, "{claim}: {said}");
        // What node a's own pods did is there, and no hour of node b counts as watched.
        assert!(edges.lines().count() >= alone.lines().count(), "{claim}: {edges}\n{alone}");
        assert!(said.contains("not observed: node node-b, 2 hours"), "{claim}: {said}");
    }
}

fn edges_from_a(shop: &Shop, server: &Server, claim: &str) -> (String, String) {
    let limits = ["--node-timeout", "2s", "--node-deadline", "3s"];
    let output = shop.ask(server, &[&["observe", "-o", "json"], &limits[..]].concat());
    let said = words(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{claim}: {said}");
    let strict = shop.ask(server, &[&["observe", "--require-complete"], &limits[..]].concat());
    assert_eq!(strict.status.code(), Some(4), "{claim}: {said}");
    (words(&output.stdout), said)
}

#[test]
fn a_clock_that_is_an_hour_ahead_is_said_and_is_no_complete_answer() {
    let shop = Shop::now();
    let mut script = shop.script();
    script.answers.insert("node-b".to_owned(), Answer::Ahead(3_600, shop.nodes["node-b"].clone()));
    let server = Server::start(script);
    let said = edges_from_a(&shop, &server, "an hour ahead").1;
    assert!(
        said.contains("clock: node node-b is 3600 s ahead of the others") || said.contains("3599 s ahead"),
        "{said}"
    );
    assert!(said.contains("answered: node-a, node-b"), "{said}");
}

#[test]
fn fields_and_kinds_of_a_later_version_are_passed_over_and_counted() {
    let shop = Shop::now();
    let mut script = shop.script();
    let later = shop.nodes["node-b"].replace("\"seq\":0", "\"seq\":0,\"mood\":[1]");
    script.answers.insert("node-b".to_owned(), Answer::Whole(format!("{later}{{\"kind\":\"weather\"}}\n")));
    let output = shop.ask(&Server::start(script), &["observe", "--require-complete"]);
    let said = words(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("warning: skipped 1 line of unknown kind: `weather` (1)"), "{said}");
}
