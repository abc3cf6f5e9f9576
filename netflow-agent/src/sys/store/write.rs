//! The writer of a state folder: one agent at a time, one transaction a batch. A store that cannot write
//! (a full disk) keeps its folder, and tries again with the next batch.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use redb::{Database, ReadableDatabase, ReadableTable};

use super::StoreError;
use super::files::{self, layout, lock, make, set_aside};
use super::layout::{COVERAGE, FILE, Flows, LAYOUT, OBJECTS, flows_name};
use super::lost::Known;
use super::read::Reader;
use crate::engine::Batch;
use crate::flow::{Coverage, Flow};
use crate::recording::{self, Observed, row};
use crate::time::{Hour, Time};

/// A state folder that is ours until this is dropped.
#[derive(Debug)]
pub struct Store {
    pub(super) folder: PathBuf,
    /// Shared with readers; none while it could not be opened again after a failed write.
    pub(super) database: Arc<Mutex<Option<Arc<Database>>>>,
    pub(super) lock: File,
    /// What the file was after the last write.
    pub(super) known: Cell<Option<Known>>,
}

/// A folder just opened, where its engine goes on, and a store of another layout, or a damaged one, that was found
/// in it and set aside.
#[derive(Debug)]
pub struct Opened {
    pub store: Store,
    pub resumed: Resumed,
    pub set_aside: Option<PathBuf>,
}

/// Where an engine goes on.
#[derive(Debug, Default, PartialEq)]
pub struct Resumed {
    pub next_seq: BTreeMap<Hour, u32>,
    pub open: Vec<Observed>,
}

impl Store {
    /// Makes the folder if it is missing, and takes it for this process alone.
    pub fn open(folder: &Path) -> Result<Opened, StoreError> {
        make(folder)?;
        let lock = lock(folder)?;
        let path = folder.join(FILE);
        let mut aside = if layout(&path)? == LAYOUT { None } else { Some(set_aside(&path)?) };
        let database = Arc::new(Mutex::new(Some(Arc::new(files::open(&path)?))));
        let store = Self { folder: folder.to_owned(), database, lock, known: Cell::new(None) };
        let resumed = match store.resume() {
            // It opens, and holds what this version never wrote.
            Err(error) if error.is_damage() => {
                store.close();
                aside = Some(set_aside(&path)?);
                store.resume()?
            }
            resumed => resumed?,
        };
        Ok(Opened { store, resumed, set_aside: aside })
    }

    /// What the engine must know to go on.
    fn resume(&self) -> Result<Resumed, StoreError> {
        let database = self.database()?;
        let failed = |source: redb::Error| self.failed("read", source);
        let mut resumed = Resumed::default();
        let read = database.begin_read().map_err(|error| failed(error.into()))?;
        let coverage = read.open_table(COVERAGE).map_err(|error| failed(error.into()))?;
        for entry in coverage.iter().map_err(|error| failed(error.into()))? {
            let (hour, seq) = entry.map_err(|error| failed(error.into()))?.0.value();
            let next = resumed.next_seq.entry(Hour::from_index(hour)).or_default();
            *next = (*next).max(seq.saturating_add(1));
        }
        let objects = read.open_table(OBJECTS).map_err(|error| failed(error.into()))?;
        // One line at a time: the text of a large cluster is as large as all that the agent holds.
        let mut lines = recording::Reader::default();
        for entry in objects.iter().map_err(|error| failed(error.into()))? {
            let entry = entry.map_err(|error| failed(error.into()))?;
            let (to, mut line) = entry.1.value();
            if to == Time::MAX.milliseconds() {
                lines
                    .read(FILE, &mut line)
                    .map_err(|_unread| StoreError::Row { path: self.path(), what: "an object's line" })?;
            }
        }
        resumed.open = lines.finish().0.objects;
        Ok(resumed)
    }

    /// Writes a batch; when this returns it is on disk. After an error that is damage, `begin_anew`.
    pub fn save(&mut self, batch: &Batch) -> Result<(), StoreError> {
        let saved = self.is_whole().and_then(|()| self.database()).and_then(|database| {
            transaction(&database, batch).map_err(|source| self.failed("write to", source))
        });
        match &saved {
            Err(error) if error.is_damage() => self.close(),
            // After a failed write redb refuses everything until it is opened again. Should that fail too, the
            // next use tries.
            Err(_) => {
                self.close();
                drop(self.database());
                self.look();
            }
            Ok(()) => self.look(),
        }
        saved
    }

    /// The next use opens it again.
    pub(super) fn close(&self) {
        *self.database.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Reads what is stored, while it is written to.
    pub fn reader(&self) -> Reader {
        Reader::beside(self.path(), &self.database)
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn path(&self) -> PathBuf {
        self.folder.join(FILE)
    }

    pub(super) fn failed(&self, op: &'static str, source: redb::Error) -> StoreError {
        StoreError::Database { op, path: self.path(), source: Box::new(source) }
    }

    pub(super) fn database(&self) -> Result<Arc<Database>, StoreError> {
        let mut database = self.database.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(database) = &*database {
            return Ok(Arc::clone(database));
        }
        let opened = Arc::new(files::open(&self.path())?);
        *database = Some(Arc::clone(&opened));
        Ok(opened)
    }
}

fn transaction(database: &Database, batch: &Batch) -> Result<(), redb::Error> {
    let mut write = database.begin_write()?;
    // The store opens at once after a kill, without a walk over all of it.
    write.set_quick_repair(true);
    {
        let mut coverage = write.open_table(COVERAGE)?;
        for line in &batch.coverage {
            coverage.insert((line.hour.index(), line.seq), &*coverage_line(line)?)?;
        }
        let mut objects = write.open_table(OBJECTS)?;
        for observed in &batch.objects {
            let to = observed.to.unwrap_or(Time::MAX).milliseconds();
            objects.insert(&*object_key(observed), (to, &*object_line(observed)?))?;
        }
    }
    for hour in by_hour(&batch.answered, |key| key.hour) {
        let name = flows_name(hour[0].hour);
        let mut flows = write.open_table(Flows::new(&name))?;
        for key in hour {
            flows.remove(&*row::key(key))?;
        }
    }
    for hour in by_hour(&batch.flows, |flow| flow.key.hour) {
        let name = flows_name(hour[0].key.hour);
        let mut flows = write.open_table(Flows::new(&name))?;
        for Flow { key, counters } in hour {
            flows.insert(&*row::key(key), &row::counters(counters)[..])?;
        }
    }
    write.commit()?;
    Ok(())
}

fn by_hour<T>(items: &[T], hour: impl Fn(&T) -> Hour) -> impl Iterator<Item = &[T]> {
    items.chunk_by(move |one, other| hour(one) == hour(other))
}

fn coverage_line(coverage: &Coverage) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    recording::write::write_coverage(coverage, &mut line)?;
    Ok(line)
}

fn object_line(observed: &Observed) -> io::Result<Vec<u8>> {
    let mut line = recording::write::object_line(observed)?.into_bytes();
    line.push(b'\n');
    Ok(line)
}

/// One version of one object; no name of the API has a zero byte in it.
fn object_key(observed: &Observed) -> Vec<u8> {
    let (kind, meta) = observed.object.kind_and_meta();
    let uid = meta.uid.as_deref().unwrap_or_default();
    let from = observed.from.unwrap_or(Time::MIN).milliseconds();
    let mut key = Vec::new();
    for part in [kind, &*meta.namespace, &*meta.name, uid] {
        key.extend_from_slice(part.as_bytes());
        key.push(0);
    }
    key.extend_from_slice(&from.wrapping_sub(i64::MIN).to_be_bytes());
    key
}
