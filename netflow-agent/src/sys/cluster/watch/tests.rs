//! The watch against a scripted API server: each request is answered by the next line of a script.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use futures::StreamExt;
use http::{Request, Response};
use kube::Client;
use kube::client::Body;

use super::{Change, Event, Kind, follow};
use crate::time::Time;

const VERSION_NEW: &str = r#"{"major":"1","minor":"36","gitVersion":"v1.36.3","gitCommit":"","gitTreeState":"","buildDate":"","goVersion":"","compiler":"","platform":""}"#;
pub(crate) const VERSION_OLD: &str = r#"{"major":"1","minor":"29+","gitVersion":"v1.29.0","gitCommit":"","gitTreeState":"","buildDate":"","goVersion":"","compiler":"","platform":""}"#;

/// Answers in order: a status and a body. A watch's body is its events, one a line.
pub(crate) struct Script {
    answers: Mutex<VecDeque<(u16, String)>>,
    asked: Mutex<Vec<String>>,
}

pub(crate) fn server(answers: &[(u16, &str)]) -> (Client, Arc<Script>) {
    let script = Arc::new(Script {
        answers: Mutex::new(answers.iter().map(|(status, body)| (*status, (*body).to_owned())).collect()),
        asked: Mutex::default(),
    });
    let shared = Arc::clone(&script);
    let service = tower::service_fn(move |request: Request<Body>| {
        let script = Arc::clone(&shared);
        async move {
            script.asked.lock().expect("no test panics while it asks").push(request.uri().to_string());
            let answer = script.answers.lock().expect("no test panics while it asks").pop_front();
            let Some((status, body)) = answer else {
                return Err(std::io::Error::other("the script is at its end"));
            };
            let body = Body::from(body.into_bytes());
            Ok(Response::builder().status(status).body(body).expect("a status and a body make a response"))
        }
    });
    (Client::new(service, "default"), script)
}

fn pod(name: &str, version: u32) -> String {
    format!(
        r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"{name}","namespace":"shop","resourceVersion":"{version}","managedFields":[{{"manager":"kubelet"}}]}}}}"#
    )
}

pub(crate) fn list(items: &[String], version: u32, next: &str) -> String {
    format!(
        r#"{{"apiVersion":"v1","kind":"PodList","metadata":{{"resourceVersion":"{version}","continue":"{next}"}},"items":[{}]}}"#,
        items.join(",")
    )
}

pub(crate) fn watch(events: &[(&str, String)]) -> String {
    let lines: Vec<String> = events
        .iter()
        .map(|(kind, object)| format!("{{\"type\":\"{kind}\",\"object\":{object}}}\n"))
        .collect();
    lines.concat()
}

fn bookmark(version: u32, ends_the_list: bool) -> (&'static str, String) {
    let annotations =
        if ends_the_list { r#","annotations":{"k8s.io/initial-events-end":"true"}"# } else { "" };
    let object = format!(
        r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"","resourceVersion":"{version}"{annotations}}}}}"#
    );
    ("BOOKMARK", object)
}

pub(crate) fn gone() -> String {
    r#"{"apiVersion":"v1","kind":"Status","status":"Failure","message":"too old resource version","reason":"Expired","code":410}"#.to_owned()
}

/// The change in a word, for tables of claims.
fn word(change: &Change) -> String {
    let name = |object: &serde_json::Value| object["metadata"]["name"].as_str().unwrap_or("?").to_owned();
    match &change.event {
        Event::ListBegun => "begun".to_owned(),
        Event::ListEnded => "ended".to_owned(),
        Event::Apply(object) => format!("apply {}", name(object)),
        Event::Delete(object) => format!("delete {}", name(object)),
        Event::Failed(_) => "failed".to_owned(),
    }
}

async fn seen(client: Client, count: usize) -> Vec<String> {
    follow(client, "node-a", Kind::Pod, || Time::from_seconds(7))
        .take(count)
        .map(|change| word(&change))
        .collect()
        .await
}

#[tokio::test]
async fn a_new_server_streams_its_list_of_this_node_only() {
    let events =
        [("ADDED", pod("a", 3)), bookmark(5, true), ("ADDED", pod("b", 6)), ("DELETED", pod("a", 7))];
    let (client, script) = server(&[(200, VERSION_NEW), (200, &watch(&events))]);
    assert_eq!(seen(client, 5).await, ["begun", "apply a", "ended", "apply b", "delete a"]);
    let asked = script.asked.lock().expect("the stream is done").clone();
    assert!(asked[1].starts_with("/api/v1/pods?"), "{asked:?}");
    for part in ["sendInitialEvents=true", "fieldSelector=spec.nodeName%3Dnode-a", "allowWatchBookmarks=true"]
    {
        assert!(asked[1].contains(part), "{part} in {asked:?}");
    }
}

