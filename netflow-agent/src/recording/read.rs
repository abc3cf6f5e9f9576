//! Lines into a `Recording`. In: named byte inputs, already decompressed. Out: everything in them, merged;
//! notes of what was skipped; or an error with the input's name and the line's number.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Read};
use std::sync::Arc;

use serde::Deserialize;

use super::line::{CoverageLine, FlowLine, KindLine, ObjectLine};
use super::merge::{Held, Keep};
use super::{Merge, Observed, Recording, Spilling, Spilt};
use crate::manifest::{self, Object, Pod};

/// Longer than any object that an API server stores (etcd refuses 1.5 MiB), shorter than what hurts.
const LONGEST_LINE: u64 = 64 << 20;

/// What was read but does not count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notes {
    /// Kind of line -> lines of that kind, which this version does not know.
    pub unknown_kinds: BTreeMap<String, u64>,
    /// Why all flows are held in memory where they should not.
    pub no_room: Option<String>,
}

impl Notes {
    /// What a person should know of it.
    pub fn warnings(&self) -> impl Iterator<Item = String> {
        let in_memory = |reason| format!("no temporary file ({reason}): all flows are held in memory");
        self.skipped().into_iter().chain(self.no_room.as_ref().map(in_memory))
    }

    /// The one warning for all skipped lines.
    fn skipped(&self) -> Option<String> {
        let lines: u64 = self.unknown_kinds.values().sum();
        if lines == 0 {
            return None;
        }
        let kinds: Vec<String> =
            self.unknown_kinds.iter().take(8).map(|(kind, count)| format!("`{kind}` ({count})")).collect();
        let more = if self.unknown_kinds.len() > kinds.len() { ", ..." } else { "" };
        let noun = if lines == 1 { "line" } else { "lines" };
        Some(format!("skipped {lines} {noun} of unknown kind: {}{more}", kinds.join(", ")))
    }
}

/// A recording that cannot be read, and where.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("read {name}")]
    Input { name: String, source: io::Error },
    #[error("{name}:{line}: {reason}")]
    Line { name: String, line: u64, reason: String },
    #[error("lay flows down in a temporary file")]
    Spill { source: io::Error },
}

/// Why a line does not count.
enum Fault {
    Words(String),
    Spill(io::Error),
}

impl From<String> for Fault {
    fn from(words: String) -> Self {
        Self::Words(words)
    }
}

/// Reads inputs one after the other into one recording: the concatenation of recordings is a recording.
#[derive(Debug)]
pub struct Reader<K = Held> {
    merge: Merge<K>,
    notes: Notes,
    words: Words,
    line: Vec<u8>,
    /// The only node that lines may speak for.
    node: Option<Arc<str>>,
}

/// All in memory.
impl Default for Reader {
    fn default() -> Self {
        Self::new(Held::default())
    }
}

impl Reader {
    pub fn finish(self) -> (Recording, Notes) {
        (self.merge.finish(Held::into_flows), self.notes)
    }
}

impl Reader<Spilling> {
    pub fn finish_spilt(mut self) -> (Recording<Spilt>, Notes) {
        let recording = self.merge.finish(|flows| {
            let (flows, no_room) = flows.finish();
            self.notes.no_room = no_room.map(|error| error.to_string());
            flows
        });
        (recording, self.notes)
    }
}

impl<K: Keep> Reader<K> {
    pub fn new(flows: K) -> Self {
        Self {
            merge: Merge::new(flows),
            notes: Notes::default(),
            words: Words::default(),
            line: Vec::new(),
            node: None,
        }
    }

    /// The same of a node's own agent: it speaks for its node and its node's pods, and for no other.
    pub fn read_node(&mut self, node: &str, input: &mut dyn BufRead) -> Result<(), ReadError> {
        self.node = Some(node.into());
        let read = self.read(&format!("node {node}"), input);
        self.node = None;
        read
    }

    pub fn read(&mut self, name: &str, input: &mut dyn BufRead) -> Result<(), ReadError> {
        let mut number = 0;
        loop {
            self.line.clear();
            let taken = input
                .take(LONGEST_LINE + 1)
                .read_until(b'\n', &mut self.line)
                .map_err(|source| ReadError::Input { name: name.to_owned(), source })?;
            if taken == 0 {
                return Ok(());
            }
            number += 1;
            let line = std::mem::take(&mut self.line);
            let read = self.numbered_line(name, number, &line);
            self.line = line;
            read?;
        }
    }

