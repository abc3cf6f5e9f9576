//! Findings about a policy set, each with an id, a severity, an object, the reason and the fix. In: the objects
//! of one moment and their compiled policies. Out: findings, sorted; one file for each kind of finding.

use std::collections::BTreeSet;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use crate::edge::EdgeKey;
use crate::manifest;
use crate::manifest::cni::Cni;

mod and_or;
mod cross_namespace;
mod deny_all;
mod dns;
mod half_open;
mod hidden_client;
mod host_network;
mod ignored_rules;
mod invalid;
mod metadata_address;
mod missing_labels;
mod missing_ports;
mod named_port;
mod namespace_without_policy;
mod over_broad;
mod plugin;
pub mod pod;
mod redundant;
mod reversed;
pub mod scene;
pub mod selector;
mod selects_nothing;
mod sensitive;
mod service_port;
pub mod summary;
mod unused;

pub use scene::Scene;

/// How bad. A note is worth knowing; a warning is likely not what was meant; an error does not work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    Error,
    Warning,
    Note,
}

impl Severity {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// Every id of a finding. Each has a case that raises it and a near miss that does not; a test sees to that.
pub const IDS: [&str; 27] = [
    "and-written-as-or",
    "cni",
    "cross-namespace-label",
    "deny-all-that-is-none",
    "egress-without-dns",
    "half-open",
    "hidden-client",
    "host-network",
    "ignored-rules",
    "manifest",
    "metadata-reachable",
    "missing-label",
    "missing-ports",
    "named-port",
    "namespace-without-policy",
    "or-written-as-and",
    "over-broad",
    "redundant-policy",
    "redundant-rule",
    "refused",
    "reversed-selectors",
    "selects-nothing",
    "sensitive-reachable",
    "service-port",
    "unknown-field",
    "unused-rule",
    "version-dependent",
];

/// One fault, one sentence on why, one on what to do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    pub severity: Severity,
    pub id: &'static str,
    /// `NetworkPolicy shop/web`, and the path within it.
    pub object: String,
    pub reason: String,
    pub fix: String,
}

/// What the findings depend on besides the objects.
#[derive(Debug, Default)]
pub struct Options<'a> {
    pub cni: Option<Cni>,
    /// Pods that few should reach.
    pub sensitive: Option<LabelSelector>,
    /// What was observed; None without a recording.
    pub observed: Option<&'a BTreeSet<EdgeKey>>,
}

/// Findings so far.
#[derive(Debug, Default)]
struct Report(Vec<Finding>);

impl Report {
    fn push(
        &mut self,
        severity: Severity,
        id: &'static str,
        object: impl Into<String>,
        reason: impl Into<String>,
        fix: impl Into<String>,
    ) {
        debug_assert!(IDS.contains(&id), "{id} is not in the list of ids");
        let (object, reason, fix) = (object.into(), reason.into(), fix.into());
        self.0.push(Finding { severity, id, object, reason, fix });
    }
}

/// All findings: errors first, then by id and object.
pub fn audit(scene: &Scene<'_>, manifests: &[manifest::Finding], options: &Options<'_>) -> Vec<Finding> {
    let mut report = Report::default();
    invalid::find(manifests, &mut report);
    for find in [
        and_or::find,
        cross_namespace::find,
        deny_all::find,
        dns::find,
        half_open::find,
        hidden_client::find,
        host_network::find,
        ignored_rules::find,
        metadata_address::find,
        missing_labels::find,
        missing_ports::find,
        named_port::find,
        namespace_without_policy::find,
        over_broad::find,
        redundant::find,
        reversed::find,
        selects_nothing::find,
        service_port::find,
    ] {
        find(scene, &mut report);
    }
    if let Some(cni) = options.cni {
        plugin::find(scene, cni, &mut report);
    }
    if let Some(selector) = &options.sensitive {
        sensitive::find(scene, selector, options.observed, &mut report);
    }
    if let Some(observed) = options.observed {
        unused::find(scene, observed, &mut report);
    }
    report.0.sort();
    report.0.dedup();
    report.0
}

#[cfg(test)]
mod tests;
