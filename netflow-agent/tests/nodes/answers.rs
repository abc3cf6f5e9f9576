//! Which nodes answered, what is missing, and that a recording of the cluster answers as the cluster does.

use super::server::{Answer, Script, Server};
use super::shop::{Shop, program, words};

/// A policy that allows everything to everyone in the shop.
const POLICY: &str = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: all, namespace: shop}\nspec: {podSelector: {}, ingress: [{}], egress: [{}], policyTypes: [Ingress, Egress]}\n";
const QUERIES: &str = "{\"from\":\"192.0.2.1\",\"to\":\"192.0.2.2\",\"port\":80,\"protocol\":\"TCP\"}\n";

/// Verbs that look at flows, and verbs that judge the objects of the cluster. `POLICY` and the like are files.
const READ: &[&[&str]] = &[
    &["observe", "-o", "json"],
    &["observe", "--attempts"],
    &["graph", "-o", "json"],
    &["export"],
    &["generate-policies"],
    &["replay", "-f", "POLICY", "-o", "json"],
    &["backtest"],
];
/// They judge the cluster's objects and ask no agent.
const JUDGE: &[&[&str]] = &[
    &["evaluate", "--queries", "QUERIES"],
    &["connectivity", "-o", "json"],
    &["explain", "--from", "192.0.2.1", "--to", "192.0.2.2", "--port", "80"],
];

fn files(server: &Server, verb: &[&str]) -> Vec<String> {
    let word = |word: &&str| match *word {
        "POLICY" => server.file("policy.yaml", POLICY).display().to_string(),
        "QUERIES" => server.file("queries.jsonl", QUERIES).display().to_string(),
        word => word.to_owned(),
    };
    verb.iter().map(word).collect()
}

fn ends(shop: &Shop, server: &Server, verb: &[&str], more: &[&str]) -> (Option<i32>, String) {
    let verb = files(server, verb);
    let verb: Vec<&str> = verb.iter().map(String::as_str).chain(more.iter().copied()).collect();
    let output = shop.ask(server, &verb);
    (output.status.code(), words(&output.stderr))
}

/// What is wrong with the cluster, the words that name it, and whether it is flows alone that are missing.
type Case = (&'static str, fn(&Shop, &mut Script), &'static str, bool);

fn without(shop: &Shop, node: &str, line: impl Fn(&str) -> bool) -> Answer {
    let lines = shop.nodes[node].split_inclusive('\n').filter(|one| !line(one));
    Answer::Whole(lines.collect())
}

const CASES: &[Case] = &[
    (
        "a node says nothing",
        |_, script| drop(script.answers.insert("node-b".to_owned(), Answer::Silent)),
        "missing: node node-b: pod agent-node-b said nothing for 1 s",
        false,
    ),
    (
        "an answer breaks off",
        |shop, script| {
            drop(script.answers.insert("node-b".to_owned(), Answer::Half(shop.nodes["node-b"].clone())));
        },
        "missing: node node-b: read the answer of pod agent-node-b",
        false,
    ),
    (
        "a node has no agent",
        |_, script| drop(script.answers.insert("node-b".to_owned(), Answer::None)),
        "missing: node node-b: no agent runs there",
        false,
    ),
    (
        "a node of the window is gone",
        |_, script| {
            script.answers.remove("node-b");
            script.objects.clear();
        },
        "missing: node node-b: it has no record of the window; gone, or newly without an agent",
        false,
    ),
    (
        "an hour was not observed",
        |shop, script| {
            let second = |line: &str| line.contains("\"coverage\"") && !line.contains(&shop.since);
            script.answers.insert("node-b".to_owned(), without(shop, "node-b", second));
        },
        "not observed: node node-b, 1 hour",
        true,
    ),
    (
        "flows were lost",
        |shop, script| {
            let lines = shop.nodes["node-b"]
                .replace("\"map_full\":0", "\"map_full\":7")
                .replace("\"lost\":{}", "\"lost\":{\"map_full\":7}");
            script.answers.insert("node-b".to_owned(), Answer::Whole(lines));
        },
        "lost: ",
        true,
    ),
];

#[test]
fn what_is_missing_is_named_by_each_verb_and_ends_with_four_where_all_is_required() {
    let shop = Shop::now();
    let server = Server::start(shop.script());
    for verb in READ.iter().chain(JUDGE) {
        let (exit, said) = ends(&shop, &server, verb, &["--require-complete"]);
        assert_eq!(exit, Some(0), "complete: {verb:?}: {said}");
    }
    for (claim, fault, named, flows_only) in CASES {
        let mut script = shop.script();
        fault(&shop, &mut script);
        let server = Server::start(script);
        for verb in JUDGE {
            let (exit, said) = ends(&shop, &server, verb, &["--require-complete"]);
            assert_eq!(exit, Some(0), "{claim}: {verb:?}: {said}");
        }
        let audit: &[&[&str]] = if *flows_only { &[] } else { &[&["audit"]] };
        for verb in READ.iter().chain(audit) {
            let (exit, said) = ends(&shop, &server, verb, &["--node-timeout", "1s"]);
            assert_eq!(exit, Some(0), "{claim}: {verb:?}: {said}");
            assert!(said.contains(named.trim_start_matches("missing: ")), "{claim}: {verb:?}: {said}");
            let (exit, said) = ends(&shop, &server, verb, &["--node-timeout", "1s", "--require-complete"]);
            assert_eq!(exit, Some(4), "{claim}: {verb:?}: {said}");
        }
    }
}

