//! Flows that do not all fit into memory. In: flows in any order, any number of times, and room to lay them
//! down. Out: the merged flows, as often as asked, in the order of the written form. Memory holds so many rows
//! and a buffer for each of a few runs, however many flows there are.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::collections::binary_heap::{BinaryHeap, PeekMut};
use std::fmt;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::sync::Arc;

use super::flows::{Flows, in_order};
use super::merge::{Held, Keep};
use super::row;
use crate::flow::Flow;
use crate::time::Hour;

/// Room outside memory.
pub trait Scratch: fmt::Debug {
    /// A new place, empty, which goes with its last holder.
    fn place(&self) -> io::Result<Box<dyn Place>>;
}

/// Written once, then read as often as asked.
pub trait Place: fmt::Debug {
    fn writer(&mut self) -> &mut dyn Write;

    /// All that was written, from its begin.
    fn reader(&self) -> io::Result<Box<dyn Read + '_>>;
}

/// Runs that are read at once: each takes a file and a buffer. One more, and all become one.
const RUNS: usize = 32;
const BUFFER: usize = 64 << 10;

/// Rows laid down in order, no key twice.
#[derive(Debug)]
struct Run {
    place: Box<dyn Place>,
    rows: u64,
}

/// The names of nodes by number: rows hold numbers.
#[derive(Debug, Default)]
struct Nodes {
    names: Vec<Arc<str>>,
    numbers: BTreeMap<Arc<str>, u32>,
}

impl Nodes {
    fn number(&mut self, name: &Arc<str>) -> u32 {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        // Four thousand million nodes do not fit into memory.
        let number = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        self.names.push(Arc::clone(name));
        self.numbers.insert(Arc::clone(name), number);
        number
    }
}

/// Flows that are laid down whenever there are too many to hold.
#[derive(Debug)]
pub struct Spilling {
    held: Held,
    rows: usize,
    scratch: Box<dyn Scratch>,
    nodes: Nodes,
    runs: Vec<Run>,
    no_room: Option<io::Error>,
}

impl Spilling {
    /// Holds so many rows at most.
    pub fn new(scratch: Box<dyn Scratch>, rows: usize) -> Self {
        Self {
            held: Held::default(),
            rows: rows.max(1),
            scratch,
            nodes: Nodes::default(),
            runs: Vec::new(),
            no_room: None,
        }
    }

    /// What was merged; and where there was no room from the first, why all of it is held in memory.
    pub fn finish(mut self) -> (Spilt, Option<io::Error>) {
        self.held.sorted();
        let spilt = Spilt { held: self.held.into_flows(), nodes: self.nodes.names, runs: self.runs };
        (spilt, self.no_room)
    }

    fn spill(&mut self) -> io::Result<()> {
        let place = match self.scratch.place() {
            Err(error) if self.runs.is_empty() => {
                self.no_room = Some(error);
                return Ok(());
            }
            place => place?,
        };
        let flows = self.held.sorted().iter().cloned().map(Ok);
        let run = lay_down(place, flows, &mut self.nodes)?;
        self.held.clear();
        self.runs.push(run);
        if self.runs.len() > RUNS {
            let names = self.nodes.names.clone();
            let all = merged(&self.runs, &names, &[])?;
            let all = lay_down(self.scratch.place()?, all, &mut self.nodes)?;
            self.runs = vec![all];
        }
        Ok(())
    }
}

impl Keep for Spilling {
    type Kept = Spilt;

    fn flow(&mut self, flow: Flow) -> io::Result<()> {
        if self.held.len() >= self.rows && self.no_room.is_none() {
            self.spill()?;
        }
        self.held.add(flow);
        Ok(())
    }
}

/// Merged flows, the most of them outside memory where they are many.
#[derive(Debug, Default)]
pub struct Spilt {
    /// In order.
    held: Vec<Flow>,
    nodes: Vec<Arc<str>>,
    runs: Vec<Run>,
}

impl Spilt {
    /// In the order of the written form, each key once.
    pub fn in_order(&self) -> io::Result<impl Iterator<Item = io::Result<Flow>>> {
        merged(&self.runs, &self.nodes, &self.held)
    }
}

impl Flows for Spilt {
    type Fault = io::Error;

    fn each(&self, take: &mut dyn FnMut(&Flow)) -> io::Result<()> {
        if self.runs.is_empty() {
            self.held.iter().for_each(take);
            return Ok(());
        }
        self.in_order()?.try_for_each(|flow| flow.map(|flow| take(&flow)))
    }
}

/// Each row is the length of its key, hour, node, counters and key.
const HEAD: usize = 4 + 8 + 4 + 40;

