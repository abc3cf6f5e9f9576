//! What must stay allowed and what must stay denied, kept beside the policies. In: a YAML file of assertions, or
//! one from the command line. Out: for each whether it holds, and if not, what the policies say instead.
//!
//! ```yaml
//! assertions:
//! - from: shop/deployment/frontend
//!   to: shop/statefulset/db
//!   port: 5432          # a number or a name; absent: any port
//!   protocol: TCP       # the default; absent with an absent port: any protocol
//!   expect: denied      # or allowed
//!   reason: only the backend talks to the database
//! ```

use core::fmt;

use serde::Deserialize;

use super::snapshot::NoSuchEnd;
use super::{Cluster, EndName, Judgement, Party, Ports, Verdict};
use crate::manifest::TargetPort;
use crate::net::Protocol;

/// A claim about a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assertion {
    pub from: EndName,
    pub to: EndName,
    /// None: any port; allowed then means all of them, denied none of them.
    pub port: Option<TargetPort>,
    /// None, only without a port: any protocol.
    pub protocol: Option<Protocol>,
    pub expected: Expected,
    pub reason: Option<String>,
}

/// What an assertion asks for; an undefined verdict is neither.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Expected {
    Allowed,
    Denied,
}

impl Expected {
    pub const fn verdict(self) -> Verdict {
        match self {
            Self::Allowed => Verdict::Allowed,
            Self::Denied => Verdict::Denied,
        }
    }
}

/// `FROM -> TO PROTOCOL/PORT`.
impl fmt::Display for Assertion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> {} ", self.from, self.to)?;
        match (&self.protocol, &self.port) {
            (protocol, Some(port)) => {
                let protocol = protocol.unwrap_or(Protocol::Tcp);
                match port {
                    TargetPort::Number(number) => write!(f, "{protocol}/{number}"),
                    TargetPort::Name(name) => write!(f, "{protocol}/{name}"),
                }
            }
            (Some(protocol), None) => write!(f, "{protocol}, any port"),
            (None, None) => f.write_str("any port"),
        }
    }
}

impl Assertion {
    /// What the policies say of it; it holds when the verdict is the expected one.
    pub fn judge(&self, cluster: &Cluster) -> Result<Judgement, NoSuchEnd> {
        let snapshot = cluster.snapshot();
        let (from, to) = (snapshot.resolve(&self.from)?, snapshot.resolve(&self.to)?);
        Ok(self.judge_parties(cluster, &from, &to))
    }

    /// The ports that are allowed in any case.
    pub fn allowed_ports(&self, cluster: &Cluster) -> Result<Ports, NoSuchEnd> {
        let snapshot = cluster.snapshot();
        Ok(cluster.ports_between(&snapshot.resolve(&self.from)?, &snapshot.resolve(&self.to)?))
    }

    fn judge_parties(&self, cluster: &Cluster, from: &Party, to: &Party) -> Judgement {
        if let Some(port) = &self.port {
            return cluster.between(from, to, port, self.protocol.unwrap_or(Protocol::Tcp));
        }
        let protocols = self.protocol.map_or_else(|| Protocol::ALL.to_vec(), |protocol| vec![protocol]);
        let judged = protocols.into_iter().map(|protocol| cluster.any_port(from, to, protocol));
        judged.reduce(Judgement::agreed).unwrap_or(Judgement::UNDEFINED)
    }
}

/// A file of assertions that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum AssertionError {
    /// A file that guards nothing is a mistake, not a success.
    #[error("no assertion in it")]
    None,
    #[error("not a file of assertions: {0}")]
    Yaml(String),
    #[error("assertion {number}: {reason}")]
    Item { number: usize, reason: String },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WireFile {
    assertions: Vec<WireAssertion>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WireAssertion {
    from: String,
    to: String,
    port: Option<WirePort>,
    protocol: Option<String>,
    expect: Expected,
    reason: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum WirePort {
    Number(u16),
    Name(String),
}

/// Reads a file of assertions; `namespace` is that of names without one.
pub fn read(text: &str, namespace: Option<&str>) -> Result<Vec<Assertion>, AssertionError> {
    let file: WireFile =
        serde_saphyr::from_str(text).map_err(|error| AssertionError::Yaml(error.to_string()))?;
    if file.assertions.is_empty() {
        return Err(AssertionError::None);
    }
    let items = file.assertions.into_iter().enumerate();
    items
        .map(|(at, wire)| {
            assertion(wire, namespace).map_err(|reason| AssertionError::Item { number: at + 1, reason })
        })
        .collect()
}

fn assertion(wire: WireAssertion, namespace: Option<&str>) -> Result<Assertion, String> {
    let end = |text: &str| EndName::parse(text, namespace).map_err(|error| error.to_string());
    let port = match wire.port {
        None => None,
        Some(WirePort::Number(number)) => Some(parse_port(&number.to_string())?),
        Some(WirePort::Name(name)) => Some(parse_port(&name)?),
    };
    let protocol = wire.protocol.as_deref().map(parse_protocol).transpose()?;
    Ok(Assertion {
        from: end(&wire.from)?,
        to: end(&wire.to)?,
        port,
        protocol,
        expected: wire.expect,
        reason: wire.reason,
    })
}

/// A port as people write it: 1-65535, or a name.
pub fn parse_port(text: &str) -> Result<TargetPort, String> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        let port = text.parse::<u16>().ok().filter(|port| *port > 0);
        return port
            .map(TargetPort::Number)
            .ok_or_else(|| format!("`{text}` is no port: use 1-65535 or a name"));
    }
    let name = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') && !text.is_empty();
    if name {
        Ok(TargetPort::Name(text.into()))
    } else {
        Err(format!("`{text}` is no port: use 1-65535 or a name"))
    }
}

/// A protocol in any case.
pub fn parse_protocol(text: &str) -> Result<Protocol, String> {
    text.to_ascii_uppercase().parse().map_err(|error| format!("`{text}`: {error}"))
}
