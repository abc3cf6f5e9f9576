//! The running agent: one loop with the capture, the engine and the store, and around it the tasks that
//! listen, watch the inventory and wait for signals. The only place that spawns.

mod error;
mod inventory;
#[cfg(feature = "cluster")]
mod kubernetes;
mod shared;
mod turn;
mod wall;

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::{TcpListener, UnixListener};
use tokio::sync::broadcast;

use super::bpf::{self, Capture};
use super::clock::{self, Mark};
use super::http::{self, Reached};
use super::store::{self, Limits, Opened, Store};
use crate::api::figures::Figures;
use crate::engine::{Change, Engine};
use crate::manifest::Object;

pub use error::AgentError;
use shared::Event;
pub(super) use shared::Shared;
use turn::{Ended, Pace, Turn};

/// How to run.
#[derive(Clone, Debug)]
pub struct Options {
    pub state_dir: PathBuf,
    /// Else the only node of the inventory, else the host's name.
    pub node: Option<String>,
    pub interval: Duration,
    /// How long connections older than the agent are looked for; zero is off.
    pub existing: Duration,
    pub limits: Limits,
    pub inventory: Option<PathBuf>,
    /// Follow the Kubernetes API, from inside a pod or by a kubeconfig.
    pub kubernetes: Option<Kubernetes>,
    pub capture: bpf::Options,
    /// The query API, on the loopback; none is the socket only.
    pub query: Option<SocketAddr>,
    /// Health and metrics.
    pub metrics: Option<SocketAddr>,
}

/// Which API server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kubernetes {
    InCluster,
    Kubeconfig { path: Option<PathBuf>, context: Option<String> },
}

/// How long the loop waits before overflowing flows are drained again.
const OVERFLOW_PAUSE: Duration = Duration::from_millis(50);

/// Runs until SIGTERM or SIGINT.
pub fn run(options: &Options) -> Result<(), AgentError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(8)
        .build()
        .map_err(|source| AgentError::Runtime { source })?;
    let ended = runtime.block_on(start(options));
    // Answers that still stream are cut off; the kernel closes their sockets.
    runtime.shutdown_background();
    ended
}

async fn start(options: &Options) -> Result<(), AgentError> {
    // What is stored comes first: the manifests mostly say the same again, and what comes last goes first.
    let Opened { store, resumed, set_aside } = Store::open(&options.state_dir).map_err(AgentError::Store)?;
    if let Some(path) = set_aside {
        tracing::warn!(path = %path.display(), "the store has another layout or is damaged; set aside");
    }
    let objects = options.inventory.as_deref().map(inventory::read).transpose()?;
    let node = node(options.node.as_deref(), objects.as_deref())?;
    let listeners = Listeners::bind(options).await?;
    let capture = Capture::open(&options.capture, clock::now())
        .map_err(|error| AgentError::Capture(Box::new(error)))?;
    tracing::info!(
        node = &*node,
        cgroup = %capture.cgroup().display(),
        state = %options.state_dir.display(),
        "capturing"
    );
    let (events, inbox) = channel();
    let shared = Arc::new(Shared {
        node: Arc::clone(&node),
        interval: options.interval,
        map_capacity: options.capture.entries,
        figures: Mutex::new((Figures::default(), Mark::now())),
        events: events.clone(),
        reader: store.reader(),
        news: broadcast::channel(shared::NEWS).0,
        overflowing: AtomicBool::new(false),
        awaited: AtomicUsize::new(inventory::lists(options)),
    });
    if options.inventory.is_none() && options.kubernetes.is_none() {
        tracing::warn!("no inventory: addresses stay addresses; give --inventory or --kubernetes");
    }
    inventory::gateways(&events);
    if let Some(objects) = objects {
        shared.list_came();
        inventory::list(&events, objects);
    }
    let overflow = capture.overflow_fd().try_clone_to_owned().ok();
    let rows = usize::try_from(options.limits.bytes / 2 / store::ROW_BYTES).unwrap_or(usize::MAX);
    let engine = Engine::new(node, resumed.next_seq, resumed.open).with_rows_per_hour(rows);
    let pace = Pace { interval: options.interval, existing: options.existing, limits: options.limits };
    let turn = Turn::new(capture, engine, store, Arc::clone(&shared), pace);
    let ended = spawn_loop(turn, inbox)?;
    spawn_tasks(options, &shared, &events, listeners, overflow)?;
    let ended = wait(&events, ended).await;
    // Nobody is left to answer; the lock still holds, so this is no other agent's.
    drop(std::fs::remove_file(options.state_dir.join(store::SOCKET)));
    ended
}

