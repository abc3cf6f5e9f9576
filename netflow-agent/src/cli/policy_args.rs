//! Flags of every verb that generates: for whom, in which directions, and how addresses become peers. In: the
//! command line. Out: `policy::Options`.

use std::path::PathBuf;
use std::sync::Arc;

use clap::ValueEnum;
use ipnet::IpNet;

use super::Failure;
use super::source::SourceArgs;
use crate::identity::Inventory;
use crate::manifest::{Labels, cni::Cni};
use crate::net::Direction;
use crate::policy::{External, Nodes, Options};
use crate::review;

#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "What is written")]
pub struct PolicyArgs {
    /// Write for this namespace only; repeat it for more
    #[arg(short, long, value_name = "NAME")]
    pub namespace: Vec<String>,

    /// Which side of the pods the policies guard
    #[arg(long, value_enum, default_value_t)]
    direction: Directions,

    /// Leave out the default deny of each namespace
    #[arg(long)]
    no_default_deny: bool,

    /// Write for kube-system, kube-public, kube-node-lease and the agent's namespace as well
    #[arg(long)]
    include_system: bool,

    /// Nodes as peers: `exact` (each address seen), `cidr=RANGE[,RANGE]`, or `any`
    #[arg(long, value_name = "HOW", default_value = "exact", value_parser = nodes)]
    nodes: Nodes,

    /// Addresses outside as peers: `exact`, `budget=N` (at most N blocks a rule), `any`, or `none`
    #[arg(long, value_name = "HOW", default_value = "exact", value_parser = external)]
    external: External,

    /// Withhold what was asked of the cloud's metadata service
    #[arg(long)]
    drop_metadata: bool,

    /// Name namespaces by this label where it is unique
    #[arg(long, value_name = "KEY")]
    namespace_label: Option<String>,

    /// The network plugin, or `auto` to read it from the DaemonSets that are known
    #[arg(long, value_name = "PROFILE", value_parser = cni)]
    cni: Option<CniChoice>,

    /// Decisions about edges: approve, deny, ignore, declare, widen
    #[arg(long, value_name = "FILE")]
    review: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Directions {
    #[default]
    Both,
    Ingress,
    Egress,
}

#[derive(Clone, Copy, Debug)]
enum CniChoice {
    Auto,
    Named(Cni),
}

fn cni(text: &str) -> Result<CniChoice, String> {
    match text {
        "auto" => Ok(CniChoice::Auto),
        name => name.parse().map(CniChoice::Named).map_err(|error| format!("{error}, or auto")),
    }
}

fn nodes(text: &str) -> Result<Nodes, String> {
    match text {
        "exact" => Ok(Nodes::Exact),
        "any" => Ok(Nodes::Any),
        _ => {
            let ranges = text.strip_prefix("cidr=").ok_or("use exact, cidr=RANGE or any")?;
            let parsed: Result<Vec<IpNet>, _> = ranges.split(',').map(|range| range.trim().parse()).collect();
            parsed.map(Nodes::Ranges).map_err(|error| format!("{error}, such as cidr=192.168.0.0/16"))
        }
    }
}

fn external(text: &str) -> Result<External, String> {
    match text {
        "exact" => Ok(External::Exact),
        "any" => Ok(External::Any),
        "none" => Ok(External::None),
        _ => {
            let number = text.strip_prefix("budget=").ok_or("use exact, budget=N, any or none")?;
            match number.parse() {
                Ok(budget) if budget > 0 => Ok(External::Budget(budget)),
                _ => Err("a budget is a number of blocks, at least 1".to_owned()),
            }
        }
    }
}

impl PolicyArgs {
    /// What the flags say, with the review read and the agent's own namespaces left out.
    pub fn options(&self, source: &SourceArgs, inventory: &Inventory<'_>) -> Result<Options, Failure> {
        let mut options = Options {
            directions: match self.direction {
                Directions::Both => Direction::BOTH.to_vec(),
                Directions::Ingress => vec![Direction::Ingress],
                Directions::Egress => vec![Direction::Egress],
            },
            default_deny: !self.no_default_deny,
            namespaces: self.namespace.iter().map(|name| Arc::from(name.as_str())).collect(),
            nodes: self.nodes.clone(),
            external: self.external,
            drop_metadata: self.drop_metadata,
            namespace_label: self.namespace_label.as_deref().map(Arc::from),
            cni: match self.cni {
                Some(CniChoice::Named(cni)) => Some(cni),
                Some(CniChoice::Auto) => Cni::detect(&inventory.workloads),
                None => None,
            },
            ..Options::default()
        };
        if self.include_system {
            options.peers_only.clear();
        } else {
            options.peers_only.insert(Arc::from(source.agent_namespace()));
            options.peers_only.extend(agent_namespaces(inventory));
        }
        self.check_namespaces(&options, inventory)?;
        if let Some(path) = &self.review {
            let name = path.display();
            let bytes = std::fs::read(path).map_err(|error| format!("read {name}: {error}"))?;
            options.review = review::read(&bytes).map_err(|error| format!("{name}: {error}"))?;
        }
        Ok(options)
    }

    /// A namespace that was asked for and would get nothing is a mistake, and better told.
    fn check_namespaces(&self, options: &Options, inventory: &Inventory<'_>) -> Result<(), Failure> {
        for name in &self.namespace {
            if options.peers_only.contains(name.as_str()) {
                let text = format!("namespace `{name}` belongs to the cluster itself or to the agent");
                return Err(Failure::usage(text).with_hint("write for it with `--include-system`"));
            }
            let known = inventory.pods.iter().any(|known| *known.pod.meta.namespace == **name)
                || inventory.templates.iter().any(|template| *template.namespace == **name)
                || inventory.namespaces.iter().any(|namespace| *namespace.meta.name == **name);
            if !known {
                return Err(Failure::from(format!("no pod of namespace `{name}` is known"))
                    .with_hint("see `observe` for what is, or take a longer window"));
            }
        }
        Ok(())
    }
}

/// Where agents run, by their label.
fn agent_namespaces(inventory: &Inventory<'_>) -> impl Iterator<Item = Arc<str>> {
    let label = |labels: &Labels, key: &str, value: &str| labels.get(key).is_some_and(|has| **has == *value);
    let agents = inventory.pods.iter().map(|known| &known.pod.meta).filter(move |meta| {
        label(&meta.labels, "app.kubernetes.io/name", "netflow")
            && label(&meta.labels, "app.kubernetes.io/component", "agent")
    });
    agents.map(|meta| Arc::clone(&meta.namespace))
}
