//! Eleven clusters whose expectations were written from their manifests: for every pair of ends and every port
//! that is named anywhere, the naive evaluator's verdict on what is generated is what `expected.txt` says, both
//! allowed and denied, and the gaps are those that it names. A folder holds `manifests.yaml` and `flows.txt`
//! (see `support/staged.rs`), or names a recording that was made elsewhere. Nothing here is ever blessed.

#[path = "../support/naive.rs"]
mod naive;
#[path = "../support/staged.rs"]
mod staged;

mod flags;
mod judged;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use judged::{Expected, Told};
use netflow_agent::assess;
use netflow_agent::edge::join;
use netflow_agent::identity::{Inventory, WorkloadName};
use netflow_agent::policy::{Options, caller_gaps, generate, observed_gaps};
use netflow_agent::recording::{self, CoverageSummary};
use netflow_agent::render::kubernetes::{self, Detail};
use netflow_agent::render::proof;
use netflow_agent::time::Window;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios").join(name)
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The lines of a scenario's recording.
fn lines(name: &str) -> Vec<String> {
    let folder = folder(name);
    if let Ok(path) = fs::read_to_string(folder.join("recording")) {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        return text(&root.join(path.trim())).lines().map(str::to_owned).collect();
    }
    let base = text(&folder.join("../base.yaml"));
    let manifests = text(&folder.join("manifests.yaml"));
    staged::Stage::of(&[&base, &manifests]).play(&text(&folder.join("flows.txt")))
}

/// What the verb would print for it, and the gaps it would name.
fn told(lines: Vec<String>, options: &Options) -> Told {
    let bytes = lines.join("\n");
    let mut input = bytes.as_bytes();
    let (recording, notes) =
        recording::read([("scenario", &mut input as &mut dyn std::io::BufRead)]).expect("a recording");
    assert_eq!(notes.warnings().next(), None);
    let inventory = Inventory::of(&recording.objects, Window::ALL);
    let joined = join(&recording, &inventory, Window::ALL);
    let mut answer = generate(&joined.edges, &inventory, options);
    let coverage = CoverageSummary::of(&recording, Window::ALL);
    answer.add_gaps(observed_gaps(&joined, &coverage, &inventory, options), options);
    answer.add_gaps(caller_gaps(&joined.edges, &inventory, options), options);
    let histories = assess::histories(&joined.edges, &inventory, &coverage, |name: &WorkloadName| {
        options.is_subject(&name.namespace)
    });
    answer.add_gaps(assess::job_gaps(&histories), options);
    let mut yaml = Vec::new();
    kubernetes::yaml(&answer.policies, Detail::Full, &mut yaml).expect("a buffer takes all");
    let read = proof::parse("stream", &yaml).expect("policies that an API server takes");
    let objects = recording.objects.iter().map(|observed| &*observed.object);
    let cluster = proof::prove(read, objects, &joined.edges, &answer).expect("every edge is allowed");
    answer.add_gaps(proof::still_allowed(&cluster, &joined.edges, &answer), options);
    let gaps = answer.gaps.iter().map(|gap| format!("{} {}", gap.kind.as_str(), gap.about)).collect();
    Told { lines, yaml: String::from_utf8(yaml).expect("UTF-8"), gaps }
}

/// The agent's own namespace is a peer only, as the verb has it.
fn options() -> Options {
    let mut options = Options::default();
    options.peers_only.insert("netflow".into());
    options
}

fn check(name: &str) {
    let expected = Expected::read(&text(&folder(name).join("expected.txt")));
    let told = told(lines(name), &options());
    let (judged, wrong) = judged::wrong(&told, &expected);
    assert!(judged > 1_000, "{name}: only {judged} verdicts");
    assert!(wrong.is_empty(), "{name}:\n{}\n\n{}", wrong.join("\n"), told.yaml);
    let named: BTreeSet<&str> = told.gaps.iter().map(String::as_str).collect();
    let wanted: BTreeSet<&str> = expected.gaps.iter().map(String::as_str).collect();
    let missing: Vec<&&str> = wanted.difference(&named).collect();
    let surplus: Vec<&&str> = named.difference(&wanted).collect();
    assert!(
        missing.is_empty() && surplus.is_empty(),
        "{name}: gaps missing {missing:#?}, not expected {surplus:#?}"
    );
}

#[test]
fn an_expectation_that_is_wrong_by_one_edge_is_noticed() {
    let expected = Expected::read(&text(&folder("equal_names").join("expected.txt")));
    let told = told(lines("equal_names"), &options());
    for edge in expected.edges.clone() {
        let mut less = Expected { edges: expected.edges.clone(), ..Expected::default() };
        less.edges.remove(&edge);
        assert!(!judged::wrong(&told, &less).1.is_empty(), "{edge:?} is not missed");
    }
    let mut more = expected;
    more.edges.insert(("shop/api".to_owned(), "shop-test/api".to_owned(), 8_080, "TCP".to_owned()));
    assert!(!judged::wrong(&told, &more).1.is_empty());
}

macro_rules! scenarios {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                check(stringify!($name));
            }
        )*

        #[test]
        fn every_folder_is_a_scenario() {
            let mut folders: Vec<String> = fs::read_dir(folder(""))
                .expect("a folder")
                .map(|entry| entry.expect("an entry").path())
                .filter(|path| path.is_dir())
                .map(|path| path.file_name().expect("a name").to_string_lossy().into_owned())
                .collect();
            folders.sort();
            assert_eq!(folders, [$(stringify!($name)),*]);
        }
    };
}

scenarios! {
    cronjob
    demo
    dual_stack
    equal_names
    ingress_controller
    metrics_scraper
    microservices
    node_port
    saas_ranges
    service_mesh
    statefulset
}
