//! Each finding of the audit has a case that raises it and a near miss that does not: the pairs are in the tests
//! beside the findings (`check`, `check_with`), and here none may be missing.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use netflow_agent::audit::IDS;

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("the audit's sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() { sources(&path, found) } else { found.push(path) }
    }
}

#[test]
fn each_finding_has_a_case_and_a_near_miss() {
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/audit"), &mut files);
    let mut paired = BTreeSet::new();
    for file in files {
        let text = std::fs::read_to_string(&file).expect("a source");
        for call in ["check(", "check_with("] {
            for (at, _) in text.match_indices(call) {
                let first = text[at + call.len()..].trim_start();
                paired.extend(
                    first.strip_prefix('"').and_then(|rest| rest.split('"').next()).map(str::to_owned),
                );
            }
        }
    }
    let paired: Vec<&str> = paired.iter().map(String::as_str).collect();
    assert_eq!(paired, IDS, "ids without a pair, or pairs of an id that is not listed");
}
