//! The wire form of each kind of line: what serde reads, and the checks that make it a typed value.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};
use serde_json::value::RawValue;

use super::Observed;
use super::read::Words;
use crate::flow::{Basis, Coverage, Flow, FlowCounters, FlowKey, Outcome, Side};
use crate::manifest::Object;
use crate::net::Protocol;
use crate::time::{Hour, Time};

#[derive(Deserialize)]
pub(super) struct KindLine<'a> {
    #[serde(borrow)]
    pub(super) kind: Cow<'a, str>,
}

/// A string that is borrowed where it can be; `Option<Cow>` alone would always copy.
#[derive(Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum SideWord {
    Client,
    Server,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum OutcomeWord {
    Established,
    Refused,
    Timeout,
    Unanswered,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "lowercase")]
enum BasisWord {
    #[default]
    Observed,
    Existing,
}

#[derive(Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum ProtocolWord {
    Tcp,
    Udp,
    Sctp,
}

/// A time as text; the RFC 3339 form only.
#[derive(Clone, Copy)]
struct Moment(Time);

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Moment;

            fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str("an RFC 3339 time")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Moment, E> {
                text.parse().map(Moment).map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// A time that begins an hour.
struct WholeHour(Hour);

impl<'de> Deserialize<'de> for WholeHour {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Moment(time) = Moment::deserialize(deserializer)?;
        let hour = time.hour();
        if hour.start() == time {
            Ok(Self(hour))
        } else {
            Err(D::Error::custom("`hour` must begin a whole hour"))
        }
    }
}

#[derive(Deserialize)]
pub(super) struct FlowLine<'a> {
    #[serde(borrow)]
    node: Cow<'a, str>,
    hour: WholeHour,
    #[serde(default)]
    seq: u32,
    side: SideWord,
    #[serde(borrow)]
    pod: Option<Text<'a>>,
    local: Option<IpAddr>,
    remote: IpAddr,
    port: u16,
    protocol: ProtocolWord,
    outcome: OutcomeWord,
    #[serde(default)]
    basis: BasisWord,
    connections: u64,
    #[serde(default)]
    bytes_sent: u64,
    #[serde(default)]
    bytes_received: u64,
    first: Moment,
    last: Moment,
}

impl FlowLine<'_> {
    pub(super) fn flow(self, words: &mut Words) -> Result<Flow, String> {
        let (Moment(first), Moment(last)) = (self.first, self.last);
        if first > last {
            return Err("`first` is later than `last`".to_owned());
        }
        if self.port == 0 {
            return Err("`port` must be 1 to 65535".to_owned());
        }
        let pod = self.pod.filter(|Text(uid)| !uid.is_empty());
        if pod.is_none() && self.local.is_none() {
            return Err("`local` may be absent only where `pod` is there".to_owned());
        }
        let key = FlowKey {
            node: words.intern(0, &self.node),
            hour: self.hour.0,
            seq: self.seq,
            side: match self.side {
                SideWord::Client => Side::Client,
                SideWord::Server => Side::Server,
            },
            pod: pod.map(|Text(uid)| words.intern(1, &uid)),
            local: self.local.map(|ip| ip.to_canonical()),
            remote: self.remote.to_canonical(),
            port: self.port,
            protocol: match self.protocol {
                ProtocolWord::Tcp => Protocol::Tcp,
                ProtocolWord::Udp => Protocol::Udp,
                ProtocolWord::Sctp => Protocol::Sctp,
            },
            outcome: match self.outcome {
                OutcomeWord::Established => Outcome::Established,
                OutcomeWord::Refused => Outcome::Refused,
                OutcomeWord::Timeout => Outcome::Timeout,
                OutcomeWord::Unanswered => Outcome::Unanswered,
            },
            basis: match self.basis {
                BasisWord::Observed => Basis::Observed,
                BasisWord::Existing => Basis::Existing,
            },
        };
        let counters = FlowCounters {
            connections: self.connections,
            bytes_sent: self.bytes_sent,
            bytes_received: self.bytes_received,
            first,
            last,
        };
        Ok(Flow { key, counters })
    }
}

#[derive(Deserialize)]
pub(super) struct CoverageLine<'a> {
    #[serde(borrow)]
    node: Cow<'a, str>,
    hour: WholeHour,
    #[serde(default)]
    seq: u32,
    observed_seconds: u32,
    #[serde(default)]
    unheard_seconds: u32,
    #[serde(default, borrow)]
    lost: BTreeMap<Cow<'a, str>, u64>,
}

impl CoverageLine<'_> {
    pub(super) fn coverage(self, words: &mut Words) -> Coverage {
        Coverage {
            node: words.intern(0, &self.node),
            hour: self.hour.0,
            seq: self.seq,
            observed_seconds: self.observed_seconds,
            unheard_seconds: self.unheard_seconds,
            lost: self.lost.into_iter().map(|(cause, lost)| (Arc::from(cause.as_ref()), lost)).collect(),
        }
    }
}

#[derive(Deserialize)]
pub(super) struct ObjectLine<'a> {
    from: Option<Moment>,
    to: Option<Moment>,
    #[serde(default)]
    gateways: Vec<IpAddr>,
    #[serde(borrow)]
    pub(super) object: &'a RawValue,
}

impl ObjectLine<'_> {
    pub(super) fn observed(self, object: Object) -> Result<Observed, String> {
        let (from, to) = (self.from.map(|at| at.0), self.to.map(|at| at.0));
        if let (Some(from), Some(to)) = (from, to)
            && from > to
        {
            return Err("`from` is later than `to`".to_owned());
        }
        let mut gateways: Vec<IpAddr> = self.gateways.iter().map(IpAddr::to_canonical).collect();
        gateways.sort_unstable();
        gateways.dedup();
        Ok(Observed { from, to, gateways, object: Arc::new(object) })
    }
}
