//! `export`: a recording of the window, merged and sorted, for files, other machines and bug reports.

use std::io::Write;
use std::path::{Path, PathBuf};

use super::source::{self, Loaded, SourceArgs};
use super::{Exit, Failure, Streams};
use crate::recording::{self, Recording, Spilt};
use crate::time::Window;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  netflow-agent export --since 24h > cluster.jsonl
  netflow-agent export --since 7d --output-file cluster.jsonl.zst
  netflow-agent export --input node-a.jsonl --input node-b.jsonl > both.jsonl")]
pub struct Args {
    /// Write to this file instead of standard output; compressed when its name ends in `.zst`
    #[arg(long, value_name = "FILE")]
    output_file: Option<PathBuf>,

    /// Compress what goes to standard output (zstd)
    #[arg(long, conflicts_with = "output_file")]
    compress: bool,

    #[command(flatten)]
    source: SourceArgs,
}

pub fn run(args: Args, streams: &mut Streams<'_>) -> Result<Exit, Failure> {
    let Args { output_file, compress, source } = args;
    let mut loaded = source::load(&source, streams)?;
    cut(&mut loaded.recording, loaded.window);
    match output_file {
        Some(path) => write_file(&loaded, &path)?,
        None if compress => write_compressed(&loaded, streams.out)?,
        None => write(&loaded, streams.out)?,
    }
    loaded.report(streams)?;
    Ok(loaded.exit())
}

/// Only what the window meets, as of the flows when they are written; objects tell of themselves when they were so, and the rest may still be needed.
fn cut(recording: &mut Recording<Spilt>, window: Window) {
    recording.coverage.retain(|line| window.from < line.hour.end() && line.hour.start() <= window.to);
    let ended = |to: Option<crate::time::Time>| to.is_some_and(|to| to < window.from);
    recording.objects.retain(|observed| !ended(observed.to));
}

fn write(loaded: &Loaded, out: &mut dyn Write) -> std::io::Result<()> {
    recording::write_spilt(&loaded.recording, loaded.window, out)
}

/// Beside its place first, so that a reader never sees half a recording.
fn write_file(loaded: &Loaded, path: &Path) -> Result<(), Failure> {
    let compressed = path.extension().is_some_and(|extension| extension == "zst");
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().ok_or("`--output-file` names no file")?;
    let mut beside = std::ffi::OsString::from(".");
    beside.push(name);
    beside.push(".new");
    let beside = folder.join(beside);
    let unwritten = |source| Unwritten { path: path.display().to_string(), source };
    let mut file = std::io::BufWriter::new(std::fs::File::create(&beside).map_err(unwritten)?);
    let written = if compressed { write_compressed(loaded, &mut file) } else { write(loaded, &mut file) };
    let renamed = written.and_then(|()| file.flush()).and_then(|()| std::fs::rename(&beside, path));
    if let Err(source) = renamed {
        // The half that was written is of no use to anyone.
        drop(std::fs::remove_file(&beside));
        return Err(unwritten(source).into());
    }
    Ok(())
}

/// A file that could not be written.
#[derive(Debug, thiserror::Error)]
#[error("write {path}")]
struct Unwritten {
    path: String,
    source: std::io::Error,
}

fn write_compressed(loaded: &Loaded, out: &mut dyn Write) -> std::io::Result<()> {
    let mut encoder = zstd::stream::write::Encoder::new(out, zstd::DEFAULT_COMPRESSION_LEVEL)?;
    write(loaded, &mut encoder)?;
    encoder.finish()?;
    Ok(())
}
