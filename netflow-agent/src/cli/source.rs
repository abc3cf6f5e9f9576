//! Where a verb's data comes from: recordings, a stopped agent's folder, a live agent, or the cluster. In: the
//! flags that every such verb has. Out: one `Recording` with its window, whatever the source was.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Exit, Failure, Streams, local};
use crate::api::routes;
use crate::edge::{Joined, try_join};
use crate::identity::Inventory;
use crate::manifest::{Object, Phase, Pod};
use crate::recording::{
    CoverageSummary, Observed, ReadError, Reader, Recording, Spilling, Spilt, try_resolve,
};
use crate::render::coverage;
pub use crate::render::words::count;
use crate::sys::{clock, scratch};
use crate::time::{Moment, Window};

/// Flags of every verb that looks at what was observed.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Where the data comes from")]
pub struct SourceArgs {
    /// A recording, `.jsonl` or `.jsonl.zst`; `-` is standard input; repeat it to merge
    #[arg(long, value_name = "RECORDING", conflicts_with_all = ["state_dir", "agent"])]
    pub input: Vec<PathBuf>,

    /// The state folder of an agent, running or stopped
    #[arg(long, value_name = "DIR", conflicts_with = "agent")]
    pub state_dir: Option<PathBuf>,

    /// The socket of a live agent
    #[arg(long, value_name = "SOCKET")]
    pub agent: Option<PathBuf>,

    /// Begin of the window: a duration back from its end (90m, 24h, 7d, 1w), or a time
    #[arg(long, value_name = "WHEN", value_parser = moment)]
    pub since: Option<Moment>,

    /// End of the window, likewise
    #[arg(long, value_name = "WHEN", value_parser = moment)]
    pub until: Option<Moment>,

    /// Exit with 4 when the data has gaps or losses
    #[arg(long)]
    pub require_complete: bool,

    #[cfg(feature = "cluster")]
    #[command(flatten)]
    pub cluster: super::cluster::ClusterArgs,
}

impl SourceArgs {
    /// The namespace of the agents, which is nobody's to police.
    #[cfg_attr(
        not(feature = "cluster"),
        expect(clippy::unnecessary_literal_bound, reason = "with the cluster it is what the flag says")
    )]
    pub fn agent_namespace(&self) -> &str {
        #[cfg(feature = "cluster")]
        return &self.cluster.agent_namespace;
        #[cfg(not(feature = "cluster"))]
        "netflow"
    }
}

/// What an answer lacks that the data itself cannot tell, in words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lacks {
    /// Nodes that answered, by name.
    pub answered: Vec<String>,
    /// Nodes whose flows are missing, in words: the answer is not complete.
    pub nodes: Vec<String>,
    /// Nodes whose clocks are astray, in words: what they say is not joined rightly.
    pub clocks: Vec<String>,
    /// What the user's rights did not show: the answer is as good as can be had.
    pub unread: Vec<String>,
}

impl Lacks {
    pub fn report(&self, err: &mut dyn Write) -> io::Result<()> {
        if !self.answered.is_empty() {
            writeln!(err, "answered: {}", self.answered.join(", "))?;
        }
        for node in &self.nodes {
            writeln!(err, "missing: {node}")?;
        }
        for node in &self.clocks {
            writeln!(err, "clock: {node}")?;
        }
        for kind in &self.unread {
            writeln!(err, "not read: {kind}")?;
        }
        Ok(())
    }
}

fn moment(text: &str) -> Result<Moment, String> {
    text.parse::<Moment>().map_err(|error| error.to_string())
}

/// Where a verb's data is read into: flows that are too many lie in temporary files.
pub type Collected = Reader<Spilling>;

/// Rows in memory at most: 40 MB.
pub const ROWS: usize = 1 << 18;

/// The data of a verb.
#[derive(Debug)]
pub struct Loaded {
    pub recording: Recording<Spilt>,
    pub window: Window,
    pub coverage: CoverageSummary,
    pub lacks: Lacks,
    require_complete: bool,
}

