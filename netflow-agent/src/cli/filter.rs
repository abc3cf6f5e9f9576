//! Flags that choose edges. In: what a person typed. Out: a `query::Filter`.

use super::Failure;
use crate::evaluate::EndName;
use crate::identity::Inventory;
use crate::net::Protocol;
use crate::query::{Filter, Wanted};

/// Flags of verbs that show edges.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Which edges")]
pub struct FilterArgs {
    /// Edges with an end in this namespace, which is also that of names without one; repeatable
    #[arg(short, long, value_name = "NAMESPACE")]
    pub namespace: Vec<String>,

    /// Edges from or to this: namespace/pod, namespace/kind/name or an address; repeatable
    #[arg(short, long, value_name = "END")]
    pub workload: Vec<String>,

    /// Edges from this end; repeatable
    #[arg(long, value_name = "END")]
    pub from: Vec<String>,

    /// Edges to this end; repeatable
    #[arg(long, value_name = "END")]
    pub to: Vec<String>,

    /// Edges to this port; repeatable
    #[arg(short, long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub port: Vec<u16>,

    /// TCP, UDP or SCTP; repeatable
    #[arg(long, value_name = "PROTOCOL", value_parser = protocol)]
    pub protocol: Vec<Protocol>,
}

fn protocol(text: &str) -> Result<Protocol, String> {
    text.to_ascii_uppercase().parse::<Protocol>().map_err(|error| error.to_string())
}

impl FilterArgs {
    pub fn filter(&self, inventory: &Inventory<'_>) -> Result<Filter, Failure> {
        let namespace = match self.namespace.as_slice() {
            [one] => Some(one.as_str()),
            _ => None,
        };
        let wanted = |texts: &[String]| -> Result<Vec<Wanted>, Failure> {
            let name = |text: &String| EndName::parse(text, namespace).map_err(Failure::usage);
            texts.iter().map(|text| name(text).map(|name| Wanted::of(&name, inventory))).collect()
        };
        Ok(Filter {
            namespaces: self.namespace.iter().map(|name| name.as_str().into()).collect(),
            ends: wanted(&self.workload)?,
            from: wanted(&self.from)?,
            to: wanted(&self.to)?,
            ports: self.port.clone(),
            protocols: self.protocol.clone(),
        })
    }
}
