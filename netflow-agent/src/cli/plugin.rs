//! The kubectl plugin. By the name it was called: as `kubectl-netflow` verbs ask the cluster; as
//! `kubectl_complete-netflow` it answers kubectl's completion: candidates, one a line, then a directive.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::path::Path;

use clap::{Arg, Command};

/// The name that the program was called by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Called {
    #[default]
    Agent,
    /// By kubectl, or by the plugin's name.
    Plugin,
    /// By kubectl's completion.
    Completion,
}

impl Called {
    /// Whatever folder and ending it has.
    pub fn by(name: &OsStr) -> Self {
        match Path::new(name).file_stem().and_then(OsStr::to_str) {
            Some("kubectl-netflow") => Self::Plugin,
            Some("kubectl_complete-netflow") => Self::Completion,
            _ => Self::Agent,
        }
    }
}

/// Neither files nor anything else completes: cobra's `ShellCompDirectiveNoFileComp`.
const NO_FILES: &str = ":4";
/// The shell completes files.
const FILES: &str = ":0";

/// What may stand in the place of the last word.
pub fn complete(command: &Command, words: &[OsString], out: &mut dyn Write) -> io::Result<()> {
    let words: Vec<&str> = words.iter().map(|word| word.to_str().unwrap_or_default()).collect();
    let (last, before) = words.split_last().map_or(("", &[][..]), |(last, before)| (*last, before));
    if before.first().is_some_and(|word| !word.starts_with('-') && command.find_subcommand(word).is_none()) {
        return writeln!(out, "{NO_FILES}");
    }
    let mut verb = command;
    for word in before {
        verb = verb.find_subcommand(word).unwrap_or(verb);
    }
    let (name, last) = match last.split_once('=') {
        Some((name, value)) if name.starts_with("--") => (Some(name), value),
        _ => (before.last().copied(), last),
    };
    let valued = name.and_then(|name| flag(verb, name)).filter(|flag| takes_value(flag));
    if let Some(flag) = valued {
        let choices = flag.get_possible_values();
        let candidates = choices.iter().map(|value| (value.get_name().to_owned(), None));
        return write(candidates, last, if choices.is_empty() { FILES } else { NO_FILES }, out);
    }
    if last.starts_with('-') {
        let flags = verb.get_arguments().filter(|flag| !flag.is_hide_set());
        let candidates = flags.filter_map(|flag| {
            Some((format!("--{}", flag.get_long()?), flag.get_help().map(ToString::to_string)))
        });
        return write(candidates, last, NO_FILES, out);
    }
    let verbs = verb.get_subcommands().filter(|verb| !verb.is_hide_set());
    let candidates =
        verbs.map(|verb| (verb.get_name().to_owned(), verb.get_about().map(ToString::to_string)));
    write(candidates, last, NO_FILES, out)
}

fn flag<'c>(verb: &'c Command, word: &str) -> Option<&'c Arg> {
    verb.get_arguments().find(|flag| match word.strip_prefix("--") {
        Some(long) => flag.get_long() == Some(long),
        None => word
            .strip_prefix('-')
            .is_some_and(|short| flag.get_short().is_some_and(|it| short == it.to_string())),
    })
}

fn takes_value(flag: &Arg) -> bool {
    flag.get_action().takes_values()
}

fn write(
    candidates: impl Iterator<Item = (String, Option<String>)>,
    typed: &str,
    directive: &str,
    out: &mut dyn Write,
) -> io::Result<()> {
    for (candidate, about) in candidates.filter(|(candidate, _)| candidate.starts_with(typed)) {
        match about {
            Some(about) => writeln!(out, "{candidate}\t{}", about.lines().next().unwrap_or_default())?,
            None => writeln!(out, "{candidate}")?,
        }
    }
    writeln!(out, "{directive}")
}

#[cfg(test)]
mod tests {
    use super::{Called, complete};
    use clap::CommandFactory;
    use std::ffi::{OsStr, OsString};

    #[test]
    fn the_name_decides() {
        let table = [
            ("kubectl-netflow", Called::Plugin),
            ("/usr/local/bin/kubectl-netflow", Called::Plugin),
            ("kubectl-netflow.exe", Called::Plugin),
            ("kubectl_complete-netflow", Called::Completion),
            ("netflow-agent", Called::Agent),
            ("/opt/kubectl-netflow/netflow-agent", Called::Agent),
            ("", Called::Agent),
        ];
        for (name, called) in table {
            assert_eq!(Called::by(OsStr::new(name)), called, "{name}");
        }
    }

    fn completed(words: &[&str]) -> String {
        let words: Vec<OsString> = words.iter().map(OsString::from).collect();
        let mut out = Vec::new();
        complete(&crate::cli::Command::command(), &words, &mut out).expect("memory takes all");
        String::from_utf8(out).expect("candidates are text")
    }

    #[test]
    fn verbs_and_flags_complete() {
        let verbs = completed(&["gen"]);
        assert!(verbs.starts_with("generate-policies\t") && verbs.ends_with("\n:4\n"), "{verbs}");
        let flags = completed(&["completion", "--h"]);
        assert!(flags.ends_with(":4\n"), "{flags}");
        assert_eq!(completed(&["no-such-verb"]), ":4\n");
        assert!(completed(&[]).contains("observe\t"));
    }
}
