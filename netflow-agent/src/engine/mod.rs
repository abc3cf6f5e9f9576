//! The live state machine: samples, cluster changes, losses and drains in; flows and objects with their
//! times out. The agent feeds it from the kernel and the cluster, tests from tables: same inputs, same
//! outputs. It knows no clock, no disk and no socket, and its memory is bounded.

mod history;
mod input;
mod name;
mod tenure;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;

use crate::flow::Sample;
use crate::flow::orient::{self, Ignored};
use crate::flow::sum::{self, Span, Sum};
use crate::manifest::Object;
use crate::recording::Observed;
use crate::time::{Hour, Time};

pub use history::Name;
use history::{History, Step};
pub use input::{Batch, Change, Input, Kinds, Output, PodCgroup, SetBack};
use name::{Named, Names};

/// Cause of loss: nobody could say whose socket it was.
pub const LOCAL_UNKNOWN: &str = "local_unknown";
/// Cause of loss: the table was full and could not be saved.
pub const NOT_STORED: &str = "not_stored";
/// Cause of loss: versions of objects that ended, and were too many while nothing could be saved.
pub const OBJECT_NOT_STORED: &str = "object_not_stored";

/// Counts of what was seen and is no flow of this node, since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    pub samples: u64,
    /// Samples of pods of other nodes on this kernel.
    pub foreign: u64,
    pub ignored: BTreeMap<Ignored, u64>,
    /// Flows lost after the kernel handed them over, by cause.
    pub lost: BTreeMap<Arc<str>, u64>,
}

/// What one node knows of its flows and of the objects around them.
#[derive(Debug)]
pub struct Engine {
    node: Arc<str>,
    sum: Sum,
    history: History,
    names: Names,
    gateways: Vec<IpAddr>,
    /// The agent's own addresses towards them.
    seen_from: Vec<IpAddr>,
    /// Samples whose local end is not known yet, oldest first.
    waiting: VecDeque<Sample>,
    seen: Seen,
    /// A save was asked for and is not answered.
    saving: bool,
}

impl Engine {
    /// Samples that wait for their local end to be known.
    const WAITING: usize = 4_096;
    /// How long they wait: a pod's first TCP connection or its cgroup folder tells.
    const WAIT_SECONDS: i64 = 60;

    /// Goes on where the store ended: `next_seq` by hour, and the objects that had no end yet.
    pub fn new(node: Arc<str>, next_seq: BTreeMap<Hour, u32>, open: Vec<Observed>) -> Self {
        Self::with_limit(node, next_seq, open, sum::ROWS)
    }

    /// No more than this many rows are counted in one hour; what would be one more is counted as lost.
    #[must_use]
    pub fn with_rows_per_hour(mut self, rows: usize) -> Self {
        self.sum.per_hour = rows;
        self
    }

    fn with_limit(node: Arc<str>, next_seq: BTreeMap<Hour, u32>, open: Vec<Observed>, limit: usize) -> Self {
        let mut names = Names::new(Arc::clone(&node));
        for observed in &open {
            names.begin(&observed.object, observed.from.unwrap_or(Time::MIN));
        }
        // What was so when the last agent ended may have changed since: the first list tells.
        names.set_live(!open.is_empty());
        Self {
            sum: Sum::new(Arc::clone(&node), next_seq, limit),
            history: History::resume(open),
            names,
            node,
            gateways: Vec::new(),
            seen_from: Vec::new(),
            waiting: VecDeque::new(),
            seen: Seen::default(),
            saving: false,
        }
    }

    /// One input, one output.
    pub fn step(&mut self, input: Input) -> Output {
        match input {
            Input::Sample(sample) => return self.sample(sample),
            Input::Lost { cause, flows, at } => self.lose(&cause, flows, at),
            Input::Change(change) => return self.change(*change),
            Input::SetBack(set_back) => {
                self.history.set_back(set_back);
                self.names.set_back(set_back);
                for sample in &mut self.waiting {
                    sample.first = set_back.of(sample.first);
                    sample.last = set_back.of(sample.last);
                }
            }
            Input::Cgroups { folders, at } => self.names.place(folders, at),
            Input::Unheard(span) => self.sum.unheard(span),
            Input::Drained(span) => {
                self.sum.observe(span);
                self.retry(span.last);
                return self.save();
            }
            Input::StoreLost => {
                self.sum.unsave();
                self.history.unsave();
                return self.save();
            }
            Input::Saved { at } => {
                self.saving = false;
                self.sum.saved(at);
                self.history.saved();
                self.prune(at);
            }
        }
        Output::Nothing
    }

    /// Whether a listing of the cgroup tree has shown this folder as a pod's.
    pub fn knows_cgroup(&self, id: u64) -> bool {
        self.names.knows_cgroup(id)
    }

    /// What was counted since the start.
    pub const fn seen(&self) -> &Seen {
        &self.seen
    }

    /// The objects as they are now, with the time since when.
    pub fn objects(&self) -> impl Iterator<Item = &Observed> {
        self.history.objects()
    }

