//! What the programs say in words (aya-log): rare paths only. In: their ring. Out: the agent's own log.

use aya::Ebpf;
use aya_log::EbpfLogger;

/// The programs' messages; silent when the object has none.
pub(super) struct Messages(Option<EbpfLogger<ToLog>>);

impl Messages {
    pub(super) fn open(ebpf: &mut Ebpf) -> Self {
        match EbpfLogger::init_with_logger(ebpf, ToLog) {
            Ok(logger) => Self(Some(logger)),
            Err(error) => {
                tracing::warn!(%error, "messages of the eBPF programs will not be seen");
                Self(None)
            }
        }
    }

    /// Logs what was said since the last time.
    pub(super) fn flush(&mut self) {
        if let Some(logger) = &mut self.0 {
            logger.flush();
        }
    }
}

/// Hands records of the `log` crate, which aya-log speaks, to tracing.
struct ToLog;

impl log::Log for ToLog {
    fn enabled(&self, _metadata: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let words = record.args();
        match record.level() {
            log::Level::Error => tracing::error!(target: "netflow_ebpf", "{words}"),
            log::Level::Warn => tracing::warn!(target: "netflow_ebpf", "{words}"),
            log::Level::Info => tracing::info!(target: "netflow_ebpf", "{words}"),
            log::Level::Debug | log::Level::Trace => tracing::debug!(target: "netflow_ebpf", "{words}"),
        }
    }

    fn flush(&self) {}
}
