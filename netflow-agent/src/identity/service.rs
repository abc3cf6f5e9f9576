//! Service addresses translated as of then. In: Services, EndpointSlices and pods with their times. Out: for
//! an address, port and protocol in a span of time, the Service and the pod ports behind it.

use std::cell::OnceCell;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use super::{Dated, EndId, Ends, Holder, Inventory, Lookup, ServiceName};
use crate::manifest::{EndpointSlice, Labels, Service, ServicePort, ServiceType, SliceEndpoint, TargetPort};
use crate::net::Protocol;
use crate::time::Time;

/// Services that share one address at one time, at most; nobody needs to look at more to know that it is odd.
const MOST_RIVALS: usize = 16;

/// Where a Service's port leads, while it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    pub end: EndId,
    pub port: u16,
    pub from: Time,
    pub to: Time,
}

/// A Service's port that an address and port belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Position among the versions of Services.
    version: u32,
    port: u32,
}

/// One port of one version, and what is known to be behind it.
#[derive(Debug, Default)]
struct Behind {
    /// By EndpointSlices.
    sliced: Vec<Target>,
    /// By the selector, where no slice speaks of that time.
    selected: OnceCell<Vec<Target>>,
}

/// All Services with their addresses.
#[derive(Debug, Default)]
pub struct Services<'a> {
    versions: Vec<Dated<'a, Service>>,
    names: Vec<ServiceName>,
    behind: Vec<Vec<Behind>>,
    by_ip: HashMap<IpAddr, Vec<u32>>,
    by_node_port: HashMap<(u16, Protocol), Vec<Found>>,
    pods_by_label: OnceCell<LabelIndex<'a>>,
}

/// Namespace, label key and value -> pods that ever carried it.
type LabelIndex<'a> = HashMap<(&'a str, &'a str, &'a str), Vec<u32>>;

impl<'a> Services<'a> {
    pub fn of(inventory: &Inventory<'a>, lookup: &Lookup<'a>, ends: &mut Ends) -> Self {
        let mut slices: BTreeMap<(&str, &str), Vec<Dated<'a, EndpointSlice>>> = BTreeMap::new();
        for slice in &inventory.slices {
            if let Some(service) = &slice.object.service {
                slices.entry((&slice.object.meta.namespace, service)).or_default().push(*slice);
            }
        }
        let mut all = Self { versions: inventory.services.clone(), ..Self::default() };
        for (at, version) in (0u32..).zip(&inventory.services) {
            let service = version.object;
            let meta = &service.meta;
            all.names.push(ServiceName { namespace: meta.namespace.clone(), name: meta.name.clone() });
            for ip in
                service.cluster_ips.iter().chain(&service.external_ips).chain(&service.load_balancer_ips)
            {
                all.by_ip.entry(*ip).or_default().push(at);
            }
            let own = slices.get(&(&*meta.namespace, &*meta.name)).map_or(&[][..], Vec::as_slice);
            let mut behind = Vec::with_capacity(service.ports.len());
            for (nth, port) in (0u32..).zip(&service.ports) {
                if let Some(node_port) =
                    port.node_port.filter(|_| service.service_type != ServiceType::ClusterIp)
                {
                    let found = Found { version: at, port: nth };
                    all.by_node_port.entry((node_port, port.protocol)).or_default().push(found);
                }
                let known = sliced(port, own, lookup, ends);
                behind.push(Behind { sliced: known, selected: OnceCell::new() });
            }
            all.behind.push(behind);
        }
        all
    }

    /// The Service port that a client reached at this address in this span; `is_node` where the address is a
    /// node's, whose node ports lead to Services.
    pub fn find(
        &self,
        ip: IpAddr,
        port: u16,
        protocol: Protocol,
        span: (Time, Time),
        is_node: bool,
    ) -> Option<Found> {
        let of_address = self.at(ip, port, protocol, span).next();
        if of_address.is_some() || !is_node {
            return of_address;
        }
        let found = self.by_node_port.get(&(port, protocol))?;
        found.iter().rev().copied().find(|found| {
            let dated = &self.versions[found.version as usize];
            meets(span, dated.from, dated.to)
        })
    }

