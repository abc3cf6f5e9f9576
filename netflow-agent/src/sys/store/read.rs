//! Reads a state folder as recording lines: of a stopped agent, or beside the one that writes. In: a window.
//! Out: its coverage, the objects that were there in it, and its flows, one line each, in a fixed order.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use redb::{Database, ReadOnlyDatabase, ReadTransaction, ReadableDatabase, ReadableTable, TableHandle};

use super::StoreError;
use super::files::CACHE_BYTES;
use super::layout::{COVERAGE, FILE, Flows, LAYOUT, META, OBJECTS, flows_hour, flows_name};
use crate::recording::{self, row};
use crate::time::{Hour, Time, Window};

/// A store that can be read.
#[derive(Debug, Clone)]
pub struct Reader {
    path: PathBuf,
    source: Source,
}

#[derive(Debug, Clone)]
enum Source {
    /// Nobody writes; nobody may begin to while this is held.
    Stopped(Arc<ReadOnly>),
    /// The same, of an agent that was killed: opening it to write mended it.
    Mended(Arc<Database>),
    Beside(Weak<Mutex<Option<Arc<Database>>>>),
}

struct ReadOnly(ReadOnlyDatabase);

impl std::fmt::Debug for ReadOnly {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ReadOnlyDatabase")
    }
}

