//! The spec of a NetworkPolicy, clause by clause as the API server does.

use k8s_openapi::api::networking::v1::{NetworkPolicyPort, NetworkPolicySpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{Report, name, peer, selector};
use crate::manifest::convert::clip;
use crate::net::Protocol;

pub(super) fn spec(spec: &NetworkPolicySpec, report: &mut Report) {
    if let Some(chosen) = &spec.pod_selector {
        selector::selector("spec.podSelector", chosen, report);
    }
    for (i, rule) in spec.ingress.iter().flatten().enumerate() {
        ports(&format!("spec.ingress[{i}].ports"), rule.ports.as_deref(), report);
        peer::peers(&format!("spec.ingress[{i}].from"), rule.from.as_deref(), report);
    }
    for (i, rule) in spec.egress.iter().flatten().enumerate() {
        ports(&format!("spec.egress[{i}].ports"), rule.ports.as_deref(), report);
        peer::peers(&format!("spec.egress[{i}].to"), rule.to.as_deref(), report);
    }
    let types = spec.policy_types.as_deref().unwrap_or_default();
    if types.len() > 2 {
        report.error("spec.policyTypes", format!("{} entries: at most two", types.len()));
    }
    for (i, named) in types.iter().enumerate() {
        if !matches!(named.as_str(), "Ingress" | "Egress") {
            let reason = format!("`{}` is no policy type: Ingress or Egress", clip(named));
            report.error(format!("spec.policyTypes[{i}]"), reason);
        }
    }
}

fn ports(path: &str, ports: Option<&[NetworkPolicyPort]>, report: &mut Report) {
    for (i, port) in ports.unwrap_or_default().iter().enumerate() {
        let path = format!("{path}[{i}]");
        if let Some(protocol) = &port.protocol
            && protocol.parse::<Protocol>().is_err()
        {
            let reason = format!("`{}` is no protocol: TCP, UDP or SCTP", clip(protocol));
            report.error(format!("{path}.protocol"), reason);
        }
        port_range(&path, port, report);
    }
}

fn is_port(number: i32) -> bool {
    (1..=65_535).contains(&number)
}

fn port_range(path: &str, port: &NetworkPolicyPort, report: &mut Report) {
    match (&port.port, port.end_port) {
        (None, None) => {}
        (None, Some(_)) => report.error(format!("{path}.port"), "needed where `endPort` is given"),
        (Some(IntOrString::String(text)), end) => {
            if end.is_some() {
                report.error(format!("{path}.endPort"), "only with a number as `port`");
            }
            report.check(&format!("{path}.port"), name::port(text));
        }
        (Some(IntOrString::Int(first)), end) => {
            if !is_port(*first) {
                report.error(format!("{path}.port"), format!("{first} is no port: use 1 to 65535"));
            }
            let Some(last) = end else { return };
            if !is_port(last) {
                report.error(format!("{path}.endPort"), format!("{last} is no port: use 1 to 65535"));
            } else if last < *first {
                report.error(format!("{path}.endPort"), format!("{last} is below `port`, {first}"));
            }
        }
    }
}
