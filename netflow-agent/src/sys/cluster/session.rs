//! One question to the whole cluster. In: a user's access and a path of the agents' query API. Out: lines of
//! all nodes and live objects as they come, then who answered and who did not. It waits, so that verbs need
//! no runtime of their own.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::StreamExt;
use kube::Client;
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};
use tokio::time::MissedTickBehavior;

use super::Error;
use super::client::{self, Access};
use super::follow::{self, News};
use super::forward::{self, Agent, Reach};
use super::gather::{self, Piece};
use super::live::{self, Scope, Unread};
use crate::sys::signal;
use crate::time::Time;

/// A client and what drives it.
pub struct Session {
    runtime: Runtime,
    client: Client,
    reach: Reach,
}

/// What comes while the question runs.
pub enum Arrival<'a> {
    /// Whole lines of a node's recording.
    Lines { node: &'a str, lines: &'a [u8] },
    /// Its coverage, once its answer was whole: good as a whole or not at all.
    Coverage { node: &'a str, lines: &'a [u8] },
    /// An object of the live cluster, as its API server serves it.
    Object(Value),
    /// So many of so many nodes are done.
    Progress { done: usize, all: usize },
}

/// Why something that came is not taken.
#[derive(Debug)]
pub enum Refusal<E> {
    /// What this node says is not to be believed; the others are heard.
    Node(String),
    /// Nothing more is to come.
    All(E),
}

impl<E> From<E> for Refusal<E> {
    fn from(error: E) -> Self {
        Self::All(error)
    }
}

/// A node whose flows are not in the answer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Missing {
    pub node: String,
    pub reason: String,
}

/// Who answered.
#[derive(Debug, Default)]
pub struct Answered {
    /// Nodes whose answer is whole, sorted.
    pub nodes: Vec<String>,
    /// Sorted.
    pub missing: Vec<Missing>,
    /// What the user's rights did not show.
    pub unread: Vec<Unread>,
    /// What the nodes' clocks showed, and ours in the same moment.
    pub clocks: BTreeMap<String, (Time, Time)>,
}

