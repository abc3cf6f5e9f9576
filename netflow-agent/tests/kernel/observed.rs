//! What a capture has told so far, added up by what a sample is of.

use std::collections::BTreeMap;
use std::net::IpAddr;

use netflow_agent::flow::{Basis, Outcome, Sample, Side};
use netflow_agent::net::Protocol;
use netflow_agent::sys::bpf::{Capture, Drained, Options};
use netflow_agent::time::Time;

use crate::lab::Lab;
use crate::wait;

/// Which flow, less what differs from run to run.
pub(crate) type Key = (Side, Option<IpAddr>, IpAddr, u16, Protocol, Outcome, Basis);

/// How much of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) connections: u64,
    pub(crate) sent: u64,
    pub(crate) received: u64,
    pub(crate) open: u64,
    /// Samples that made it up.
    pub(crate) n_samples: u64,
}

/// A capture and all that it told.
pub(crate) struct Observed {
    pub(crate) capture: Capture,
    pub(crate) flows: BTreeMap<Key, Counts>,
    pub(crate) samples: Vec<Sample>,
    pub(crate) lost: BTreeMap<&'static str, u64>,
    pub(crate) overflowed: u64,
}

/// A moment for `drain`: the tests look at no times but those relative to it.
pub(crate) const NOW: Time = Time::from_seconds(1_700_000_000);

impl Observed {
    pub(crate) fn start(lab: &Lab) -> Self {
        Self::with(lab, &Options { existing_window: false, ..Options::default() })
    }

    pub(crate) fn with(lab: &Lab, options: &Options) -> Self {
        let options = Options { cgroup: Some(lab.cgroup().to_path_buf()), ..options.clone() };
        let capture = Capture::open(&options, NOW).unwrap_or_else(|error| panic!("{}", chain(&error)));
        Self { capture, flows: BTreeMap::new(), samples: Vec::new(), lost: BTreeMap::new(), overflowed: 0 }
    }

    pub(crate) fn drain(&mut self) {
        let drained = self.capture.drain(NOW).expect("drain");
        self.add(drained);
    }

    fn add(&mut self, drained: Drained) {
        for sample in &drained.samples {
            let key = (
                sample.side,
                sample.local,
                sample.remote,
                sample.port,
                sample.protocol,
                sample.outcome,
                sample.basis,
            );
            let counts = self.flows.entry(key).or_default();
            counts.connections += sample.connections;
            counts.sent += sample.bytes_sent;
            counts.received += sample.bytes_received;
            counts.open = sample.open;
            counts.n_samples += 1;
        }
        self.samples.extend(drained.samples);
        for (cause, lost) in drained.lost {
            *self.lost.entry(cause).or_default() += lost;
        }
        self.overflowed += drained.overflowed;
    }

    /// Drains until it is so.
    pub(crate) fn until(&mut self, what: &str, is_so: impl Fn(&Self) -> bool) {
        wait::until(what, || {
            self.drain();
            is_so(self)
        });
    }

    /// The connections of all flows of a kind.
    pub(crate) fn connections(&self, is_meant: impl Fn(&Key) -> bool) -> u64 {
        self.flows.iter().filter(|(key, _)| is_meant(key)).map(|(_, counts)| counts.connections).sum()
    }

    pub(crate) fn lost_in_all(&self) -> u64 {
        self.lost.values().sum()
    }
}

/// An error with its causes.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
