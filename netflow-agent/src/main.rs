//! Parse, run, exit.

use std::ffi::OsString;
use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};
use netflow_agent::cli::plugin::{self, Called};
use netflow_agent::cli::{Command, Exit, Failure, Streams};

fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().collect();
    let called = words.first().map_or(Called::default(), |name| Called::by(name));
    let mut out = BufWriter::new(io::stdout().lock());
    let mut err = io::stderr();
    let mut input = io::stdin().lock();
    let ended = match called {
        Called::Completion => plugin::complete(&Command::command(), &words[1..], &mut out)
            .map(|()| Exit::Done)
            .map_err(Failure::from),
        Called::Agent | Called::Plugin => {
            let command = parse(called, &words);
            command.run(&mut Streams { input: &mut input, out: &mut out, err: &mut err, called })
        }
    };
    let flushed = out.flush();
    let exit = match (ended, flushed) {
        (Ok(exit), Ok(())) => exit,
        // A reader that has seen enough (`| head`) is no failure.
        (Ok(exit), Err(error)) if error.kind() == io::ErrorKind::BrokenPipe => exit,
        (Ok(_), Err(error)) => report(&mut err, &format!("write the answer: {error}"), None, Exit::Failed),
        (Err(failure), _) if failure.is_broken_pipe() => Exit::Done,
        (Err(failure), _) => report(&mut err, &failure.chain(), failure.hint.as_deref(), failure.exit),
    };
    ExitCode::from(exit as u8)
}

/// As clap's own `parse`, under the name that was typed.
fn parse(called: Called, words: &[OsString]) -> Command {
    let mut command = match called {
        Called::Plugin => Command::command().name("kubectl-netflow").bin_name("kubectl netflow"),
        Called::Agent | Called::Completion => Command::command(),
    };
    let matches = command.try_get_matches_from_mut(words).unwrap_or_else(|error| error.exit());
    Command::from_arg_matches(&matches).unwrap_or_else(|error| error.format(&mut command).exit())
}

fn report(err: &mut dyn Write, words: &str, hint: Option<&str>, exit: Exit) -> Exit {
    let hint = hint.map(|hint| format!("\nhint: {hint}\n")).unwrap_or_default();
    // Nothing is left to tell it to when stderr is gone.
    drop(write!(err, "netflow: {words}\n{hint}"));
    exit
}
