//! The sources of this machine: a running agent's socket, or the folder that a stopped one has left. In: which,
//! and the window. Out: its lines, read as a recording.

use std::io::{self, BufRead, BufReader, BufWriter};
use std::path::Path;

use super::Failure;
use super::source::Collected;
use crate::sys::clock;
use crate::sys::store::{self, StoreError};
use crate::time::{Time, Window};

/// All that an agent has kept. A running one holds its folder, and is asked through the socket in it.
pub(super) fn read_folder(folder: &Path, reader: &mut Collected) -> Result<(), Failure> {
    let failed = |error: StoreError| {
        let hint = error.hint();
        hinted(Failure::from(error), hint)
    };
    let socket = folder.join(store::SOCKET);
    let store = match store::Reader::open(folder) {
        Err(StoreError::Running { .. }) if socket.exists() => {
            let all = Window { from: Time::from_seconds(0), to: clock::now() };
            return read_agent(Some(&socket), all, reader);
        }
        opened => opened.map_err(failed)?,
    };
    let all = Window { from: Time::MIN, to: Time::MAX };
    let (output, input) = io::pipe()?;
    std::thread::scope(|scope| {
        let written = scope.spawn(move || store.write(all, &mut BufWriter::new(input)));
        let read = reader.read(&folder.display().to_string(), &mut BufReader::new(output));
        let written = written.join().map_err(|_panic| Failure::from("the reader of the store panicked"))?;
        read?;
        written.map_err(failed)
    })
}

/// What takes the lines of an agent: its name, and lines cut anywhere.
type Take<'t> = dyn FnMut(&str, &[u8]) -> Result<(), Failure> + 't;

/// Hands over what the running agent saves as it comes, until it ends, or SIGINT or SIGTERM comes.
#[cfg(unix)]
pub(super) fn follow_agent(socket: Option<&Path>, take: &mut Take<'_>) -> Result<(), Failure> {
    use crate::api::routes::FOLLOW;
    use crate::sys::{ask, signal};

    let socket = socket.map_or_else(|| Path::new(store::FOLDER).join(store::SOCKET), Path::to_owned);
    let mut answer = ask::get(&socket, FOLLOW).map_err(|error| {
        let hint = error.hint().map(str::to_owned);
        hinted(Failure::from(error), hint)
    })?;
    let name = format!("the agent at {}", socket.display());
    let (sender, mut lines) = tokio::sync::mpsc::channel(4);
    // The thread ends with the agent, or with this process.
    std::thread::spawn(move || {
        loop {
            let told = answer.fill_buf().map(<[u8]>::to_vec);
            let length = told.as_ref().map_or(0, Vec::len);
            if sender.blocking_send(told).is_err() || length == 0 {
                return;
            }
            answer.consume(length);
        }
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let stop = signal::stop();
        tokio::pin!(stop);
        loop {
            let told = tokio::select! {
                stopped = &mut stop => return Ok(stopped?),
                told = lines.recv() => told,
            };
            match told.transpose()? {
                Some(told) if !told.is_empty() => take(&name, &told)?,
                _ => return Ok(()),
            }
        }
    })
}

#[cfg(not(unix))]
pub(super) fn follow_agent(_socket: Option<&Path>, _take: &mut Take<'_>) -> Result<(), Failure> {
    Err(Failure::usage("there is no agent to follow here"))
}

/// What the running agent knows of the window; without a socket named, the one of the default folder.
#[cfg(unix)]
pub(super) fn read_agent(
    socket: Option<&Path>,
    window: Window,
    reader: &mut Collected,
) -> Result<(), Failure> {
    use crate::api::routes::EXPORT;
    use crate::sys::ask;

    let socket = socket.map_or_else(|| Path::new(store::FOLDER).join(store::SOCKET), Path::to_owned);
    let path = format!("{EXPORT}?since={}&until={}", window.from, window.to);
    let mut answer = ask::get(&socket, &path).map_err(|error| {
        let hint = error.hint().map(str::to_owned);
        hinted(Failure::from(error), hint)
    })?;
    Ok(reader.read(&format!("the agent at {}", socket.display()), &mut answer)?)
}

#[cfg(not(unix))]
pub(super) fn read_agent(
    _socket: Option<&Path>,
    _window: Window,
    _reader: &mut Collected,
) -> Result<(), Failure> {
    Err(Failure::usage("no data named").with_hint("name a recording with `--input FILE`"))
}

fn hinted(failure: Failure, hint: Option<String>) -> Failure {
    match hint {
        Some(hint) => failure.with_hint(hint),
        None => failure,
    }
}
