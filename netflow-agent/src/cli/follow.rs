//! `observe --follow`: the lines that running agents send as they save them in, edges as they grow out. All
//! that was heard of the latest hours is joined again whenever something new came, so that an edge is named by
//! both its ends' words, and printed once for what came since it was last printed.

use std::collections::BTreeMap;
use std::io::Write;

use super::filter::FilterArgs;
use super::observe::Format;
use super::source::SourceArgs;
use super::{Exit, Failure, Streams, local};
use crate::edge::{self, Edge, EdgeKey};
use crate::flow::{Flow, FlowCounters, FlowKey};
use crate::identity::Inventory;
use crate::recording::{Observed, Reader, Recording};
use crate::render::edge::{Detail, write_json, write_table};
use crate::time::{Hour, Time, Window};

/// Flows are remembered up to so many: first those of the hour before the latest go, then all.
const REMEMBERED: usize = 1_000_000;
/// Twice what an API server takes as an object.
const LONGEST_LINE: usize = 4 << 20;

/// What was heard, and what of it was told.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// By kind, namespace, name, UID and begin: a version that ends replaces itself.
    objects: BTreeMap<(String, Option<Time>), Observed>,
    flows: BTreeMap<FlowKey, FlowCounters>,
    /// Node -> a line that is not whole yet.
    partial: BTreeMap<String, Vec<u8>>,
    told: BTreeMap<EdgeKey, u64>,
    is_new: bool,
    /// Something was forgotten that may still grow.
    is_short: bool,
}

impl Heard {
    /// Lines of one node, cut anywhere. True at the end of a batch: agents write coverage last.
    pub(super) fn take(&mut self, name: &str, chunk: &[u8]) -> Result<bool, Failure> {
        let whole = self.whole(name, chunk)?;
        let mut reader = Reader::default();
        reader.read(name, &mut whole.as_slice())?;
        Ok(self.add(reader.finish().0))
    }

    /// The same of a node's own agent, which speaks for no other.
    #[cfg(any(test, feature = "cluster"))]
    pub(super) fn take_node(&mut self, node: &str, chunk: &[u8]) -> Result<bool, Failure> {
        let whole = self.whole(node, chunk)?;
        let mut reader = Reader::default();
        reader.read_node(node, &mut whole.as_slice())?;
        Ok(self.add(reader.finish().0))
    }

    /// The lines that are whole by now.
    fn whole(&mut self, name: &str, chunk: &[u8]) -> Result<Vec<u8>, Failure> {
        let held = self.partial.entry(name.to_owned()).or_default();
        let Some(end) = chunk.iter().rposition(|byte| *byte == b'\n') else {
            held.extend_from_slice(chunk);
            if held.len() > LONGEST_LINE {
                self.partial.remove(name);
                let words = format!("{name}: a line is longer than {} MiB", LONGEST_LINE >> 20);
                return Err(words.into());
            }
            return Ok(Vec::new());
        };
        let (lines, rest) = chunk.split_at(end + 1);
        let mut whole = std::mem::replace(held, rest.to_vec());
        whole.extend_from_slice(lines);
        Ok(whole)
    }

    fn add(&mut self, batch: Recording) -> bool {
        for observed in batch.objects {
            let (kind, meta) = observed.object.kind_and_meta();
            let uid = meta.uid.as_deref().unwrap_or_default();
            let key = format!("{kind}\0{}\0{}\0{uid}", meta.namespace, meta.name);
            self.objects.insert((key, observed.from), observed);
        }
        for flow in batch.flows {
            self.is_new = true;
            self.flows.entry(flow.key).and_modify(|held| held.merge(&flow.counters)).or_insert(flow.counters);
        }
        !batch.coverage.is_empty()
    }

    /// That something was forgotten too early, to be said once each time.
    pub(super) fn short(&mut self) -> Option<String> {
        std::mem::take(&mut self.is_short).then(|| {
            format!("forgotten: more than {REMEMBERED} flows in an hour; edges are told anew with all their connections")
        })
    }

    /// Nothing more comes of this node's answer; half a line is none.
    #[cfg(any(test, feature = "cluster"))]
    pub(super) fn cut(&mut self, node: &str) {
        self.partial.remove(node);
    }

