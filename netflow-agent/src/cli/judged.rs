//! What a verb judges: the objects and policies that its flags name, compiled. In: manifests, and recordings.
//! Out: a cluster. Policies of other dialects are named on stderr, because answers are incomplete without them.

use std::io;
use std::sync::Arc;

use super::files::{self, Files};
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

    /// Exit with 4 when the answer is incomplete
    #[arg(long)]
    pub require_complete: bool,
}

/// A compiled cluster, and what its policies do not say.
#[derive(Debug)]
pub struct Judged {
    pub cluster: Cluster,
    /// Policies of other dialects, by kind and name.
    pub unread: Vec<String>,
    require_complete: bool,
}

impl Judged {
    /// How a verb ends that found nothing wrong.
    pub fn exit(&self) -> Exit {
        if self.require_complete && !self.unread.is_empty() { Exit::Incomplete } else { Exit::Done }
    }
}

pub fn load(args: &JudgedArgs, streams: &mut Streams<'_>) -> Result<Judged, Failure> {
    if args.files.filename.is_empty() {
        return Err(Failure::usage("no manifests named").with_hint("name a file, a folder or `-` with `-f`"));
    }
    let manifests = files::read(&args.files, streams)?;
    let objects: Vec<Object> = manifests.objects.into_iter().map(|placed| placed.object).collect();
    let judged = compile(objects, args.require_complete);
    report(&judged, streams)?;
    Ok(judged)
}

fn compile(objects: Vec<Object>, require_complete: bool) -> Judged {
    let snapshot = Snapshot::new(&objects);
    let mut policies: Vec<NetworkPolicy> = Vec::new();
    let mut unread = Vec::new();
    for object in objects {
        match object {
            Object::NetworkPolicy(policy) => policies.push(policy),
            Object::OtherPolicy { .. } => unread.push(object.title()),
            _ => {}
        }
    }
    unread.sort();
    Judged { cluster: Cluster::compile(Arc::new(snapshot), policies), unread, require_complete }
}

fn report(judged: &Judged, streams: &mut Streams<'_>) -> io::Result<()> {
    for title in &judged.unread {
        writeln!(
            streams.err,
            "incomplete: {title} is not a NetworkPolicy: what it allows or denies is not judged"
        )?;
    }
    Ok(())
}