impl Session {
    pub fn open(access: &Access, reach: Reach) -> Result<Self, Error> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .map_err(|source| Error::Runtime { source })?;
        let client = runtime.block_on(client::from_kubeconfig(access))?;
        Ok(Self { runtime, client, reach })
    }

    /// Asks all agents for `path`. With `namespace` the live objects of that one do where the user may not
    /// read all.
    pub fn ask<E>(
        &self,
        path: &str,
        namespace: Option<&str>,
        take: &mut dyn FnMut(Arrival<'_>) -> Result<(), Refusal<E>>,
    ) -> Result<Result<Answered, E>, Error> {
        let (agents, mut answered) = self.runtime.block_on(self.find())?;
        let mut told = match self.hear(agents, path, &mut answered, take) {
            Err(error) => return Ok(Err(error)),
            Ok(()) => Ok(()),
        };
        let mut object = |object| {
            // No node is asked for objects: such a refusal cannot be.
            if told.is_ok()
                && let Err(Refusal::All(error)) = take(Arrival::Object(object))
            {
                told = Err(error);
            }
        };
        let unread = self.runtime.block_on(live::read(&self.client, Scope::All, namespace, &mut object))?;
        answered.unread.extend(unread);
        if let Err(error) = told {
            return Ok(Err(error));
        }
        answered.nodes.sort();
        answered.nodes.dedup();
        // Two agents on a node, as while one is replaced: one whole answer is enough.
        answered.missing.retain(|missing| answered.nodes.binary_search(&missing.node).is_err());
        answered.missing.sort();
        Ok(Ok(answered))
    }

    /// All that the agents answer. What is refused of one node is as good as not answered.
    fn hear<E>(
        &self,
        agents: Vec<Agent>,
        path: &str,
        answered: &mut Answered,
        take: &mut dyn FnMut(Arrival<'_>) -> Result<(), Refusal<E>>,
    ) -> Result<(), E> {
        let all = agents.len();
        let mut pieces = gather::gather(&self.client, agents, &self.reach, path);
        let mut refused: BTreeMap<String, String> = BTreeMap::new();
        let mut done = 0;
        while let Some(piece) = self.runtime.block_on(pieces.next()) {
            let (node, told) = match piece {
                Piece::Begun { node, clocks } => {
                    answered.clocks.extend(clocks.map(|clocks| (node, clocks)));
                    continue;
                }
                Piece::Lines { node, .. } | Piece::Coverage { node, .. } if refused.contains_key(&node) => {
                    continue;
                }
                Piece::Lines { node, lines } => {
                    let told = take(Arrival::Lines { node: &node, lines: &lines });
                    (node, told)
                }
                Piece::Coverage { node, lines } => {
                    let told = take(Arrival::Coverage { node: &node, lines: &lines });
                    (node, told)
                }
                Piece::Ended { node, outcome } => {
                    done += 1;
                    match (refused.remove(&node), outcome) {
                        (None, Ok(())) => answered.nodes.push(node.clone()),
                        (Some(reason), _) => answered.missing.push(Missing { node: node.clone(), reason }),
                        (None, Err(error)) => {
                            answered.missing.push(Missing { node: node.clone(), reason: error.chain() });
                        }
                    }
                    (node, take(Arrival::Progress { done, all }))
                }
            };
            match told {
                Ok(()) => {}
                Err(Refusal::Node(reason)) => drop(refused.insert(node, reason)),
                Err(Refusal::All(error)) => return Err(error),
            }
        }
        Ok(())
    }

    /// Follows all agents until SIGINT or SIGTERM; `take` gets the news, and none after each second.
    pub fn follow<E>(
        &self,
        begin: &mut dyn FnMut(&Answered, usize) -> Result<(), E>,
        take: &mut dyn FnMut(Option<News>) -> Result<(), E>,
    ) -> Result<Result<(), E>, Error> {
        let (agents, answered) = self.runtime.block_on(self.find())?;
        if let Err(error) = begin(&answered, agents.len()) {
            return Ok(Err(error));
        }
        let _inside = self.runtime.enter();
        let mut news = follow::follow(&self.client, &self.reach, agents);
        let mut second = tokio::time::interval(Duration::from_secs(1));
        second.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.runtime.block_on(async {
            let stop = signal::stop();
            tokio::pin!(stop);
            loop {
                let told = tokio::select! {
                    stopped = &mut stop => return stopped.map(Ok).map_err(|source| Error::Signal { source }),
                    Some(news) = news.next() => take(Some(news)),
                    _ = second.tick() => take(None),
                };
                if let Err(error) = told {
                    return Ok(Err(error));
                }
            }
        })
    }

    /// Only the live objects that verdicts hang on; no agent is asked. Out: what the user's rights did not show.
    pub fn objects(
        &self,
        namespace: Option<&str>,
        take: &mut dyn FnMut(Value),
    ) -> Result<Vec<Unread>, Error> {
        self.runtime.block_on(live::read(&self.client, Scope::Judged, namespace, take))
    }

    async fn find(&self) -> Result<(Vec<Agent>, Answered), Error> {
        let agents = forward::agents(&self.client, &self.reach).await?;
        let mut answered = Answered::default();
        match forward::nodes(&self.client).await {
            Ok(nodes) => {
                let manned: BTreeSet<&str> = agents.iter().map(|agent| agent.node.as_str()).collect();
                let bare = nodes.into_iter().filter(|node| !manned.contains(node.as_str()));
                let reason = "no agent runs there".to_owned();
                answered.missing = bare.map(|node| Missing { node, reason: reason.clone() }).collect();
            }
            // Without this right a node that has no agent stays unnoticed, and that is said.
            Err(error) => answered.unread.push(Unread { kind: "Node", error }),
        }
        Ok((agents, answered))
    }
}