    /// Edges with more connections than were told, each with those that came.
    fn grown(&mut self, filter: &FilterArgs) -> Result<Vec<Edge>, Failure> {
        if !std::mem::take(&mut self.is_new) {
            return Ok(Vec::new());
        }
        let mut grown = Vec::new();
        let recording = self.recording();
        let window = span(&recording.flows);
        let inventory = Inventory::of(&recording.objects, window);
        let filter = filter.filter(&inventory)?;
        for mut edge in edge::join(&recording, &inventory, window).edges {
            let told = self.told.insert(edge.key.clone(), edge.connections).unwrap_or(0);
            if edge.connections > told && filter.matches(&edge.key) {
                edge.connections -= told;
                grown.push(edge);
            }
        }
        self.forget();
        Ok(grown)
    }

    /// Hours that are over name nothing that is still to come.
    fn forget(&mut self) {
        let Some(latest) = self.flows.keys().map(|key| key.hour).max() else { return };
        let before =
            if self.flows.len() > REMEMBERED { latest } else { Hour::from_index(latest.index() - 1) };
        let known = self.flows.len();
        self.flows.retain(|key, _| key.hour >= before);
        if self.flows.len() > REMEMBERED {
            self.is_short = true;
            self.flows.clear();
        }
        self.objects.retain(|_, it| it.to.is_none_or(|to| to >= before.start()));
        if self.flows.len() < known {
            let recording = self.recording();
            let window = span(&recording.flows);
            let inventory = Inventory::of(&recording.objects, window);
            let joined = edge::join(&recording, &inventory, window);
            self.told = joined.edges.into_iter().map(|edge| (edge.key, edge.connections)).collect();
        }
    }

    fn recording(&self) -> Recording {
        let flow =
            |(key, counters): (&FlowKey, &FlowCounters)| Flow { key: key.clone(), counters: *counters };
        Recording {
            coverage: Vec::new(),
            objects: self.objects.values().cloned().collect(),
            flows: self.flows.iter().map(flow).collect(),
        }
    }
}

fn span(flows: &[Flow]) -> Window {
    let from = flows.iter().map(|flow| flow.counters.first).min().unwrap_or(Time::MIN);
    let to = flows.iter().map(|flow| flow.counters.last).max().unwrap_or(Time::MAX);
    Window { from, to }
}

/// Prints what grew: the head of a table once, then rows only.
pub(super) struct Printer<'f> {
    filter: &'f FilterArgs,
    format: Format,
    is_first: bool,
}

impl<'f> Printer<'f> {
    pub(super) const fn new(filter: &'f FilterArgs, format: Format) -> Self {
        Self { filter, format, is_first: true }
    }

    pub(super) fn print(&mut self, heard: &mut Heard, out: &mut dyn Write) -> Result<(), Failure> {
        let grown = heard.grown(self.filter)?;
        if grown.is_empty() {
            return Ok(());
        }
        let edges: Vec<&Edge> = grown.iter().collect();
        let mut text = Vec::new();
        match self.format {
            Format::Table => write_table(&edges, Detail::Short, &mut text)?,
            Format::Wide => write_table(&edges, Detail::Wide, &mut text)?,
            Format::Json => edges.iter().try_for_each(|edge| write_json(edge, None, &mut text))?,
        }
        let is_whole = self.is_first || self.format == Format::Json;
        let skip =
            if is_whole { 0 } else { text.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1) };
        self.is_first = false;
        out.write_all(&text[skip..])?;
        out.flush()?;
        Ok(())
    }
}

