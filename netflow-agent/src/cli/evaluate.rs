//! `evaluate`: a batch of questions, each answered on its own line, in the order asked.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use super::judged::{self, JudgedArgs};
use super::{Exit, Failure, Streams, files};
use crate::evaluate::Cluster;
use crate::evaluate::batch::Query;

/// Longer lines are no questions.
const LONGEST_LINE: u64 = 1 << 20;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  netflow-agent evaluate -f manifests/ --queries questions.jsonl
  echo '{\"from\":\"shop/deploy/web\",\"to\":\"shop/sts/db\",\"port\":5432,\"protocol\":\"TCP\"}' |
    netflow-agent evaluate -f manifests/ --queries -")]
pub struct Args {
    /// Questions, one JSON object a line: from, to, port, protocol; `-` is standard input
    #[arg(long, value_name = "FILE")]
    queries: PathBuf,

    #[command(flatten)]
    judged: JudgedArgs,
}

pub fn run(args: Args, streams: &mut Streams<'_>) -> Result<Exit, Failure> {
    let Args { judged: from, queries } = args;
    let is_stdin = queries == Path::new("-");
    files::stdin_once(from.files.filename.iter().chain(&from.source.input).chain([&queries]))?;
    let judged = judged::load(&from, streams)?;
    let namespace = from.namespace.as_deref();
    if is_stdin {
        answer("standard input", &mut *streams.input, &judged.cluster, namespace, streams.out)?;
    } else {
        let name = queries.display().to_string();
        let mut file = File::open(&queries).map_err(|error| cannot_read(&name, &error))?;
        answer(&name, &mut file, &judged.cluster, namespace, streams.out)?;
    }
    Ok(judged.exit())
}

fn cannot_read(name: &str, error: &io::Error) -> Failure {
    Failure::from(format!("read {name}: {error}"))
}

fn answer(
    name: &str,
    input: &mut dyn Read,
    cluster: &Cluster,
    namespace: Option<&str>,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let mut input = BufReader::new(input);
    let mut line = String::new();
    for number in 1.. {
        line.clear();
        let mut limited = input.by_ref().take(LONGEST_LINE);
        let taken = limited.read_line(&mut line).map_err(|error| cannot_read(name, &error))?;
        if taken == 0 {
            break;
        }
        let text = line.trim_start_matches('\u{feff}').trim();
        if text.is_empty() {
            continue;
        }
        let refuse = |reason: String| Failure::from(format!("{name}:{number}: {reason}"));
        if taken as u64 == LONGEST_LINE && !line.ends_with('\n') {
            return Err(refuse(format!("the line is longer than {LONGEST_LINE} bytes")));
        }
        let query = Query::read(text, namespace).map_err(refuse)?;
        let judgement = query.judge(cluster).map_err(|error| refuse(error.to_string()))?;
        writeln!(out, "{}", query.answer(judgement))?;
    }
    Ok(())
}