    fn sample(&mut self, sample: Sample) -> Output {
        self.seen.samples += 1;
        if let Err(ignored) = orient::check(&sample) {
            *self.seen.ignored.entry(ignored).or_default() += 1;
            return Output::Nothing;
        }
        match self.names.name(&sample) {
            Named::Pod(pod) => self.count(&sample, Some(pod), sample.local),
            Named::Local(local) => self.count(&sample, None, Some(local)),
            Named::Foreign => {
                self.seen.foreign += 1;
                Output::Nothing
            }
            Named::NotYet => {
                if self.waiting.len() >= Self::WAITING
                    && let Some(oldest) = self.waiting.pop_front()
                {
                    self.lose(&LOCAL_UNKNOWN.into(), oldest.connections.max(1), oldest.last);
                }
                self.waiting.push_back(sample);
                Output::Nothing
            }
        }
    }

    fn count(&mut self, sample: &Sample, pod: Option<Arc<str>>, local: Option<IpAddr>) -> Output {
        let (conversation, growth, span) = orient::orient(sample, pod, local);
        if !self.sum.add(conversation, growth, span) {
            self.lose(&NOT_STORED.into(), growth.connections.max(1), span.last);
        }
        // Asked for once: while the answer is out, what finds no room is counted as lost.
        if self.sum.is_full() && !self.saving { self.save() } else { Output::Nothing }
    }

    /// Names again what could not be named, and gives up on what has waited too long.
    fn retry(&mut self, now: Time) {
        for sample in std::mem::take(&mut self.waiting) {
            match self.names.name(&sample) {
                Named::Pod(pod) => drop(self.count(&sample, Some(pod), sample.local)),
                Named::Local(local) => drop(self.count(&sample, None, Some(local))),
                Named::Foreign => self.seen.foreign += 1,
                Named::NotYet if sample.last.plus_seconds(Self::WAIT_SECONDS) < now => {
                    self.lose(&LOCAL_UNKNOWN.into(), sample.connections.max(1), sample.last);
                }
                Named::NotYet => self.waiting.push_back(sample),
            }
        }
    }

    fn lose(&mut self, cause: &Arc<str>, flows: u64, at: Time) {
        self.sum.lose(cause, flows, Span { first: at, last: at });
        if flows > 0 {
            let lost = self.seen.lost.entry(Arc::clone(cause)).or_default();
            *lost = lost.saturating_add(flows);
        }
    }

    fn save(&mut self) -> Output {
        let unsaved = self.sum.unsaved();
        let batch = Batch {
            coverage: unsaved.coverage,
            flows: unsaved.flows,
            answered: unsaved.answered,
            objects: self.history.unsaved(),
        };
        if batch.is_empty() {
            return Output::Nothing;
        }
        self.saving = true;
        Output::Save(batch)
    }

    fn change(&mut self, change: Change) -> Output {
        let at = match change {
            Change::Listed { kinds, objects, at } => {
                self.list(&kinds, objects, at);
                Some(at)
            }
            Change::Applied { object, at } => {
                self.names.set_live(true);
                let step = self.history.apply(object, at);
                self.follow(&step, at);
                Some(at)
            }
            Change::Deleted { object, at } => {
                self.names.set_live(true);
                let step = self.history.delete(&object, at);
                self.follow(&step, at);
                Some(at)
            }
            Change::Gateways { ips, seen_from } => {
                self.gateways = ips;
                self.seen_from = seen_from;
                None
            }
        };
        // Only a pod that is known as one says what its neighbours' gateway is.
        if !self.gateways.is_empty() && self.seen_from.iter().all(|ip| self.names.addresses.is_pods(*ip)) {
            self.names.addresses.set_gateways(&self.gateways);
            self.history.set_gateways(&self.node, &self.gateways);
        }
        match at {
            Some(at) if self.history.is_full() => self.relieve(at),
            _ => Output::Nothing,
        }
    }

    /// Too many ended versions wait: a save takes them all. While it cannot be done, the oldest go.
    fn relieve(&mut self, at: Time) -> Output {
        if !self.saving {
            return self.save();
        }
        let shed = self.history.shed();
        self.lose(&OBJECT_NOT_STORED.into(), shed, at);
        Output::Nothing
    }

    fn list(&mut self, kinds: &Kinds, objects: Vec<Object>, at: Time) {
        self.names.set_live(*kinds != Kinds::All);
        let mut listed: Vec<Name> = objects.iter().map(Name::of).collect();
        listed.sort_unstable();
        for (ended, until) in self.history.retain(kinds, &listed, &history::taken(&objects), at) {
            self.names.end(&ended, until);
        }
        for object in objects {
            let step = self.history.listed(object, at);
            self.follow(&step, at);
        }
    }

    fn follow(&mut self, step: &Step, at: Time) {
        match step {
            Step::Began { object, from, replaced } => {
                if let Some(replaced) = replaced {
                    self.names.end(replaced, *from);
                }
                self.names.begin(object, *from);
            }
            Step::Ended(object) => self.names.end(object, at),
            Step::Nothing => {}
        }
    }

    fn prune(&mut self, now: Time) {
        let Self { names, history, .. } = self;
        let current: std::collections::BTreeSet<&str> =
            history.objects().filter_map(|it| it.object.meta().uid.as_deref()).collect();
        names.prune(now, |uid| current.contains(uid));
    }
}
