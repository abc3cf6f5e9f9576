//! What can go wrong between the agent and its state folder.

use std::path::PathBuf;

/// Why the state folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("{op} {path}")]
    Folder { op: &'static str, path: PathBuf, source: std::io::Error },
    #[error("another agent is using the state folder {folder}")]
    Locked { folder: PathBuf },
    #[error("an agent is running on the state folder {folder}")]
    Running { folder: PathBuf },
    #[error("{folder} is not the state folder of an agent: it has no `{file}`")]
    NoStore { folder: PathBuf, file: &'static str },
    #[error("{path} has layout {found}, and this version reads layout {known}")]
    Layout { path: PathBuf, found: u32, known: u32 },
    #[error("{op} the store {path}")]
    Database { op: &'static str, path: PathBuf, source: Box<redb::Error> },
    #[error("the store {path} holds a row that is none: {what}")]
    Row { path: PathBuf, what: &'static str },
    #[error("the store {path} was {what} while it was in use")]
    Lost { path: PathBuf, what: &'static str },
    #[error("write the recording")]
    Write { source: std::io::Error },
}

impl StoreError {
    /// What to do about it, where that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Locked { .. } => {
                Some("stop it, or give this one a folder of its own with --state-dir".to_owned())
            }
            Self::Running { folder } => {
                let socket = folder.join(super::SOCKET);
                Some(format!("ask it instead, with --agent {}", socket.display()))
            }
            Self::NoStore { .. } => Some("give the folder that `run --state-dir` was given".to_owned()),
            Self::Database { source, .. } if matches!(**source, redb::Error::DatabaseAlreadyOpen) => {
                Some("something is reading it: start again when that is done".to_owned())
            }
            _ if self.is_damage() => {
                Some("the next `run` on this folder sets the file aside and begins a new one".to_owned())
            }
            Self::Layout { .. } => Some("read it with the version of netflow-agent that wrote it".to_owned()),
            _ => None,
        }
    }

    /// Whether the file is no store, or not whole: no later try will read it.
    pub fn is_damage(&self) -> bool {
        use std::io::ErrorKind::{InvalidData, UnexpectedEof};
        match self {
            Self::Row { .. } | Self::Lost { .. } => true,
            Self::Database { source, .. } => match &**source {
                redb::Error::Corrupted(_) | redb::Error::RepairAborted => true,
                redb::Error::Io(error) => matches!(error.kind(), InvalidData | UnexpectedEof),
                _ => false,
            },
            _ => false,
        }
    }

    /// Whether the disk is full: the one failure that mends itself.
    pub fn is_disk_full(&self) -> bool {
        match self {
            Self::Folder { source, .. } | Self::Write { source } => is_full(source),
            Self::Database { source, .. } => matches!(&**source, redb::Error::Io(error) if is_full(error)),
            _ => false,
        }
    }
}

fn is_full(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}
