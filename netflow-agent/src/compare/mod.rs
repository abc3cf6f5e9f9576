//! The difference in meaning of two policy sets. In: the connectivity of one snapshot under each of them.
//! Out: what becomes allowed and what becomes denied, with the exact ports; nothing where both mean the same.

use crate::connectivity::{Connectivity, Range, Ranges};
use crate::evaluate::Ports;
use crate::identity::WorkloadName;

/// Which way a flow goes from the first policy set to the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Becomes {
    Allowed,
    Denied,
}

impl Becomes {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Denied => "denied",
        }
    }
}

/// One end of a change.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    Workload(WorkloadName),
    /// Outside addresses; the ports are those of the change.
    Outside(Range),
}

/// Flows that the two policy sets judge differently.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    pub source: Side,
    pub destination: Side,
    pub becomes: Becomes,
    pub ports: Ports,
}

/// All changes, by source, then destination, allowed before denied. Both sides must be of one snapshot.
pub fn compare(before: &Connectivity, after: &Connectivity) -> Vec<Change> {
    let mut changes = Vec::new();
    let names = after.workloads();
    for (source, name) in names.iter().enumerate() {
        pairs(before, after, source, &mut changes);
        let outside = [before.to_outside(source), after.to_outside(source)];
        ranges(outside, &mut changes, |range| (Side::Workload(name.clone()), Side::Outside(range)));
    }
    for (destination, name) in names.iter().enumerate() {
        let outside = [before.from_outside(destination), after.from_outside(destination)];
        ranges(outside, &mut changes, |range| (Side::Outside(range), Side::Workload(name.clone())));
    }
    changes.sort();
    changes
}

fn pairs(before: &Connectivity, after: &Connectivity, source: usize, changes: &mut Vec<Change>) {
    let names = after.workloads();
    let none = Ports::default();
    let mut push = |destination: usize, becomes, ports: Ports| {
        if !ports.is_empty() {
            let source = Side::Workload(names[source].clone());
            let destination = Side::Workload(names[destination].clone());
            changes.push(Change { source, destination, becomes, ports });
        }
    };
    for (destination, now) in after.from(source) {
        let was = before.between(source, destination).unwrap_or(&none);
        push(destination, Becomes::Allowed, now.minus(was));
    }
    for (destination, was) in before.from(source) {
        let now = after.between(source, destination).unwrap_or(&none);
        push(destination, Becomes::Denied, was.minus(now));
    }
}

fn ranges([before, after]: [&Ranges; 2], changes: &mut Vec<Change>, ends: impl Fn(Range) -> (Side, Side)) {
    for (becomes, difference) in
        [(Becomes::Allowed, after.minus(before)), (Becomes::Denied, before.minus(after))]
    {
        for range in &difference {
            let (source, destination) = ends(range.clone());
            changes.push(Change { source, destination, becomes, ports: range.ports.clone() });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::evaluate::{Cluster, Snapshot};
    use crate::manifest::{Object, read};

    const PODS: &str = "
{apiVersion: v1, kind: Pod, metadata: {name: web, namespace: shop, labels: {app: web}}}
---
{apiVersion: v1, kind: Pod, metadata: {name: db, namespace: shop, labels: {app: db}}}
";

    fn ingress(name: &str, rules: &str) -> String {
        format!(
            "{{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {{name: {name}, namespace: shop}}, \
             spec: {{podSelector: {{matchLabels: {{app: db}}}}, ingress: {rules}}}}}"
        )
    }

    fn changes(before: &[String], after: &[String]) -> Vec<String> {
        let pods = read("pods", PODS.as_bytes());
        let snapshot = Arc::new(Snapshot::new(pods.objects.iter().map(|placed| &placed.object)));
        let connectivity = |texts: &[String]| {
            let objects = texts.iter().flat_map(|text| read("policies", text.as_bytes()).objects);
            let policies: Vec<_> = objects
                .filter_map(|placed| match placed.object {
                    Object::NetworkPolicy(policy) => Some(policy),
                    _ => None,
                })
                .collect();
            Connectivity::new(&Cluster::compile(Arc::clone(&snapshot), policies))
        };
        let side = |side: &Side| match side {
            Side::Workload(name) => name.name.to_string(),
            Side::Outside(range) => format!("{}-{}", range.first, range.last),
        };
        compare(&connectivity(before), &connectivity(after))
            .iter()
            .map(|one| {
                format!(
                    "{} -> {}: {} {}",
                    side(&one.source),
                    side(&one.destination),
                    one.becomes.as_str(),
                    one.ports
                )
            })
            .collect()
    }

    #[test]
    fn equal_meaning_is_no_change() {
        let one = ingress("a", "[{from: [{podSelector: {}}], ports: [{port: 80}, {port: 81}]}]");
        let range = ingress("b", "[{from: [{podSelector: {}}], ports: [{port: 80, endPort: 81}]}]");
        let split = [
            ingress("c", "[{from: [{podSelector: {}}], ports: [{port: 80}]}]"),
            ingress("d", "[{from: [{podSelector: {}}], ports: [{port: 81}]}]"),
        ];
        assert_eq!(changes(std::slice::from_ref(&one), &[range]), [""; 0]);
        assert_eq!(changes(&[one], &split), [""; 0]);
        assert_eq!(changes(&[], &[ingress("e", "[{}]")]), [""; 0]);
    }

    #[test]
    fn a_change_names_exactly_its_ports_and_addresses() {
        let before = ingress("a", "[{from: [{podSelector: {}}], ports: [{port: 80, endPort: 90}]}]");
        let after = ingress("a", "[{from: [{podSelector: {}}], ports: [{port: 85, endPort: 95}]}]");
        assert_eq!(
            changes(&[before], &[after]),
            ["web -> db: allowed TCP 91-95", "web -> db: denied TCP 80-84"]
        );
        let before = ingress("a", "[{from: [{ipBlock: {cidr: 10.0.0.0/8}}], ports: [{port: 80}]}]");
        let after = ingress("a", "[{from: [{ipBlock: {cidr: 10.0.0.0/9}}], ports: [{port: 80}]}]");
        assert_eq!(changes(&[before], &[after]), ["10.128.0.0-10.255.255.255 -> db: denied TCP 80"]);
    }
}
