//! The agent's one loop: it alone holds the capture, the engine and the writing end of the store. In: ticks
//! of the clock and events of the other tasks. Out: saved batches, and figures after each drain. It logs
//! changes of state, never flows.

mod keep;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use super::super::bpf::{self, Capture, Drained};
use super::super::clock::{self, Mark};
use super::super::store::{Limits, Store, StoreError};
use super::shared::{Event, Shared};
use super::wall::Wall;
use crate::api::figures::Figures;
use crate::engine::{Change, Engine, Input, Output, SetBack};
use crate::flow::Sample;
use crate::flow::sum::Span;
use crate::time::{Hour, Time};

/// What the loop is told once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    pub(super) interval: Duration,
    /// How long connections older than the agent are looked for; zero is off.
    pub(super) existing: Duration,
    pub(super) limits: Limits,
}

/// The loop's state.
pub(super) struct Turn {
    /// None once it is detached, at the very end.
    capture: Option<Capture>,
    cgroup: PathBuf,
    engine: Engine,
    store: Store,
    shared: Arc<Shared>,
    pace: Pace,
    figures: Figures,
    began: Mark,
    last_drain: Mark,
    /// How long the span of the last drain was.
    last_span_ms: i64,
    next_drain: Mark,
    searching: bool,
    /// When and at what hour the store was last cleaned, and whether by age too.
    cleaned: Option<(Mark, Hour, bool)>,
    wall: Wall,
    /// Cgroups that were looked for and are no pod's. The kernel never gives an id again.
    no_pods: BTreeSet<u64>,
    news: News,
    covered_ms: u64,
}

/// What was heard of the inventory, and not seen to yet.
#[derive(Debug, Default)]
pub(super) struct News {
    /// The figures lag behind the objects.
    objects_changed: bool,
    /// A whole list came: what reading it took is free as soon as it is saved.
    listed: bool,
    /// Nothing could be heard at some time since the last drain.
    unheard: bool,
}

/// How the loop ended: what could not be saved, if anything.
pub(super) type Ended = Result<(), (usize, StoreError)>;

impl Turn {
    pub(super) fn new(
        capture: Capture,
        engine: Engine,
        store: Store,
        shared: Arc<Shared>,
        pace: Pace,
    ) -> Self {
        let searching = !pace.existing.is_zero();
        let now = Mark::now();
        let figures = Figures { node: Arc::clone(&shared.node), attached: true, ..Figures::default() };
        Self {
            cgroup: capture.cgroup().to_owned(),
            capture: Some(capture),
            engine,
            store,
            shared,
            pace,
            figures,
            began: now,
            last_drain: now,
            last_span_ms: 0,
            next_drain: now.after(pace.interval),
            searching,
            cleaned: None,
            wall: Wall::new(clock::now(), now),
            no_pods: BTreeSet::new(),
            news: News { objects_changed: true, ..News::default() },
            covered_ms: 0,
        }
    }

    /// Runs until it is told to stop; then drains, saves and detaches.
    pub(super) fn run(mut self, events: &Receiver<Event>) -> Ended {
        self.place_cgroups(clock::now());
        drop(self.drain());
        loop {
            self.publish();
            let event = match events.recv_timeout(self.wait()) {
                Ok(event) => Some(event),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return self.stop(),
            };
            self.look_at_clock();
            // Whatever came meanwhile is one turn: many questions are answered by one drain.
            let mut asked = Vec::new();
            let mut due = event.is_none();
            for event in event.into_iter().chain(events.try_iter()) {
                match event {
                    Event::Change(change) => self.change(*change),
                    Event::InventoryFailed => {
                        self.figures.inventory_stale = true;
                        self.news.unheard = true;
                    }
                    Event::InventoryAnswers => self.figures.inventory_stale = false,
                    Event::Overflow => {
                        self.shared.overflowing.store(false, Ordering::Relaxed);
                        due = true;
                    }
                    Event::Fresh(done) => asked.push(done),
                    Event::Stop => return self.stop(),
                }
            }
            if due || !asked.is_empty() || self.wait().is_zero() {
                drop(self.drain());
                self.end_search();
                self.retain();
            }
            for done in asked {
                // Whoever asked may have gone.
                let _gone = done.send(());
            }
        }
    }

    /// Detaches, then takes the last of what was counted.
    fn stop(mut self) -> Ended {
        let Some(capture) = self.capture.take() else { return Ok(()) };
        let (now, mark) = (clock::now(), Mark::now());
        let drained = capture.finish(now);
        self.figures.attached = false;
        let saved = self.took(drained, now, mark);
        self.publish();
        saved
    }

    fn change(&mut self, change: Change) {
        // Whatever the API tells, it answers; what it still refuses is said again after this.
        if !matches!(change, Change::Gateways { .. }) {
            self.figures.inventory_stale = false;
        }
        let listed = matches!(change, Change::Listed { .. });
        self.news.listed |= listed;
        let now = clock::now();
        if let Output::Save(batch) = self.engine.step(Input::Change(Box::new(change.no_later_than(now)))) {
            drop(self.save(&batch, now));
        }
        if listed {
            // Reading it took many times what is kept of it.
            bpf::give_memory_back();
        }
        self.news.objects_changed = true;
        self.figures.inventory_known = self.shared.inventory_known();
    }

