//! Who is there: pods, pod templates, namespaces, nodes and Service addresses, indexed for policies.
//! In: objects, as of one moment. Out: the ends of names and addresses. Policies are not looked at.

use core::ops::Range;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use super::class::{Class, ClassId};
use super::end::{End, EndName, NodeId, Party, SubjectId};
use super::intern::{Word, Words, index};
use super::selector::{Labels, Selector};
use crate::identity::{Endpoint, WorkloadName};
use crate::manifest::{Object, WorkloadKind};

mod build;
mod owner;

/// A pod, or a workload's template when none of its pods is known.
#[derive(Clone, Debug)]
pub struct Subject {
    /// Kind `Pod` for a pod, else the workload whose template it is.
    pub name: WorkloadName,
    /// The topmost known owner; the pod itself when it has none.
    pub workload: WorkloadName,
    pub ips: Box<[IpAddr]>,
    pub host_network: bool,
    pub node: Option<NodeId>,
    pub(crate) class: ClassId,
}

impl Subject {
    pub fn is_template(&self) -> bool {
        self.name.kind != WorkloadKind::Pod
    }
}

/// A namespace and its classes, which are numbered one after the other.
#[derive(Debug)]
pub(super) struct NamespaceEntry {
    pub(super) labels: Labels,
    pub(super) classes: Range<ClassId>,
}

/// A node's name and every address of its own.
#[derive(Debug)]
pub(super) struct NodeEntry {
    pub(super) name: Arc<str>,
    pub(super) ips: Vec<IpAddr>,
}

/// A workload and what speaks for it.
#[derive(Debug)]
pub(super) struct WorkloadEntry {
    /// Not owned by another workload.
    pub(super) topmost: bool,
    /// Its running pods; else its template; else templates of what it owns; else finished pods.
    pub(super) members: Vec<SubjectId>,
}

/// The objects of one moment, ready to be judged by any number of policy sets.
#[derive(Debug, Default)]
pub struct Snapshot {
    pub(super) words: Words,
    pub(super) namespaces: BTreeMap<Arc<str>, u32>,
    pub(super) namespace_entries: Vec<NamespaceEntry>,
    pub(crate) classes: Vec<Class>,
    by_label: HashMap<(Word, Word), Vec<ClassId>>,
    pub(super) subjects: Vec<Subject>,
    /// Class -> its subjects, ascending.
    members: Vec<Vec<SubjectId>>,
    /// Beside each subject, small: its class, unless it is on the host network.
    pub(crate) plain: Vec<Option<ClassId>>,
    pods: BTreeMap<(Arc<str>, Arc<str>), SubjectId>,
    pub(super) workloads: BTreeMap<WorkloadName, WorkloadEntry>,
    pub(super) nodes: Vec<NodeEntry>,
    node_names: BTreeMap<Arc<str>, NodeId>,
    addresses: BTreeMap<IpAddr, End>,
}

/// The name was read, but no such object is in the input.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no {kind} `{namespace}/{name}` in the input{hint}")]
pub struct NoSuchEnd {
    pub kind: String,
    pub namespace: String,
    pub name: String,
    /// `: did you mean ...`, or empty.
    pub hint: String,
}

