//! `run`: flags and environment in; the agent runs until it is told to stop. Logs go to stderr.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::{Exit, Failure, Streams};
use crate::time::parse_duration;

const EXAMPLES: &str = "\
Examples:
  # Capture on this node; name pods by the manifests of a folder
  sudo netflow-agent run --state-dir /var/lib/netflow --inventory ./manifests

  # As a DaemonSet does: follow the Kubernetes API, health and metrics for the kubelet and Prometheus
  netflow-agent run --kubernetes --node $NODE_NAME --metrics 0.0.0.0:9464

  # What the running agent saw
  netflow-agent observe --agent /var/lib/netflow/agent.sock";

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Folder of the agent's state, made if missing; its socket `agent.sock` is in it
    #[arg(long, env = "NETFLOW_STATE_DIR", value_name = "DIR", default_value = crate::sys::store::FOLDER)]
    pub state_dir: PathBuf,
    /// Name of this node [default: the only node in the inventory, else the host's name]
    #[arg(long, env = "NODE_NAME", value_name = "NAME")]
    pub node: Option<String>,
    /// How often the kernel's counts are taken and saved
    #[arg(long, env = "NETFLOW_INTERVAL", value_name = "DURATION", default_value = "10s", value_parser = interval)]
    pub interval: Duration,
    /// How long to look for connections older than the agent, once, after the start; 0 is off
    #[arg(long, env = "NETFLOW_EXISTING_WINDOW", value_name = "DURATION", default_value = "60s", value_parser = duration_or_zero)]
    pub existing_window: Duration,
    /// Where cgroup2 is mounted [default: as the mount table says]
    #[arg(long, env = "NETFLOW_CGROUP", value_name = "PATH")]
    pub cgroup: Option<PathBuf>,
    /// How long flows are kept
    #[arg(long, env = "NETFLOW_RETAIN", value_name = "DURATION", default_value = "14d", value_parser = parse_duration)]
    pub retain: Duration,
    /// How large the store may grow; the oldest hours go first
    #[arg(long, env = "NETFLOW_RETAIN_SIZE", value_name = "SIZE", default_value = "512MiB", value_parser = size)]
    pub retain_size: u64,
    /// Manifests (file or folder, YAML or JSON) that name addresses; read again when they change
    #[arg(long, env = "NETFLOW_INVENTORY", value_name = "PATH")]
    pub inventory: Option<PathBuf>,
    /// Follow the Kubernetes API, as the service account of the agent's pod
    #[arg(long, env = "NETFLOW_KUBERNETES", conflicts_with = "inventory", num_args = 0..=1, default_missing_value = "true", default_value = "false", hide_possible_values = true, value_name = "BOOL")]
    pub kubernetes: bool,
    /// Follow the Kubernetes API by this kubeconfig
    #[arg(long, env = "NETFLOW_KUBECONFIG", value_name = "FILE", conflicts_with = "inventory")]
    pub kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig
    #[arg(long, env = "NETFLOW_CONTEXT", value_name = "NAME", conflicts_with = "inventory")]
    pub context: Option<String>,
    /// Loopback address of the query API; `off` leaves the socket only
    #[arg(long, env = "NETFLOW_QUERY", value_name = "ADDRESS", default_value = "127.0.0.1:9465", value_parser = query)]
    pub query: Listen,
    /// Address of health and metrics; `off` for none
    #[arg(long, env = "NETFLOW_METRICS", value_name = "ADDRESS", default_value = "127.0.0.1:9464", value_parser = listen)]
    pub metrics: Listen,
    /// How log lines look
    #[arg(long, env = "NETFLOW_LOG_FORMAT", value_enum, default_value_t)]
    pub log_format: LogFormat,
    /// What is logged: error, warn, info, debug, trace, or a filter such as netflow_agent=debug
    #[arg(long, env = "NETFLOW_LOG", value_name = "FILTER", default_value = "info")]
    pub log: String,
}

/// An address to listen on, or `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen(pub Option<SocketAddr>);

#[cfg(feature = "capture")]
pub fn run(args: Args, _streams: &mut Streams<'_>) -> Result<Exit, Failure> {
    use crate::sys::agent::{self, Options};
    use crate::sys::bpf;
    use crate::sys::store::Limits;

    log(&args)?;
    let kubernetes = kubernetes(&args);
    let options = Options {
        state_dir: args.state_dir,
        node: args.node,
        interval: args.interval,
        existing: args.existing_window,
        limits: Limits { age: args.retain, bytes: args.retain_size },
        inventory: args.inventory,
        kubernetes,
        capture: bpf::Options {
            cgroup: args.cgroup,
            existing_window: !args.existing_window.is_zero(),
            ..bpf::Options::default()
        },
        query: args.query.0,
        metrics: args.metrics.0,
    };
    match agent::run(&options) {
        Ok(()) => Ok(Exit::Done),
        Err(error) => {
            let hint = error.hint();
            let failure = Failure::from(error);
            Err(match hint {
                Some(hint) => failure.with_hint(hint),
                None => failure,
            })
        }
    }
}

