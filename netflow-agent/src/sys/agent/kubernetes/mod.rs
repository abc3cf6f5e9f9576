//! The inventory from the Kubernetes API. In: the watch's events. Out: changes for the loop, a list whole and
//! later events one by one, and whether the API is being read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use serde_json::Value;

use super::super::bpf;
use super::super::clock;
use super::super::cluster::watch::{self, Event as Seen, Kind};
use super::super::cluster::{self, client};
use super::Kubernetes;
use super::shared::{Event, Shared};
use crate::engine::{Change, Kinds};
use crate::manifest::{self, Object, Words};

/// Follows the API server until the agent ends.
pub(super) async fn follow(from: Kubernetes, shared: Arc<Shared>) {
    let client = match connect(&from).await {
        Ok(client) => client,
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "the Kubernetes API is not followed");
            // Capturing goes on; readiness says that nothing is named.
            drop(shared.events.send(Event::InventoryFailed));
            return;
        }
    };
    let mut changes = watch::changes(&client, &shared.node, clock::now);
    let mut lists = Lists::default();
    let mut look = tokio::time::interval(LOOK);
    loop {
        let change = tokio::select! {
            change = changes.next() => change,
            _ = look.tick() => {
                lists.forget();
                let is_back = lists.failing && lists.is_quiet() && answers(&client).await;
                lists.failing &= !is_back;
                if is_back && shared.events.send(Event::InventoryAnswers).is_err() {
                    return;
                }
                continue;
            }
        };
        let Some(change) = change else { return };
        if matches!(change.event, Seen::ListEnded) {
            shared.list_came();
        }
        for event in lists.take(change).into_iter().flatten() {
            if shared.events.send(event).is_err() {
                // The agent has ended.
                return;
            }
        }
    }
}

/// How often what was read is tidied, and a server that failed is looked after.
const LOOK: Duration = Duration::from_secs(15);
/// Looks without a failure: longer than a watch waits between two tries, with what a try may take. Who hears of no
/// failure for so long has its connections again, and nothing else says so while nothing changes.
const QUIET: u32 = 5;
/// How long the server may take to say its version.
const PATIENCE: Duration = Duration::from_secs(10);

async fn answers(client: &kube::Client) -> bool {
    tokio::time::timeout(PATIENCE, client.apiserver_version()).await.is_ok_and(|version| version.is_ok())
}

async fn connect(from: &Kubernetes) -> Result<kube::Client, cluster::Error> {
    match from {
        Kubernetes::InCluster => client::following(client::in_cluster()?),
        Kubernetes::Kubeconfig { path, context } => {
            let access = client::Access { kubeconfig: path.clone(), context: context.clone() };
            client::following(client::config(&access).await?)
        }
    }
}

/// Lists that have begun and not ended, by kind.
#[derive(Default)]
struct Lists {
    open: BTreeMap<Kind, Vec<Object>>,
    words: Words,
    /// Objects were read since unused words were forgotten.
    read: bool,
    failing: bool,
    /// Looks since something failed.
    quiet: u32,
    /// Kinds that the API server refuses: what it tells of others does not make up for them.
    refused: BTreeSet<Kind>,
}

impl Lists {
    /// What the loop is told of it: a change, and that something cannot be read.
    fn take(&mut self, change: watch::Change) -> [Option<Event>; 2] {
        let watch::Change { at, kind, event } = change;
        if let Seen::Failed(error) = &event {
            self.fail(kind, error);
            return [Some(Event::InventoryFailed), None];
        }
        self.failing = false;
        self.refused.remove(&kind);
        let change = self.change(kind, event, at).map(|change| Event::Change(Box::new(change)));
        let still = change.is_some() && !self.refused.is_empty();
        [change, still.then_some(Event::InventoryFailed)]
    }

    fn change(&mut self, kind: Kind, event: Seen, at: crate::time::Time) -> Option<Change> {
        match event {
            Seen::ListBegun => {
                self.open.insert(kind, Vec::new());
                None
            }
            Seen::Apply(value) => {
                let object = self.object(kind, &value)?;
                match self.open.get_mut(&kind) {
                    Some(list) => {
                        list.push(object);
                        None
                    }
                    None => Some(Change::Applied { object, at }),
                }
            }
            Seen::Delete(value) => Some(Change::Deleted { object: self.object(kind, &value)?, at }),
            Seen::ListEnded => {
                let objects = self.open.remove(&kind).unwrap_or_default();
                tracing::info!(kind = kind.as_str(), objects = objects.len(), "listed");
                Some(Change::Listed { kinds: Kinds::One(kind.as_str().into()), objects, at })
            }
            Seen::Failed(_) => None,
        }
    }

    /// Forgets the words of objects that went: every pod brings a name and a UID. After a restart those of a whole
    /// list are of no use: the engine has the objects from the store.
    fn forget(&mut self) {
        if std::mem::take(&mut self.read) {
            self.words.forget_unused();
            bpf::give_memory_back();
        }
    }

    /// Nothing failed for a while, and nothing is refused.
    fn is_quiet(&mut self) -> bool {
        self.quiet += 1;
        self.quiet > QUIET && self.refused.is_empty()
    }

    fn fail(&mut self, kind: Kind, error: &cluster::Error) {
        self.quiet = 0;
        if error.is_forbidden() {
            self.refused.insert(kind);
        }
        if !std::mem::replace(&mut self.failing, true) {
            let error = error as &dyn std::error::Error;
            tracing::warn!(error, "the Kubernetes API does not answer; capturing goes on");
        }
    }

    fn object(&mut self, kind: Kind, value: &Value) -> Option<Object> {
        self.read = true;
        match manifest::object_from_value(value, &mut self.words) {
            Ok(object) => Some(object),
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, kind = kind.as_str(), "an object of the API cannot be read");
                None
            }
        }
    }
}

#[cfg(test)]
mod tests;
