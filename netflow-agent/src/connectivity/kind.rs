//! Kinds of pod: those that no rule can tell apart, by selector, port name or address. In: a cluster. Out: each
//! kind once, with the workloads that have pods of it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::evaluate::class::ClassId;
use crate::evaluate::end::SubjectId;
use crate::evaluate::{Cluster, End, Pair};
use crate::identity::WorkloadName;
use crate::manifest::WorkloadKind;

/// One kind within one workload.
#[derive(Debug)]
pub(super) struct Kind {
    pub(super) workload: u32,
    pub(super) class: ClassId,
    /// One of its pods; any other would be judged alike.
    pub(super) pod: SubjectId,
    /// A bare pod: there is no other like it.
    pub(super) alone: bool,
}

#[derive(Debug, Default)]
pub(super) struct Kinds {
    pub(super) list: Vec<Kind>,
    /// Class -> its kinds.
    pub(super) by_class: Vec<Vec<u32>>,
    /// The addresses of all kinds, sorted.
    pub(super) addresses: Vec<(IpAddr, u32)>,
    pub(super) workloads: Vec<WorkloadName>,
    pub(super) host_network: Vec<WorkloadName>,
}

impl Kinds {
    pub(super) fn new(cluster: &Cluster) -> Self {
        let snapshot = cluster.snapshot();
        let mut kinds = Self { by_class: vec![Vec::new(); snapshot.classes.len()], ..Self::default() };
        for (name, members) in snapshot.workloads() {
            let mut different = BTreeMap::new();
            for &id in members {
                let pod = snapshot.subject(id);
                if !pod.host_network {
                    let places: Vec<_> = pod.ips.iter().map(|ip| cluster.sides.space.place(*ip)).collect();
                    different.entry((pod.class, places)).or_insert(id);
                }
            }
            if different.is_empty() {
                kinds.host_network.push(name.clone());
                continue;
            }
            let workload = number(kinds.workloads.len());
            kinds.workloads.push(name.clone());
            let alone = name.kind == WorkloadKind::Pod;
            for ((class, _), pod) in different {
                let kind = number(kinds.list.len());
                kinds.by_class[class as usize].push(kind);
                kinds.addresses.extend(snapshot.subject(pod).ips.iter().map(|&ip| (ip, kind)));
                kinds.list.push(Kind { workload, class, pod, alone });
            }
        }
        kinds.addresses.sort_unstable();
        kinds
    }

    pub(super) fn get(&self, kind: u32) -> &Kind {
        &self.list[kind as usize]
    }

    /// Two pods of these kinds; None for a bare pod and itself.
    pub(super) fn pair(&self, from: u32, to: u32) -> Option<Pair> {
        let end = |kind: u32| End::Subject { id: self.get(kind).pod, ip: None };
        let twins = from == to;
        if twins && self.get(from).alone {
            return None;
        }
        Some(Pair { from: end(from), to: end(to), twins })
    }

    /// The kinds that have an address in a range.
    pub(super) fn within(&self, first: IpAddr, last: IpAddr) -> impl Iterator<Item = u32> + '_ {
        let from = self.addresses.partition_point(|(ip, _)| *ip < first);
        self.addresses[from..].iter().take_while(move |(ip, _)| *ip <= last).map(|&(_, kind)| kind)
    }
}

pub(super) fn number(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
