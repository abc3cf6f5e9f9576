//! A scripted API server on the loopback: lists of objects, rights that are missing, and the port-forward of
//! agents' pods, whose answers are scripted too. What speaks to it is the real program by a real kubeconfig.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};
use tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tungstenite::http::HeaderValue;
use tungstenite::{Message, WebSocket};

/// How an agent answers an export.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Whole(String),
    /// The connection ends in the middle.
    Half(String),
    /// Head and body, byte for byte.
    Raw(Vec<u8>),
    /// These lines, then a byte now and then, and never an end.
    Trickle(String),
    /// Whole, with a clock that shows so many seconds more.
    Ahead(i64, String),
    /// It is connected, and never says a word.
    Silent,
    /// The node has no agent.
    None,
}

#[derive(Debug, Default)]
pub(crate) struct Script {
    /// Node -> what its agent answers.
    pub answers: BTreeMap<String, Answer>,
    /// Plural -> the live objects.
    pub objects: BTreeMap<String, Vec<Value>>,
    /// Plurals that may not be listed, and `portforward`.
    pub forbidden: Vec<String>,
    /// Node -> what its agent tells those who follow; none ends the connection.
    follow: BTreeMap<String, Arc<Mutex<Receiver<Option<String>>>>>,
    /// The most port-forwards that were open at once, and those that are.
    pub most: usize,
    open: usize,
}

/// A running server; it ends with the test's process.
pub(crate) struct Server {
    pub script: Arc<Mutex<Script>>,
    folder: tempfile::TempDir,
}

impl Server {
    pub(crate) fn start(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let script = Arc::new(Mutex::new(script));
        let shared = Arc::clone(&script);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || serve(stream, &shared));
            }
        });
        let folder = tempfile::tempdir().expect("a folder");
        let kubeconfig = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "it",
            "clusters": [{ "name": "it", "cluster": { "server": format!("http://{address}") } }],
            "contexts": [{ "name": "it", "context": { "cluster": "it", "user": "it" } }],
            "users": [{ "name": "it", "user": {} }],
        });
        std::fs::write(folder.path().join("kubeconfig"), kubeconfig.to_string()).expect("a kubeconfig");
        Self { script, folder }
    }

    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("kubeconfig")
    }

    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path
    }

    /// What is sent goes to whoever follows this node's agent.
    pub(crate) fn follow(&self, node: &str) -> Sender<Option<String>> {
        let (sender, receiver) = channel();
        let mut script = self.script.lock().unwrap_or_else(PoisonError::into_inner);
        script.follow.insert(node.to_owned(), Arc::new(Mutex::new(receiver)));
        sender
    }
}

fn serve(stream: TcpStream, script: &Mutex<Script>) {
    let mut head = [0; 8 << 10];
    let length = loop {
        let Ok(length) = stream.peek(&mut head) else { return };
        if length == 0 {
            return;
        }
        if head[..length].windows(4).any(|end| end == b"\r\n\r\n") {
            break length;
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    };
    let text = String::from_utf8_lossy(&head[..length]).into_owned();
    let target = text.split(' ').nth(1).unwrap_or_default().to_owned();
    if target.contains("/portforward") {
        forward(stream, &target, script);
    } else {
        let (status, body) = listed(&target, &script.lock().unwrap_or_else(PoisonError::into_inner));
        answer(stream, length, status, &body.to_string());
    }
}

fn answer(mut stream: TcpStream, asked: usize, status: &str, body: &str) {
    let mut taken = vec![0; asked];
    if stream.read_exact(&mut taken).is_ok() {
        let head = format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\nConnection: close\r\n");
        let all = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
        drop(stream.write_all(all.as_bytes()));
    }
}

fn status(code: u16, reason: &str, what: &str) -> Value {
    let message = format!("{what} is {}", reason.to_lowercase());
    json!({ "apiVersion": "v1", "kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message, "metadata": {} })
}

/// Status line and body of a GET.
fn listed(target: &str, script: &Script) -> (&'static str, Value) {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let plural = path.rsplit('/').next().unwrap_or_default();
    if path == "/apis" {
        // Who may not ask for the groups asks for every kind.
        return ("403 Forbidden", status(403, "Forbidden", "/apis"));
    }
    let agents = query.contains("labelSelector");
    // Whoever may not list all pods may still list those of the agents' namespace.
    let elsewhere = agents && path.contains("/namespaces/netflow/");
    if !elsewhere && script.forbidden.iter().any(|one| one == plural) {
        return ("403 Forbidden", status(403, "Forbidden", plural));
    }
    let is_dialect = ["cilium.io", "projectcalico", "policy.networking"].iter().any(|one| path.contains(one));
    let items: Vec<Value> = if agents {
        let manned = script.answers.iter().filter(|(_, answer)| !matches!(answer, Answer::None));
        manned.map(|(node, _)| agent(node)).collect()
    } else {
        match script.objects.get(plural) {
            Some(objects) if !is_dialect => objects.clone(),
            _ if is_dialect => return ("404 Not Found", status(404, "NotFound", plural)),
            _ => Vec::new(),
        }
    };
    ("200 OK", json!({ "apiVersion": "v1", "kind": "List", "metadata": {}, "items": items }))
}

fn agent(node: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "namespace": "netflow", "name": format!("agent-{node}") },
        "spec": { "nodeName": node, "containers": [] }, "status": { "phase": "Running" },
    })
}

