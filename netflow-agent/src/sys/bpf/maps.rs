//! The kernel's maps from outside: the two flow maps and their swap, the ring, the loss counters. In: nothing.
//! Out: differences since the last drain. Nothing counted is lost between two drains, whatever runs meanwhile.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};

use aya::Ebpf;
use aya::maps::{Array, Map, MapData, RingBuf};
use netflow_common::names::map;
use netflow_common::settings::Settings;
use netflow_common::{FlowKey, FlowRecord, FlowStats};

use super::Error;
use super::ledger::{Delta, Ledger, Patience};
use super::syscall::{self, Batch};

/// The two flow maps, of which one is in use, and what was read of them.
pub(super) struct Flows {
    maps: [MapData; 2],
    ledgers: [Ledger; 2],
    settings: Array<MapData, [u32; 2]>,
    current: usize,
    told: Settings,
    /// How many more drains read the map that was left at the last swap: a program may have held an entry.
    settling: u32,
    batch: Batch,
}

impl Flows {
    pub(super) fn open(ebpf: &mut Ebpf, is_window_open: bool) -> Result<Self, Error> {
        let settings = Array::try_from(take(ebpf, map::SETTINGS)?)
            .map_err(|source| Error::OpenMap { name: map::SETTINGS, source: Box::new(source) })?;
        let mut flows = Self {
            maps: [hash_map(ebpf, map::FLOWS[0])?, hash_map(ebpf, map::FLOWS[1])?],
            ledgers: [Ledger::default(), Ledger::default()],
            settings,
            current: 0,
            told: Settings::default(),
            settling: 0,
            batch: Batch::new(FlowKey::LENGTH, FlowStats::LENGTH),
        };
        flows.tell(Settings { window: u32::from(is_window_open), ..flows.told })?;
        Ok(flows)
    }

    fn tell(&mut self, settings: Settings) -> Result<(), Error> {
        self.settings
            .set(0, settings.words(), 0)
            .map_err(|source| Error::OpenMap { name: map::SETTINGS, source: Box::new(source) })?;
        self.told = settings;
        Ok(())
    }

    /// Tells the programs that nobody looks for connections older than the agent any more.
    pub(super) fn close_window(&mut self) -> Result<(), Error> {
        self.tell(Settings { window: 0, ..self.told })
    }

    /// Hands over what was added since the last drain; returns how many entries the map in use has.
    pub(super) fn drain(
        &mut self,
        now_ns: u64,
        patience: Patience,
        mut each: impl FnMut(&Delta),
    ) -> Result<u32, Error> {
        if self.settling > 0 || patience == Patience::None {
            self.settling = self.settling.saturating_sub(1);
            let patience = if self.settling > 0 { patience } else { Patience::None };
            self.read(self.current ^ 1, now_ns, patience, |_key| (), &mut each)?;
        }
        let mut n_entries = 0;
        self.read(self.current, now_ns, patience, |_key| n_entries += 1, each)?;
        Ok(n_entries)
    }

    /// Reads one map: `keys` gets every key as it lies there, `each` what was added.
    fn read(
        &mut self,
        which: usize,
        now_ns: u64,
        patience: Patience,
        mut keys: impl FnMut(&[u8]),
        mut each: impl FnMut(&Delta),
    ) -> Result<(), Error> {
        let mut reading = self.ledgers[which].begin(now_ns, patience);
        let read = self.batch.read(self.maps[which].fd().as_fd(), |key, value| {
            keys(key);
            if let (Some(key), Some(stats)) = (FlowKey::decode(key), FlowStats::decode(value))
                && let Some(delta) = reading.take(key, stats)
            {
                each(&delta);
            }
        });
        // Also when it was broken off: what was taken is taken.
        reading.end(each);
        read.map_err(|source| Error::Map { op: "read", name: map::FLOWS[which], source })
    }

    /// Empties the map that is not in use and lets the programs use it from here on. What it held is handed over
    /// first; the map left behind is read on in the next drains, and stays readable for the programs.
    pub(super) fn swap(&mut self, now_ns: u64, each: impl FnMut(&Delta)) -> Result<(), Error> {
        let idle = self.current ^ 1;
        // No program still holds an entry of a map that was left a swap ago; where the kernel has this call, that
        // is not only so, but waited for.
        syscall::wait_for_programs();
        let mut keys = Vec::new();
        self.read(idle, now_ns, Patience::None, |key| keys.extend_from_slice(key), each)?;
        let name = map::FLOWS[idle];
        self.batch.delete(self.maps[idle].fd().as_fd(), &mut keys).map_err(|source| Error::Map {
            op: "empty",
            name,
            source,
        })?;
        self.ledgers[idle].clear();
        self.tell(Settings { epoch: self.told.epoch.wrapping_add(1), ..self.told })?;
        self.current = idle;
        self.settling = 2;
        Ok(())
    }
}

/// Flows that found their map full.
pub(super) struct Overflow(RingBuf<MapData>);

impl Overflow {
    pub(super) fn open(ebpf: &mut Ebpf) -> Result<Self, Error> {
        RingBuf::try_from(take(ebpf, map::OVERFLOW)?)
            .map(Self)
            .map_err(|source| Error::OpenMap { name: map::OVERFLOW, source: Box::new(source) })
    }

    /// Hands over every record; returns how many were none of ours.
    pub(super) fn drain(&mut self, mut each: impl FnMut(&Delta)) -> u64 {
        let mut n_unknown = 0;
        while let Some(bytes) = self.0.next() {
            match FlowRecord::decode(&bytes) {
                Some(record) => each(&Delta::whole(record.key, &record.stats)),
                None => n_unknown += 1,
            }
        }
        n_unknown
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The kernel's counters of what it lost.
pub(super) struct Losses<const N: usize> {
    counters: Array<MapData, u64>,
    before: [u64; N],
}

impl<const N: usize> Losses<N> {
    pub(super) fn open(ebpf: &mut Ebpf) -> Result<Self, Error> {
        let counters = Array::try_from(take(ebpf, map::LOSSES)?)
            .map_err(|source| Error::OpenMap { name: map::LOSSES, source: Box::new(source) })?;
        Ok(Self { counters, before: [0; N] })
    }

    /// What each counter has grown by since the last time.
    pub(super) fn drain(&mut self) -> Result<[u64; N], Error> {
        let mut grown = [0; N];
        for (index, (before, grown)) in (0_u32..).zip(self.before.iter_mut().zip(grown.iter_mut())) {
            let now = self
                .counters
                .get(&index, 0)
                .map_err(|source| Error::OpenMap { name: map::LOSSES, source: Box::new(source) })?;
            *grown = now.wrapping_sub(*before);
            *before = now;
        }
        Ok(grown)
    }
}

/// Takes a map out of the object.
pub(super) fn take(ebpf: &mut Ebpf, name: &'static str) -> Result<Map, Error> {
    ebpf.take_map(name).ok_or(Error::Missing { what: "map", name })
}

fn hash_map(ebpf: &mut Ebpf, name: &'static str) -> Result<MapData, Error> {
    match take(ebpf, name)? {
        Map::HashMap(data) => Ok(data),
        _ => Err(Error::Map { op: "open", name, source: io::Error::other("not a hash map") }),
    }
}