impl Loaded {
    /// Everything known of the cluster.
    pub fn inventory(&self) -> Inventory<'_> {
        Inventory::of(&self.recording.objects, self.window)
    }

    /// The flows of the window, joined to workloads.
    pub fn joined(&self, inventory: &Inventory<'_>) -> Result<Joined, Failure> {
        self.joined_in(inventory, self.window)
    }

    /// Those of a part of it.
    pub fn joined_in(&self, inventory: &Inventory<'_>, window: Window) -> Result<Joined, Failure> {
        Ok(try_join(&self.recording, inventory, window).map_err(spilt)?)
    }

    /// The objects as of the window's end: what ended before is history, but for a Job's pods, which have finished
    /// and speak for it as long as nothing else does.
    pub fn objects(&self) -> Vec<Arc<Object>> {
        let until = self.window.to;
        let as_of_then = |one: &Observed| {
            if one.to.is_none_or(|to| to >= until) {
                return Some(Arc::clone(&one.object));
            }
            match &*one.object {
                Object::Pod(pod) if pod.meta.owner.as_ref().is_some_and(|owner| &*owner.kind == "Job") => {
                    let finished = Pod { phase: Phase::Succeeded, ..pod.clone() };
                    Some(Arc::new(Object::Pod(finished)))
                }
                _ => None,
            }
        };
        self.recording.objects.iter().filter_map(as_of_then).collect()
    }

    /// Tells on stderr how much was observed and what was lost; every answer says so.
    pub fn report(&self, streams: &mut Streams<'_>) -> io::Result<()> {
        for line in coverage::words(&self.coverage) {
            writeln!(streams.err, "{line}")?;
        }
        self.lacks.report(streams.err)
    }

    /// How a verb ends that had nothing to complain about but the data.
    pub fn exit(&self) -> Exit {
        let complete =
            self.coverage.is_complete() && self.lacks.nodes.is_empty() && self.lacks.clocks.is_empty();
        if self.require_complete && !complete { Exit::Incomplete } else { Exit::Done }
    }

    /// Likewise, where something that decides was not judged.
    pub fn exit_unjudged(&self) -> Exit {
        if self.require_complete { Exit::Incomplete } else { Exit::Done }
    }
}

/// Whether a verb can answer without what was observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flows {
    Needed,
    /// The live objects of a cluster without agents will do.
    Welcome,
}

/// Reads whatever the flags name.
pub fn load(args: &SourceArgs, streams: &mut Streams<'_>) -> Result<Loaded, Failure> {
    load_with(args, Flows::Needed, streams)
}

/// The objects that verdicts hang on, as of the window's end, and in words what of them is missing. Of a
/// cluster no agent is asked; `namespace` is what is read where the user may not read the whole.
#[cfg_attr(
    not(feature = "cluster"),
    expect(unused_variables, reason = "with the cluster it says what to read of it")
)]
pub fn objects(
    args: &SourceArgs,
    namespace: Option<&str>,
    streams: &mut Streams<'_>,
) -> Result<(Vec<Arc<Object>>, Vec<String>), Failure> {
    #[cfg(feature = "cluster")]
    if args.input.is_empty() && args.asks_the_cluster(streams.called) {
        return super::cluster::objects(&args.cluster, namespace);
    }
    let loaded = load(args, streams)?;
    let objects = loaded.objects();
    Ok((objects, loaded.lacks.nodes.into_iter().chain(loaded.lacks.unread).collect()))
}

/// As [`load`], for a verb that may do without flows.
#[cfg_attr(
    not(feature = "cluster"),
    expect(unused_variables, reason = "with the cluster it says whether agents must answer")
)]
pub fn load_with(args: &SourceArgs, flows: Flows, streams: &mut Streams<'_>) -> Result<Loaded, Failure> {
    #[cfg(feature = "cluster")]
    if args.input.is_empty() && args.asks_the_cluster(streams.called) {
        return load_cluster(args, flows, streams);
    }
    let mut reader = collected();
    if args.input.is_empty() {
        if let Some(folder) = &args.state_dir {
            local::read_folder(folder, &mut reader)?;
            return finish(args, reader, None, streams);
        }
        let window = routes::window(args.since, args.until, clock::now());
        local::read_agent(args.agent.as_deref(), window, &mut reader)?;
        return finish(args, reader, Some(window), streams);
    }
    for path in &args.input {
        read_input(path, &mut reader, streams)?;
    }
    finish(args, reader, None, streams)
}

