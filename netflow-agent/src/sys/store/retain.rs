//! What is too old or too much goes, oldest hour first; an object goes with the last hour that it was there
//! in. The hour being written to stays, whatever its size.

use std::time::Duration;

use redb::{ReadableDatabase, ReadableTableMetadata, TableHandle};

use super::layout::{COVERAGE, Flows, OBJECTS, flows_hour, flows_name};
use super::{Store, StoreError};
use crate::time::{Hour, Time};

/// How much is kept: whichever is reached first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub age: Duration,
    pub bytes: u64,
}

/// What a pass over the store took away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    pub hours: usize,
    pub objects: u64,
}

impl Store {
    /// Takes away what is over the limits at `now`.
    pub fn retain(&mut self, limits: Limits, now: Time) -> Result<Removed, StoreError> {
        self.is_whole()?;
        let (hours, mut bytes) = self.sizes()?;
        let age = i64::try_from(limits.age.as_secs()).unwrap_or(i64::MAX);
        let oldest = now.plus_seconds(age.saturating_neg()).hour();
        // Pages that a commit frees are used by the next but one: the file is larger than what is in it.
        let room = limits.bytes / 5 * 4;
        let mut gone = Vec::new();
        for (hour, size) in &hours {
            if *hour < now.hour() && (*hour < oldest || bytes > room) {
                bytes = bytes.saturating_sub(*size);
                gone.push(*hour);
            }
        }
        let until = gone.last().map_or(oldest, |last| Hour::from_index(last.index() + 1).max(oldest));
        let objects = self.remove(&gone, until).map_err(|source| self.failed("clean", source))?;
        if !gone.is_empty() {
            self.compact(limits.bytes);
        }
        self.look();
        Ok(Removed { hours: gone.len(), objects })
    }

    /// Bytes of the file on disk.
    pub fn file_bytes(&self) -> u64 {
        self.path().metadata().map_or(0, |metadata| metadata.len())
    }

    fn sizes(&self) -> Result<(Vec<(Hour, u64)>, u64), StoreError> {
        let measure = || -> Result<_, redb::Error> {
            let read = self.database().map_err(|_closed| redb::Error::DatabaseClosed)?.begin_read()?;
            let mut hours = Vec::new();
            for name in read.list_tables()?.filter_map(|table| flows_hour(table.name())) {
                let stats = read.open_table(Flows::new(&flows_name(name)))?.stats()?;
                hours.push((name, stats.stored_bytes() + stats.metadata_bytes() + stats.fragmented_bytes()));
            }
            hours.sort_unstable();
            let objects = read.open_table(OBJECTS)?.stats()?;
            let other = objects.stored_bytes() + objects.metadata_bytes() + objects.fragmented_bytes();
            let total = other + hours.iter().map(|(_, bytes)| bytes).sum::<u64>();
            Ok((hours, total))
        };
        measure().map_err(|source| self.failed("measure", source))
    }

    fn remove(&self, gone: &[Hour], until: Hour) -> Result<u64, redb::Error> {
        let database = self.database().map_err(|_closed| redb::Error::DatabaseClosed)?;
        let mut write = database.begin_write()?;
        write.set_quick_repair(true);
        for hour in gone {
            write.delete_table(Flows::new(&flows_name(*hour)))?;
        }
        let mut removed = 0;
        {
            let mut coverage = write.open_table(COVERAGE)?;
            coverage.retain(|(hour, _), _| hour >= until.index())?;
            let start = until.start().milliseconds();
            let mut objects = write.open_table(OBJECTS)?;
            objects.retain(|_, (to, _)| {
                let kept = to >= start;
                removed += u64::from(!kept);
                kept
            })?;
        }
        write.commit()?;
        Ok(removed)
    }

    /// Gives pages back to the disk when the file is over its limit; not while somebody reads.
    fn compact(&self, bytes: u64) {
        if self.file_bytes() <= bytes {
            return;
        }
        let mut database = self.database.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(database) = database.as_mut().and_then(std::sync::Arc::get_mut)
            && let Err(error) = database.compact()
        {
            tracing::debug!(error = %error, "the store could not be compacted now");
        }
    }
}
