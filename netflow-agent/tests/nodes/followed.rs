//! `observe --follow` over all nodes: one edge for both ends' words, nodes that go and come back, and the end.

use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStderr, ChildStdout, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::server::{Script, Server};
use super::shop::{Shop, program};

struct Following {
    child: Child,
    out: Lines<BufReader<ChildStdout>>,
    err: Lines<BufReader<ChildStderr>>,
}

impl Following {
    fn start(server: &Server) -> Self {
        let mut child = program()
            .args(["observe", "--follow", "-o", "json", "--kubeconfig"])
            .arg(server.kubeconfig())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program runs");
        let out = BufReader::new(child.stdout.take().expect("piped")).lines();
        let err = BufReader::new(child.stderr.take().expect("piped")).lines();
        Self { child, out, err }
    }

    /// Reads words until a line holds these.
    fn says(&mut self, words: &str) -> String {
        let mut said = Vec::new();
        for line in self.err.by_ref() {
            let line = line.expect("text");
            if line.contains(words) {
                return line;
            }
            said.push(line);
        }
        panic!("it ended without saying `{words}`: {said:?}");
    }

    fn edge(&mut self) -> serde_json::Value {
        let line = self.out.next().expect("an edge").expect("text");
        serde_json::from_str(&line).expect("a line of JSON")
    }

    fn end(mut self, signal: Signal) -> Option<i32> {
        kill_process(Pid::from_child(&self.child), signal).expect("it runs");
        self.child.wait().expect("it ends").code()
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The objects of the shop, and flows of one connection from frontend to backend by one of its ends.
fn flow(shop: &Shop, node: &str, connections: u64) -> String {
    let (side, local, remote) = match node {
        "node-a" => ("client", FRONTEND, BACKEND),
        _ => ("server", BACKEND, FRONTEND),
    };
    let hour = &shop.since;
    format!(
        "{{\"kind\":\"flow\",\"node\":\"{node}\",\"hour\":\"{hour}\",\"seq\":9,\"side\":\"{side}\",\"local\":\"{local}\",\
         \"remote\":\"{remote}\",\"port\":8080,\"protocol\":\"TCP\",\"outcome\":\"established\",\"basis\":\"observed\",\
         \"connections\":{connections},\"bytes_sent\":0,\"bytes_received\":0,\"first\":\"{hour}\",\"last\":\"{hour}\"}}\n"
    )
}

const FRONTEND: &str = "203.0.113.7";
const BACKEND: &str = "203.0.113.8";

fn pods(shop: &Shop) -> String {
    let pod = |name: &str, ip: &str| {
        format!(
            "{{\"kind\":\"object\",\"from\":\"{}\",\"object\":{{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{{\"namespace\":\"n\",\
             \"name\":\"{name}\",\"uid\":\"u-{name}\"}},\"status\":{{\"podIP\":\"{ip}\"}}}}}}\n",
            shop.since
        )
    };
    pod("web", FRONTEND) + &pod("api", BACKEND)
}

fn server(shop: &Shop) -> Server {
    let mut script: Script = shop.script();
    script.objects.clear();
    Server::start(script)
}

#[test]
fn all_nodes_are_followed_and_one_that_goes_is_said_and_heard_again() {
    let shop = Shop::now();
    let server = server(&shop);
    let (a, b) = (server.follow("node-a"), server.follow("node-b"));
    let mut following = Following::start(&server);
    following.says("following: node node-");
    following.says("following: node node-");
    a.send(Some(pods(&shop) + &flow(&shop, "node-a", 3))).expect("heard");
    let edge = following.edge();
    assert_eq!(
        (&edge["source"]["name"], &edge["destination"]["name"]),
        (&"web".into(), &"api".into()),
        "{edge}"
    );
    assert_eq!((&edge["connections"], &edge["witness"]), (&3.into(), &"client".into()), "{edge}");
    // The other end tells of the same three and one more: one is new.
    b.send(Some(flow(&shop, "node-b", 4))).expect("heard");
    let edge = following.edge();
    assert_eq!((&edge["connections"], &edge["witness"]), (&1.into(), &"both".into()), "{edge}");

    b.send(None).expect("heard");
    let away = following.says("away: node node-b");
    assert!(!away.is_empty());
    a.send(Some(flow(&shop, "node-a", 6))).expect("heard");
    assert_eq!(following.edge()["connections"], 2, "the others are heard meanwhile");
    following.says("following: node node-b, back again");
    b.send(Some(flow(&shop, "node-b", 10))).expect("heard");
    assert_eq!(following.edge()["connections"], 4);
    assert_eq!(following.end(Signal::INT), Some(0), "ended by Ctrl-C, it is done");
}

#[test]
fn a_line_that_is_none_is_said_and_the_others_go_on() {
    let shop = Shop::now();
    let server = server(&shop);
    let (a, b) = (server.follow("node-a"), server.follow("node-b"));
    let mut following = Following::start(&server);
    b.send(Some("{\"kind\":\n".to_owned())).expect("heard");
    assert!(following.says("not read").contains("node node-b"));
    a.send(Some(pods(&shop) + &flow(&shop, "node-a", 1))).expect("heard");
    assert_eq!(following.edge()["connections"], 1);
    assert_eq!(following.end(Signal::TERM), Some(0));
}

#[test]
fn a_node_that_came_later_is_found() {
    let shop = Shop::now();
    let server = server(&shop);
    let _a = server.follow("node-a");
    // Node b's agent is listed, and has nobody to answer yet: it is asked again.
    let mut following = Following::start(&server);
    following.says("away: node node-b");
    let b = server.follow("node-b");
    following.says("following: node node-b");
    b.send(Some(pods(&shop) + &flow(&shop, "node-b", 2))).expect("heard");
    assert_eq!(following.edge()["connections"], 2);
    assert_eq!(following.end(Signal::INT), Some(0));
}

#[test]
fn who_may_not_forward_ports_follows_nobody() {
    let shop = Shop::now();
    let server = server(&shop);
    server.script.lock().expect("a lock").forbidden.push("portforward".to_owned());
    let mut following = Following::start(&server);
    following.says("no agent answered");
    following.says("pods/portforward");
    assert_eq!(following.child.wait().expect("it ends").code(), Some(1));
}
