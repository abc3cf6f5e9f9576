//! An API server of the lab, as far as an agent asks one: the version, and one streamed list and watch of each kind.
//! In: a folder with a file per kind, one JSON object a line. What is there is told; nothing changes afterwards.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

use crate::Outcome;

/// How often a quiet watch says that it is alive.
const BOOKMARK: Duration = Duration::from_mins(1);

pub(super) fn run(listen: SocketAddr, folder: &Path) -> Outcome {
    let listener = TcpListener::bind(listen)?;
    println!("ready");
    loop {
        let (stream, _) = listener.accept()?;
        let folder = folder.to_owned();
        // A client that goes away ends its own conversation only.
        std::thread::spawn(move || drop(converse(&stream, &folder)));
    }
}

fn converse(stream: &TcpStream, folder: &Path) -> io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    while let Some(request) = lines.next().transpose()? {
        while lines.next().transpose()?.is_some_and(|header| !header.is_empty()) {}
        let target = request.split(' ').nth(1).unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        if path == "/version" {
            whole(stream, &serde_json::json!({ "major": "1", "minor": "36", "gitVersion": "v1.36.0", "gitCommit": "", "gitTreeState": "", "buildDate": "", "goVersion": "", "compiler": "", "platform": "" }))?;
            continue;
        }
        let kind = path.rsplit('/').next().unwrap_or_default();
        return watch(stream, File::open(folder.join(kind)).ok(), query.contains("sendInitialEvents=true"));
    }
    Ok(())
}

fn whole(mut stream: &TcpStream, body: &serde_json::Value) -> io::Result<()> {
    let body = body.to_string();
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// All objects, the end of the list, and then nothing but bookmarks.
fn watch(stream: &TcpStream, objects: Option<File>, lists: bool) -> io::Result<()> {
    let mut out = BufWriter::new(stream);
    write!(out, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")?;
    for object in objects.filter(|_| lists).map(BufReader::new).into_iter().flat_map(BufRead::lines) {
        event(&mut out, "ADDED", &object?)?;
    }
    let bookmark = |annotations: &str| {
        format!(r#"{{"apiVersion":"v1","kind":"Any","metadata":{{"resourceVersion":"9","creationTimestamp":null{annotations}}}}}"#)
    };
    let end = if lists { r#","annotations":{"k8s.io/initial-events-end":"true"}"# } else { "" };
    event(&mut out, "BOOKMARK", &bookmark(end))?;
    loop {
        out.flush()?;
        std::thread::sleep(BOOKMARK);
        event(&mut out, "BOOKMARK", &bookmark(""))?;
    }
}

fn event(out: &mut impl Write, kind: &str, object: &str) -> io::Result<()> {
    let line = format!("{{\"type\":\"{kind}\",\"object\":{object}}}\n");
    write!(out, "{:x}\r\n{line}\r\n", line.len())
}
