//! The writer of a state folder: one agent at a time, one transaction a batch. A store that cannot write
//! (a full disk) keeps its folder, and tries again with the next batch.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use redb::{Database, ReadableDatabase, ReadableTable};

use super::StoreError;
use super::layout::{COVERAGE, FILE, Flows, LAYOUT, LOCK, META, OBJECTS, flows_name};
use super::read::Reader;
use crate::engine::Batch;
use crate::flow::{Coverage, Flow};
use crate::recording::{self, Observed, row};
use crate::time::{Hour, Time};

/// Memory that redb may keep pages in; its default is 1 GiB. The kernel caches the file anyway.
pub(super) const CACHE_BYTES: usize = 1 << 20;

/// A state folder that is ours until this is dropped.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    /// Shared with readers; none while it could not be opened again after a failed write.
    pub(super) database: Arc<Mutex<Option<Arc<Database>>>>,
    _lock: File,
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
        make(folder).map_err(|source| at("make the state folder", folder, source))?;
        let lock = lock(folder)?;
        let path = folder.join(FILE);
        let mut aside = if layout(&path)? == LAYOUT { None } else { Some(set_aside(&path)?) };
        let database = Arc::new(Mutex::new(Some(Arc::new(open(&path)?))));
        let store = Self { folder: folder.to_owned(), database, _lock: lock };
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

    /// Writes a batch; when this returns it is on disk.
    pub fn save(&mut self, batch: &Batch) -> Result<(), StoreError> {
        let saved = self.database().and_then(|database| {
            transaction(&database, batch).map_err(|source| self.failed("write to", source))
        });
        if saved.is_err() {
            // After a failed write redb refuses everything until it is opened again. Should that fail too, the
            // next use tries.
            self.close();
            drop(self.database());
        }
        saved
    }

    /// The next use opens it again.
    fn close(&self) {
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
        let opened = Arc::new(open(&self.path())?);
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

fn at(op: &'static str, path: &Path, source: io::Error) -> StoreError {
    StoreError::Folder { op, path: path.to_owned(), source }
}

/// Who talks to whom is for the owner's eyes.
fn make(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(folder.join(FILE))?;
    drop(file);
    Ok(())
}

fn lock(folder: &Path) -> Result<File, StoreError> {
    let path = folder.join(LOCK);
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|source| at("open the lock", &path, source))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::Locked { folder: folder.to_owned() }),
        Err(TryLockError::Error(source)) => Err(at("take the lock", &path, source)),
    }
}

/// The layout of the file that is there; ours when there is none yet, 0 when it is no store.
fn layout(path: &Path) -> Result<u32, StoreError> {
    let length = match path.metadata() {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        Err(source) => return Err(at("look at", path, source)),
    };
    if length == 0 {
        return Ok(LAYOUT);
    }
    let failed = |source: redb::Error| StoreError::Database {
        op: "open",
        path: path.to_owned(),
        source: Box::new(source),
    };
    let database = match redb::Builder::new().set_cache_size(CACHE_BYTES).open(path) {
        Ok(database) => database,
        Err(redb::DatabaseError::Storage(redb::StorageError::Io(error)))
            if error.kind() != io::ErrorKind::InvalidData && error.kind() != io::ErrorKind::UnexpectedEof =>
        {
            return Err(failed(redb::Error::Io(error)));
        }
        Err(redb::DatabaseError::DatabaseAlreadyOpen) => {
            return Err(failed(redb::Error::DatabaseAlreadyOpen));
        }
        Err(_damaged) => return Ok(0),
    };
    let read = database.begin_read().map_err(|error| failed(error.into()))?;
    match read.open_table(META) {
        Ok(meta) => {
            let layout = meta.get("layout").map_err(|error| failed(error.into()))?;
            Ok(layout.map_or(0, |layout| layout.value()))
        }
        // Killed before its first transaction was through: as good as new.
        Err(redb::TableError::TableDoesNotExist(_)) if is_empty(&read) => Ok(LAYOUT),
        Err(_other) => Ok(0),
    }
}

fn is_empty(read: &redb::ReadTransaction) -> bool {
    read.list_tables().is_ok_and(|mut tables| tables.next().is_none())
}

fn set_aside(path: &Path) -> Result<PathBuf, StoreError> {
    let mut number = 1_u32;
    loop {
        let aside = path.with_extension(format!("redb.aside-{number}"));
        if !aside.exists() {
            std::fs::rename(path, &aside).map_err(|source| at("set aside", path, source))?;
            return Ok(aside);
        }
        number += 1;
    }
}

fn open(path: &Path) -> Result<Database, StoreError> {
    let failed = |source: redb::Error| StoreError::Database {
        op: "open",
        path: path.to_owned(),
        source: Box::new(source),
    };
    let database = redb::Builder::new()
        .set_cache_size(CACHE_BYTES)
        .create(path)
        .map_err(|error| failed(error.into()))?;
    // One that is whole is not written to: on a full disk it can still be read.
    let is_whole = || -> Result<bool, redb::Error> {
        let read = database.begin_read()?;
        let opened = [
            read.open_table(META).map(|meta| meta.get("layout").is_ok_and(|layout| layout.is_some())),
            read.open_table(COVERAGE).map(|_| true),
            read.open_table(OBJECTS).map(|_| true),
        ];
        Ok(opened.into_iter().all(|table| table.is_ok_and(|whole| whole)))
    };
    if is_whole().map_err(failed)? {
        return Ok(database);
    }
    let write = || -> Result<(), redb::Error> {
        let mut write = database.begin_write()?;
        write.set_quick_repair(true);
        write.open_table(META)?.insert("layout", LAYOUT)?;
        write.open_table(COVERAGE)?;
        write.open_table(OBJECTS)?;
        write.commit()?;
        Ok(())
    };
    write().map_err(failed)?;
    Ok(database)
}
