//! `observe --follow`: the lines that a running agent sends as it saves them in, edges as they happen out.
//! One batch of the agent is one look: only what grew in it is joined and printed, with how much it grew.

use std::collections::BTreeMap;
use std::io::{BufRead, Write};

use super::Failure;
use crate::flow::{Flow, FlowKey};
use crate::recording::{Observed, Reader, Recording};
use crate::time::{Time, Window};

/// What is kept between batches: the objects, and how far each flow of the latest hours was told.
#[derive(Debug, Default)]
struct Told {
    /// By kind, namespace, name, UID and begin: a version that ends replaces itself.
    objects: BTreeMap<(String, Option<Time>), Observed>,
    connections: BTreeMap<FlowKey, u64>,
}

/// Flows remembered; past this the oldest hours are forgotten, and then told again from zero.
const REMEMBERED: usize = 200_000;

/// Reads until the agent ends; `each` prints what one batch brought.
pub(super) fn follow(
    name: &str,
    input: &mut dyn BufRead,
    each: &mut dyn FnMut(&Recording, Window) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let (mut told, mut batch) = (Told::default(), Vec::new());
    loop {
        let begun = batch.len();
        if input.read_until(b'\n', &mut batch)? == 0 {
            return Ok(());
        }
        // Coverage ends a batch: the agent writes it last.
        if batch[begun..].starts_with(b"{\"kind\":\"coverage\"") {
            let mut reader = Reader::default();
            reader.read(name, &mut batch.as_slice())?;
            batch.clear();
            let grown = told.take(reader.finish().0);
            if let Some(window) = span(&grown.flows) {
                each(&grown, window)?;
            }
        }
    }
}

impl Told {
    /// What of a batch is new, with all objects known.
    fn take(&mut self, batch: Recording) -> Recording {
        for observed in batch.objects {
            let (kind, meta) = observed.object.kind_and_meta();
            let uid = meta.uid.as_deref().unwrap_or_default();
            let key = format!("{kind}\0{}\0{}\0{uid}", meta.namespace, meta.name);
            self.objects.insert((key, observed.from), observed);
        }
        let mut flows = Vec::new();
        for mut flow in batch.flows {
            let before = self.connections.insert(flow.key.clone(), flow.counters.connections).unwrap_or(0);
            flow.counters.connections = flow.counters.connections.saturating_sub(before);
            if flow.counters.connections > 0 {
                flows.push(flow);
            }
        }
        if self.connections.len() > REMEMBERED {
            let latest = flows.iter().map(|flow| flow.key.hour).max();
            self.connections.retain(|key, _| Some(key.hour) == latest);
        }
        // A version that ended an hour ago names nothing that is still to come.
        let limit = flows.iter().map(|flow| flow.counters.last).max().map(|last| last.plus_seconds(-3_600));
        self.objects.retain(|_, it| it.to.is_none_or(|to| limit.is_none_or(|limit| to >= limit)));
        let objects = self.objects.values().cloned().collect();
        Recording { coverage: batch.coverage, objects, flows }
    }
}

fn span(flows: &[Flow]) -> Option<Window> {
    let from = flows.iter().map(|flow| flow.counters.first).min()?;
    let to = flows.iter().map(|flow| flow.counters.last).max()?;
    Some(Window { from, to })
}

/// The table's head once, then rows only.
pub(super) fn without_head(text: &[u8], is_first: bool, out: &mut dyn Write) -> std::io::Result<()> {
    let skip = if is_first { 0 } else { text.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1) };
    out.write_all(&text[skip..])?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(connections: u64) -> String {
        format!(
            "{{\"kind\":\"flow\",\"node\":\"a\",\"hour\":\"2026-11-20T10:00:00Z\",\"seq\":0,\"side\":\"client\",\
             \"local\":\"10.0.0.1\",\"remote\":\"10.0.0.2\",\"port\":80,\"protocol\":\"TCP\",\
             \"outcome\":\"established\",\"basis\":\"observed\",\"connections\":{connections},\"bytes_sent\":0,\
             \"bytes_received\":0,\"first\":\"2026-11-20T10:03:00Z\",\"last\":\"2026-11-20T10:03:10Z\"}}\n"
        )
    }

    #[test]
    fn each_batch_tells_what_grew_in_it() {
        let coverage = "{\"kind\":\"coverage\",\"node\":\"a\",\"hour\":\"2026-11-20T10:00:00Z\",\"seq\":0,\"observed_seconds\":10,\"lost\":{}}\n";
        let lines = [
            coverage.to_owned(),
            flow(2),
            coverage.to_owned(),
            flow(2),
            coverage.to_owned(),
            flow(7),
            coverage.to_owned(),
        ]
        .concat();
        let mut told = Vec::new();
        let followed = follow("agent", &mut lines.as_bytes(), &mut |batch, _window| {
            told.push(batch.flows.iter().map(|flow| flow.counters.connections).collect::<Vec<_>>());
            Ok(())
        });
        assert!(followed.is_ok());
        assert_eq!(told, [[2], [5]]);
    }

    #[test]
    fn the_head_comes_once() {
        let mut out = Vec::new();
        without_head(b"HEAD\nrow 1\n", true, &mut out).expect("memory takes it");
        without_head(b"HEAD\nrow 2\n", false, &mut out).expect("memory takes it");
        assert_eq!(out, b"HEAD\nrow 1\nrow 2\n");
    }
}
