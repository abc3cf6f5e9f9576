//! A running capture: programs attached, maps drained. In: options and the time. Out: samples and losses.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aya::Ebpf;
use netflow_common::loss::{COUNTERS, Loss, OVERFLOWED};

use crate::flow::Sample;
use crate::time::Time;

use super::interpret::{Clock, Interpreter};
use super::ledger::{Delta, Patience};
use super::maps::{Flows, Losses, Overflow};
use super::messages::Messages;
use super::{Error, cgroup, load};

/// How to capture.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where cgroup2 is mounted; found through mountinfo when absent.
    pub cgroup: Option<PathBuf>,
    /// Room of each of the two flow maps.
    pub entries: u32,
    /// Size of the overflow ring: a power of two.
    pub ring_bytes: u32,
    /// How often the maps are swapped, idle entries dropped and open connections told of again.
    pub refresh: Duration,
    /// Look for connections older than the agent, until `stop_existing`.
    pub existing_window: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            cgroup: None,
            entries: 32_768,
            ring_bytes: 1 << 20,
            refresh: Duration::from_mins(5),
            existing_window: true,
        }
    }
}

/// What one drain brought. Losses and counts are since the last drain.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Drained {
    pub samples: Vec<Sample>,
    /// Cause -> flows lost; a cause without a loss is there with 0.
    pub lost: BTreeMap<&'static str, u64>,
    /// Flows that found the map full and came by the ring instead. Not lost.
    pub overflowed: u64,
    /// Entries of the map in use, of `Options::entries`.
    pub entries: u32,
}

/// Records of the ring that no program of ours made: programs and agent differ in layout.
const UNKNOWN_RECORD: &str = "unknown_record";

const N_COUNTERS: usize = COUNTERS as usize;

/// Attached programs and their maps. Dropping it detaches them.
pub struct Capture {
    ebpf: Ebpf,
    /// The programs that stay attached to the end.
    lasting: Vec<&'static str>,
    cgroup: PathBuf,
    flows: Flows,
    overflow: Overflow,
    losses: Losses<N_COUNTERS>,
    messages: Messages,
    is_window_open: bool,
    interpreter: Interpreter,
    capacity: u32,
    refresh_ns: u64,
    swapped_ns: u64,
    told: Time,
}

impl Capture {
    /// Loads the programs and attaches them to the root of cgroup2. `now` is the wall clock.
    pub fn open(options: &Options, now: Time) -> Result<Self, Error> {
        let cgroup = cgroup::find(options.cgroup.as_deref())?;
        let (mut ebpf, lasting) = load::load(options)?;
        let mut capture = Self {
            flows: Flows::open(&mut ebpf, options.existing_window)?,
            overflow: Overflow::open(&mut ebpf)?,
            losses: Losses::open(&mut ebpf)?,
            messages: Messages::open(&mut ebpf),
            ebpf,
            lasting,
            cgroup,
            is_window_open: options.existing_window,
            interpreter: Interpreter::default(),
            capacity: options.entries,
            refresh_ns: u64::try_from(options.refresh.as_nanos()).unwrap_or(u64::MAX),
            swapped_ns: monotonic_ns(),
            told: now,
        };
        capture.attach()?;
        Ok(capture)
    }

    fn attach(&mut self) -> Result<(), Error> {
        let path = self.cgroup.as_path();
        let folder = File::open(path).map_err(|source| Error::Read { path: path.to_path_buf(), source })?;
        for name in self.programs() {
            load::attach(&mut self.ebpf, name, &folder, path)?;
        }
        Ok(())
    }

    /// Where the programs are attached.
    pub fn cgroup(&self) -> &Path {
        &self.cgroup
    }

    /// The names of the attached programs.
    pub fn programs(&self) -> Vec<&'static str> {
        let window = self.is_window_open.then_some(load::WINDOW);
        self.lasting.iter().copied().chain(window.into_iter().flatten()).collect()
    }

    /// Takes what was counted since the last drain. `now` is the wall clock.
    pub fn drain(&mut self, now: Time) -> Result<Drained, Error> {
        let clock = Clock { now, now_ns: monotonic_ns() };
        let mut drained = self.drain_maps(clock, Patience::OneReading)?;
        self.interpreter.end_drain(clock, &mut drained.samples);
        let is_due = clock.now_ns.saturating_sub(self.swapped_ns) >= self.refresh_ns;
        // A second keeps a flood from emptying a map that programs may still hold.
        let is_crowded = drained.entries > self.capacity / 4 * 3
            && clock.now_ns.saturating_sub(self.swapped_ns) >= 1_000_000_000;
        if is_due || is_crowded {
            let (interpreter, samples) = (&mut self.interpreter, &mut drained.samples);
            self.flows.swap(clock.now_ns, |delta| interpreter.take(delta, clock, samples))?;
            self.swapped_ns = clock.now_ns;
        }
        if is_due || now.hour() != self.told.hour() {
            self.interpreter.tell_open(clock, self.told, &mut drained.samples);
            self.told = now;
        }
        self.messages.flush();
        Ok(drained)
    }

    fn drain_maps(&mut self, clock: Clock, patience: Patience) -> Result<Drained, Error> {
        let mut samples = Vec::new();
        let interpreter = &mut self.interpreter;
        let take = |delta: &Delta| interpreter.take(delta, clock, &mut samples);
        let entries = self.flows.drain(clock.now_ns, patience, take)?;
        // After the maps: what overflows meanwhile is read now, and the counters of the lost come last.
        let n_unknown = self.overflow.drain(|delta| interpreter.take(delta, clock, &mut samples));
        let grown = self.losses.drain()?;
        let count = |index: u32| grown.get(index as usize).copied().unwrap_or(0);
        if count(Loss::CloseRingFull.index()) + count(Loss::Callback.index()) > 0 {
            self.interpreter.forget_open();
        }
        let mut lost: BTreeMap<&'static str, u64> =
            Loss::ALL.into_iter().map(|loss| (loss.as_str(), count(loss.index()))).collect();
        lost.insert(UNKNOWN_RECORD, n_unknown);
        Ok(Drained { samples, lost, overflowed: count(OVERFLOWED), entries })
    }

    /// Ends the search for connections older than the agent. Does nothing when it has ended.
    pub fn stop_existing(&mut self) -> Result<(), Error> {
        if self.is_window_open {
            self.is_window_open = false;
            for name in load::WINDOW {
                load::unload(&mut self.ebpf, name)?;
            }
            self.flows.close_window()?;
        }
        Ok(())
    }

    /// Detaches everything and takes the last of what was counted.
    pub fn finish(mut self, now: Time) -> Result<Drained, Error> {
        self.stop_existing()?;
        for name in self.lasting.clone() {
            load::unload(&mut self.ebpf, name)?;
        }
        let clock = Clock { now, now_ns: monotonic_ns() };
        let mut drained = self.drain_maps(clock, Patience::None)?;
        self.interpreter.finish(clock, &mut drained.samples);
        self.messages.flush();
        Ok(drained)
    }

    /// Readable when flows overflow: drain then, without waiting for the interval.
    pub fn overflow_fd(&self) -> BorrowedFd<'_> {
        self.overflow.fd()
    }
}

impl fmt::Debug for Capture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Capture").field("cgroup", &self.cgroup).finish_non_exhaustive()
    }
}

/// The clock that the programs stamp entries with.
fn monotonic_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(now.tv_nsec).unwrap_or(0))
}
