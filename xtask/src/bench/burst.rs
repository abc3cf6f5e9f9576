//! Whether a burst of connections is counted to the last one: what the load made against what the agent recorded,
//! at both ends, and what it says it lost.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::arms::{Pods, SERVER, stop};
use crate::{Outcome, program};

/// Connections asked for in the second of a burst.
const RATE: &str = "13000";

/// How many bursts, each with an agent of its own.
const BURSTS: usize = 5;

pub(super) fn run(agent: &Path) -> Outcome {
    let pods = Pods::begin()?;
    let mut n_wrong = 0;
    for _ in 0..BURSTS {
        let running = pods.start_agent(agent, &["--existing-window", "0s"])?;
        let load = ["connect", SERVER, "--milliseconds", "1000", "--rate", RATE];
        let (made, _) = pods.client.load(&pods.server, &load)?;
        stop(running)?;
        let mut export = Command::new(agent);
        export.args(["export", "--state-dir"]).arg(pods.lab.folder.join("state"));
        let counts = Counts::read(&program::read(&mut export)?);
        println!(
            "{made} connections made in 1 s: {} counted at the client, {} at the server, {} counted as lost",
            counts.client, counts.server, counts.lost
        );
        n_wrong += usize::from(counts != Counts { client: made, server: made, lost: 0 });
    }
    pods.lab.end()?;
    if n_wrong == 0 { Ok(()) } else { Err(format!("{n_wrong} of {BURSTS} bursts were not counted whole").into()) }
}

/// What a recording says of the load's connections.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    client: u64,
    server: u64,
    lost: u64,
}

impl Counts {
    fn read(recording: &str) -> Self {
        let mut counts = Self::default();
        for line in recording.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
            if line["kind"] == "coverage" {
                let causes = line["lost"].as_object();
                counts.lost += causes.into_iter().flatten().filter_map(|(_, lost)| lost.as_u64()).sum::<u64>();
            } else if line["kind"] == "flow" && line["port"] == 8080 {
                let connections = line["connections"].as_u64().unwrap_or(0);
                match line["side"].as_str() {
                    Some("client") => counts.client += connections,
                    Some("server") => counts.server += connections,
                    _ => {}
                }
            }
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_told_apart_by_end_and_losses_add_up_over_hours() {
        let recording = r#"{"kind":"coverage","lost":{"ring_full":2,"callback":0}}
{"kind":"coverage","lost":{"ring_full":1}}
{"kind":"flow","side":"client","port":8080,"connections":7}
{"kind":"flow","side":"server","port":8080,"connections":5}
{"kind":"flow","side":"server","port":53,"connections":9}
"#;
        assert_eq!(Counts::read(recording), Counts { client: 7, server: 5, lost: 3 });
    }
}
