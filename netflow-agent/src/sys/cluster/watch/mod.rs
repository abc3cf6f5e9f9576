//! Follows the objects that one node needs: its own pods and Node, and the Services, EndpointSlices and
//! Namespaces of the cluster. In: the API server's lists and watches. Out: one stream of changes, each
//! with the time it was seen. It never ends and never gives up; what it could not read is a change too.
//!
//! The load is that of a kube-proxy: streamed lists where the server has them, else lists from its cache.
//! No other node's pods are read.

use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, BoxStream, SelectAll, Stream, StreamExt};
use kube::api::{Api, ApiResource, DynamicObject, TypeMeta};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Config, Event as Raw};
use kube::{Client, Error as ClientError};
use serde_json::Value;

use super::Error;
use super::client::WATCH_SECONDS;
use crate::time::Time;

/// The kinds that an agent follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    Pod,
    Service,
    EndpointSlice,
    Namespace,
    Node,
}

/// Something that was seen of one kind of object, and when.
#[derive(Debug)]
pub struct Change {
    pub at: Time,
    pub kind: Kind,
    pub event: Event,
}

/// What was seen. Between `ListBegun` and `ListEnded` come all objects that there are: whatever was known
/// before and is not among them went away since the last event.
#[derive(Debug)]
pub enum Event {
    ListBegun,
    Apply(Arc<Value>),
    Delete(Arc<Value>),
    ListEnded,
    /// The API server was not reached or refused; what was known still stands. It is asked again.
    Failed(Error),
}

impl Kind {
    pub const ALL: [Self; 5] = [Self::Pod, Self::Service, Self::EndpointSlice, Self::Namespace, Self::Node];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pod => "Pod",
            Self::Service => "Service",
            Self::EndpointSlice => "EndpointSlice",
            Self::Namespace => "Namespace",
            Self::Node => "Node",
        }
    }

    fn resource(self) -> ApiResource {
        let (group, plural) = match self {
            Self::Pod => ("", "pods"),
            Self::Service => ("", "services"),
            Self::EndpointSlice => ("discovery.k8s.io", "endpointslices"),
            Self::Namespace => ("", "namespaces"),
            Self::Node => ("", "nodes"),
        };
        let gvk = kube::api::GroupVersionKind::gvk(group, "v1", self.as_str());
        ApiResource::from_gvk_with_plural(&gvk, plural)
    }

    /// What the server is asked to leave out: other nodes' pods, other Nodes.
    fn config(self, node: &str) -> Config {
        let config = Config::default().any_semantic().page_size(PAGE).timeout(WATCH_SECONDS);
        match self {
            Self::Pod => config.fields(&format!("spec.nodeName={node}")),
            Self::Node => config.fields(&format!("metadata.name={node}")),
            // Lists of the control plane's own leader election and the like are of no use to a proxy either.
            Self::Service | Self::EndpointSlice | Self::Namespace => config,
        }
    }
}

/// A page holds the objects that are in memory at once, before they are cut down.
const PAGE: u32 = 100;
/// How long a server may stay away before it is asked for its version again.
const RETRY: Duration = Duration::from_secs(5);
/// Streamed lists are on by default from 1.34.
const STREAMED_SINCE: u32 = 34;

/// Everything that `node`'s agent needs to know, from now on.
pub fn changes(client: &Client, node: &str, now: fn() -> Time) -> SelectAll<BoxStream<'static, Change>> {
    stream::select_all(Kind::ALL.map(|kind| follow(client.clone(), node, kind, now).boxed()))
}

/// How lists are asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lists {
    Streamed,
    Paged,
}

enum State {
    AskVersion,
    Follow(Lists, BoxStream<'static, watcher::Result<Raw<DynamicObject>>>),
}

/// The objects of one kind, as `changes` has them of all.
pub(crate) fn follow(
    client: Client,
    node: &str,
    kind: Kind,
    now: fn() -> Time,
) -> impl Stream<Item = Change> + Send + use<> {
    let config = kind.config(node);
    stream::unfold(State::AskVersion, move |mut state| {
        let (client, config) = (client.clone(), config.clone());
        async move {
            loop {
                let (event, next) = match state {
                    State::AskVersion => ask_version(&client, kind, &config).await,
                    State::Follow(lists, mut stream) => match stream.next().await? {
                        Ok(raw) => (Some(event(kind, raw)), State::Follow(lists, stream)),
                        Err(error) if lists == Lists::Streamed && is_not_understood(&error) => {
                            (None, open(&client, kind, &config, Lists::Paged))
                        }
                        Err(source) => {
                            let failed = Error::Watch { kind: kind.as_str(), source: Box::new(source) };
                            (Some(Event::Failed(failed)), State::Follow(lists, stream))
                        }
                    },
                };
                state = next;
                if let Some(event) = event {
                    return Some((Change { at: now(), kind, event }, state));
                }
            }
        }
    })
}

async fn ask_version(client: &Client, kind: Kind, config: &Config) -> (Option<Event>, State) {
    match client.apiserver_version().await {
        Ok(version) => {
            let minor: u32 =
                version.minor.trim_end_matches(|c: char| !c.is_ascii_digit()).parse().unwrap_or(0);
            let lists = if minor >= STREAMED_SINCE { Lists::Streamed } else { Lists::Paged };
            (None, open(client, kind, config, lists))
        }
        // Some clusters refuse /version to service accounts: the old way works everywhere.
        Err(ClientError::Api(_)) => (None, open(client, kind, config, Lists::Paged)),
        Err(source) => {
            tokio::time::sleep(RETRY).await;
            let failed =
                Error::Api { op: "ask for", object: "the version".to_owned(), source: Box::new(source) };
            (Some(Event::Failed(failed)), State::AskVersion)
        }
    }
}

fn open(client: &Client, kind: Kind, config: &Config, lists: Lists) -> State {
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &kind.resource());
    let config = match lists {
        Lists::Streamed => config.clone().streaming_lists(),
        Lists::Paged => config.clone(),
    };
    State::Follow(lists, watcher::watcher(api, config).default_backoff().boxed())
}

/// The server has no streamed lists after all: it calls the request invalid.
fn is_not_understood(error: &watcher::Error) -> bool {
    let (watcher::Error::WatchStartFailed(error) | watcher::Error::InitialListFailed(error)) = error else {
        return false;
    };
    matches!(error, ClientError::Api(status) if matches!(status.code, 400 | 404 | 405 | 415 | 422))
}

fn event(kind: Kind, raw: Raw<DynamicObject>) -> Event {
    match raw {
        Raw::Init => Event::ListBegun,
        Raw::InitDone => Event::ListEnded,
        Raw::InitApply(object) | Raw::Apply(object) => Event::Apply(plain(kind, object)),
        Raw::Delete(object) => Event::Delete(plain(kind, object)),
    }
}

/// As the API server serves it, with the type that list items lack and without what nobody reads.
fn plain(kind: Kind, mut object: DynamicObject) -> Arc<Value> {
    if object.types.is_none() {
        let resource = kind.resource();
        object.types = Some(TypeMeta { api_version: resource.api_version, kind: resource.kind });
    }
    object.metadata.managed_fields = None;
    Arc::new(serde_json::to_value(object).unwrap_or_default())
}

#[cfg(test)]
pub(crate) mod tests;
