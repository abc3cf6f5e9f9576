//! Every object that a recording knows, by kind, with the time it was so. In: observed objects and the window.
//! Out: pods as one life per UID with their workload, and the latest version of everything else; all sorted.

use std::net::IpAddr;

use super::WorkloadName;
use super::history::{Stated, settle};
use super::owner::Owners;
use super::pod::{self, PodHold};
use crate::manifest::{
    Caller, EndpointSlice, Meta, Namespace, NetworkPolicy, Node, Object, Pod, Service, Workload,
};
use crate::recording::Observed;
use crate::time::{Time, Window};

/// One pod's life.
#[derive(Clone, Debug)]
pub struct KnownPod<'a> {
    /// As last seen.
    pub pod: &'a Pod,
    /// Other versions of it, oldest first: labels change while a pod runs.
    pub earlier: Vec<&'a Pod>,
    pub workload: WorkloadName,
    pub from: Time,
    pub to: Time,
    /// Which addresses it held, and when.
    pub holds: Vec<PodHold>,
}

/// A version of an object and when it was so.
#[derive(Debug)]
pub struct Dated<'a, T> {
    pub object: &'a T,
    pub from: Time,
    pub to: Time,
}

// Derived, these would ask that the object itself can be copied.
impl<T> Clone for Dated<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Dated<'_, T> {}

/// A node, when it was so, and its pods' default gateways.
#[derive(Clone, Debug)]
pub struct KnownNode<'a> {
    pub node: Dated<'a, Node>,
    pub gateways: &'a [IpAddr],
}

/// All that is known of the cluster. Objects that ended before the window, or began after it, are there for
/// pods, nodes, Services and slices only, since a flow may reach over the window's edge.
#[derive(Clone, Debug, Default)]
pub struct Inventory<'a> {
    /// Of the window: what does not say when it began is taken from here on.
    pub begin: Option<Time>,
    /// By namespace, name, UID.
    pub pods: Vec<KnownPod<'a>>,
    /// By name; every version.
    pub nodes: Vec<KnownNode<'a>>,
    /// By namespace and name; every version.
    pub services: Vec<Dated<'a, Service>>,
    /// By namespace and name; every version.
    pub slices: Vec<Dated<'a, EndpointSlice>>,
    pub namespaces: Vec<&'a Namespace>,
    /// Deployments, ReplicaSets, ..., CronJobs: the keepers of pod templates.
    pub workloads: Vec<&'a Workload>,
    /// `workloads[i]` belongs to `templates[i]`: itself, or who keeps it.
    pub templates: Vec<WorkloadName>,
    pub policies: Vec<&'a NetworkPolicy>,
    pub callers: Vec<&'a Caller>,
    /// Policies of other dialects, by kind: answers about this cluster are incomplete.
    pub other_policies: Vec<(&'a str, &'a Meta)>,
}

impl<'a> Inventory<'a> {
    pub fn of(objects: &'a [Observed], window: Window) -> Self {
        let mut kinds = Kinds::default();
        for observed in objects {
            kinds.sort_in(observed);
        }
        let workloads = current(kinds.workloads, window, |one| &one.meta, |one| one.kind.clone());
        let mut owners = Owners::of(workloads.iter().copied());
        Self {
            begin: Some(window.from),
            pods: pods(kinds.pods, window, &mut owners),
            nodes: nodes(kinds.nodes, window),
            services: dated(kinds.services, window, |one| &one.meta)
                .into_iter()
                .map(|(_, one)| one)
                .collect(),
            slices: dated(kinds.slices, window, |one| &one.meta).into_iter().map(|(_, one)| one).collect(),
            namespaces: current(kinds.namespaces, window, |one| &one.meta, |_| ()),
            templates: workloads.iter().map(|workload| owners.of_template(workload)).collect(),
            workloads,
            policies: current(kinds.policies, window, |one| &one.meta, |_| ()),
            callers: current(kinds.callers, window, |one| &one.meta, |one| one.kind),
            other_policies: other_policies(kinds.others, window),
        }
    }
}

type Statements<'a, T> = Vec<(&'a Observed, &'a T)>;

/// The objects apart by kind.
#[derive(Default)]
struct Kinds<'a> {
    pods: Statements<'a, Pod>,
    nodes: Statements<'a, Node>,
    services: Statements<'a, Service>,
    slices: Statements<'a, EndpointSlice>,
    namespaces: Statements<'a, Namespace>,
    workloads: Statements<'a, Workload>,
    policies: Statements<'a, NetworkPolicy>,
    callers: Statements<'a, Caller>,
    others: Vec<(&'a Observed, &'a str, &'a Meta)>,
}

impl<'a> Kinds<'a> {
    fn sort_in(&mut self, observed: &'a Observed) {
        match &*observed.object {
            Object::Pod(one) => self.pods.push((observed, one)),
            Object::Node(one) => self.nodes.push((observed, one)),
            Object::Service(one) => self.services.push((observed, one)),
            Object::EndpointSlice(one) => self.slices.push((observed, one)),
            Object::Namespace(one) => self.namespaces.push((observed, one)),
            Object::Workload(one) => self.workloads.push((observed, one)),
            Object::NetworkPolicy(one) => self.policies.push((observed, one)),
            Object::Caller(one) => self.callers.push((observed, one)),
            Object::OtherPolicy { kind, meta } => self.others.push((observed, kind, meta)),
            Object::Other { .. } => {}
        }
    }
}