fn lay_down(
    mut place: Box<dyn Place>,
    flows: impl Iterator<Item = io::Result<Flow>>,
    nodes: &mut Nodes,
) -> io::Result<Run> {
    let mut out = BufWriter::with_capacity(BUFFER, place.writer());
    let mut rows = 0;
    for flow in flows {
        let flow = flow?;
        let key = row::key(&flow.key);
        let length = u32::try_from(key.len()).map_err(io::Error::other)?;
        out.write_all(&length.to_le_bytes())?;
        out.write_all(&flow.key.hour.index().to_le_bytes())?;
        out.write_all(&nodes.number(&flow.key.node).to_le_bytes())?;
        out.write_all(&row::counters(&flow.counters))?;
        out.write_all(&key)?;
        rows += 1;
    }
    out.flush()?;
    drop(out);
    Ok(Run { place, rows })
}

/// One run, or what is held.
enum Source<'r> {
    Run { rows: u64, input: BufReader<Box<dyn Read + 'r>>, nodes: &'r [Arc<str>], key: Vec<u8> },
    Held(std::slice::Iter<'r, Flow>),
}

impl Iterator for Source<'_> {
    type Item = io::Result<Flow>;

    fn next(&mut self) -> Option<io::Result<Flow>> {
        match self {
            Self::Held(flows) => flows.next().cloned().map(Ok),
            Self::Run { rows: 0, .. } => None,
            Self::Run { rows, input, nodes, key } => {
                *rows -= 1;
                Some(read_row(input, nodes, key))
            }
        }
    }
}

fn read_row(input: &mut impl Read, nodes: &[Arc<str>], key: &mut Vec<u8>) -> io::Result<Flow> {
    let mut head = [0; HEAD];
    input.read_exact(&mut head)?;
    let (length, rest) = split::<4>(&head)?;
    let (hour, rest) = split::<8>(rest)?;
    let (node, counters) = split::<4>(rest)?;
    key.resize(number(length)?, 0);
    input.read_exact(key)?;
    let node = nodes.get(number(node)?);
    let hour = Hour::from_index(i64::from_le_bytes(hour));
    node.and_then(|node| row::flow(hour, node, key, counters)).ok_or_else(spoilt)
}

fn split<const N: usize>(bytes: &[u8]) -> io::Result<([u8; N], &[u8])> {
    bytes.split_first_chunk::<N>().map(|(head, rest)| (*head, rest)).ok_or_else(spoilt)
}

fn number(bytes: [u8; 4]) -> io::Result<usize> {
    usize::try_from(u32::from_le_bytes(bytes)).map_err(io::Error::other)
}

fn spoilt() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "what was laid down does not read back")
}

/// The first flow of a source.
struct Head {
    flow: Flow,
    source: usize,
}

impl Ord for Head {
    /// The heap gives the greatest first.
    fn cmp(&self, other: &Self) -> Ordering {
        in_order(&other.flow.key, &self.flow.key)
    }
}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        self.flow.key == other.flow.key
    }
}

impl Eq for Head {}

/// Sources in order, as one in order.
struct Merged<'r> {
    sources: Vec<Source<'r>>,
    heads: BinaryHeap<Head>,
}

fn merged<'r>(runs: &'r [Run], nodes: &'r [Arc<str>], held: &'r [Flow]) -> io::Result<Merged<'r>> {
    let mut sources = Vec::with_capacity(runs.len() + 1);
    for run in runs {
        let input = BufReader::with_capacity(BUFFER, run.place.reader()?);
        sources.push(Source::Run { rows: run.rows, input, nodes, key: Vec::new() });
    }
    sources.push(Source::Held(held.iter()));
    let mut heads = BinaryHeap::with_capacity(sources.len());
    for (source, flows) in sources.iter_mut().enumerate() {
        if let Some(flow) = flows.next() {
            heads.push(Head { flow: flow?, source });
        }
    }
    Ok(Merged { sources, heads })
}

impl Merged<'_> {
    fn first(&mut self) -> Option<io::Result<Flow>> {
        let mut head = self.heads.peek_mut()?;
        Some(match self.sources[head.source].next() {
            Some(Ok(next)) => Ok(std::mem::replace(&mut head.flow, next)),
            Some(Err(error)) => Err(error),
            None => Ok(PeekMut::pop(head).flow),
        })
    }
}

impl Iterator for Merged<'_> {
    type Item = io::Result<Flow>;

    fn next(&mut self) -> Option<io::Result<Flow>> {
        let mut flow = match self.first()? {
            Ok(flow) => flow,
            failed => return Some(failed),
        };
        while self.heads.peek().is_some_and(|head| head.flow.key == flow.key) {
            match self.first()? {
                Ok(same) => flow.counters.merge(&same.counters),
                failed => return Some(failed),
            }
        }
        Some(Ok(flow))
    }
}
