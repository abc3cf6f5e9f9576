//! The agent's figures as Prometheus reads them. In: figures. Out: OpenMetrics text, equal figures as equal
//! bytes. Every way to lose a flow has its counter here, with 0 where nothing was lost.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use super::figures::Figures;
use crate::engine::{LOCAL_UNKNOWN, NOT_STORED, OBJECT_NOT_STORED};
use crate::flow::orient::Ignored;

/// The type of the text that `render` gives.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The figures as text.
pub fn render(figures: &Figures) -> String {
    let mut registry = Registry::with_prefix("netflow");
    registry.register_collector(Box::new(Reading(figures.clone())));
    let mut text = String::new();
    // Writing to memory does not fail.
    let _written = prometheus_client::encoding::text::encode(&mut text, &registry);
    text
}

#[derive(Debug)]
struct Reading(Figures);

impl Collector for Reading {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let figures = &self.0;
        let out = &mut encoder;
        info(out, figures)?;
        lost(out, figures)?;
        let ignored = Ignored::ALL.map(|reason| {
            (reason.as_str().to_owned(), figures.seen.ignored.get(&reason).copied().unwrap_or_default())
        });
        let about = "Samples that are no flow between two ends, by reason.";
        family(out, "ignored_samples", about, "reason", &ignored)?;
        seconds(out, "drain_seconds", "Time taken by drains.", figures.drain_ns)?;
        counters(out, figures)?;
        gauges(out, figures)
    }
}

fn info(out: &mut DescriptorEncoder<'_>, figures: &Figures) -> fmt::Result {
    let one = ConstGauge::new(1_i64);
    let mut metric = out.encode_descriptor("agent", "The agent and its node.", None, one.metric_type())?;
    let labels = [("node", &*figures.node), ("version", env!("CARGO_PKG_VERSION"))];
    one.encode(metric.encode_family(&labels)?)
}

fn lost(out: &mut DescriptorEncoder<'_>, figures: &Figures) -> fmt::Result {
    let mut causes: std::collections::BTreeMap<String, u64> =
        [LOCAL_UNKNOWN, NOT_STORED, OBJECT_NOT_STORED].map(|cause| (cause.to_owned(), 0)).into();
    causes.extend(figures.lost.iter().map(|(cause, flows)| ((*cause).to_owned(), *flows)));
    for (cause, flows) in &figures.seen.lost {
        // What the engine was told by the kernel is counted above already.
        if !figures.lost.contains_key(&**cause) {
            causes.insert(cause.to_string(), *flows);
        }
    }
    let causes: Vec<(String, u64)> = causes.into_iter().collect();
    family(
        out,
        "lost_flows",
        "Flows lost, by cause; object_not_stored counts versions of objects.",
        "cause",
        &causes,
    )
}

fn counters(out: &mut DescriptorEncoder<'_>, figures: &Figures) -> fmt::Result {
    let seen = &figures.seen;
    for (name, about, value) in [
        ("samples", "Kernel entries that had grown at a drain.", seen.samples),
        ("foreign_samples", "Samples of other nodes' pods on this kernel.", seen.foreign),
        ("overflowed_flows", "Flows that came by the ring; not lost.", figures.overflowed),
        ("drains", "Drains done.", figures.drains),
        ("drain_failures", "Drains that failed; the next one brings what they left.", figures.drain_failures),
        ("covered_seconds", "Seconds attached and drained.", figures.covered_seconds),
        ("clock_steps", "Times that the wall clock was set.", figures.clock_steps),
        ("saves", "Batches written to the state folder.", figures.saves),
        ("save_failures", "Batches that could not be written; tried again.", figures.save_failures),
    ] {
        let counter = ConstCounter::new(value);
        counter.encode(out.encode_descriptor(name, about, None, counter.metric_type())?)?;
    }
    Ok(())
}

fn gauges(out: &mut DescriptorEncoder<'_>, figures: &Figures) -> fmt::Result {
    for (name, about, value) in [
        ("attached", "1 while the programs are attached.", i64::from(figures.attached)),
        ("inventory_known", "1 once the inventory was read.", i64::from(figures.inventory_known)),
        ("inventory_stale", "1 while the inventory cannot be read.", i64::from(figures.inventory_stale)),
        ("store_failing", "1 while the state folder cannot be written.", i64::from(figures.store_failing)),
        ("store_bytes", "Size of the store.", signed(figures.store_bytes)),
        ("map_entries", "Entries of the kernel's flow map in use.", signed(figures.map_entries)),
        ("map_capacity", "Entries that the kernel's flow map has room for.", signed(figures.map_capacity)),
        (
            "last_drain_timestamp_seconds",
            "When the last drain was done, since the epoch.",
            figures.last_drain.map_or(0, crate::time::Time::seconds),
        ),
    ] {
        let gauge = ConstGauge::new(value);
        gauge.encode(out.encode_descriptor(name, about, None, gauge.metric_type())?)?;
    }
    let kind = ConstGauge::new(0_i64).metric_type();
    let mut metric = out.encode_descriptor("objects", "Objects known now, by kind.", None, kind)?;
    for (kind, count) in &figures.objects {
        ConstGauge::new(signed(*count)).encode(metric.encode_family(&[("kind", kind.as_str())])?)?;
    }
    Ok(())
}

fn seconds(out: &mut DescriptorEncoder<'_>, name: &str, about: &str, ns: u64) -> fmt::Result {
    let counter = ConstCounter::new(std::time::Duration::from_nanos(ns).as_secs_f64());
    counter.encode(out.encode_descriptor(name, about, None, counter.metric_type())?)
}

fn family(
    out: &mut DescriptorEncoder<'_>,
    name: &str,
    about: &str,
    label: &str,
    values: &[(String, u64)],
) -> fmt::Result {
    let kind = ConstCounter::new(0_u64).metric_type();
    let mut metric = out.encode_descriptor(name, about, None, kind)?;
    for (value, count) in values {
        ConstCounter::new(*count).encode(metric.encode_family(&[(label, value.as_str())])?)?;
    }
    Ok(())
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_of_loss_has_a_line_before_anything_is_lost() {
        let figures =
            Figures { node: "node-a".into(), lost: [("ring_full", 3)].into(), ..Figures::default() };
        let text = render(&figures);
        for line in [
            "netflow_lost_flows_total{cause=\"local_unknown\"} 0",
            "netflow_lost_flows_total{cause=\"not_stored\"} 0",
            "netflow_lost_flows_total{cause=\"ring_full\"} 3",
            "netflow_ignored_samples_total{reason=\"group\"} 0",
            "netflow_foreign_samples_total 0",
            "netflow_attached 0",
            "# EOF",
        ] {
            assert!(text.lines().any(|it| it == line), "{line} in\n{text}");
        }
        assert!(text.contains("netflow_agent{node=\"node-a\",version="), "{text}");
        assert_eq!(render(&figures), text);
    }

    #[test]
    fn a_name_from_outside_cannot_break_a_line() {
        let figures = Figures { node: "a\"b\n\\".into(), ..Figures::default() };
        assert!(render(&figures).contains("node=\"a\\\"b\\n\\\\\""));
    }
}