fn spawn_loop(
    turn: Turn,
    inbox: Receiver<Event>,
) -> Result<tokio::sync::oneshot::Receiver<Ended>, AgentError> {
    let (tell, ended) = tokio::sync::oneshot::channel();
    std::thread::Builder::new()
        .name("netflow-loop".to_owned())
        .spawn(move || {
            // Whoever waited may be gone; then nobody needs the answer.
            drop(tell.send(turn.run(&inbox)));
        })
        .map_err(|source| AgentError::Runtime { source })?;
    Ok(ended)
}

/// The first signal stops the loop; its last drain is saved before this returns.
async fn wait(
    events: &Sender<Event>,
    mut ended: tokio::sync::oneshot::Receiver<Ended>,
) -> Result<(), AgentError> {
    tokio::select! {
        stopped = super::signal::stop() => {
            stopped.map_err(|source| AgentError::Runtime { source })?;
            tracing::info!("stopping: a last drain, then the programs are detached");
            // The loop may have ended by itself: its answer tells.
            drop(events.send(Event::Stop));
            finish(ended.await)
        }
        ended = &mut ended => finish(ended),
    }
}

fn finish(ended: Result<Ended, tokio::sync::oneshot::error::RecvError>) -> Result<(), AgentError> {
    match ended {
        Ok(Ok(())) => Ok(()),
        Ok(Err((flows, source))) => Err(AgentError::Unsaved { flows, source }),
        Err(_gone) => Err(AgentError::LoopEnded),
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place that spawns")]
fn spawn_tasks(
    options: &Options,
    shared: &Arc<Shared>,
    events: &Sender<Event>,
    listeners: Listeners,
    overflow: Option<OwnedFd>,
) -> Result<(), AgentError> {
    let router = |reached| http::router(Arc::clone(shared), reached);
    let Listeners { socket, query, metrics } = listeners;
    tokio::spawn(serve_socket(socket, options.state_dir.clone(), router(Reached::Socket)));
    if let Some(query) = query {
        tokio::spawn(serve("query", axum::serve(query, router(Reached::Loopback)).into_future()));
    }
    if let Some(metrics) = metrics {
        tokio::spawn(serve("metrics", axum::serve(metrics, router(Reached::Network)).into_future()));
    }
    if let Some(overflow) = overflow {
        watch_overflow(overflow, Arc::clone(shared))?;
    }
    if let Some(path) = options.inventory.clone() {
        tokio::spawn(inventory::watch(path, events.clone()));
    }
    #[cfg(feature = "cluster")]
    if let Some(kubernetes) = options.kubernetes.clone() {
        tokio::spawn(kubernetes::follow(kubernetes, Arc::clone(shared)));
    }
    Ok(())
}

/// How often the socket is looked for.
const SOCKET_LOOK: Duration = Duration::from_secs(2);

/// Answers on the socket in the folder; when that is removed, on a new one, as soon as there is a folder again.
async fn serve_socket(mut socket: UnixListener, folder: PathBuf, router: axum::Router) {
    let path = folder.join(store::SOCKET);
    loop {
        tokio::select! {
            () = serve("socket", axum::serve(socket, router.clone()).into_future()) => return,
            () = until(|| (!path.exists()).then_some(())) => {}
        }
        socket = until(|| bind_socket(&folder).ok()).await;
        tracing::warn!(path = %path.display(), "the socket was removed; there is a new one");
    }
}

/// Asks again and again, until there is an answer.
async fn until<T>(ask: impl Fn() -> Option<T>) -> T {
    loop {
        tokio::time::sleep(SOCKET_LOOK).await;
        if let Some(answer) = ask() {
            return answer;
        }
    }
}

async fn serve(what: &'static str, served: impl Future<Output = std::io::Result<()>>) {
    if let Err(error) = served.await {
        tracing::error!(error = &error as &dyn std::error::Error, listener = what, "stopped answering");
    }
}

/// Waits in a thread of its own: the kernel's ring can be polled, and tokio's way to do so is not sound for
/// descriptors that others hold too.
fn watch_overflow(ring: OwnedFd, shared: Arc<Shared>) -> Result<(), AgentError> {
    use rustix::event::{PollFd, PollFlags, poll};
    let wait = move || {
        loop {
            let ready = poll(&mut [PollFd::new(&ring, PollFlags::IN)], None);
            let interrupted = ready == Err(rustix::io::Errno::INTR);
            if ready.is_err() && !interrupted {
                return;
            }
            // Told once: a loop that is held up, by a disk perhaps, finds one word of it and not a queue.
            let told = interrupted || shared.overflowing.swap(true, Ordering::Relaxed);
            if !told && shared.events.send(Event::Overflow).is_err() {
                return;
            }
            std::thread::sleep(OVERFLOW_PAUSE);
        }
    };
    let thread = std::thread::Builder::new().name("netflow-ring".to_owned());
    thread.spawn(wait).map_err(|source| AgentError::Runtime { source })?;
    Ok(())
}

/// Bound before anything is attached: an address in use ends the start, not the run.
struct Listeners {
    socket: UnixListener,
    query: Option<TcpListener>,
    metrics: Option<TcpListener>,
}

impl Listeners {
    async fn bind(options: &Options) -> Result<Self, AgentError> {
        Ok(Self {
            socket: bind_socket(&options.state_dir)?,
            query: bind(options.query, "query").await?,
            metrics: bind(options.metrics, "metrics").await?,
        })
    }
}

async fn bind(address: Option<SocketAddr>, what: &'static str) -> Result<Option<TcpListener>, AgentError> {
    let Some(address) = address else { return Ok(None) };
    let bound = TcpListener::bind(address).await;
    let listener = bound.map_err(|source| AgentError::Listen { address, source })?;
    if let Ok(address) = listener.local_addr() {
        tracing::info!(%address, "listening for {what}");
    }
    Ok(Some(listener))
}

/// The folder is locked for us, so a socket that is there is a dead agent's.
fn bind_socket(folder: &Path) -> Result<UnixListener, AgentError> {
    use std::os::unix::fs::PermissionsExt;
    let path = folder.join(store::SOCKET);
    let failed = |source| AgentError::Socket { path: path.clone(), source };
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let socket = UnixListener::bind(&path).map_err(failed)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
    Ok(socket)
}

/// The name given, else the only node of the inventory, else the host's name.
fn node(given: Option<&str>, objects: Option<&[Object]>) -> Result<Arc<str>, AgentError> {
    if let Some(name) = given.filter(|name| !name.is_empty()) {
        return Ok(name.into());
    }
    let mut nodes = objects.unwrap_or_default().iter().filter_map(|object| match object {
        Object::Node(node) => Some(Arc::clone(&node.meta.name)),
        _ => None,
    });
    if let (Some(only), None) = (nodes.next(), nodes.next()) {
        return Ok(only);
    }
    let host = rustix::system::uname();
    match host.nodename().to_str() {
        Ok(name) if !name.is_empty() => Ok(name.into()),
        _ => Err(AgentError::NoNode),
    }
}

fn send(events: &Sender<Event>, change: Change) -> bool {
    events.send(Event::Change(Box::new(change))).is_ok()
}
