//! What is wrong with a manifest, and where: file, document, line, path, reason.

use core::fmt;
use std::sync::Arc;

/// How bad. An error is what the API server refuses (or nothing can read); a warning is what it, or only
/// some version of it, takes with a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    Warning,
    Error,
}

impl Severity {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// Where an object was read from.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub file: Arc<str>,
    /// Counted from 1.
    pub document: usize,
    /// Of the object's or the field's first character, counted from 1; None where it is not known.
    pub line: Option<usize>,
}

/// Something that the reader of a manifest must know.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    pub place: Place,
    /// `NetworkPolicy shop/allow-web`; empty where there is no object.
    pub object: String,
    /// `spec.ingress[0].ports[1].port`; empty for the whole object.
    pub path: String,
    pub reason: String,
    pub severity: Severity,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if self.document > 1 {
            write!(f, " (document {})", self.document)?;
        }
        Ok(())
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place)?;
        if !self.object.is_empty() {
            write!(f, "{}: ", self.object)?;
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.reason)
    }
}
