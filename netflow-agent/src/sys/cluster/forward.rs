//! Reaches one agent through the API server's port-forward. In: a pod and a path of its query API, which
//! listens on the pod's loopback only. Out: the body of the answer, piece by piece. Who may do this is
//! decided by Kubernetes RBAC (`pods/portforward`); nothing is opened on this machine.

use std::time::Duration;

use futures::future::BoxFuture;
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{Api, ListParams, Portforwarder};
use kube::{Client, ResourceExt};
use tokio::time::timeout;

use super::Error;
use crate::sys::clock;
use crate::time::Time;

/// An agent's pod, and the node that it speaks for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Agent {
    pub node: String,
    pub namespace: String,
    pub pod: String,
}

/// How agents are found and reached.
#[derive(Clone, Debug)]
pub struct Reach {
    pub selector: String,
    /// Where to look when the user may not list the pods of all namespaces.
    pub namespace: String,
    pub port: u16,
    /// The longest that a node may stay silent.
    pub deadline: Duration,
    /// The longest that its whole answer may take.
    pub whole: Duration,
    /// How many are asked at once.
    pub parallel: usize,
}

/// The agents that run, sorted by node.
pub async fn agents(client: &Client, reach: &Reach) -> Result<Vec<Agent>, Error> {
    let parameters = ListParams::default().labels(&reach.selector);
    let all: Api<Pod> = Api::all(client.clone());
    let listed = match all.list(&parameters).await {
        Err(kube::Error::Api(status)) if status.code == 403 => {
            Api::<Pod>::namespaced(client.clone(), &reach.namespace).list(&parameters).await
        }
        listed => listed,
    };
    let object = || format!("pods labelled `{}`", reach.selector);
    let pods =
        listed.map_err(|source| Error::Api { op: "list", object: object(), source: Box::new(source) })?;
    let mut agents: Vec<Agent> = pods.items.iter().filter_map(agent).collect();
    agents.sort();
    Ok(agents)
}

fn agent(pod: &Pod) -> Option<Agent> {
    let running = pod.status.as_ref().is_some_and(|status| status.phase.as_deref() == Some("Running"));
    let node = pod.spec.as_ref()?.node_name.clone()?;
    let leaves = pod.metadata.deletion_timestamp.is_some();
    (running && !leaves).then(|| Agent {
        node,
        namespace: pod.namespace().unwrap_or_default(),
        pod: pod.name_any(),
    })
}

/// The names of all nodes, sorted.
pub async fn nodes(client: &Client) -> Result<Vec<String>, Error> {
    let nodes = Api::<Node>::all(client.clone())
        .list_metadata(&ListParams::default())
        .await
        .map_err(|source| Error::Api { op: "list", object: "nodes".to_owned(), source: Box::new(source) })?;
    let mut names: Vec<String> = nodes.items.iter().map(ResourceExt::name_any).collect();
    names.sort();
    Ok(names)
}

/// An answer that is still coming. Dropping it ends the forward.
pub struct Answer {
    /// What its clock showed when it answered, and ours.
    pub clocks: Option<(Time, Time)>,
    pod: String,
    deadline: Duration,
    body: Incoming,
    connection: Option<BoxFuture<'static, hyper::Result<()>>>,
    /// Holds the forward open.
    _forwarder: Portforwarder,
}

/// Asks one agent.
pub async fn get(client: &Client, agent: &Agent, reach: &Reach, path: &str) -> Result<Answer, Error> {
    let asked = timeout(reach.deadline, ask(client, agent, reach, path)).await;
    asked.unwrap_or_else(|_elapsed| Err(silent(&agent.pod, reach.deadline)))
}

async fn ask(client: &Client, agent: &Agent, reach: &Reach, path: &str) -> Result<Answer, Error> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), &agent.namespace);
    let http = |source| Error::Http { pod: agent.pod.clone(), source };
    let mut forwarder = pods.portforward(&agent.pod, &[reach.port]).await.map_err(|source| Error::Api {
        op: "forward to",
        object: format!("pod {}/{}", agent.namespace, agent.pod),
        source: Box::new(source),
    })?;
    let lost = || Error::Refused { pod: agent.pod.clone(), reason: "no stream for the port".to_owned() };
    let stream = forwarder.take_stream(reach.port).ok_or_else(lost)?;
    let refusal = forwarder.take_error(reach.port).ok_or_else(lost)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(http)?;
    let mut connection: BoxFuture<'static, hyper::Result<()>> = Box::pin(connection);
    let request = hyper::Request::get(path)
        .header(hyper::header::HOST, "localhost")
        .body(Empty::<Bytes>::new())
        .map_err(|source| Error::Request { path: path.to_owned(), source })?;
    let sent = sender.send_request(request);
    tokio::pin!(sent, refusal);
    let mut refusable = true;
    let mut open = true;
    let response = loop {
        tokio::select! {
            response = &mut sent => break response.map_err(http)?,
            _ended = &mut connection, if open => open = false,
            // What the kubelet says when nothing listens there; no word at all means that all is well.
            reason = &mut refusal, if refusable => match reason {
                Some(reason) => return Err(Error::Refused { pod: agent.pod.clone(), reason }),
                None => refusable = false,
            },
        }
    };
    if !response.status().is_success() {
        return Err(Error::Status { pod: agent.pod.clone(), status: response.status().as_u16() });
    }
    let date = response.headers().get(hyper::header::DATE).and_then(|date| date.to_str().ok());
    Ok(Answer {
        clocks: date.and_then(Time::from_http).map(|theirs| (theirs, clock::now())),
        pod: agent.pod.clone(),
        deadline: reach.deadline,
        body: response.into_body(),
        connection: open.then_some(connection),
        _forwarder: forwarder,
    })
}

impl Answer {
    /// The next piece; none at the end of a whole answer. An answer that breaks off is an error.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        timeout(self.deadline, self.next())
            .await
            .unwrap_or_else(|_elapsed| Err(silent(&self.pod, self.deadline)))
    }

    /// The next piece, however long it takes: for answers that follow.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            let connection = async {
                match &mut self.connection {
                    Some(connection) => connection.await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                frame = self.body.frame() => match frame {
                    None => return Ok(None),
                    Some(Ok(frame)) => if let Ok(data) = frame.into_data() { return Ok(Some(data)); },
                    Some(Err(source)) => return Err(Error::Http { pod: self.pod.clone(), source }),
                },
                // What the connection died of comes out of the body too.
                _ended = connection => self.connection = None,
            }
        }
    }
}

fn silent(pod: &str, deadline: Duration) -> Error {
    Error::Silent { pod: pod.to_owned(), seconds: deadline.as_secs() }
}
