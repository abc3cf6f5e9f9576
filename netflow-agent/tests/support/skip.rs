//! How a test says that this machine cannot run it: `cargo xtask test` counts and names the skipped.

use std::fs::OpenOptions;
use std::io::Write;

/// Notes that `test` is skipped and why; the test then returns. In CI nothing may be skipped, so it fails.
#[expect(clippy::print_stdout, reason = "the test harness shows it")]
pub(crate) fn skip(test: &str, reason: &str) {
    assert!(std::env::var_os("CI").is_none_or(|value| value != "true"), "CI must run {test}: {reason}");
    println!("skipped {test}: {reason}");
    let Some(path) = std::env::var_os("NETFLOW_SKIPS") else { return };
    let mut file = OpenOptions::new().append(true).open(path).expect("the list of skipped tests");
    writeln!(file, "{test}: {reason}").expect("the list of skipped tests");
}