    /// Other Services than the one found that had its address and port in the same span: nobody can say by
    /// the address alone which of them it was.
    pub fn rivals(&self, found: Found, ip: IpAddr, span: (Time, Time)) -> Vec<Found> {
        if self.by_ip.get(&ip).is_none_or(|versions| versions.len() < 2) {
            return Vec::new();
        }
        let port = self.port(found);
        let mut rivals: Vec<Found> = self
            .at(ip, port.port, port.protocol, span)
            .filter(|other| self.name(*other) != self.name(found))
            .take(MOST_RIVALS)
            .collect();
        rivals.dedup_by_key(|other| self.name(*other));
        rivals
    }

    /// Every version with this address and port in this span, the latest of each Service first.
    fn at(
        &self,
        ip: IpAddr,
        port: u16,
        protocol: Protocol,
        span: (Time, Time),
    ) -> impl Iterator<Item = Found> {
        self.by_ip.get(&ip).into_iter().flatten().rev().filter_map(move |version| {
            let dated = &self.versions[*version as usize];
            let mut ports = dated.object.ports.iter();
            let at = ports.position(|one| one.port == port && one.protocol == protocol)?;
            meets(span, dated.from, dated.to)
                .then_some(Found { version: *version, port: u32::try_from(at).ok()? })
        })
    }

    /// The Service that has this address, whatever its ports.
    pub fn at_address(&self, ip: IpAddr, span: (Time, Time)) -> Option<&ServiceName> {
        let versions = self.by_ip.get(&ip)?;
        let at = versions.iter().rev().find(|at| {
            let dated = &self.versions[**at as usize];
            meets(span, dated.from, dated.to)
        })?;
        Some(&self.names[*at as usize])
    }

    /// Whether a Service ever had this address: nobody outside has it then.
    pub fn has(&self, ip: IpAddr) -> bool {
        self.by_ip.contains_key(&ip)
    }

    /// Whether an address is the Service's own, and not that of a node.
    pub fn is_own(&self, found: Found, ip: IpAddr) -> bool {
        self.by_ip.get(&ip).is_some_and(|versions| versions.contains(&found.version))
    }

    /// Whether a node that forwards to this Service puts its own address in the client's place.
    pub fn hides_client(&self, found: Found) -> bool {
        !self.versions[found.version as usize].object.external_traffic_local
    }

    pub fn name(&self, found: Found) -> &ServiceName {
        &self.names[found.version as usize]
    }

    /// The port to name where nobody is known behind it: the target's number, or the Service's own.
    pub fn nominal_port(&self, found: Found) -> u16 {
        let port = self.port(found);
        match port.target {
            TargetPort::Number(number) => number,
            TargetPort::Name(_) => port.port,
        }
    }

    /// The targets in a span, each once, sorted. Empty: backends not known.
    pub fn targets(
        &self,
        found: Found,
        span: (Time, Time),
        inventory: &Inventory<'a>,
        ends: &Ends,
    ) -> Vec<(EndId, u16)> {
        let behind = &self.behind[found.version as usize][found.port as usize];
        let mut targets = in_span(&behind.sliced, span);
        if targets.is_empty() {
            let selected = behind.selected.get_or_init(|| self.selected(found, inventory, ends));
            targets = in_span(selected, span);
        }
        targets
    }

    fn port(&self, found: Found) -> &'a ServicePort {
        &self.versions[found.version as usize].object.ports[found.port as usize]
    }

    fn selected(&self, found: Found, inventory: &Inventory<'a>, ends: &Ends) -> Vec<Target> {
        let service = self.versions[found.version as usize].object;
        let Some(selector) = service.selector.as_ref().filter(|selector| !selector.is_empty()) else {
            return Vec::new();
        };
        let index = self.pods_by_label.get_or_init(|| label_index(inventory));
        let candidates = selector
            .iter()
            .map(|(key, value)| {
                index.get(&(&*service.meta.namespace, &**key, &**value)).map_or(&[][..], Vec::as_slice)
            })
            .min_by_key(|pods| pods.len())
            .unwrap_or_default();
        let port = self.port(found);
        let mut targets = Vec::new();
        for at in candidates {
            let known = &inventory.pods[*at as usize];
            let chosen = carries(&known.pod.meta.labels, selector)
                || known.earlier.iter().any(|version| carries(&version.meta.labels, selector));
            let number = match &port.target {
                TargetPort::Number(number) => Some(*number),
                TargetPort::Name(name) => named(&known.pod.ports, name, port.protocol),
            };
            if let Some(number) = number.filter(|_| chosen) {
                let end = ends.holder(Holder::Pod(*at));
                targets.push(Target { end, port: number, from: known.from, to: known.to });
            }
        }
        collapse(targets)
    }
}