impl Reader {
    /// Opens the state folder of an agent that has stopped, however it stopped.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        let path = folder.join(FILE);
        if !path.exists() {
            return Err(StoreError::NoStore { folder: folder.to_owned(), file: FILE });
        }
        let failed = |error| match error {
            redb::DatabaseError::DatabaseAlreadyOpen => StoreError::Running { folder: folder.to_owned() },
            other => StoreError::Database { op: "open", path: path.clone(), source: Box::new(other.into()) },
        };
        let mut builder = redb::Builder::new();
        builder.set_cache_size(CACHE_BYTES);
        let source = match builder.open_read_only(&path) {
            Ok(database) => Source::Stopped(Arc::new(ReadOnly(database))),
            Err(redb::DatabaseError::RepairAborted) => {
                Source::Mended(Arc::new(builder.open(&path).map_err(failed)?))
            }
            Err(error) => return Err(failed(error)),
        };
        let reader = Self { path, source };
        let found = reader.layout()?;
        if found == LAYOUT {
            Ok(reader)
        } else {
            Err(StoreError::Layout { path: reader.path, found, known: LAYOUT })
        }
    }

    pub(super) fn beside(path: PathBuf, database: &Arc<Mutex<Option<Arc<Database>>>>) -> Self {
        Self { path, source: Source::Beside(Arc::downgrade(database)) }
    }

    /// Writes what meets the window, as lines of a recording. All of it is of one moment.
    pub fn write(&self, window: Window, out: &mut dyn Write) -> Result<(), StoreError> {
        let read = self.begin()?;
        let nodes = self.coverage(&read, window, out)?;
        self.objects(&read, window, out)?;
        for hour in self.hours(&read)? {
            // A flow's own first and last may reach a little over its hour.
            if window.meets(hour.start().plus_seconds(-3_600), hour.end().plus_seconds(3_600)) {
                self.flows(&read, hour, &nodes, window, out)?;
            }
        }
        Ok(())
    }

    fn layout(&self) -> Result<u32, StoreError> {
        let read = self.begin()?;
        let meta = match read.open_table(META) {
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(0),
            other => self.opened(other)?,
        };
        let layout = self.read(meta.get("layout"))?;
        Ok(layout.map_or(0, |layout| layout.value()))
    }

    fn begin(&self) -> Result<ReadTransaction, StoreError> {
        let begun = match &self.source {
            Source::Stopped(database) => database.0.begin_read(),
            Source::Mended(database) => database.begin_read(),
            Source::Beside(database) => {
                let shared = database.upgrade();
                let held = shared.as_ref().map(|it| it.lock().unwrap_or_else(PoisonError::into_inner));
                match held.as_deref() {
                    Some(Some(database)) => database.begin_read(),
                    // Closed for the moment: its last write failed.
                    _ => return Err(self.failed(redb::Error::DatabaseClosed)),
                }
            }
        };
        begun.map_err(|error| self.failed(error.into()))
    }

    fn hours(&self, read: &ReadTransaction) -> Result<Vec<Hour>, StoreError> {
        let tables = self.read(read.list_tables())?;
        let mut hours: Vec<Hour> = tables.filter_map(|table| flows_hour(table.name())).collect();
        hours.sort_unstable();
        Ok(hours)
    }

    /// Writes the coverage; gives back which node counted under which hour and seq.
    fn coverage(
        &self,
        read: &ReadTransaction,
        window: Window,
        out: &mut dyn Write,
    ) -> Result<BTreeMap<(i64, u32), Arc<str>>, StoreError> {
        let table = self.opened(read.open_table(COVERAGE))?;
        let mut nodes = BTreeMap::new();
        for entry in self.read(table.iter())? {
            let (key, line) = self.read(entry)?;
            let (key, line) = (key.value(), line.value());
            let (recording, _notes) = recording::read([(FILE, &mut &*line as &mut dyn std::io::BufRead)])
                .map_err(|_unread| self.no_row("a coverage line"))?;
            let node = recording.coverage.first().map(|coverage| Arc::clone(&coverage.node));
            nodes.insert(key, node.ok_or_else(|| self.no_row("a coverage line"))?);
            let hour = Hour::from_index(key.0);
            if window.meets(hour.start(), Time::from_milliseconds(hour.end().milliseconds() - 1)) {
                write(out, line)?;
            }
        }
        Ok(nodes)
    }

    fn objects(&self, read: &ReadTransaction, window: Window, out: &mut dyn Write) -> Result<(), StoreError> {
        let table = self.opened(read.open_table(OBJECTS))?;
        for entry in self.read(table.iter())? {
            let (key, value) = self.read(entry)?;
            let (key, (to, line)) = (key.value(), value.value());
            let from = key.last_chunk::<8>().map(|from| i64::from_be_bytes(*from).wrapping_add(i64::MIN));
            let from = from.ok_or_else(|| self.no_row("an object's key"))?;
            if window.meets(Time::from_milliseconds(from), Time::from_milliseconds(to)) {
                write(out, line)?;
            }
        }
        Ok(())
    }

    fn flows(
        &self,
        read: &ReadTransaction,
        hour: Hour,
        nodes: &BTreeMap<(i64, u32), Arc<str>>,
        window: Window,
        out: &mut dyn Write,
    ) -> Result<(), StoreError> {
        let name = flows_name(hour);
        let table = self.opened(read.open_table(Flows::new(&name)))?;
        for entry in self.read(table.iter())? {
            let (key, counters) = self.read(entry)?;
            let key = key.value();
            let node = row::seq(key).and_then(|seq| nodes.get(&(hour.index(), seq)));
            let node = node.ok_or_else(|| self.no_row("a flow of an hour without coverage"))?;
            let flow = row::flow(hour, node, key, counters.value());
            let flow = flow.ok_or_else(|| self.no_row("a flow's bytes"))?;
            if window.meets(flow.counters.first, flow.counters.last) {
                recording::write::write_flow(&flow, out).map_err(|source| StoreError::Write { source })?;
            }
        }
        Ok(())
    }

    fn opened<T>(&self, opened: Result<T, redb::TableError>) -> Result<T, StoreError> {
        opened.map_err(|error| self.failed(error.into()))
    }

    fn read<T>(&self, read: Result<T, redb::StorageError>) -> Result<T, StoreError> {
        read.map_err(|error| self.failed(error.into()))
    }

    fn failed(&self, source: redb::Error) -> StoreError {
        StoreError::Database { op: "read", path: self.path.clone(), source: Box::new(source) }
    }

    fn no_row(&self, what: &'static str) -> StoreError {
        StoreError::Row { path: self.path.clone(), what }
    }
}

fn write(out: &mut dyn Write, line: &[u8]) -> Result<(), StoreError> {
    out.write_all(line).map_err(|source| StoreError::Write { source })
}
