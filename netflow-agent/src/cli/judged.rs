//! What a verb judges: the objects and policies that its flags name, compiled. In: manifests, and recordings.
//! Out: a cluster. Policies of other dialects are named on stderr, because answers are incomplete without them.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use super::files::{self, Files};
use super::plugin::Called;
use super::source::{self, SourceArgs};
use super::{Exit, Failure, Streams};
use crate::evaluate::{Cluster, Snapshot};
use crate::manifest::{NetworkPolicy, Object};

/// Flags of every verb that asks policies.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct JudgedArgs {
    #[command(flatten)]
    pub files: Files,

    /// The namespace of names without one
    #[arg(short = 'n', long, value_name = "NAMESPACE")]
    pub namespace: Option<String>,

    /// Objects of a recording or of the cluster count too, as of the window's end; `-f` replaces those of the
    /// same name, as applying it would
    #[command(flatten)]
    pub source: SourceArgs,
}

/// A compiled cluster, and what its policies do not say.
#[derive(Debug)]
pub struct Judged {
    pub cluster: Cluster,
    /// Policies of other dialects, by kind and name.
    pub unread: Vec<String>,
    /// Objects that the user's rights, or a silent node, did not show.
    unshown: Vec<String>,
    require_complete: bool,
}

impl Judged {
    /// How a verb ends that found nothing wrong.
    pub fn exit(&self) -> Exit {
        let complete = self.unread.is_empty() && self.unshown.is_empty();
        if self.require_complete && !complete { Exit::Incomplete } else { Exit::Done }
    }
}

pub fn load(args: &JudgedArgs, streams: &mut Streams<'_>) -> Result<Judged, Failure> {
    let names = &args.files.filename;
    let asked = files::names_a_source(&args.source) || (names.is_empty() && streams.called == Called::Plugin);
    if names.is_empty() && !asked {
        return Err(Failure::usage("nothing to judge")
            .with_hint("name manifests with `-f FILE|FOLDER|-`, a recording with `--input FILE`, or both"));
    }
    files::stdin_once(names.iter().chain(&args.source.input))?;
    let manifests = files::read(&args.files, streams)?;
    let (mut recorded, mut unshown) = (Vec::new(), Vec::new());
    if asked {
        // Verdicts hang on objects, not on which hours were observed.
        (recorded, unshown) = source::objects(&args.source, args.namespace.as_deref(), streams)?;
    }
    let written: BTreeSet<String> = manifests.objects.iter().map(|placed| placed.object.title()).collect();
    let kept =
        recorded.iter().map(AsRef::as_ref).filter(|object: &&Object| !written.contains(&object.title()));
    let objects: Vec<&Object> = kept.chain(manifests.objects.iter().map(|placed| &placed.object)).collect();
    let (cluster, unread) = compile(&objects);
    let judged = Judged { cluster, unread, unshown, require_complete: args.source.require_complete };
    report(&judged, streams)?;
    Ok(judged)
}

fn compile(objects: &[&Object]) -> (Cluster, Vec<String>) {
    let snapshot = Snapshot::new(objects.iter().copied());
    let mut policies: Vec<NetworkPolicy> = Vec::new();
    let mut unread = Vec::new();
    for object in objects {
        match object {
            Object::NetworkPolicy(policy) => policies.push(policy.clone()),
            Object::OtherPolicy { .. } => unread.push(object.title()),
            _ => {}
        }
    }
    unread.sort();
    (Cluster::compile(Arc::new(snapshot), policies), unread)
}

fn report(judged: &Judged, streams: &mut Streams<'_>) -> io::Result<()> {
    for name in &judged.unshown {
        writeln!(streams.err, "incomplete: not read: {name}")?;
    }
    for title in &judged.unread {
        writeln!(
            streams.err,
            "incomplete: {title} is not a NetworkPolicy: what it allows or denies is not judged"
        )?;
    }
    Ok(())
}