impl Snapshot {
    /// Objects as of one moment; of two pods of one name or address the later in the input counts.
    pub fn new<'a>(objects: impl IntoIterator<Item = &'a Object>) -> Self {
        build::build(objects)
    }

    /// The pods of a name, or the template of a workload without known pods; of an address its holder.
    pub fn resolve(&self, name: &EndName) -> Result<Party, NoSuchEnd> {
        match name {
            EndName::Address(ip) => Ok(Party::one(self.holder(*ip))),
            EndName::Workload(name) => self.workload(name).ok_or_else(|| self.no_such_end(name)),
        }
    }

    /// The ends of an edge's endpoint: all pods of a workload. None for what cannot be judged: a Service
    /// without known backends, an unknown address, a workload or node that is not in the snapshot.
    pub fn party(&self, endpoint: &Endpoint) -> Option<Party> {
        match endpoint {
            Endpoint::Workload(name) => self.workload(name),
            Endpoint::Node(name) => {
                self.node_names.get(name).map(|&id| Party::one(End::Node { id, ip: None }))
            }
            Endpoint::External(ip) => Some(Party::one(self.holder(*ip))),
            Endpoint::Service(_) | Endpoint::Unknown { .. } => None,
        }
    }

    /// Who holds an address: a running pod, a node, a Service, or nobody that policies know.
    pub fn holder(&self, ip: IpAddr) -> End {
        let ip = ip.to_canonical();
        self.addresses.get(&ip).copied().unwrap_or(End::Address(ip))
    }

    pub fn pod(&self, namespace: &str, name: &str) -> Option<End> {
        let id = *self.pods.get(&(namespace.into(), name.into()))?;
        Some(End::Subject { id, ip: None })
    }

    pub fn subject(&self, id: SubjectId) -> &Subject {
        &self.subjects[id.0 as usize]
    }

    pub fn subjects(&self) -> impl Iterator<Item = (SubjectId, &Subject)> {
        self.subjects.iter().enumerate().map(|(at, subject)| (SubjectId(index(at)), subject))
    }

    /// The labels that selectors see on a pod or template.
    pub fn labels(&self, id: SubjectId) -> BTreeMap<&str, &str> {
        let labels = self.classes[self.subject(id).class as usize].labels.iter();
        labels.map(|&(key, value)| (&**self.words.text(key), &**self.words.text(value))).collect()
    }

    pub fn node_ips(&self, id: NodeId) -> &[IpAddr] {
        &self.nodes[id.0 as usize].ips
    }

    pub fn node_name(&self, id: NodeId) -> &Arc<str> {
        &self.nodes[id.0 as usize].name
    }

    /// Workloads that no other owns, in order, with their pods or template.
    pub fn workloads(&self) -> impl Iterator<Item = (&WorkloadName, &[SubjectId])> {
        self.workloads
            .iter()
            .filter(|(_, entry)| entry.topmost && !entry.members.is_empty())
            .map(|(name, entry)| (name, entry.members.as_slice()))
    }

    /// The pods and templates of `namespace` (None: of all) that a pod selector matches, in order.
    pub fn select(&self, namespace: Option<&str>, selector: &LabelSelector) -> Vec<SubjectId> {
        let selector = Selector::new(selector, &self.words);
        let wanted = match namespace {
            Some(name) => Namespaces::One(self.namespaces.get(name).copied()),
            None => Namespaces::All,
        };
        let mut classes = self.classes_of(&selector, &wanted);
        classes.sort_unstable();
        classes.dedup();
        let members = classes.into_iter().filter_map(|class| self.members.get(class as usize));
        let mut subjects: Vec<SubjectId> = members.flatten().copied().collect();
        subjects.sort_unstable();
        subjects
    }

    /// The classes that a pod selector matches in some namespaces; unsorted, may repeat.
    pub(super) fn classes_of(&self, selector: &Selector, wanted: &Namespaces) -> Vec<ClassId> {
        if selector.matches_nothing() {
            return Vec::new();
        }
        let range = match wanted {
            Namespaces::One(None) => return Vec::new(),
            Namespaces::One(Some(namespace)) => self.namespace_entries[*namespace as usize].classes.clone(),
            Namespaces::All | Namespaces::Marked(_) => 0..index(self.classes.len()),
        };
        let keep = |class: &ClassId| {
            let class = &self.classes[*class as usize];
            let inside = match wanted {
                Namespaces::Marked(marked) => marked[class.namespace as usize],
                Namespaces::One(_) | Namespaces::All => true,
            };
            inside && selector.matches(&class.labels)
        };
        match selector.narrowest() {
            Some((key, values)) => values
                .iter()
                .filter_map(|&value| self.by_label.get(&(key, value)))
                .flat_map(|classes| {
                    let from = classes.partition_point(|&class| class < range.start);
                    classes[from..].iter().copied().take_while(|class| *class < range.end)
                })
                .filter(keep)
                .collect(),
            None => range.clone().filter(keep).collect(),
        }
    }

    /// The namespaces that a namespace selector matches.
    pub(super) fn namespaces_of(&self, selector: &LabelSelector) -> Namespaces {
        let selector = Selector::new(selector, &self.words);
        if selector.matches_everything() {
            return Namespaces::All;
        }
        let matches: Vec<bool> =
            self.namespace_entries.iter().map(|entry| selector.matches(&entry.labels)).collect();
        match matches.iter().filter(|matched| **matched).count() {
            0 => Namespaces::One(None),
            1 => Namespaces::One(matches.iter().position(|matched| *matched).map(index)),
            _ => Namespaces::Marked(matches),
        }
    }

    fn workload(&self, name: &WorkloadName) -> Option<Party> {
        if name.kind == WorkloadKind::Pod {
            return self.pod(&name.namespace, &name.name).map(Party::one);
        }
        let entry = self.workloads.get(name).or_else(|| {
            let same = |known: &&WorkloadName| {
                known.namespace == name.namespace
                    && known.name == name.name
                    && known.kind.as_str().eq_ignore_ascii_case(name.kind.as_str())
            };
            self.workloads.keys().find(same).and_then(|known| self.workloads.get(known))
        })?;
        let ends = entry.members.iter().map(|&id| End::Subject { id, ip: None }).collect();
        Some(Party { ends, replicated: true }).filter(|party| !party.ends.is_empty())
    }

    fn no_such_end(&self, name: &WorkloadName) -> NoSuchEnd {
        let mut near = self.workloads.keys().filter(|known| known.namespace == name.namespace);
        let hint = near
            .find(|known| {
                known.name == name.name || known.kind == name.kind && close(&known.name, &name.name)
            })
            .map(|known| format!(": did you mean `{}`?", EndName::Workload(known.clone())))
            .unwrap_or_default();
        NoSuchEnd {
            kind: name.kind.as_str().to_owned(),
            namespace: name.namespace.to_string(),
            name: name.name.to_string(),
            hint,
        }
    }
}

/// Which namespaces a peer means.
#[derive(Debug)]
pub(super) enum Namespaces {
    All,
    One(Option<u32>),
    Marked(Vec<bool>),
}

/// One is the beginning of the other: what a slip of the finger mostly looks like.
fn close(a: &str, b: &str) -> bool {
    a.starts_with(b) || b.starts_with(a)
}