#[tokio::test]
async fn an_old_server_is_listed_in_pages() {
    let pages = [list(&[pod("a", 1)], 9, "more"), list(&[pod("b", 2)], 9, "")];
    let (client, script) = server(&[
        (200, VERSION_OLD),
        (200, &pages[0]),
        (200, &pages[1]),
        (200, &watch(&[("MODIFIED", pod("a", 12))])),
    ]);
    assert_eq!(seen(client, 5).await, ["begun", "apply a", "apply b", "ended", "apply a"]);
    let asked = script.asked.lock().expect("the stream is done").clone();
    assert!(asked[1].contains("limit=100") && asked[2].contains("continue=more"), "{asked:?}");
    assert!(asked[3].contains("resourceVersion=9"), "{asked:?}");
}

#[tokio::test]
async fn a_server_that_refuses_streamed_lists_is_listed_in_pages() {
    let refused = r#"{"apiVersion":"v1","kind":"Status","status":"Failure","message":"sendInitialEvents is forbidden","reason":"Invalid","code":422}"#;
    let (client, _) = server(&[(200, VERSION_NEW), (422, refused), (200, &list(&[pod("a", 1)], 9, ""))]);
    assert_eq!(seen(client, 3).await, ["begun", "apply a", "ended"]);
}

#[tokio::test]
async fn a_version_that_is_too_old_lists_anew() {
    let (client, _) = server(&[
        (200, VERSION_OLD),
        (200, &list(&[pod("a", 1), pod("b", 2)], 9, "")),
        (200, &watch(&[("ERROR", gone())])),
        (200, &list(&[pod("b", 2)], 40, "")),
    ]);
    let words = seen(client, 8).await;
    assert_eq!(words, ["begun", "apply a", "apply b", "ended", "failed", "begun", "apply b", "ended"]);
}

#[tokio::test]
async fn a_bookmark_moves_the_place_to_go_on_from() {
    let (client, script) = server(&[
        (200, VERSION_OLD),
        (200, &list(&[pod("a", 1)], 9, "")),
        (200, &watch(&[bookmark(77, false)])),
        (200, &watch(&[("DELETED", pod("a", 80))])),
    ]);
    assert_eq!(seen(client, 4).await, ["begun", "apply a", "ended", "delete a"]);
    let asked = script.asked.lock().expect("the stream is done").clone();
    assert!(asked[3].contains("resourceVersion=77"), "{asked:?}");
}

#[tokio::test]
async fn an_object_carries_its_type_and_no_managed_fields() {
    let untyped =
        r#"{"metadata":{"name":"a","managedFields":[{"manager":"kubelet"}]},"spec":{"nodeName":"node-a"}}"#;
    let (client, _) = server(&[(200, VERSION_OLD), (200, &list(&[untyped.to_owned()], 9, ""))]);
    let mut changes = follow(client, "node-a", Kind::Pod, || Time::from_seconds(7)).boxed();
    assert_eq!(changes.next().await.map(|change| word(&change)).as_deref(), Some("begun"));
    let Some(Change { event: Event::Apply(object), .. }) = changes.next().await else { panic!("no object") };
    assert_eq!(object["kind"], "Pod");
    assert_eq!(object["apiVersion"], "v1");
    assert_eq!(object["spec"]["nodeName"], "node-a");
    assert_eq!(object["metadata"].get("managedFields"), None);
}

#[tokio::test]
async fn a_server_that_is_away_is_a_change_and_is_asked_again() {
    let (client, _) = server(&[]);
    let mut changes = follow(client, "node-a", Kind::Pod, || Time::from_seconds(7)).boxed();
    let change = changes.next().await.expect("the stream never ends");
    assert_eq!((word(&change).as_str(), change.at), ("failed", Time::from_seconds(7)));
}

/// A connection that nobody closed and nobody answers: a cable cut, a node gone. Noticed once a client has waited for
/// longer than any watch lasts, in a list and in a watch alike.
#[tokio::test]
async fn a_connection_that_fell_silent_is_given_up_and_made_anew() {
    use std::io::{Read, Write};
    use std::time::Duration;

    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    let response = |body: &str| {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close";
        format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    };
    let begun = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    let pods = response(&list(&[pod("a", 1)], 9, ""));
    // Asked for the list it says nothing, and neither does its first watch.
    let script = [response(VERSION_OLD), String::new(), pods.clone(), begun.to_owned(), pods];
    std::thread::spawn(move || {
        let mut open = Vec::new();
        for answer in script {
            let (mut stream, _) = listener.accept().expect("a client");
            let mut head = [0; 4_096];
            assert!(stream.read(&mut head).is_ok_and(|length| length > 0));
            stream.write_all(answer.as_bytes()).expect("taken");
            open.push(stream);
        }
        std::thread::sleep(Duration::from_mins(1));
        drop(open);
    });
    let uri = format!("http://{address}").parse().expect("a URI");
    let client = crate::sys::cluster::client::silent_for(kube::Config::new(uri), Duration::from_millis(300))
        .expect("a client");
    let words = tokio::time::timeout(Duration::from_secs(30), seen(client, 6)).await.expect("it is noticed");
    assert_eq!(words, ["begun", "failed", "begun", "apply a", "ended", "failed"]);
}