#[cfg(not(feature = "capture"))]
pub fn run(_args: Args, _streams: &mut Streams<'_>) -> Result<Exit, Failure> {
    Err(Failure::from("this build does not capture")
        .with_hint("take one with the feature `capture`, on Linux"))
}

#[cfg(all(feature = "capture", feature = "cluster"))]
fn kubernetes(args: &Args) -> Option<crate::sys::agent::Kubernetes> {
    use crate::sys::agent::Kubernetes;
    if args.kubeconfig.is_some() || args.context.is_some() {
        let (path, context) = (args.kubeconfig.clone(), args.context.clone());
        return Some(Kubernetes::Kubeconfig { path, context });
    }
    args.kubernetes.then_some(Kubernetes::InCluster)
}

#[cfg(all(feature = "capture", not(feature = "cluster")))]
fn kubernetes(_args: &Args) -> Option<crate::sys::agent::Kubernetes> {
    None
}

/// Sets up logging for the process: once, on stderr, with colours only on a terminal.
#[cfg(feature = "capture")]
fn log(args: &Args) -> Result<(), Failure> {
    use std::io::IsTerminal;

    use tracing_subscriber::EnvFilter;

    let filter = EnvFilter::try_new(&args.log)
        .map_err(|error| Failure::usage(format!("--log {}: {error}", args.log)))?;
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let set = match args.log_format {
        LogFormat::Text => logs.with_ansi(colour).with_target(false).try_init(),
        LogFormat::Json => logs.json().flatten_event(true).try_init(),
    };
    // A second set-up in one process keeps the first: tests run many agents.
    drop(set);
    Ok(())
}

fn interval(text: &str) -> Result<Duration, String> {
    match parse_duration(text) {
        Ok(interval) if interval < Duration::from_millis(50) => Err("at least 50ms".to_owned()),
        Ok(interval) if interval > Duration::from_mins(10) => Err("at most 10m".to_owned()),
        Ok(interval) => Ok(interval),
        Err(error) => Err(error.to_string()),
    }
}

/// `0` needs no unit.
fn duration_or_zero(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    parse_duration(text).map_err(|error| error.to_string())
}

/// `512MiB`, `1Gi`, `64M`, or bytes.
fn size(text: &str) -> Result<u64, String> {
    const LEAST: u64 = 1 << 20;
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit: u64 = match unit {
        "" | "B" => 1,
        "K" | "kB" | "KB" => 1_000,
        "M" | "MB" => 1_000_000,
        "G" | "GB" => 1_000_000_000,
        "Ki" | "KiB" => 1 << 10,
        "Mi" | "MiB" => 1 << 20,
        "Gi" | "GiB" => 1 << 30,
        "Ti" | "TiB" => 1 << 40,
        _ => return Err("not a size, such as 512MiB or 2GiB".to_owned()),
    };
    let bytes = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
    match bytes {
        Some(bytes) if bytes >= LEAST => Ok(bytes),
        Some(_) => Err("at least 1MiB".to_owned()),
        None => Err("not a size, such as 512MiB or 2GiB".to_owned()),
    }
}

fn listen(text: &str) -> Result<Listen, String> {
    if text == "off" {
        return Ok(Listen(None));
    }
    let address = text.parse::<SocketAddr>();
    address.map(|address| Listen(Some(address))).map_err(|_unread| "not an address and a port, nor `off`".to_owned())
}

/// Whoever reaches this reads flows: who may do so is for the machine or, by port-forward, for Kubernetes.
fn query(text: &str) -> Result<Listen, String> {
    match listen(text)? {
        Listen(Some(address)) if !address.ip().is_loopback() => {
            Err("not on the loopback: reach it through `kubectl port-forward`, or by the socket".to_owned())
        }
        listen => Ok(listen),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_written_as_people_do() {
        for (text, expected) in [
            ("512MiB", Some(512 << 20)),
            ("512Mi", Some(512 << 20)),
            ("2GB", Some(2_000_000_000)),
            ("1048576", Some(1 << 20)),
            ("1KiB", None),
            ("0", None),
            ("-1GiB", None),
            ("1.5GiB", None),
            ("GiB", None),
            ("99999999999999999999GiB", None),
            ("18446744073709551615TiB", None),
        ] {
            assert_eq!(size(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn the_query_api_is_never_on_the_network() {
        for (text, expected) in [
            ("127.0.0.1:9465", true),
            ("[::1]:0", true),
            ("off", true),
            ("0.0.0.0:9465", false),
            ("[::]:9465", false),
            ("10.0.0.1:9465", false),
            ("localhost:9465", false),
            ("9465", false),
        ] {
            assert_eq!(query(text).is_ok(), expected, "{text}");
        }
        assert!(listen("0.0.0.0:9464").is_ok());
    }

    #[test]
    fn an_interval_is_neither_a_spin_nor_a_sleep() {
        for (text, expected) in
            [("10s", true), ("100ms", true), ("10m", true), ("0s", false), ("1ms", false), ("1h", false), ("10", false)]
        {
            assert_eq!(interval(text).is_ok(), expected, "{text}");
        }
        assert_eq!(duration_or_zero("0"), Ok(Duration::ZERO));
    }
}