#[test]
fn a_recording_of_the_cluster_answers_as_the_cluster_does() {
    let shop = Shop::now();
    // How much comes of an answer that breaks off is never twice the same.
    let faults = CASES.iter().filter(|case| case.0 != "an answer breaks off");
    let complete: (&str, fn(&Shop, &mut Script)) = ("complete", |_, _| ());
    for (claim, fault) in faults.map(|(claim, fault, ..)| (*claim, *fault)).chain([complete]) {
        let mut script = shop.script();
        fault(&shop, &mut script);
        let server = Server::start(script);
        let output = shop.ask(&server, &["export", "--node-timeout", "1s"]);
        let recording = server.file("cluster.jsonl", &words(&output.stdout));
        assert!(output.status.success(), "{claim}: {}", words(&output.stderr));
        for verb in READ {
            let verb = files(&server, verb);
            let verb: Vec<&str> = verb.iter().map(String::as_str).collect();
            let live =
                shop.ask(&server, &[&verb[..], &["--node-timeout", "1s", "--require-complete"]].concat());
            let mut again = program();
            again.args(&verb).args([
                "--since",
                &shop.since,
                "--until",
                &shop.until,
                "--require-complete",
                "--input",
            ]);
            let again = again.arg(&recording).output().expect("the program runs");
            assert_eq!(words(&again.stdout), words(&live.stdout), "{claim}: {verb:?}");
            assert_eq!(
                again.status.code(),
                live.status.code(),
                "{claim}: {verb:?}: {}",
                words(&again.stderr)
            );
            let of_data = |said: &[u8]| -> Vec<String> {
                let who = ["answered: ", "missing: ", "not read: "];
                let lines = words(said).lines().map(str::to_owned).collect::<Vec<_>>();
                lines.into_iter().filter(|line| !who.iter().any(|one| line.starts_with(one))).collect()
            };
            assert_eq!(of_data(&again.stderr), of_data(&live.stderr), "{claim}: {verb:?}");
        }
    }
}

#[test]
fn no_more_nodes_are_asked_at_once_than_was_said() {
    let shop = Shop::now();
    let mut script = shop.script();
    script.objects.clear();
    for number in 0..40 {
        let lines = shop.nodes["node-a"].replace("node-a", &format!("extra-{number}"));
        script.answers.insert(format!("extra-{number}"), Answer::Whole(lines));
    }
    let server = Server::start(script);
    let output = shop.ask(&server, &["observe", "--parallel", "3"]);
    let said = words(&output.stderr);
    assert!(output.status.success() && said.contains("42 nodes"), "{said}");
    assert!(!said.contains('\r'), "progress is for terminals: {said:?}");
    // One that is done may not have hung up yet when the next begins.
    let most = server.script.lock().expect("a lock").most;
    assert!((2..=6).contains(&most), "{most}");
}

/// All that is written to a terminal, until nobody holds it.
fn on_a_terminal(command: &mut std::process::Command) -> String {
    use std::io::Read as _;

    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
    grantpt(&ours).and_then(|()| unlockpt(&ours)).expect("a terminal of our own");
    let name = ptsname(&ours, Vec::new()).expect("it has a name").into_string().expect("text");
    let theirs = std::fs::File::options().write(true).open(name).expect("the terminal");
    let mut child = command.stdout(std::process::Stdio::null()).stderr(theirs).spawn().expect("it runs");
    // Ours is the last copy of its end once the child is gone.
    command.stderr(std::process::Stdio::null());
    let mut text = Vec::new();
    // The end of a terminal is an error.
    drop(std::fs::File::from(ours).read_to_end(&mut text));
    assert!(child.wait().expect("it ends").success());
    words(&text)
}

#[test]
fn progress_is_shown_on_a_terminal_and_wiped_before_the_words() {
    let shop = Shop::now();
    let server = Server::start(shop.script());
    let mut command = program();
    command.args(["observe", "--since", &shop.since, "--until", &shop.until, "--kubeconfig"]);
    let said = on_a_terminal(command.arg(server.kubeconfig()));
    assert!(said.starts_with("\r1 of 2 nodes\r2 of 2 nodes\r\x1b[Kwindow "), "{said:?}");
    let piped = words(&shop.ask(&server, &["observe"]).stderr);
    assert!(piped.starts_with("window ") && !piped.contains("of 2 nodes\r"), "{piped:?}");
}
