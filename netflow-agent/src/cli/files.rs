//! `-f`: manifests from files, folders and standard input, read, defaulted and validated. What the API
//! server would refuse ends the verb; what it would only warn about is said on stderr.

use std::path::PathBuf;

use super::source::SourceArgs;
use super::{Failure, Streams};
use crate::manifest::{Manifests, Severity};
use crate::sys::files::{self, Folders};

/// Where manifests come from.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Files {
    /// Manifests: a file, a folder, or `-` for standard input; may be repeated
    #[arg(short = 'f', long = "filename", value_name = "FILE|FOLDER|-")]
    pub filename: Vec<PathBuf>,
    /// Read folders within the folders given with `-f` too
    #[arg(short = 'R', long)]
    pub recursive: bool,
}

/// The manifests of these names, findings included, none of them judged.
pub fn load(names: &[PathBuf], recursive: bool, streams: &mut Streams<'_>) -> Result<Manifests, Failure> {
    let folders = if recursive { Folders::All } else { Folders::One };
    let mut manifests = Manifests::default();
    files::read(names, folders, streams.input, &mut |name, bytes| manifests.read(name, bytes))?;
    manifests.settle();
    Ok(manifests)
}

/// Says the findings on stderr, and fails if one of them is an error.
pub fn accept(manifests: &Manifests, streams: &mut Streams<'_>) -> Result<(), Failure> {
    let mut n_errors = 0;
    for finding in &manifests.findings {
        n_errors += usize::from(finding.severity == Severity::Error);
        writeln!(streams.err, "{}: {finding}", finding.severity.as_str())?;
    }
    match n_errors {
        0 => Ok(()),
        1 => Err(Failure::from("the manifests have an error")),
        n => Err(Failure::from(format!("the manifests have {n} errors"))),
    }
}

/// Valid manifests, or none: what every verb but `audit` needs.
pub fn read(files: &Files, streams: &mut Streams<'_>) -> Result<Manifests, Failure> {
    let manifests = load(&files.filename, files.recursive, streams)?;
    accept(&manifests, streams)?;
    Ok(manifests)
}

/// Standard input can be read once.
pub fn stdin_once<'a>(names: impl IntoIterator<Item = &'a PathBuf>) -> Result<(), Failure> {
    match names.into_iter().filter(|name| name.as_os_str() == "-").count() {
        0 | 1 => Ok(()),
        _ => Err(Failure::usage("standard input is named more than once")),
    }
}

/// Whether a flag names a recording, an agent or a cluster besides the manifests.
pub fn names_a_source(args: &SourceArgs) -> bool {
    let named = !args.input.is_empty() || args.state_dir.is_some() || args.agent.is_some();
    #[cfg(feature = "cluster")]
    let named = named || args.cluster.is_named();
    named
}
