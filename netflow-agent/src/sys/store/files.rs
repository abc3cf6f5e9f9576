//! The files of a state folder: the folder itself, its lock, the store in it, and what is set aside. In: paths. Out:
//! an open store of our layout, or why there is none.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use redb::{Database, ReadableDatabase};

use super::StoreError;
use super::layout::{COVERAGE, FILE, LAYOUT, LOCK, META, OBJECTS};

/// Memory that redb may keep pages in; its default is 1 GiB. The kernel caches the file anyway.
pub(super) const CACHE_BYTES: usize = 1 << 20;

fn at(op: &'static str, path: &Path, source: io::Error) -> StoreError {
    StoreError::Folder { op, path: path.to_owned(), source }
}

/// Who talks to whom is for the owner's eyes.
pub(super) fn make(folder: &Path) -> Result<(), StoreError> {
    use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
    let made = || -> io::Result<()> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        OpenOptions::new().create(true).append(true).mode(0o600).open(folder.join(FILE))?;
        Ok(())
    };
    made().map_err(|source| at("make the state folder", folder, source))
}

pub(super) fn lock(folder: &Path) -> Result<File, StoreError> {
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
pub(super) fn layout(path: &Path) -> Result<u32, StoreError> {
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

pub(super) fn set_aside(path: &Path) -> Result<PathBuf, StoreError> {
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

pub(super) fn open(path: &Path) -> Result<Database, StoreError> {
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
