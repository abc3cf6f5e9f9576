//! Parse, run, exit.

use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use clap::Parser;
use netflow_agent::cli::{Command, Exit, Streams};

fn main() -> ExitCode {
    let command = Command::parse();
    let mut out = BufWriter::new(io::stdout().lock());
    let mut err = io::stderr();
    let mut input = io::stdin().lock();
    let ended = command.run(&mut Streams { input: &mut input, out: &mut out, err: &mut err });
    let flushed = out.flush();
    let exit = match (ended, flushed) {
        (Ok(exit), Ok(())) => exit,
        // A reader that has seen enough (`| head`) is no failure.
        (Ok(exit), Err(error)) if error.kind() == io::ErrorKind::BrokenPipe => exit,
        (Ok(_), Err(error)) => report(&mut err, &format!("write the answer: {error}"), None, Exit::Failed),
        (Err(failure), _) => report(&mut err, &failure.chain(), failure.hint.as_deref(), failure.exit),
    };
    ExitCode::from(exit as u8)
}

fn report(err: &mut dyn Write, words: &str, hint: Option<&str>, exit: Exit) -> Exit {
    let hint = hint.map(|hint| format!("\nhint: {hint}\n")).unwrap_or_default();
    // Nothing is left to tell it to when stderr is gone.
    drop(write!(err, "netflow: {words}\n{hint}"));
    exit
}