fn forward(mut stream: TcpStream, target: &str, script: &Mutex<Script>) {
    let lock = || script.lock().unwrap_or_else(PoisonError::into_inner);
    if lock().forbidden.iter().any(|one| one == "portforward") {
        let mut taken = [0; 8 << 10];
        let asked = stream.peek(&mut taken).unwrap_or(0);
        return answer(
            stream,
            asked,
            "403 Forbidden",
            &status(403, "Forbidden", "pods/portforward").to_string(),
        );
    }
    stream.flush().expect("a socket");
    let node =
        target.split("/agent-").nth(1).and_then(|rest| rest.split('/').next()).unwrap_or_default().to_owned();
    let port: u16 = target.split("ports=").nth(1).and_then(|port| port.parse().ok()).unwrap_or_default();
    #[expect(clippy::result_large_err, reason = "the type is the library's")]
    let chosen = |_: &Request, mut response: Response| -> Result<Response, ErrorResponse> {
        let protocol = HeaderValue::from_static("v4.channel.k8s.io");
        response.headers_mut().insert("Sec-WebSocket-Protocol", protocol);
        Ok(response)
    };
    let Ok(mut socket) = tungstenite::accept_hdr(stream, chosen) else { return };
    for channel in [0, 1] {
        let [low, high] = port.to_le_bytes();
        drop(socket.send(Message::binary(vec![channel, low, high])));
    }
    {
        let mut script = lock();
        script.open += 1;
        script.most = script.most.max(script.open);
    }
    drop(converse(&mut socket, &node, script));
    lock().open -= 1;
}

type Told = Result<(), Box<tungstenite::Error>>;

fn converse(socket: &mut WebSocket<TcpStream>, node: &str, script: &Mutex<Script>) -> Told {
    let mut asked = Vec::new();
    while !asked.windows(4).any(|end| end == b"\r\n\r\n") {
        match socket.read().map_err(Box::new)? {
            Message::Binary(bytes) if bytes.first() == Some(&0) => asked.extend_from_slice(&bytes[1..]),
            Message::Close(_) => return Ok(()),
            _ => {}
        }
    }
    let ahead = |answer: &Answer| if let Answer::Ahead(seconds, _) = answer { *seconds } else { 0 };
    let is_follow = asked.starts_with(b"GET /v1/follow");
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/jsonl\r\nTransfer-Encoding: chunked\r\n\r\n";
    if is_follow {
        let told = script.lock().unwrap_or_else(PoisonError::into_inner).follow.get(node).cloned();
        let Some(told) = told else { return Ok(()) };
        say(socket, head)?;
        while let Ok(Some(lines)) = told.lock().unwrap_or_else(PoisonError::into_inner).recv() {
            say(socket, &chunk(&lines))?;
        }
        return Ok(());
    }
    let answer = script.lock().unwrap_or_else(PoisonError::into_inner).answers.get(node).cloned();
    let date = date(answer.as_ref().map_or(0, ahead));
    match answer {
        Some(Answer::Raw(bytes)) => {
            for part in bytes.chunks(64 << 10) {
                tell(socket, part)?;
            }
        }
        Some(Answer::Trickle(lines)) => {
            say(socket, head)?;
            say(socket, &chunk(&lines))?;
            loop {
                std::thread::sleep(std::time::Duration::from_millis(50));
                say(socket, &chunk(" "))?;
            }
        }
        Some(Answer::Whole(lines) | Answer::Ahead(_, lines)) => {
            say(socket, &head.replace("\r\n\r\n", &format!("\r\n{date}\r\n")))?;
            let lines: Vec<&str> = lines.split_inclusive('\n').collect();
            for part in lines.chunks(7) {
                say(socket, &chunk(&part.concat()))?;
            }
            say(socket, "0\r\n\r\n")?;
        }
        Some(Answer::Half(lines)) => {
            say(socket, head)?;
            say(socket, &chunk(&lines))?;
            return Ok(());
        }
        _ => while socket.read().map_err(Box::new).is_ok() {},
    }
    while !matches!(socket.read().map_err(Box::new)?, Message::Close(_)) {}
    Ok(())
}

/// The header `Date`, as every agent sends it.
fn date(ahead: i64) -> String {
    let now = netflow_agent::sys::clock::now().seconds() + ahead;
    let now = jiff::Timestamp::from_second(now).expect("a time of this age");
    format!("Date: {}\r\n", now.strftime("%a, %d %b %Y %T GMT"))
}

fn chunk(text: &str) -> String {
    let mut chunk = String::new();
    write!(chunk, "{:x}\r\n{text}\r\n", text.len()).expect("a string takes all");
    chunk
}

fn say(socket: &mut WebSocket<TcpStream>, text: &str) -> Told {
    tell(socket, text.as_bytes())
}

fn tell(socket: &mut WebSocket<TcpStream>, text: &[u8]) -> Told {
    let mut bytes = vec![0];
    bytes.extend_from_slice(text);
    socket.send(Message::binary(bytes)).map_err(Box::new)
}