fn collected() -> Collected {
    Reader::new(Spilling::new(Box::new(scratch::Files), ROWS))
}

/// What was laid down cannot be read again.
fn spilt(source: io::Error) -> ReadError {
    ReadError::Spill { source }
}

/// What was read as a verb takes it; a live source says its window, a recording has its own.
fn finish(
    args: &SourceArgs,
    reader: Collected,
    window: Option<Window>,
    streams: &mut Streams<'_>,
) -> Result<Loaded, Failure> {
    let (recording, notes) = reader.finish_spilt();
    for warning in notes.warnings() {
        writeln!(streams.err, "warning: {warning}")?;
    }
    let window = match window {
        Some(window) => window,
        None => try_resolve(&recording, args.since, args.until).map_err(spilt)?,
    };
    if window.from > window.to {
        return Err(
            Failure::usage("the window ends before it begins").with_hint("see `--since` and `--until`")
        );
    }
    let coverage = CoverageSummary::try_of(&recording, window).map_err(spilt)?;
    Ok(Loaded {
        recording,
        window,
        coverage,
        lacks: Lacks::default(),
        require_complete: args.require_complete,
    })
}

#[cfg(feature = "cluster")]
impl SourceArgs {
    pub(super) fn asks_the_cluster(&self, called: super::plugin::Called) -> bool {
        let elsewhere = self.state_dir.is_some() || self.agent.is_some();
        !elsewhere && (self.cluster.is_named() || called == super::plugin::Called::Plugin)
    }
}

#[cfg(feature = "cluster")]
fn load_cluster(args: &SourceArgs, flows: Flows, streams: &mut Streams<'_>) -> Result<Loaded, Failure> {
    let window = routes::window(args.since, args.until, clock::now());
    let mut reader = collected();
    let mut lacks = super::cluster::read(&args.cluster, flows, window, &mut reader, streams)?;
    let mut loaded = finish(args, reader, Some(window), streams)?;
    if flows == Flows::Needed || !lacks.answered.is_empty() {
        lacks.nodes.extend(super::cluster::gone(&loaded.coverage, &lacks));
    }
    loaded.lacks = lacks;
    Ok(loaded)
}

fn read_input(path: &Path, reader: &mut Collected, streams: &mut Streams<'_>) -> Result<(), Failure> {
    if path == Path::new("-") {
        return read_bytes("standard input", &mut *streams.input, reader);
    }
    let name = path.display().to_string();
    let file = File::open(path).map_err(|source| Unreadable { name: name.clone(), source })?;
    read_bytes(&name, file, reader)
}

/// An input that is not there.
#[derive(Debug, thiserror::Error)]
#[error("read {name}")]
struct Unreadable {
    name: String,
    source: io::Error,
}

/// How a file compressed by zstd begins; what is compressed is seen, not told by the name.
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

fn read_bytes(name: &str, input: impl Read, reader: &mut Collected) -> Result<(), Failure> {
    const BUFFER: usize = 256 << 10;
    let unreadable = |source| Unreadable { name: name.to_owned(), source };
    let mut input = BufReader::with_capacity(BUFFER, input);
    if input.fill_buf().map_err(unreadable)?.starts_with(&ZSTD_MAGIC) {
        let decoder = zstd::stream::read::Decoder::with_buffer(input).map_err(unreadable)?;
        reader.read(name, &mut BufReader::with_capacity(BUFFER, decoder))?;
    } else {
        reader.read(name, &mut input)?;
    }
    Ok(())
}
