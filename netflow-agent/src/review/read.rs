//! The review file. In: its bytes. Out: entries in the order of actions, then of the file.

use serde::Deserialize;

use super::{Accepted, Action, End, Entry, Review, end};
use crate::net::{PortRange, Protocol};

/// Why a file is no review.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAReview {
    #[error("{0}")]
    Yaml(String),
    #[error("`{0}` is no end: use `ns/kind/name`, `ns/pod`, `ns/*`, `node/NAME`, an address, a range or `*`")]
    End(String),
    #[error("`{0}` is no port: use 1 to 65535 or a range such as 8000-8100")]
    Port(String),
    #[error("`{0}` is no protocol: use TCP, UDP or SCTP")]
    Protocol(String),
    #[error("an entry to {0} needs both ends by name: `*` would open everything")]
    TooWide(&'static str),
    #[error("an entry to {0} needs a protocol where it names a port, and a port where it names a protocol")]
    HalfAPort(&'static str),
    #[error("{action} entry {number}: {error}")]
    Entry { action: &'static str, number: usize, error: Box<Self> },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    approve: Vec<Line>,
    #[serde(default)]
    deny: Vec<Line>,
    #[serde(default)]
    ignore: Vec<Line>,
    #[serde(default)]
    declare: Vec<Line>,
    #[serde(default)]
    widen: Vec<Line>,
    #[serde(default)]
    accept: Vec<AcceptLine>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AcceptLine {
    gap: String,
    about: String,
    reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    from: String,
    to: String,
    port: Option<PortText>,
    protocol: Option<String>,
    reason: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum PortText {
    Number(u64),
    Text(String),
}

/// Reads a review; an empty file is an empty review.
pub fn read(bytes: &[u8]) -> Result<Review, NotAReview> {
    let text = core::str::from_utf8(bytes).map_err(|error| NotAReview::Yaml(error.to_string()))?;
    let only_comments = text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'));
    if only_comments {
        return Ok(Review::default());
    }
    let file: File = serde_saphyr::from_str(text).map_err(|error| NotAReview::Yaml(error.to_string()))?;
    let lists = [file.approve, file.deny, file.ignore, file.declare, file.widen];
    let mut entries = Vec::new();
    for (action, lines) in Action::ALL.into_iter().zip(lists) {
        for (at, line) in lines.into_iter().enumerate() {
            let named =
                |error| NotAReview::Entry { action: action.as_str(), number: at + 1, error: Box::new(error) };
            entries.push(entry(action, line).map_err(named)?);
        }
    }
    let accepted = file.accept.into_iter().map(|line| Accepted {
        gap: line.gap.into(),
        about: line.about.into(),
        reason: line.reason.into(),
    });
    Ok(Review { entries, accepted: accepted.collect() })
}

fn entry(action: Action, line: Line) -> Result<Entry, NotAReview> {
    let (from, to) = (end(&line.from)?, end(&line.to)?);
    let ports = line.port.map(ports).transpose()?;
    let protocol = line
        .protocol
        .map(|text| {
            text.to_ascii_uppercase().parse::<Protocol>().map_err(|_unknown| NotAReview::Protocol(text))
        })
        .transpose()?;
    if matches!(action, Action::Declare | Action::Widen) {
        if from == End::Any || to == End::Any {
            return Err(NotAReview::TooWide(action.as_str()));
        }
        if ports.is_some() != protocol.is_some() {
            return Err(NotAReview::HalfAPort(action.as_str()));
        }
    }
    Ok(Entry { action, from, to, ports, protocol, reason: line.reason.into() })
}

fn ports(port: PortText) -> Result<PortRange, NotAReview> {
    let text = match port {
        PortText::Number(number) => number.to_string(),
        PortText::Text(text) => text,
    };
    let one = |text: &str| text.trim().parse::<u16>().ok().filter(|port| *port > 0);
    let range = match text.split_once('-') {
        Some((first, last)) => one(first).zip(one(last)),
        None => one(&text).map(|port| (port, port)),
    };
    match range {
        Some((first, last)) if first <= last => Ok(PortRange { first, last }),
        _ => Err(NotAReview::Port(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spelled(text: &str) -> String {
        match read(text.as_bytes()) {
            Ok(review) => review.entries.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn each_action_is_read_with_its_ends_and_ports() {
        let text = "
declare:
- from: shop/cronjob/report
  to: shop/sts/db
  port: 5432
  protocol: TCP
  reason: runs on the first of January
deny:
- {from: shop/deploy/frontend, to: shop/sts/db, reason: goes through the backend}
widen:
- {from: shop/deploy/web, to: 203.0.113.7/24, port: 8000-8100, protocol: tcp, reason: a SaaS range}
ignore:
- {from: node/*, to: shop/*, reason: probes}
approve:
- {from: '*', to: 169.254.169.254, reason: needs its role}
";
        assert_eq!(
            spelled(text),
            "approve * -> 169.254.169.254; deny shop/deployment/frontend -> shop/statefulset/db; \
             ignore node/* -> shop/*; declare shop/cronjob/report -> shop/statefulset/db:5432/TCP; \
             widen shop/deployment/web -> 203.0.113.0/24:8000-8100/TCP"
        );
        assert_eq!(spelled("# nothing yet\n"), "");
    }

    #[test]
    fn a_gap_that_is_lived_with_has_its_kind_and_its_place() {
        let text = "accept: [{gap: not-covered, about: Node node-b, reason: it was rebooted}]";
        let review = read(text.as_bytes()).expect("a review");
        assert!(review.entries.is_empty());
        let one = &review.accepted[0];
        assert_eq!((&*one.gap, &*one.about, &*one.reason), ("not-covered", "Node node-b", "it was rebooted"));
        assert!(spelled("accept: [{gap: lost, reason: x}]").contains("about"));
    }

    #[test]
    fn a_wrong_entry_is_named() {
        for (text, expected) in [
            ("deny: [{from: a, to: b/c, reason: x}]", "deny entry 1: `a` is no end"),
            ("deny: [{from: a/b, to: b/c, port: 0, reason: x}]", "deny entry 1: `0` is no port"),
            ("deny: [{from: a/b, to: b/c, port: 9-1, reason: x}]", "deny entry 1: `9-1` is no port"),
            (
                "deny: [{from: a/b, to: b/c, protocol: ICMP, reason: x}]",
                "deny entry 1: `ICMP` is no protocol",
            ),
            (
                "declare: [{from: '*', to: b/c, reason: x}]",
                "declare entry 1: an entry to declare needs both ends",
            ),
            (
                "widen: [{from: a/b, to: b/c, port: 1, reason: x}]",
                "widen entry 1: an entry to widen needs a protocol",
            ),
        ] {
            assert!(spelled(text).starts_with(expected), "{text}: {}", spelled(text));
        }
        assert!(spelled("denied: []").contains("denied"), "{}", spelled("denied: []"));
        assert!(spelled("deny: [{from: a/b, to: c/d}]").contains("reason"));
    }
}
