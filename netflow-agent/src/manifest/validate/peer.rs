//! Peers of a rule: which fields go together, and their CIDRs.

use k8s_openapi::api::networking::v1::{IPBlock, NetworkPolicyPeer};

use super::{Report, selector};
use crate::manifest::cidr::{self, Looseness};
use crate::manifest::convert::clip;

pub(super) fn peers(path: &str, peers: Option<&[NetworkPolicyPeer]>, report: &mut Report) {
    for (i, peer) in peers.unwrap_or_default().iter().enumerate() {
        let path = format!("{path}[{i}]");
        let selects = peer.pod_selector.is_some() || peer.namespace_selector.is_some();
        match &peer.ip_block {
            None if !selects => {
                report.error(&path, "a peer needs podSelector, namespaceSelector or ipBlock");
            }
            Some(_) if selects => report.error(&path, "ipBlock stands alone in its peer"),
            _ => {}
        }
        if let Some(chosen) = &peer.pod_selector {
            selector::selector(&format!("{path}.podSelector"), chosen, report);
        }
        if let Some(chosen) = &peer.namespace_selector {
            selector::selector(&format!("{path}.namespaceSelector"), chosen, report);
        }
        if let Some(block) = &peer.ip_block {
            ip_block(&format!("{path}.ipBlock"), block, report);
        }
    }
}

fn ip_block(path: &str, block: &IPBlock, report: &mut Report) {
    if block.cidr.is_empty() {
        return report.error(format!("{path}.cidr"), "empty: a CIDR is needed");
    }
    let outer = range(&format!("{path}.cidr"), &block.cidr, report);
    for (i, text) in block.except.iter().flatten().enumerate() {
        let path = format!("{path}.except[{i}]");
        let inner = range(&path, text, report);
        if let (Some(outer), Some(inner)) = (outer, inner)
            && (!outer.contains(&inner.network()) || outer.prefix_len() >= inner.prefix_len())
        {
            report.error(path, format!("`{}` is not inside `{}`", clip(text), clip(&block.cidr)));
        }
    }
}

fn range(path: &str, text: &str, report: &mut Report) -> Option<ipnet::IpNet> {
    match cidr::parse(text) {
        None => {
            report.error(path, format!("`{}` is no CIDR, such as 10.0.0.0/8 or 2001:db8::/32", clip(text)));
            None
        }
        Some(cidr) => {
            let what = match cidr.looseness {
                None => return Some(cidr.range),
                Some(Looseness::HostBits) => "has bits set after its prefix",
                Some(Looseness::LeadingZeros) => "has leading zeros",
                Some(Looseness::MappedIpv4) => "is IPv4 in IPv6 form",
            };
            let reason =
                format!("`{}` {what}: refused from Kubernetes 1.36 on; write {}", clip(text), cidr.range);
            report.warning(path, reason);
            Some(cidr.range)
        }
    }
}