    /// Events carry the wall clock's time: when it is set back, the engine must hear of it before them.
    fn look_at_clock(&mut self) {
        let now = clock::now();
        let Some(step) = self.wall.look(now, Mark::now()) else { return };
        self.figures.clock_steps += 1;
        tracing::warn!(milliseconds = step, "the wall clock was set: times before and after do not compare");
        if step < 0 {
            drop(self.engine.step(Input::SetBack(SetBack { now, milliseconds: step.saturating_neg() })));
        }
    }

    fn wait(&self) -> Duration {
        self.next_drain.since(Mark::now())
    }

    /// The next drain comes after the interval, or at the turn of the hour if that is sooner: what was seen
    /// in an hour is counted in it.
    fn plan(&mut self, now: Time) {
        let turn = now.hour().end().milliseconds().saturating_sub(now.milliseconds());
        let turn = Duration::from_millis(u64::try_from(turn).unwrap_or(1).max(1));
        self.next_drain = Mark::now().after(self.pace.interval.min(turn));
    }

    fn drain(&mut self) -> Result<(), (usize, StoreError)> {
        let (now, mark) = (clock::now(), Mark::now());
        self.plan(now);
        let Some(capture) = &mut self.capture else { return Ok(()) };
        let drained = capture.drain(now);
        self.took(drained, now, mark)
    }

    fn took(
        &mut self,
        drained: Result<Drained, bpf::Error>,
        now: Time,
        mark: Mark,
    ) -> Result<(), (usize, StoreError)> {
        let drained = match drained {
            Ok(drained) => drained,
            Err(error) => {
                self.figures.drain_failures += 1;
                tracing::error!(error = &error as &dyn std::error::Error, "drain the flow maps");
                return Ok(());
            }
        };
        // The span is measured on the clock that nobody steps.
        let elapsed = mark.since(self.last_drain);
        let elapsed_ms = i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX);
        let first = Time::from_milliseconds(now.milliseconds().saturating_sub(elapsed_ms));
        let span = Span { first, last: now };
        self.last_drain = mark;
        self.note(&drained, now, elapsed);
        let saved = self.feed(drained, span);
        let turned = u64::try_from(mark.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.figures.drain_ns = self.figures.drain_ns.saturating_add(turned);
        saved
    }

    fn note(&mut self, drained: &Drained, now: Time, elapsed: Duration) {
        let figures = &mut self.figures;
        figures.drains += 1;
        figures.last_drain = Some(now);
        figures.overflowed += drained.overflowed;
        figures.map_entries = u64::from(drained.entries);
        for (cause, flows) in &drained.lost {
            *figures.lost.entry(cause).or_default() += flows;
        }
        self.covered_ms = self.covered_ms.saturating_add(u64::try_from(elapsed.as_millis()).unwrap_or(0));
        figures.covered_seconds = self.covered_ms / 1_000;
    }

    fn feed(&mut self, drained: Drained, span: Span) -> Result<(), (usize, StoreError)> {
        self.look_for_cgroups(&drained.samples, span.last);
        for (cause, flows) in drained.lost {
            let cause = Arc::from(cause);
            drop(self.engine.step(Input::Lost { cause, flows, at: span.last }));
        }
        let span_ms = span.last.milliseconds().saturating_sub(span.first.milliseconds());
        let before_ms = std::mem::replace(&mut self.last_span_ms, span_ms);
        let earliest = Time::from_milliseconds(span.first.milliseconds().saturating_sub(before_ms));
        for mut sample in drained.samples {
            confine(&mut sample, Span { first: earliest, last: span.last });
            if let Output::Save(batch) = self.engine.step(Input::Sample(sample)) {
                drop(self.save(&batch, span.last));
            }
        }
        if std::mem::replace(&mut self.news.unheard, self.figures.inventory_stale) {
            drop(self.engine.step(Input::Unheard(span)));
        }
        match self.engine.step(Input::Drained(span)) {
            Output::Save(batch) => self.save(&batch, span.last).map_err(|error| (batch.flows.len(), error)),
            Output::Nothing => Ok(()),
        }
    }
}

/// A stepped clock must not put a sample outside the time in which it was taken. That reaches one drain back:
/// a UDP client that waits for its answer is told of in the drain after, with the times of when it spoke.
fn confine(sample: &mut Sample, taken: Span) {
    sample.first = sample.first.clamp(taken.first, taken.last);
    sample.last = sample.last.clamp(sample.first, taken.last);
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    /// A pod that lived a second asks for a name, is drained and held, and told of when its address is free.
    #[test]
    fn a_sample_held_over_one_drain_keeps_its_times() {
        let at = |seconds| Time::from_seconds(1_800_000_000 + seconds);
        let told = |first: i64, last: i64| {
            let [local, remote] = [1, 2].map(|last| IpAddr::from([10, 0, 0, last]));
            let mut sample = Sample::opened(local, remote, 53, [at(first), at(last)]);
            // The drain from 10 to 20 told of what it held from the one that began at 0.
            confine(&mut sample, Span { first: at(0), last: at(20) });
            (sample.first, sample.last)
        };
        assert_eq!(told(3, 4), (at(3), at(4)));
        assert_eq!(told(-5, 90), (at(0), at(20)), "a stepped clock");
    }
}
