//! The answers of all nodes as one recording. In: per node, an answer that comes in chunks. Out: blocks of
//! whole lines as they come, and how each node ended. Memory holds one block per node that is being asked,
//! however much they send. A node's coverage is passed on only when its answer was whole: half an answer
//! covers nothing.

use std::pin::Pin;

use futures::stream::{self, BoxStream, Stream, StreamExt};
use hyper::body::Bytes;
use kube::Client;
use tokio::time::{Sleep, sleep};

use super::Error;
use super::forward::{self, Agent, Answer, Reach};
use crate::time::Time;

/// What comes from the nodes.
#[derive(Debug)]
pub enum Piece {
    /// It has begun; what its clock showed, and ours.
    Begun { node: String, clocks: Option<(Time, Time)> },
    /// Whole lines of this node.
    Lines { node: String, lines: Vec<u8> },
    /// All its coverage, at the end of a whole answer.
    Coverage { node: String, lines: Vec<u8> },
    /// The node is done, or it is lost.
    Ended { node: String, outcome: Result<(), Error> },
}

/// One node's answer, not yet asked for.
pub struct Source {
    pub node: String,
    pub chunks: BoxStream<'static, Result<Chunk, Error>>,
}

/// What comes of one answer.
#[derive(Debug)]
pub enum Chunk {
    Begin(Option<(Time, Time)>),
    Bytes(Bytes),
}

/// Twice what an API server takes as an object.
const LONGEST_LINE: usize = 4 << 20;
/// Two weeks of hours, each begun anew a hundred times.
const MOST_COVERAGE: usize = 16 << 20;

/// Asks all agents for the same path, `reach.parallel` at a time.
pub fn gather(client: &Client, agents: Vec<Agent>, reach: &Reach, path: &str) -> BoxStream<'static, Piece> {
    let sources: Vec<Source> = agents.into_iter().map(|agent| ask(client, agent, reach, path)).collect();
    merge(sources, reach.parallel)
}

/// Several answers as one stream, `parallel` of them at a time.
pub fn merge(sources: Vec<Source>, parallel: usize) -> BoxStream<'static, Piece> {
    stream::iter(sources).map(|source| pieces(source).boxed()).flatten_unordered(parallel.max(1)).boxed()
}

fn ask(client: &Client, agent: Agent, reach: &Reach, path: &str) -> Source {
    let (client, reach, path) = (client.clone(), reach.clone(), path.to_owned());
    let node = agent.node.clone();
    let chunks = stream::once(async move {
        let over = Box::pin(sleep(reach.whole));
        let late = Error::Late { pod: agent.pod.clone(), seconds: reach.whole.as_secs() };
        forward::get(&client, &agent, &reach, &path).await.map(|answer| (answer, over, late))
    });
    let chunks = chunks.flat_map(|asked| match asked {
        Err(error) => stream::once(async { Err(error) }).boxed(),
        Ok((answer, over, late)) => {
            let begin = stream::once(std::future::ready(Ok(Chunk::Begin(answer.clocks))));
            begin.chain(bytes(answer, over, late)).boxed()
        }
    });
    Source { node, chunks: chunks.boxed() }
}

/// The answer's bytes, until it ends or its time is over.
fn bytes(
    answer: Answer,
    over: Pin<Box<Sleep>>,
    late: Error,
) -> impl Stream<Item = Result<Chunk, Error>> + Send {
    stream::try_unfold((answer, over, late), |(mut answer, mut over, late)| async move {
        let chunk = tokio::select! {
            // One that always has another byte is late too.
            biased;
            () = &mut over => return Err(late),
            chunk = answer.chunk() => chunk?,
        };
        Ok(chunk.map(|chunk| (Chunk::Bytes(chunk), (answer, over, late))))
    })
}

enum State {
    Read(Lines),
    Covered(Vec<u8>),
    End(Result<(), Error>),
    Done,
}

fn pieces(source: Source) -> impl Stream<Item = Piece> + Send {
    let Source { node, chunks } = source;
    stream::unfold((chunks, State::Read(Lines::default())), move |(mut chunks, mut state)| {
        let node = node.clone();
        async move {
            loop {
                let mut lines = match state {
                    State::Done => return None,
                    State::End(outcome) => {
                        return Some((Piece::Ended { node, outcome }, (chunks, State::Done)));
                    }
                    State::Covered(lines) => {
                        let next = State::End(Ok(()));
                        return Some((Piece::Coverage { node, lines }, (chunks, next)));
                    }
                    State::Read(lines) => lines,
                };
                let told = match chunks.next().await {
                    Some(Ok(Chunk::Begin(clocks))) => {
                        return Some((Piece::Begun { node, clocks }, (chunks, State::Read(lines))));
                    }
                    Some(Ok(Chunk::Bytes(chunk))) => {
                        lines.push(&chunk).map(|whole| (whole, State::Read(lines)))
                    }
                    Some(Err(error)) => Err(error),
                    None => lines.finish().map(|whole| (whole, State::Covered(lines.coverage))),
                };
                let (whole, next) = told.unwrap_or_else(|error| (Vec::new(), State::End(Err(error))));
                if !whole.is_empty() {
                    return Some((Piece::Lines { node, lines: whole }, (chunks, next)));
                }
                state = next;
            }
        }
    })
}

/// Cuts chunks into whole lines, and keeps coverage back until the end.
#[derive(Default)]
struct Lines {
    partial: Vec<u8>,
    coverage: Vec<u8>,
}

