//! The rooms of the agent stand in the order of the data: each imports only rooms above it in `lib.rs`,
//! nobody imports `cli`, and nothing pure imports `sys`.

use super::File;

const SOURCE: &str = "netflow-agent/src/";

pub(super) fn breaches(files: &[File]) -> Vec<String> {
    let Some(lib) = files.iter().find(|file| file.path == format!("{SOURCE}lib.rs")) else {
        return vec![format!("{SOURCE}lib.rs:1: not found: the order of the rooms is written there")];
    };
    let order: Vec<&str> = lib
        .text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("pub mod ")?.strip_suffix(';'))
        .collect();
    let place = |room: &str| order.iter().position(|other| *other == room);

    let mut breaches = Vec::new();
    for file in files.iter().filter(|file| file.is_rust()) {
        let Some(below) = file.path.strip_prefix(SOURCE) else { continue };
        let room = below.split(['/', '.']).next().unwrap_or_default();
        let Some(own) = place(room) else { continue };
        for (number, line) in file.code() {
            for imported in rooms_in(line) {
                if place(imported).is_some_and(|other| other > own) {
                    let rule = format!("`{room}` imports `{imported}`, which stands below it in lib.rs");
                    breaches.push(file.breach(number, rule));
                }
            }
        }
    }
    breaches
}

/// The rooms that a line names by `crate::ROOM` or `use crate::{ROOM, ..}`.
fn rooms_in(line: &str) -> Vec<&str> {
    let mut rooms = Vec::new();
    for (at, prefix) in line.match_indices("crate::") {
        // `$crate` of a macro is the same crate; `pub(crate)` has no `::`.
        let rest = &line[at + prefix.len()..];
        match rest.strip_prefix('{') {
            Some(list) => rooms.extend(list.split(',').map(first_word)),
            None => rooms.push(first_word(rest)),
        }
    }
    rooms
}

fn first_word(text: &str) -> &str {
    let text = text.trim();
    text.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, text: &str, expected: &[&str]) {
        let lib = "//! Doc.\npub mod net;\n\npub mod edge;\npub mod sys;\npub mod cli;\n";
        let files = [
            File { path: "netflow-agent/src/lib.rs".into(), text: lib.into() },
            File { path: path.into(), text: text.into() },
        ];
        assert_eq!(breaches(&files), expected, "{path}: {text}");
    }

    #[test]
    fn imports_point_up() {
        check("netflow-agent/src/edge/mod.rs", "use crate::net::Port;\n", &[]);
        check(
            "netflow-agent/src/net.rs",
            "use crate::edge::Edge;\n",
            &["netflow-agent/src/net.rs:1: `net` imports `edge`, which stands below it in lib.rs"],
        );
        check(
            "netflow-agent/src/edge/mod.rs",
            "use crate::{net, sys};\n",
            &["netflow-agent/src/edge/mod.rs:1: `edge` imports `sys`, which stands below it in lib.rs"],
        );
    }

    #[test]
    fn nobody_imports_cli() {
        check(
            "netflow-agent/src/sys/http.rs",
            "fn f() -> crate::cli::Exit {}\n",
            &["netflow-agent/src/sys/http.rs:1: `sys` imports `cli`, which stands below it in lib.rs"],
        );
    }
}
