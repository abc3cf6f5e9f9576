//! What all agents see, as they see it. In: a user's client and how agents are reached. Out: lines of all nodes
//! as they come, and which node is heard, goes away and comes back. It never ends by itself: the agents are
//! listed again and again, so that new nodes and replaced agents are heard too.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, BoxStream, SelectAll, StreamExt};
use hyper::body::Bytes;
use kube::Client;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::Error;
use super::forward::{self, Agent, Answer, Reach};
use crate::api::routes::FOLLOW;

/// What comes while all nodes are followed.
#[derive(Debug)]
pub enum News {
    /// From now on its lines come; `back` when it had gone before.
    Heard { node: String, back: bool },
    /// Lines of this node, cut anywhere.
    Lines { node: String, lines: Bytes },
    /// Nothing more comes of this node until it is back.
    Away { node: String, error: Error },
    /// The agents could not be listed; those that are heard go on.
    Blind { error: Error },
}

/// How often the agents are listed while one is away, and else.
const SEARCH: Duration = Duration::from_secs(2);
const CENSUS: Duration = Duration::from_secs(30);
/// Agents save every ten seconds, traffic or not: silence for so many deadlines is no silence of the network.
const SILENT_DEADLINES: u32 = 4;

enum Voice {
    Open { node: String },
    Lines { node: String, lines: Bytes },
    Ended { node: String, error: Error },
}

struct Followed {
    client: Client,
    reach: Reach,
    voices: SelectAll<BoxStream<'static, Voice>>,
    /// How many are asked to open at once.
    doors: Arc<Semaphore>,
    /// Nodes with a voice.
    asked: BTreeSet<String>,
    away: BTreeSet<String>,
    pause: Duration,
    blind: bool,
}

/// Follows all agents, from those given on.
pub fn follow(client: &Client, reach: &Reach, agents: Vec<Agent>) -> BoxStream<'static, News> {
    let mut followed = Followed {
        client: client.clone(),
        reach: reach.clone(),
        voices: SelectAll::new(),
        doors: Arc::new(Semaphore::new(reach.parallel.max(1))),
        asked: BTreeSet::new(),
        away: BTreeSet::new(),
        pause: CENSUS,
        blind: false,
    };
    followed.ask(agents);
    stream::unfold(followed, |mut followed| async move { Some((followed.news().await, followed)) }).boxed()
}

impl Followed {
    async fn news(&mut self) -> News {
        loop {
            tokio::select! {
                Some(voice) = self.voices.next() => if let Some(news) = self.heard(voice) { return news; },
                () = sleep(self.pause) => {
                    let listed = forward::agents(&self.client, &self.reach).await;
                    self.pause = if self.away.is_empty() { CENSUS } else { SEARCH };
                    match listed {
                        Ok(agents) => {
                            self.blind = false;
                            self.ask(agents);
                        }
                        Err(error) if !self.blind => {
                            self.blind = true;
                            return News::Blind { error };
                        }
                        Err(_) => {}
                    }
                }
            }
        }
    }

    fn heard(&mut self, voice: Voice) -> Option<News> {
        match voice {
            Voice::Open { node } => {
                let back = self.away.remove(&node);
                Some(News::Heard { node, back })
            }
            Voice::Lines { node, lines } => Some(News::Lines { node, lines }),
            Voice::Ended { node, error } => {
                self.asked.remove(&node);
                self.pause = SEARCH;
                self.away.insert(node.clone()).then_some(News::Away { node, error })
            }
        }
    }

    fn ask(&mut self, agents: Vec<Agent>) {
        for agent in agents {
            if self.asked.insert(agent.node.clone()) {
                self.voices.push(voice(
                    self.client.clone(),
                    agent,
                    self.reach.clone(),
                    Arc::clone(&self.doors),
                ));
            }
        }
    }
}

enum State {
    Ask,
    Read(Box<Answer>),
    Done,
}

fn voice(client: Client, agent: Agent, reach: Reach, doors: Arc<Semaphore>) -> BoxStream<'static, Voice> {
    stream::unfold(State::Ask, move |state| {
        let (client, agent, reach, doors) =
            (client.clone(), agent.clone(), reach.clone(), Arc::clone(&doors));
        async move {
            let node = agent.node.clone();
            match state {
                State::Done => None,
                State::Ask => {
                    // Nobody closes the doors.
                    let _door = doors.acquire().await.ok()?;
                    Some(match forward::get(&client, &agent, &reach, FOLLOW).await {
                        Ok(answer) => (Voice::Open { node }, State::Read(Box::new(answer))),
                        Err(error) => (Voice::Ended { node, error }, State::Done),
                    })
                }
                State::Read(mut answer) => Some(match chunk(&agent, &reach, answer.next()).await {
                    Ok(lines) => (Voice::Lines { node, lines }, State::Read(answer)),
                    Err(error) => (Voice::Ended { node, error }, State::Done),
                }),
            }
        }
    })
    .boxed()
}

/// The next piece; the end of an answer that should go on is an error too.
async fn chunk(
    agent: &Agent,
    reach: &Reach,
    next: impl Future<Output = Result<Option<Bytes>, Error>>,
) -> Result<Bytes, Error> {
    let longest = reach.deadline.saturating_mul(SILENT_DEADLINES);
    match timeout(longest, next).await {
        Ok(Ok(Some(lines))) => Ok(lines),
        Ok(Ok(None)) => Err(Error::Ended { pod: agent.pod.clone() }),
        Ok(Err(error)) => Err(error),
        Err(_elapsed) => Err(Error::Silent { pod: agent.pod.clone(), seconds: longest.as_secs() }),
    }
}
