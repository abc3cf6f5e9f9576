//! From the lines of a recording to policies, as the verb does it, with room for a deliberate fault.

use netflow_agent::edge::{Edge, EdgeKey, Joined, join};
use netflow_agent::identity::{Endpoint, Inventory};
use netflow_agent::policy::{Options, Recommendation, generate};
use netflow_agent::recording::{self, Recording};
use netflow_agent::render::kubernetes::{self, Detail};
use netflow_agent::time::Window;

/// What came out.
pub(crate) struct Outcome {
    pub answer: Recommendation,
    pub plain: String,
    pub full: String,
    pub recording: Recording,
    pub edges: Vec<Edge>,
}

pub(crate) fn read(lines: &[String]) -> Recording {
    let text = lines.join("\n");
    let mut bytes = text.as_bytes();
    let (recording, notes) =
        recording::read([("case", &mut bytes as &mut dyn std::io::BufRead)]).expect("a recording");
    assert_eq!(notes.warnings().next(), None);
    recording
}

pub(crate) fn rendered(answer: &Recommendation, detail: Detail) -> String {
    let mut bytes = Vec::new();
    kubernetes::yaml(&answer.policies, detail, &mut bytes).expect("a buffer takes all");
    String::from_utf8(bytes).expect("UTF-8")
}

/// `edges` may spoil what was joined, `policies` what was generated.
pub(crate) fn run(
    lines: &[String],
    options: &Options,
    edges: &dyn Fn(&mut Joined, &Inventory<'_>),
    policies: &dyn Fn(&mut Recommendation, &Inventory<'_>),
) -> Outcome {
    let recording = read(lines);
    let inventory = Inventory::of(&recording.objects, Window::ALL);
    let mut joined = join(&recording, &inventory, Window::ALL);
    edges(&mut joined, &inventory);
    let mut answer = generate(&joined.edges, &inventory, options);
    policies(&mut answer, &inventory);
    let (plain, full) = (rendered(&answer, Detail::None), rendered(&answer, Detail::Full));
    let edges = joined.edges;
    Outcome { answer, plain, full, recording, edges }
}

/// The ends of a key, to be spoiled.
pub(crate) fn ends(key: &mut EdgeKey) -> [&mut Endpoint; 2] {
    [&mut key.source, &mut key.destination]
}
