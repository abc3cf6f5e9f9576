//! The rules that one Rust file can break on its own: size, its first words, what may be touched where.

use super::File;

const MAX_LINES: usize = 500;

/// What only `sys` and `cli` of the agent may name, and why.
const WORLD: &[(&str, &str)] = &[
    ("tokio::", "tasks and sockets"),
    ("aya::", "the kernel"),
    ("kube::", "the cluster"),
    ("std::fs", "files"),
    ("std::env", "the environment"),
    ("std::process", "processes"),
    ("TcpStream", "sockets"),
    ("TcpListener", "sockets"),
    ("UdpSocket", "sockets"),
    ("SystemTime::now", "the clock"),
    ("Instant::now", "the clock"),
    ("print!(", "a terminal"),
    ("println!(", "a terminal"),
    ("eprintln!(", "a terminal"),
    ("stdout()", "a terminal"),
    ("stderr()", "a terminal"),
];

/// The rooms whose types have a written form.
const WRITTEN: &[&str] = &["recording", "manifest", "render", "review", "api", "sys", "cli"];

/// Where `unsafe` may stand: the kernel side, the marker of its shared structs, the raw `bpf(2)` call.
const UNSAFE: &[&str] = &["netflow-ebpf/", "netflow-common/", "netflow-agent/src/sys/bpf/"];

const BANNED_STEMS: &[&str] =
    &["utils", "util", "helpers", "helper", "common", "types", "manager", "handler", "processor", "misc"];

pub(super) fn breaches(file: &File) -> Vec<String> {
    let mut breaches = shape(file);
    breaches.extend(world(file));
    breaches.extend(words(file));
    breaches
}

fn shape(file: &File) -> Vec<String> {
    let mut breaches = Vec::new();
    let n_lines = file.text.lines().count();
    if n_lines > MAX_LINES {
        breaches.push(file.breach(n_lines, format!("{n_lines} lines, at most {MAX_LINES}")));
    }
    if !file.text.starts_with("//!") {
        breaches.push(file.breach(1, "begins without `//!`: what comes in, what goes out, what it promises"));
    }
    let stem = file.path.rsplit('/').next().unwrap_or_default().trim_end_matches(".rs");
    if BANNED_STEMS.contains(&stem) {
        breaches.push(file.breach(1, format!("`{stem}` names no thing")));
    }
    if let Some((_, below)) = file.path.split_once("/src/")
        && below.matches('/').count() > 3
    {
        breaches.push(file.breach(1, "more than three folders below src"));
    }
    breaches
}

fn world(file: &File) -> Vec<String> {
    let Some(below) = file.path.strip_prefix("netflow-agent/src/") else { return Vec::new() };
    let room = below.split(['/', '.']).next().unwrap_or_default();
    let mut breaches = Vec::new();
    for (number, line) in file.code() {
        if !matches!(room, "sys" | "cli" | "main") {
            for (word, what) in WORLD {
                if names(line, word) {
                    let rule = format!("`{word}` touches {what}: only sys and cli may");
                    breaches.push(file.breach(number, rule));
                }
            }
        }
        if !WRITTEN.contains(&room) && line.contains("derive(") && names(line, "Serialize") {
            breaches.push(file.breach(number, "domain types do not derive `Serialize`"));
        }
    }
    breaches
}

fn words(file: &File) -> Vec<String> {
    let mut breaches = Vec::new();
    let unsafe_is_allowed = UNSAFE.iter().any(|place| file.path.starts_with(place));
    for (index, line) in file.text.lines().enumerate() {
        let number = index + 1;
        let trimmed = line.trim_start();
        if trimmed.starts_with("#[ignore") {
            breaches.push(file.breach(number, "an ignored test guards nothing"));
        }
        if trimmed.starts_with("//") && ["TODO", "FIXME", "XXX"].iter().any(|mark| names(trimmed, mark)) {
            breaches.push(file.breach(number, "a note to do something is not the thing done"));
        }
        if trimmed.starts_with("fn test_") || trimmed.starts_with("fn case_") {
            breaches.push(file.breach(number, "a test's name is its claim"));
        }
    }
    for (number, line) in file.code() {
        if !unsafe_is_allowed && (names(line, "unsafe {") || names(line, "unsafe impl")) {
            breaches.push(file.breach(number, "unsafe has its places: the kernel side and sys/bpf"));
        }
    }
    breaches
}