/// What makes two statements be about one object: the UID, where there is one, in a namespace under a name.
fn identity(meta: &Meta) -> (&str, &str, &str) {
    (&meta.namespace, &meta.name, meta.uid.as_deref().unwrap_or(""))
}

fn pods<'a>(
    mut statements: Statements<'a, Pod>,
    window: Window,
    owners: &mut Owners<'a>,
) -> Vec<KnownPod<'a>> {
    statements.sort_by(|(one, a), (other, b)| {
        identity(&a.meta)
            .cmp(&identity(&b.meta))
            .then_with(|| (one.from, one.to).cmp(&(other.from, other.to)))
    });
    let mut known = Vec::new();
    for group in statements.chunk_by(|(_, a), (_, b)| identity(&a.meta) == identity(&b.meta)) {
        let mut life = pod::life(group, window);
        let Some(pod) = life.versions.pop() else { continue };
        known.push(KnownPod {
            pod,
            earlier: life.versions,
            workload: owners.workload(pod),
            from: life.from,
            to: life.to,
            holds: life.holds,
        });
    }
    known
}

/// Every version of every object, sorted by identity and time.
fn dated<T: PartialEq>(
    mut statements: Statements<'_, T>,
    window: Window,
    meta: impl Fn(&T) -> &Meta,
) -> Vec<(&Observed, Dated<'_, T>)> {
    statements.sort_by(|(one, a), (other, b)| {
        identity(meta(a))
            .cmp(&identity(meta(b)))
            .then_with(|| (one.from, one.to).cmp(&(other.from, other.to)))
    });
    let mut versions = Vec::with_capacity(statements.len());
    for group in statements.chunk_by(|(_, a), (_, b)| identity(meta(a)) == identity(meta(b))) {
        let stated: Vec<Stated> =
            group.iter().map(|(observed, _)| Stated { from: observed.from, to: observed.to }).collect();
        let spans = settle(&stated, window, |one, other| group[one].1 == group[other].1);
        for ((observed, object), span) in group.iter().zip(spans) {
            versions.push((*observed, Dated { object: *object, from: span.from, to: span.to }));
        }
    }
    versions
}

/// The latest version of each object that was there in the window, sorted by namespace, name and kind.
fn current<'a, T: PartialEq, K: Ord>(
    statements: Statements<'a, T>,
    window: Window,
    meta: impl Fn(&T) -> &Meta + Copy,
    kind: impl Fn(&T) -> K,
) -> Vec<&'a T> {
    let mut versions = dated(statements, window, meta);
    versions.retain(|(_, version)| window.meets(version.from, version.to));
    versions.sort_by(|(_, a), (_, b)| {
        let key = |one: &Dated<'a, T>| (one.to, one.from);
        name(meta(a.object))
            .cmp(&name(meta(b.object)))
            .then_with(|| kind(a.object).cmp(&kind(b.object)))
            .then_with(|| key(b).cmp(&key(a)))
    });
    versions.dedup_by(|(_, later), (_, earlier)| {
        name(meta(later.object)) == name(meta(earlier.object)) && kind(later.object) == kind(earlier.object)
    });
    versions.into_iter().map(|(_, version)| version.object).collect()
}

fn name(meta: &Meta) -> (&str, &str) {
    (&meta.namespace, &meta.name)
}

/// Only a node's own agent tells its pods' gateways, and only once it knows its own address: they are those of
/// every version of the node.
fn nodes(statements: Statements<'_, Node>, window: Window) -> Vec<KnownNode<'_>> {
    let versions = dated(statements, window, |one| &one.meta);
    let mut known: Vec<KnownNode<'_>> = versions
        .into_iter()
        .map(|(observed, node)| KnownNode { node, gateways: &observed.gateways })
        .collect();
    for versions in
        known.chunk_by_mut(|one, other| identity(&one.node.object.meta) == identity(&other.node.object.meta))
    {
        let told = versions.iter().map(|version| version.gateways).find(|gateways| !gateways.is_empty());
        for version in versions.iter_mut().filter(|version| version.gateways.is_empty()) {
            version.gateways = told.unwrap_or_default();
        }
    }
    known
}

fn other_policies<'a>(
    others: Vec<(&'a Observed, &'a str, &'a Meta)>,
    window: Window,
) -> Vec<(&'a str, &'a Meta)> {
    let mut known: Vec<(&str, &Meta)> = others
        .into_iter()
        .filter(|(observed, ..)| {
            window.meets(observed.from.unwrap_or(Time::MIN), observed.to.unwrap_or(Time::MAX))
        })
        .map(|(_, kind, meta)| (kind, meta))
        .collect();
    known.sort_by(|(one, a), (other, b)| (one, name(a)).cmp(&(other, name(b))));
    known.dedup_by(|(one, a), (other, b)| (one, name(a)) == (other, name(b)));
    known
}
