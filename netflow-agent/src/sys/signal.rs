//! What the outside asks of a process that runs on: to stop.

use tokio::signal::unix::{SignalKind, signal};

/// Ends when SIGTERM or SIGINT comes.
pub async fn stop() -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