/// How the agents' own writer begins a line of coverage.
const COVERAGE: &[u8] = b"{\"kind\":\"coverage\"";

impl Lines {
    fn push(&mut self, chunk: &[u8]) -> Result<Vec<u8>, Error> {
        let Some(end) = chunk.iter().rposition(|byte| *byte == b'\n') else {
            self.partial.extend_from_slice(chunk);
            return if self.partial.len() > LONGEST_LINE {
                Err(Error::TooLong { what: "a line", mib: LONGEST_LINE >> 20 })
            } else {
                Ok(Vec::new())
            };
        };
        let (whole, rest) = chunk.split_at(end + 1);
        let mut block = std::mem::take(&mut self.partial);
        block.extend_from_slice(whole);
        self.partial.extend_from_slice(rest);
        self.hold_coverage(block)
    }

    fn hold_coverage(&mut self, block: Vec<u8>) -> Result<Vec<u8>, Error> {
        if !block.split_inclusive(|byte| *byte == b'\n').any(|line| line.starts_with(COVERAGE)) {
            return Ok(block);
        }
        let mut whole = Vec::with_capacity(block.len());
        for line in block.split_inclusive(|byte| *byte == b'\n') {
            let into = if line.starts_with(COVERAGE) { &mut self.coverage } else { &mut whole };
            into.extend_from_slice(line);
        }
        if self.coverage.len() > MOST_COVERAGE {
            return Err(Error::TooLong { what: "coverage", mib: MOST_COVERAGE >> 20 });
        }
        Ok(whole)
    }

    /// The answer was whole: the last line, should it lack its end. What is left is its coverage.
    fn finish(&mut self) -> Result<Vec<u8>, Error> {
        let mut last = std::mem::take(&mut self.partial);
        if !last.is_empty() {
            last.push(b'\n');
        }
        self.hold_coverage(last)
    }
}

#[cfg(test)]
mod tests {
    use super::{Chunk, Error, Piece, Source, merge};
    use futures::stream::{self, StreamExt};
    use hyper::body::Bytes;

    fn source(node: &str, chunks: &[&'static str], whole: bool) -> Source {
        let chunk = |chunk: &&'static str| Ok(Chunk::Bytes(Bytes::from_static(chunk.as_bytes())));
        let chunks: Vec<_> = chunks.iter().map(chunk).collect();
        let broken = (!whole).then(|| Err(Error::Silent { pod: "agent-x".to_owned(), seconds: 15 }));
        Source { node: node.to_owned(), chunks: stream::iter(chunks.into_iter().chain(broken)).boxed() }
    }

    async fn told(sources: Vec<Source>) -> (String, Vec<(String, bool)>) {
        let mut text = String::new();
        let mut ended = Vec::new();
        let mut pieces = merge(sources, 4);
        while let Some(piece) = pieces.next().await {
            match piece {
                Piece::Begun { .. } => {}
                Piece::Lines { lines, .. } | Piece::Coverage { lines, .. } => {
                    text.push_str(std::str::from_utf8(&lines).expect("ASCII went in"));
                }
                Piece::Ended { node, outcome } => ended.push((node, outcome.is_ok())),
            }
        }
        ended.sort();
        (text, ended)
    }

    #[tokio::test]
    async fn lines_are_whole_however_the_chunks_fall() {
        let (text, ended) =
            told(vec![source("a", &["{\"kind\":\"fl", "ow\"}\n{\"kind", "\":\"flow\"}"], true)]).await;
        assert_eq!(text, "{\"kind\":\"flow\"}\n{\"kind\":\"flow\"}\n");
        assert_eq!(ended, [("a".to_owned(), true)]);
    }

    #[tokio::test]
    async fn half_an_answer_covers_nothing() {
        let lines = &["{\"kind\":\"coverage\",\"node\":\"a\"}\n{\"kind\":\"flow\"}\n{\"ki"];
        let (text, ended) = told(vec![source("a", lines, false)]).await;
        assert_eq!(text, "{\"kind\":\"flow\"}\n");
        assert_eq!(ended, [("a".to_owned(), false)]);
        let (text, _) = told(vec![source("a", &lines[..], true)]).await;
        assert!(text.ends_with("{\"kind\":\"coverage\",\"node\":\"a\"}\n"), "{text}");
    }

    #[tokio::test]
    async fn lines_of_two_nodes_are_never_mixed() {
        let sources = vec![
            source("a", &["{\"a\":", "1}\n", "{\"a\":", "2}\n"], true),
            source("b", &["{\"b\":", "1}\n"], true),
        ];
        let (text, ended) = told(sources).await;
        let mut lines: Vec<_> = text.lines().collect();
        lines.sort_unstable();
        assert_eq!(lines, ["{\"a\":1}", "{\"a\":2}", "{\"b\":1}"]);
        assert_eq!(ended.len(), 2);
    }

    #[tokio::test]
    async fn a_line_without_end_ends_the_answer() {
        let line = "x".repeat(1 << 20).leak();
        let (text, ended) = told(vec![source("a", &[line, line, line, line, line], true)]).await;
        assert_eq!((text.as_str(), ended), ("", vec![("a".to_owned(), false)]));
    }

    #[tokio::test]
    async fn a_lost_node_does_not_take_the_others_with_it() {
        let (text, ended) = told(vec![source("a", &[], false), source("b", &["{}\n"], true)]).await;
        assert_eq!((text.as_str(), ended), ("{}\n", vec![("a".to_owned(), false), ("b".to_owned(), true)]));
    }
}