fn label_index<'a>(inventory: &Inventory<'a>) -> LabelIndex<'a> {
    let mut index = LabelIndex::new();
    for (at, known) in (0u32..).zip(&inventory.pods) {
        for version in known.earlier.iter().chain([&known.pod]) {
            for (key, value) in &version.meta.labels {
                let pods = index.entry((&version.meta.namespace, key, value)).or_default();
                if pods.last() != Some(&at) {
                    pods.push(at);
                }
            }
        }
    }
    index
}

fn carries(labels: &Labels, selector: &Labels) -> bool {
    selector.iter().all(|(key, value)| labels.get(key) == Some(value))
}

fn named(ports: &[crate::manifest::ContainerPort], name: &str, protocol: Protocol) -> Option<u16> {
    ports
        .iter()
        .find(|port| port.name.as_deref() == Some(name) && port.protocol == protocol)
        .map(|port| port.port)
}

/// What the slices of a Service say about one of its ports.
fn sliced(
    port: &ServicePort,
    slices: &[Dated<'_, EndpointSlice>],
    lookup: &Lookup<'_>,
    ends: &mut Ends,
) -> Vec<Target> {
    let mut targets = Vec::new();
    for slice in slices {
        let same = |name: &Option<std::sync::Arc<str>>| {
            name.as_deref().unwrap_or("") == port.name.as_deref().unwrap_or("")
        };
        let Some(spoken) =
            slice.object.ports.iter().find(|one| same(&one.name) && one.protocol == port.protocol)
        else {
            continue;
        };
        // A slice without a number means every port; then the Service's own words count, a name for each pod.
        let number = match (spoken.port, &port.target) {
            (Some(number), _) => number,
            (None, TargetPort::Number(number)) => *number,
            (None, TargetPort::Name(_)) => continue,
        };
        let any_ready = slice.object.endpoints.iter().any(|endpoint| endpoint.ready);
        for endpoint in slice.object.endpoints.iter().filter(|endpoint| endpoint.ready || !any_ready) {
            for end in behind(endpoint, (slice.from, slice.to), lookup, ends) {
                targets.push(Target { end, port: number, from: slice.from, to: slice.to });
            }
        }
    }
    collapse(targets)
}

/// Who an endpoint of a slice is: its pod, or who held its address, or an address outside.
fn behind(endpoint: &SliceEndpoint, span: (Time, Time), lookup: &Lookup<'_>, ends: &mut Ends) -> Vec<EndId> {
    if let Some(pod) = endpoint.pod.as_deref().and_then(|uid| lookup.pod(uid)) {
        return vec![ends.holder(Holder::Pod(pod))];
    }
    let mut found = Vec::new();
    for ip in &endpoint.ips {
        let before = found.len();
        found.extend(lookup.holds(*ip, span.0, span.1).map(|hold| ends.holder(hold.holder)));
        if found.len() == before {
            let unknown =
                endpoint.pod.is_some() || lookup.is_pod_network(*ip) || !lookup.ever(*ip).is_empty();
            found.push(if unknown { ends.unknown(*ip, super::NO_HOLDER) } else { ends.external(*ip) });
        }
    }
    found
}

/// Sorted, with touching spans of one target made one.
fn collapse(mut targets: Vec<Target>) -> Vec<Target> {
    targets.sort_unstable();
    targets.dedup_by(|later, earlier| {
        let touching = later.end == earlier.end && later.port == earlier.port && later.from <= earlier.to;
        if touching {
            earlier.to = earlier.to.max(later.to);
        }
        touching
    });
    targets
}

fn in_span(targets: &[Target], span: (Time, Time)) -> Vec<(EndId, u16)> {
    let mut found: Vec<(EndId, u16)> = targets
        .iter()
        .filter(|target| meets(span, target.from, target.to))
        .map(|one| (one.end, one.port))
        .collect();
    found.dedup();
    found
}

fn meets(span: (Time, Time), from: Time, to: Time) -> bool {
    from <= span.1 && span.0 <= to
}
