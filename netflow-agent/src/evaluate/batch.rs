//! Batch verdicts. In: a line `{"from":END,"to":END,"port":80,"protocol":"TCP"}`. Out: the line as it came, with
//! `ingress`, `egress` and `verdict` at its end.

use core::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::assertion::parse_port;
use super::{Cluster, EndName, Judgement};
use crate::manifest::TargetPort;
use crate::net::Protocol;

/// One question of a batch.
#[derive(Debug)]
pub struct Query {
    from: EndName,
    to: EndName,
    /// None: a protocol that NetworkPolicy does not know, so nothing about it is defined.
    asked: Option<(TargetPort, Protocol)>,
    fields: Fields,
}

/// The answer's own fields; a query that carries them has them replaced.
const ANSWERS: [&str; 3] = ["ingress", "egress", "verdict"];

impl Query {
    /// Reads one line; `namespace` is that of names without one.
    pub fn read(line: &str, namespace: Option<&str>) -> Result<Self, String> {
        let fields: Fields =
            serde_json::from_str(line).map_err(|error| format!("not a JSON object: {error}"))?;
        let end = |name: &str| -> Result<EndName, String> {
            let text = fields.text(name)?.ok_or_else(|| format!("no field `{name}`"))?;
            EndName::parse(&text, namespace).map_err(|error| error.to_string())
        };
        let (from, to) = (end("from")?, end("to")?);
        let protocol = fields.text("protocol")?.unwrap_or_else(|| "TCP".to_owned()).to_ascii_uppercase();
        let asked = match protocol.parse::<Protocol>() {
            Ok(protocol) => {
                let port = fields.text("port")?.ok_or("no field `port`")?;
                Some((parse_port(&port)?, protocol))
            }
            Err(_) => None,
        };
        Ok(Self { from, to, asked, fields })
    }

    pub fn judge(&self, cluster: &Cluster) -> Result<Judgement, super::snapshot::NoSuchEnd> {
        let (from, to) = (cluster.snapshot().resolve(&self.from)?, cluster.snapshot().resolve(&self.to)?);
        Ok(match &self.asked {
            Some((port, protocol)) => cluster.between(&from, &to, port, *protocol),
            None => Judgement::UNDEFINED,
        })
    }

    /// The query's fields in their order, then the answer; without a line end.
    pub fn answer(&self, judgement: Judgement) -> String {
        let mut line = String::from("{");
        for (name, value) in &self.fields.0 {
            if !ANSWERS.contains(&name.as_str()) {
                line.push_str(&serde_json::Value::from(name.as_str()).to_string());
                line.push(':');
                line.push_str(value.get());
                line.push(',');
            }
        }
        let verdicts = [judgement.ingress, judgement.egress, judgement.verdict];
        for (name, verdict) in ANSWERS.iter().zip(verdicts) {
            line.push('"');
            line.push_str(name);
            line.push_str("\":\"");
            line.push_str(verdict.as_str());
            line.push_str("\",");
        }
        line.pop();
        line.push('}');
        line
    }
}

/// An object's fields, in the order they came, each value as it was written.
#[derive(Debug)]
struct Fields(Vec<(String, Box<RawValue>)>);

impl Fields {
    /// A string or a number as text; None where the field is absent or null.
    fn text(&self, name: &str) -> Result<Option<String>, String> {
        let Some((_, value)) = self.0.iter().rev().find(|(field, _)| field == name) else {
            return Ok(None);
        };
        match serde_json::from_str(value.get()) {
            Ok(serde_json::Value::String(text)) => Ok(Some(text)),
            Ok(serde_json::Value::Number(number)) => Ok(Some(number.to_string())),
            Ok(serde_json::Value::Null) => Ok(None),
            _ => Err(format!("`{name}` is neither text nor a number")),
        }
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}
