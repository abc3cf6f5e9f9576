//! Sockets in, `api` asked, sockets out. Answers that grow with the store are streamed: one export holds a
//! few hundred kilobytes, whatever the window.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::{Stream, StreamExt};
use tokio::sync::{broadcast, mpsc};

use super::agent::Shared;
use super::clock;
use super::store::StoreError;
use crate::api::metrics;
use crate::api::routes::{self, Audience, Route};
use crate::time::{Moment, Window};

/// The type of a recording.
const JSON_LINES: &str = "application/jsonl; charset=utf-8";
/// A piece of a stream, and how many wait for a slow reader.
const PIECE_BYTES: usize = 64 * 1024;
const PIECES: usize = 4;

/// How long a reader may take nothing: what it reads is pinned on disk until it has it all.
const PATIENCE: Duration = Duration::from_mins(1);

/// How a listener is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reached {
    /// Through the folder's socket: its mode says who may.
    Socket,
    /// From this machine or pod.
    Loopback,
    Network,
}

impl Reached {
    const fn audience(self) -> Audience {
        match self {
            Self::Socket | Self::Loopback => Audience::Local,
            Self::Network => Audience::Anyone,
        }
    }
}

/// The answers for one listener.
pub(crate) fn router(shared: Arc<Shared>, reached: Reached) -> Router {
    Router::new().fallback(move |request: Request| {
        let shared = Arc::clone(&shared);
        let (request, _body) = request.into_parts();
        async move { answer(&shared, reached, &request).await }
    })
}

async fn answer(shared: &Shared, reached: Reached, request: &Parts) -> Response {
    if reached == Reached::Loopback && !is_for_loopback(&request.headers) {
        return words(StatusCode::FORBIDDEN, "this port answers to localhost only");
    }
    let uri = &request.uri;
    let query = uri.query().unwrap_or_default();
    match routes::route(reached.audience(), request.method.as_str(), uri.path(), query) {
        Ok(Route::Livez) if shared.is_alive() => words(StatusCode::OK, "ok"),
        Ok(Route::Livez) => words(StatusCode::SERVICE_UNAVAILABLE, "the capturing loop stands still"),
        Ok(Route::Startupz) if shared.figures().attached => words(StatusCode::OK, "ok"),
        Ok(Route::Startupz) => words(StatusCode::SERVICE_UNAVAILABLE, "starting"),
        Ok(Route::Readyz) => ready(shared),
        Ok(Route::Metrics) => {
            let kind = [(header::CONTENT_TYPE, metrics::CONTENT_TYPE)];
            (kind, metrics::render(&shared.figures())).into_response()
        }
        Ok(Route::Export { since, until }) => export(shared, since, until).await,
        Ok(Route::Follow) => follow(shared).await,
        Ok(Route::Status) => {
            let kind = [(header::CONTENT_TYPE, "application/json")];
            (kind, crate::api::figures::status(&shared.figures())).into_response()
        }
        Err(refusal) => {
            let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::BAD_REQUEST);
            words(status, &refusal.to_string())
        }
    }
}

fn ready(shared: &Shared) -> Response {
    let reasons = shared.figures().unready();
    if reasons.is_empty() {
        words(StatusCode::OK, "ok")
    } else {
        words(StatusCode::SERVICE_UNAVAILABLE, &reasons.join("\n"))
    }
}

fn words(status: StatusCode, text: &str) -> Response {
    (status, format!("{text}\n")).into_response()
}

/// A page in a browser must not read flows through a name that resolves to the loopback.
fn is_for_loopback(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(header::HOST) else { return true };
    let Ok(host) = host.to_str() else { return false };
    let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((name, _port)) => name,
        None => host.rsplit_once(':').map_or(host, |(name, _port)| name),
    };
    name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

async fn export(shared: &Shared, since: Option<Moment>, until: Option<Moment>) -> Response {
    shared.fresh().await;
    let window = routes::window(since, until, clock::now());
    let pieces = read(shared, window);
    stream(pieces)
}

