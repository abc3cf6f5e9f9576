//! A store that is removed, replaced, cut short or spoilt under the agent that writes to it. In: what was last known
//! of its file. Out: whether it is so still, and a new store in place of what is left.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};

use super::files::{self, lock, make, set_aside};
use super::layout::LOCK;
use super::{Store, StoreError};

/// What tells one file from another, and a whole one from what is left of it: nobody else writes to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    device: u64,
    inode: u64,
    bytes: u64,
}

impl Known {
    fn of(metadata: &Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino(), bytes: metadata.len() }
    }

    const fn is_same_file(self, other: Self) -> bool {
        self.device == other.device && self.inode == other.inode
    }
}

impl Store {
    /// Remembers what the file is now: we have just written to it.
    pub(super) fn look(&self) {
        self.known.set(self.path().metadata().ok().as_ref().map(Known::of));
    }

    /// An error when the file is not what the last write left.
    pub(super) fn is_whole(&self) -> Result<(), StoreError> {
        let Some(known) = self.known.get() else { return Ok(()) };
        let what = match self.path().metadata().as_ref().map(Known::of) {
            Ok(now) if !known.is_same_file(now) => "replaced",
            Ok(now) if now.bytes < known.bytes => "cut short",
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => "removed",
            Ok(_) | Err(_) => return Ok(()),
        };
        Err(StoreError::Lost { path: self.path(), what })
    }

    /// Begins a new store in the same folder, which is made again if it is gone; gives back where what is left of the
    /// old one was put.
    pub fn begin_anew(&mut self) -> Result<Option<PathBuf>, StoreError> {
        self.close();
        let path = self.path();
        let aside = if path.exists() { Some(set_aside(&path)?) } else { None };
        make(&self.folder)?;
        if !self.holds_lock() {
            self.lock = lock(&self.folder)?;
        }
        let opened = Arc::new(files::open(&path)?);
        *self.database.lock().unwrap_or_else(PoisonError::into_inner) = Some(opened);
        self.look();
        Ok(aside)
    }

    /// Whether the lock that is held is the one that lies in the folder.
    fn holds_lock(&self) -> bool {
        let (held, there) = (self.lock.metadata(), self.folder.join(LOCK).metadata());
        held.is_ok_and(|held| there.is_ok_and(|there| Known::of(&held).is_same_file(Known::of(&there))))
    }
}
