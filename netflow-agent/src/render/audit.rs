//! An audit for people and as JSON: inventory, coverage and isolation first, then the findings.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde::Serialize;

use super::table;
use crate::audit::summary::{Coverage, Isolation, coverage, isolation};
use crate::audit::{Finding, Scene};

/// How many objects of each kind were read.
pub type Inventory = BTreeMap<String, usize>;

pub fn inventory(scene: &Scene<'_>) -> Inventory {
    let mut kinds = Inventory::new();
    for object in &scene.objects {
        *kinds.entry(object.kind_and_meta().0.to_owned()).or_default() += 1;
    }
    kinds
}

pub fn text(scene: &Scene<'_>, findings: &[Finding], out: &mut dyn Write) -> io::Result<()> {
    let counted: Vec<String> = inventory(scene).into_iter().map(|(kind, n)| format!("{n} {kind}")).collect();
    if counted.is_empty() {
        writeln!(out, "read: nothing")?;
    } else {
        writeln!(out, "read: {}", counted.join(", "))?;
    }
    writeln!(out)?;
    let rows: Vec<Vec<String>> = coverage(scene).iter().map(|(name, one)| coverage_row(name, one)).collect();
    table::write(&["NAMESPACE", "POLICIES", "WORKLOADS", "INGRESS", "EGRESS", "COVERAGE"], &rows, out)?;
    let rows: Vec<Vec<String>> = isolation(scene).iter().map(isolation_row).collect();
    if !rows.is_empty() {
        writeln!(out)?;
        table::write(&["WORKLOAD", "INGRESS", "EGRESS"], &rows, out)?;
    }
    writeln!(out)?;
    if findings.is_empty() {
        return writeln!(out, "no findings");
    }
    for finding in findings {
        writeln!(out, "{} {}: {}", finding.severity.as_str(), finding.id, finding.object)?;
        writeln!(out, "  {}", finding.reason)?;
        writeln!(out, "  fix: {}", finding.fix)?;
    }
    Ok(())
}

fn coverage_row(name: &str, one: &Coverage) -> Vec<String> {
    vec![
        name.to_owned(),
        one.policies.to_string(),
        one.workloads.to_string(),
        one.ingress.to_string(),
        one.egress.to_string(),
        one.per_cent().map_or_else(|| "-".to_owned(), |per_cent| format!("{per_cent}%")),
    ]
}

fn isolation_row(one: &Isolation) -> Vec<String> {
    let cell = |names: &[String]| if names.is_empty() { "open".to_owned() } else { names.join(",") };
    vec![one.workload.clone(), cell(&one.selecting[0]), cell(&one.selecting[1])]
}

#[derive(Serialize)]
struct Wire<'a> {
    inventory: Inventory,
    namespaces: Vec<WireCoverage<'a>>,
    workloads: Vec<WireIsolation<'a>>,
    findings: Vec<WireFinding<'a>>,
}

#[derive(Serialize)]
struct WireCoverage<'a> {
    namespace: &'a str,
    policies: usize,
    workloads: usize,
    ingress: usize,
    egress: usize,
    coverage: Option<usize>,
}

#[derive(Serialize)]
struct WireIsolation<'a> {
    workload: &'a str,
    ingress: &'a [String],
    egress: &'a [String],
}

#[derive(Serialize)]
struct WireFinding<'a> {
    id: &'a str,
    severity: &'a str,
    object: &'a str,
    reason: &'a str,
    fix: &'a str,
}

pub fn json(scene: &Scene<'_>, findings: &[Finding], out: &mut dyn Write) -> io::Result<()> {
    let (coverage, isolation) = (coverage(scene), isolation(scene));
    let wire = Wire {
        inventory: inventory(scene),
        namespaces: coverage
            .iter()
            .map(|(namespace, one)| WireCoverage {
                namespace,
                policies: one.policies,
                workloads: one.workloads,
                ingress: one.ingress,
                egress: one.egress,
                coverage: one.per_cent(),
            })
            .collect(),
        workloads: isolation
            .iter()
            .map(|one| WireIsolation {
                workload: &one.workload,
                ingress: &one.selecting[0],
                egress: &one.selecting[1],
            })
            .collect(),
        findings: findings
            .iter()
            .map(|one| WireFinding {
                id: one.id,
                severity: one.severity.as_str(),
                object: &one.object,
                reason: &one.reason,
                fix: &one.fix,
            })
            .collect(),
    };
    serde_json::to_writer_pretty(&mut *out, &wire)?;
    writeln!(out)
}