/// Until the agent ends, or SIGINT or SIGTERM comes.
pub(super) fn run(
    filter: &FilterArgs,
    format: Format,
    source: &SourceArgs,
    streams: &mut Streams<'_>,
) -> Result<Exit, Failure> {
    // What was typed wrong is said before anything is waited for.
    filter.filter(&Inventory::default())?;
    let printer = Printer::new(filter, format);
    #[cfg(feature = "cluster")]
    if source.asks_the_cluster(streams.called) {
        super::follow_nodes::follow(&source.cluster, printer, streams)?;
        return Ok(Exit::Done);
    }
    let (mut printer, mut heard) = (printer, Heard::default());
    let Streams { out, err, .. } = streams;
    local::follow_agent(source.agent.as_deref(), &mut |name, lines| {
        if heard.take(name, lines)? {
            printer.print(&mut heard, *out)?;
        }
        if let Some(words) = heard.short() {
            writeln!(err, "{words}")?;
        }
        Ok(())
    })?;
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(node: &str, hour: u8, connections: u64) -> String {
        let (side, local, remote) =
            if node == "a" { ("client", "10.0.0.1", "10.0.0.2") } else { ("server", "10.0.0.2", "10.0.0.1") };
        format!(
            "{{\"kind\":\"flow\",\"node\":\"{node}\",\"hour\":\"2026-11-20T{hour}:00:00Z\",\"seq\":0,\"side\":\"{side}\",\
             \"local\":\"{local}\",\"remote\":\"{remote}\",\"port\":80,\"protocol\":\"TCP\",\
             \"outcome\":\"established\",\"basis\":\"observed\",\"connections\":{connections},\"bytes_sent\":0,\
             \"bytes_received\":0,\"first\":\"2026-11-20T{hour}:03:00Z\",\"last\":\"2026-11-20T{hour}:03:10Z\"}}\n"
        )
    }

    fn pod(name: &str, ip: &str) -> String {
        format!(
            "{{\"kind\":\"object\",\"object\":{{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{{\"namespace\":\"n\",\
             \"name\":\"{name}\"}},\"status\":{{\"podIP\":\"{ip}\"}}}}}}\n"
        )
    }

    const COVERAGE: &str = "{\"kind\":\"coverage\",\"node\":\"a\",\"hour\":\"2026-11-20T10:00:00Z\",\"seq\":0,\"observed_seconds\":10,\"lost\":{}}\n";

    fn looked(heard: &mut Heard) -> Vec<u64> {
        let grown = heard.grown(&FilterArgs::default()).expect("a filter of nothing");
        grown.iter().map(|edge| edge.connections).collect()
    }

    #[test]
    fn each_look_tells_what_grew_since_the_last() {
        let mut heard = Heard::default();
        for (node, lines, expected) in [
            ("a", pod("web", "10.0.0.1") + &pod("api", "10.0.0.2"), vec![]),
            ("a", flow("a", 10, 2), vec![2]),
            ("a", flow("a", 10, 2), vec![]),
            ("a", flow("a", 10, 7), vec![5]),
            // The other end tells of the same connections: they are not new.
            ("b", flow("b", 10, 7), vec![]),
            ("b", flow("b", 10, 8), vec![1]),
            ("a", flow("a", 10, 8), vec![]),
            // An agent that was restarted counts from zero: what it tells then comes on top.
            ("a", flow("a", 10, 2).replace("\"seq\":0", "\"seq\":1"), vec![2]),
            ("a", flow("a", 11, 1), vec![1]),
            // Two hours later the first is forgotten, and nothing of it is told again.
            ("a", flow("a", 12, 3), vec![3]),
            ("b", flow("b", 12, 5), vec![1]),
        ] {
            assert!(
                heard.take(node, format!("{lines}{COVERAGE}").as_bytes()).expect("lines"),
                "a batch ends"
            );
            assert_eq!(looked(&mut heard), expected, "{lines}");
        }
        assert!(heard.flows.keys().all(|key| key.hour.to_string().as_str() >= "2026-11-20T11"));
    }

    #[test]
    fn lines_may_be_cut_anywhere_and_half_a_line_of_an_ended_answer_is_none() {
        let mut heard = Heard::default();
        let line = flow("a", 10, 2);
        for byte in line.as_bytes() {
            heard.take("a", &[*byte]).expect("half a line is no fault");
        }
        assert_eq!(looked(&mut heard), [2]);
        heard.take("a", b"{\"kind\":\"fl").expect("half a line is no fault");
        heard.cut("a");
        heard.take("a", flow("a", 10, 3).as_bytes()).expect("a line");
        assert_eq!(looked(&mut heard), [1]);
    }

    #[test]
    fn a_line_without_end_is_not_held_and_a_node_speaks_for_itself() {
        let mut heard = Heard::default();
        let chunk = vec![b'x'; 1 << 20];
        let refused = (0..6).filter(|_| heard.take_node("a", &chunk).is_err()).count();
        assert_eq!(refused, 1);
        assert!(heard.partial.values().map(Vec::len).sum::<usize>() <= 1 << 20);
        heard.cut("a");
        let failure = heard.take_node("a", flow("b", 10, 1).as_bytes()).expect_err("it is b's");
        assert!(failure.chain().contains("a flow of another node, `b`"), "{}", failure.chain());
        assert_eq!(looked(&mut heard), [0; 0]);
    }

    #[test]
    fn the_head_comes_once() {
        let (filter, mut out, mut heard) = (FilterArgs::default(), Vec::new(), Heard::default());
        let mut printer = Printer::new(&filter, Format::Table);
        for connections in [1, 2, 4] {
            heard.take("a", flow("a", 10, connections).as_bytes()).expect("a line");
            printer.print(&mut heard, &mut out).expect("memory takes it");
        }
        let text = String::from_utf8(out).expect("text");
        assert_eq!((text.lines().count(), text.matches("SOURCE").count()), (4, 1), "{text}");
    }
}