    /// One line, with or without its end.
    fn numbered_line(&mut self, name: &str, number: u64, line: &[u8]) -> Result<(), ReadError> {
        let read = if line.len() as u64 > LONGEST_LINE {
            Err(format!("the line is longer than {} MiB", LONGEST_LINE >> 20).into())
        } else {
            self.line(trim(line))
        };
        read.map_err(|fault| match fault {
            Fault::Words(reason) => ReadError::Line { name: name.to_owned(), line: number, reason },
            Fault::Spill(source) => ReadError::Spill { source },
        })
    }

    /// An object that came by another way than a line.
    pub fn object(&mut self, observed: Observed) {
        self.merge.object(observed);
    }

    fn line(&mut self, line: &[u8]) -> Result<(), Fault> {
        if line.is_empty() {
            return Ok(());
        }
        // What our own writer puts first saves a pass over the line; anything else is looked for.
        if line.starts_with(b"{\"kind\":\"flow\",") {
            return self.flow(line);
        }
        let kind = parse::<KindLine<'_>>(line)?.kind;
        match kind.as_ref() {
            "flow" => self.flow(line),
            "coverage" => {
                let coverage = parse::<CoverageLine<'_>>(line)?.coverage(&mut self.words);
                self.speaks_for("coverage", &coverage.node)?;
                self.merge.coverage(coverage);
                Ok(())
            }
            "object" => {
                let wire = parse::<ObjectLine<'_>>(line)?;
                let object = manifest::object(wire.object.get(), &mut self.words.known)
                    .map_err(|error| format!("object: {error}"))?;
                if let Object::Pod(Pod { node: Some(node), .. }) = &object {
                    self.speaks_for("a pod", node)?;
                }
                self.merge.object(wire.observed(object)?);
                Ok(())
            }
            unknown => {
                let known = self.notes.unknown_kinds.len();
                // Hostile input must not fill memory with names of kinds.
                let name =
                    if known < 1_000 { unknown.chars().take(64).collect() } else { "other".to_owned() };
                *self.notes.unknown_kinds.entry(name).or_default() += 1;
                Ok(())
            }
        }
    }

    fn speaks_for(&self, what: &str, node: &str) -> Result<(), String> {
        match &self.node {
            Some(own) if **own != *node => Err(format!("{what} of another node, `{node}`")),
            _ => Ok(()),
        }
    }

    fn flow(&mut self, line: &[u8]) -> Result<(), Fault> {
        let flow = parse::<FlowLine<'_>>(line)?.flow(&mut self.words)?;
        self.speaks_for("a flow", &flow.key.node)?;
        self.merge.flows.flow(flow).map_err(Fault::Spill)
    }
}

/// All inputs into one recording.
pub fn read<'a>(
    inputs: impl IntoIterator<Item = (&'a str, &'a mut dyn BufRead)>,
) -> Result<(Recording, Notes), ReadError> {
    let mut reader = Reader::default();
    for (name, input) in inputs {
        reader.read(name, input)?;
    }
    Ok(reader.finish())
}

/// Names that come back a million times, each held once.
#[derive(Debug, Default)]
pub struct Words {
    known: manifest::Words,
    latest: [Option<Arc<str>>; 2],
}

impl Words {
    /// `slot` 0 is for nodes, 1 for pods: lines of one node and one pod come in runs.
    pub fn intern(&mut self, slot: usize, text: &str) -> Arc<str> {
        let Some(latest) = self.latest.get_mut(slot) else { return self.known.intern(text) };
        if let Some(word) = latest.as_ref().filter(|word| ***word == *text) {
            return Arc::clone(word);
        }
        let word = self.known.intern(text);
        *latest = Some(Arc::clone(&word));
        word
    }
}

/// Without white space at the ends, and without the byte order mark that some editors put first: in the middle
/// too, since the concatenation of recordings is a recording.
fn trim(line: &[u8]) -> &[u8] {
    line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line).trim_ascii()
}

fn parse<'a, T: Deserialize<'a>>(line: &'a [u8]) -> Result<T, String> {
    serde_json::from_slice(line).map_err(|error| {
        // serde counts lines within the one line that it was given.
        error.to_string().replace(" at line 1 column", " at column")
    })
}
