//! The objects that declare callers: who calls is the control plane, an ingress controller or a scraper;
//! what is called stands here, as the object names it.

use std::sync::Arc;

use serde::Deserialize;
use serde::de::Deserializer;

use super::caller_wire as wire;
use super::convert::{Fault, meta, port, target_port, word};
use super::{Caller, CallerKind, CallerTarget, TargetPort, Words};

/// The outer error is the deserializer's.
pub(super) fn caller<'de, D: Deserializer<'de>>(
    kind: CallerKind,
    namespaced: Option<bool>,
    from: D,
    words: &mut Words,
) -> Result<Result<Caller, Fault>, D::Error> {
    Ok(match kind {
        CallerKind::ValidatingWebhook | CallerKind::MutatingWebhook => {
            let wire = wire::WebhookConfiguration::deserialize(from)?;
            let clients = wire.webhooks.unwrap_or_default().into_iter().map(|hook| hook.client_config);
            let services = clients.flatten().filter_map(|client| client.service).collect();
            called(kind, meta(wire.metadata, namespaced, words), services, words)
        }
        CallerKind::ConversionWebhook => {
            let wire = wire::Definition::deserialize(from)?;
            let hook = wire.spec.and_then(|spec| spec.conversion).and_then(|conversion| conversion.webhook);
            let service = hook.and_then(|hook| hook.client_config).and_then(|client| client.service);
            called(kind, meta(wire.metadata, namespaced, words), service.into_iter().collect(), words)
        }
        CallerKind::ApiService => {
            let wire = wire::ApiService::deserialize(from)?;
            let service = wire.spec.and_then(|spec| spec.service);
            called(kind, meta(wire.metadata, namespaced, words), service.into_iter().collect(), words)
        }
        CallerKind::Ingress => ingress(wire::Ingress::deserialize(from)?, words),
        CallerKind::Gateway => meta(wire::Gateway::deserialize(from)?.metadata, namespaced, words)
            .map(|meta| Caller { meta, kind, targets: Vec::new() }),
        CallerKind::Route => route(wire::Route::deserialize(from)?, words),
        CallerKind::PodMonitor | CallerKind::ServiceMonitor => {
            monitor(kind, wire::Monitor::deserialize(from)?, words)
        }
    })
}

/// Webhooks and aggregated APIs name Services; 443 where they name no port.
fn called(
    kind: CallerKind,
    meta: Result<super::Meta, Fault>,
    services: Vec<wire::ServiceReference<'_>>,
    words: &mut Words,
) -> Result<Caller, Fault> {
    let mut targets = Vec::new();
    for service in services {
        targets.push(CallerTarget::Service {
            namespace: words.intern(&service.namespace.unwrap_or_default().0),
            name: words.intern(&service.name.unwrap_or_default().0),
            port: Some(TargetPort::Number(port("service.port", service.port.unwrap_or(443))?)),
        });
    }
    Ok(Caller { meta: meta?, kind, targets })
}

fn ingress(wire: wire::Ingress<'_>, words: &mut Words) -> Result<Caller, Fault> {
    let meta = meta(wire.metadata, Some(true), words)?;
    let spec = wire.spec.unwrap_or_default();
    let paths = (spec.rules.unwrap_or_default().into_iter())
        .filter_map(|rule| rule.http)
        .flat_map(|http| http.paths.unwrap_or_default())
        .filter_map(|path| path.backend);
    let mut targets = Vec::new();
    for service in spec.default_backend.into_iter().chain(paths).filter_map(|backend| backend.service) {
        let named = service.port.unwrap_or_default();
        let number = named.number.filter(|&number| number != 0);
        targets.push(CallerTarget::Service {
            namespace: Arc::clone(&meta.namespace),
            name: words.intern(&service.name.unwrap_or_default().0),
            port: match number {
                Some(number) => Some(TargetPort::Number(port("backend.service.port.number", number)?)),
                None => word(named.name.as_ref(), words).map(TargetPort::Name),
            },
        });
    }
    Ok(Caller { meta, kind: CallerKind::Ingress, targets })
}

fn route(wire: wire::Route<'_>, words: &mut Words) -> Result<Caller, Fault> {
    let meta = meta(wire.metadata, Some(true), words)?;
    let rules = wire.spec.and_then(|spec| spec.rules).unwrap_or_default();
    let mut targets = Vec::new();
    for backend in rules.into_iter().flat_map(|rule| rule.backend_refs.unwrap_or_default()) {
        if backend.kind.as_ref().is_some_and(|kind| kind.0 != "Service") {
            continue;
        }
        let number = backend.port.map(|number| port("backendRefs.port", number)).transpose()?;
        targets.push(CallerTarget::Service {
            namespace: word(backend.namespace.as_ref(), words).unwrap_or_else(|| Arc::clone(&meta.namespace)),
            name: words.intern(&backend.name.unwrap_or_default().0),
            port: number.map(TargetPort::Number),
        });
    }
    Ok(Caller { meta, kind: CallerKind::Route, targets })
}

/// A monitor selects in its own namespace unless it says otherwise.
fn monitor(kind: CallerKind, wire: wire::Monitor<'_>, words: &mut Words) -> Result<Caller, Fault> {
    let meta = meta(wire.metadata, Some(true), words)?;
    let spec = wire.spec.unwrap_or_default();
    let chosen = spec.namespace_selector.unwrap_or_default();
    let mut namespaces: Vec<Arc<str>> =
        chosen.match_names.unwrap_or_default().iter().map(|name| words.intern(&name.0)).collect();
    if chosen.any == Some(true) {
        namespaces.clear();
    } else if namespaces.is_empty() {
        namespaces.push(Arc::clone(&meta.namespace));
    }
    let endpoints = match kind {
        CallerKind::PodMonitor => spec.pod_metrics_endpoints,
        _ => spec.endpoints,
    };
    let mut targets = Vec::new();
    for endpoint in endpoints.unwrap_or_default() {
        let port = match (&endpoint.target_port, endpoint.port_number) {
            _ if endpoint.port.is_some() => word(endpoint.port.as_ref(), words).map(TargetPort::Name),
            (_, Some(number)) => Some(TargetPort::Number(port("portNumber", number)?)),
            (Some(target), None) => Some(target_port("targetPort", target, words)?),
            (None, None) => None,
        };
        targets.push(CallerTarget::Selected {
            namespaces: namespaces.clone(),
            selector: spec.selector.clone().unwrap_or_default(),
            port,
        });
    }
    Ok(Caller { meta, kind, targets })
}
