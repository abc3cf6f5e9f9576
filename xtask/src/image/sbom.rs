//! The bill of materials: every crate that is linked into the agent, as CycloneDX 1.5. In: what cargo
//! resolved for the target. Out: JSON, sorted, without times.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;

use serde::Deserialize;
use serde_json::json;

use crate::program;

/// `cargo metadata`, as far as it is read.
#[derive(Deserialize)]
pub(crate) struct Metadata {
    packages: Vec<Package>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    version: String,
    license: Option<String>,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    pkg: String,
    dep_kinds: Vec<DependencyKind>,
}

/// No kind: linked. `dev` and `build` are not in the binary.
#[derive(Deserialize)]
struct DependencyKind {
    kind: Option<String>,
}

pub(crate) fn metadata(target: &str) -> Result<Metadata, Box<dyn Error>> {
    let mut cargo = program::cargo();
    cargo.args(["metadata", "--locked", "--format-version", "1", "--filter-platform", target]);
    Ok(serde_json::from_str(&program::read(&mut cargo)?)?)
}

impl Metadata {
    fn agent(&self) -> Result<&Package, String> {
        self.packages.iter().find(|package| package.name == "netflow-agent").ok_or_else(|| "no netflow-agent".to_owned())
    }

    pub(crate) fn version(&self) -> Result<String, String> {
        Ok(self.agent()?.version.clone())
    }

    /// The agent and all that is linked into it.
    fn linked(&self) -> Result<BTreeSet<&str>, String> {
        let nodes: BTreeMap<&str, &Node> = self.resolve.nodes.iter().map(|node| (node.id.as_str(), node)).collect();
        let mut linked = BTreeSet::new();
        let mut next = vec![self.agent()?.id.as_str()];
        while let Some(id) = next.pop() {
            if !linked.insert(id) {
                continue;
            }
            let dependencies = nodes.get(id).map_or(&[][..], |node| &node.deps);
            next.extend(
                dependencies
                    .iter()
                    .filter(|dependency| dependency.dep_kinds.iter().any(|kind| kind.kind.is_none()))
                    .map(|dependency| dependency.pkg.as_str()),
            );
        }
        Ok(linked)
    }
}

pub(crate) fn write(metadata: &Metadata) -> Result<String, Box<dyn Error>> {
    let linked = metadata.linked()?;
    let agent = metadata.agent()?;
    let mut components: Vec<_> =
        metadata.packages.iter().filter(|package| linked.contains(package.id.as_str()) && package.id != agent.id).collect();
    components.sort_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
    let document = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": { "component": component(agent, "application") },
        "components": components.iter().map(|package| component(package, "library")).collect::<Vec<_>>(),
    });
    Ok(serde_json::to_string_pretty(&document)?)
}

fn component(package: &Package, kind: &str) -> serde_json::Value {
    let purl = format!("pkg:cargo/{}@{}", package.name, package.version);
    let mut component =
        json!({ "type": kind, "bom-ref": purl, "name": package.name, "version": package.version, "purl": purl });
    if let Some(license) = &package.license {
        // Old manifests write `/` for OR.
        component["licenses"] = json!([{ "expression": license.replace('/', " OR ") }]);
    }
    component
}