/// The objects there are, without any flow, then what is saved from now on.
async fn follow(shared: &Shared) -> Response {
    // Subscribed first: a batch that is saved meanwhile comes twice, never not at all.
    let news = shared.news();
    shared.fresh().await;
    let now = clock::now();
    let objects = all(read(shared, Window { from: now, to: now }));
    let news = futures::stream::unfold(news, |mut news| async move {
        let piece = match news.recv().await {
            Ok(lines) => Ok(Bytes::from_owner(lines)),
            Err(broadcast::error::RecvError::Lagged(n)) => {
                Err(io::Error::other(format!("the reader is too slow: {n} pieces behind")))
            }
            Err(broadcast::error::RecvError::Closed) => return None,
        };
        Some((piece, news))
    });
    ([(header::CONTENT_TYPE, JSON_LINES)], Body::from_stream(objects.chain(news))).into_response()
}

/// Reads the store in a thread of its own, piece by piece as the other side takes them; an empty one is the end.
fn read(shared: &Shared, window: Window) -> mpsc::Receiver<Bytes> {
    let (sender, pieces) = mpsc::channel(PIECES);
    let reader = shared.reader();
    tokio::task::spawn_blocking(move || {
        let mut out = Pieces { held: Vec::with_capacity(PIECE_BYTES), sender };
        let written = reader.write(window, &mut out);
        let written = written.and_then(|()| out.flush().map_err(|source| StoreError::Write { source }));
        let ended = match written {
            Ok(()) => out.send(Bytes::new()),
            Err(StoreError::Write { source }) => Err(source),
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "answer an export");
                return;
            }
        };
        // The reader may have seen enough; one that stands still hears of it when it goes on.
        drop(ended);
    });
    pieces
}

fn stream(pieces: mpsc::Receiver<Bytes>) -> Response {
    ([(header::CONTENT_TYPE, JSON_LINES)], Body::from_stream(all(pieces))).into_response()
}

/// All pieces up to the empty one. Without that one something was cut off, and the connection breaks: an answer
/// that is not whole must not look as if it were.
fn all(pieces: mpsc::Receiver<Bytes>) -> impl Stream<Item = io::Result<Bytes>> + Send {
    futures::stream::unfold(Some(pieces), |pieces| async move {
        let mut pieces = pieces?;
        match pieces.recv().await {
            Some(piece) if piece.is_empty() => None,
            Some(piece) => Some((Ok(piece), Some(pieces))),
            None => Some((Err(io::Error::other("the answer was cut off")), None)),
        }
    })
}

struct Pieces {
    held: Vec<u8>,
    sender: mpsc::Sender<Bytes>,
}

impl Pieces {
    /// Waits for the reader to take what was sent before. This is one of the threads that may block.
    fn send(&self, piece: Bytes) -> io::Result<()> {
        let sent = tokio::runtime::Handle::current().block_on(self.sender.send_timeout(piece, PATIENCE));
        sent.map_err(|_gone_or_stalled| io::Error::from(io::ErrorKind::BrokenPipe))
    }
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.held.extend_from_slice(bytes);
        if self.held.len() >= PIECE_BYTES {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.held.is_empty() {
            return Ok(());
        }
        let piece = std::mem::replace(&mut self.held, Vec::with_capacity(PIECE_BYTES));
        self.send(piece.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_somebody_points_at_the_loopback_is_refused() {
        for (host, expected) in [
            (Some("localhost:9470"), true),
            (Some("127.0.0.1:9470"), true),
            (Some("127.0.0.1"), true),
            (Some("[::1]:9470"), true),
            (None, true),
            (Some("evil.example:9470"), false),
            (Some("localhost.evil.example"), false),
            (Some("10.0.0.1:9470"), false),
            (Some(""), false),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(host) = host {
                headers.insert(header::HOST, host.parse().expect("a header"));
            }
            assert_eq!(is_for_loopback(&headers), expected, "{host:?}");
        }
    }
}