/// Whether the line has the word, not as the tail of a longer one and not inside a string literal.
fn names(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = &line[..at];
        let is_whole = !before.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        is_whole && before.matches('"').count().is_multiple_of(2)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, text: &str, expected: &[&str]) {
        let file = File { path: path.into(), text: text.into() };
        assert_eq!(breaches(&file), expected, "{path}");
    }

    #[test]
    fn the_world_is_for_sys_and_cli_only() {
        let text = "//! Doc.\nuse std::fs;\n";
        check(
            "netflow-agent/src/edge/mod.rs",
            text,
            &["netflow-agent/src/edge/mod.rs:2: `std::fs` touches files: only sys and cli may"],
        );
        check("netflow-agent/src/sys/store/mod.rs", text, &[]);
        check("netflow-agent/src/cli/run.rs", text, &[]);
    }

    #[test]
    fn comments_strings_and_unit_tests_may_name_the_world() {
        let text = "//! Not `std::fs`.\n// std::fs\nconst A: &str = \"std::fs\";\n#[cfg(test)]\nuse std::fs;\n";
        check("netflow-agent/src/edge/mod.rs", text, &[]);
    }

    #[test]
    fn a_domain_type_has_no_written_form() {
        let text = "//! Doc.\n#[derive(Debug, Serialize)]\nstruct Edge;\n";
        check(
            "netflow-agent/src/edge/mod.rs",
            text,
            &["netflow-agent/src/edge/mod.rs:2: domain types do not derive `Serialize`"],
        );
        check("netflow-agent/src/render/json.rs", text, &[]);
    }

    #[test]
    fn unsafe_has_its_places() {
        let text = "//! Doc.\nfn f() { unsafe { g() } }\n";
        check(
            "netflow-agent/src/sys/clock.rs",
            text,
            &["netflow-agent/src/sys/clock.rs:2: unsafe has its places: the kernel side and sys/bpf"],
        );
        check("netflow-agent/src/sys/bpf/batch.rs", text, &[]);
    }

    #[test]
    fn size_depth_doc_and_names_are_held() {
        let long = format!("//! Doc.\n{}", "\n".repeat(MAX_LINES));
        check("xtask/src/long.rs", &long, &["xtask/src/long.rs:501: 501 lines, at most 500"]);
        check("xtask/src/utils.rs", "//! Doc.\n", &["xtask/src/utils.rs:1: `utils` names no thing"]);
        check(
            "xtask/src/a.rs",
            "fn a() {}\n",
            &["xtask/src/a.rs:1: begins without `//!`: what comes in, what goes out, what it promises"],
        );
        check("a/src/b/c/d/e.rs", "//! Doc.\n", &[]);
        check("a/src/b/c/d/e/f.rs", "//! Doc.\n", &["a/src/b/c/d/e/f.rs:1: more than three folders below src"]);
    }

    #[test]
    fn a_test_is_a_claim_and_runs() {
        let text = "//! Doc.\n#[ignore]\nfn test_one() {}\n// TODO later\n";
        check(
            "netflow-agent/tests/laws.rs",
            text,
            &[
                "netflow-agent/tests/laws.rs:2: an ignored test guards nothing",
                "netflow-agent/tests/laws.rs:3: a test's name is its claim",
                "netflow-agent/tests/laws.rs:4: a note to do something is not the thing done",
            ],
        );
    }
}
