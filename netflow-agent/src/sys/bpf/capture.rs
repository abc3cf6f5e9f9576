//! A running capture: programs attached, maps drained. In: options and the time. Out: samples and losses.

use std::collections::BTreeMap;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::flow::Sample;
use crate::time::Time;

use super::Error;

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
}

impl Default for Options {
    fn default() -> Self {
        Self { cgroup: None, entries: 32_768, ring_bytes: 1 << 20, refresh: Duration::from_mins(5) }
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

/// Attached programs and their maps.
#[derive(Debug)]
pub struct Capture {
    cgroup: PathBuf,
}

impl Capture {
    /// Loads the programs and attaches them to the root of cgroup2.
    pub fn open(_options: &Options, _now: Time) -> Result<Self, Error> {
        Err(Error::NotBuilt)
    }

    /// Where the programs are attached.
    pub fn cgroup(&self) -> &Path {
        &self.cgroup
    }

    /// The names of the attached programs.
    pub fn programs(&self) -> Vec<&'static str> {
        Vec::new()
    }

    /// Takes what was counted since the last drain. `now` is the wall clock.
    pub fn drain(&mut self, _now: Time) -> Result<Drained, Error> {
        Err(Error::NotBuilt)
    }

    /// Begins to look for connections older than the agent; costs 70-100 ns a packet until it is stopped.
    pub fn start_existing(&mut self) -> Result<(), Error> {
        Err(Error::NotBuilt)
    }

    /// Ends that search.
    pub fn stop_existing(&mut self) -> Result<(), Error> {
        Err(Error::NotBuilt)
    }

    /// Readable when flows overflow: drain then, without waiting for the interval.
    pub fn overflow_fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}
