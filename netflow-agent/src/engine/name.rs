//! Naming the local end of a sample at capture. In: a sample and what is known of pods, cgroups, network
//! namespaces and addresses. Out: the pod, the node itself, another node's, or not known yet. Never a guess.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::input::{PodCgroup, SetBack};
use super::tenure::{Addresses, Holder};
use crate::flow::Sample;
use crate::manifest::{Object, Pod};
use crate::time::Time;

/// Whose socket it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Named {
    Pod(Arc<str>),
    /// A process of the node itself, or an address that no object names: address and time tell at the query.
    Local(IpAddr),
    /// Another node's, on the same kernel: not ours to report.
    Foreign,
    /// Neither pod nor address is known yet.
    NotYet,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Home {
    Ours,
    HostNetwork,
    Elsewhere,
}

#[derive(Clone, Debug)]
struct Folder {
    pod: Arc<str>,
    tree: u64,
    seen: Time,
}

/// What a network namespace is known to be.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Owner {
    Pod(Arc<str>),
    /// The node's own, with its host-network pods.
    Host,
    Foreign,
}

#[derive(Clone, Debug)]
struct Namespace {
    owner: Option<Owner>,
    /// Its own addresses, as its connections had them.
    addresses: Vec<IpAddr>,
    /// Known by its cgroup, or by an address that nobody else claimed for long enough.
    sure: bool,
    since: Time,
    seen: Time,
}

/// All that naming knows.
#[derive(Debug)]
pub(super) struct Names {
    pub(super) addresses: Addresses,
    node: Arc<str>,
    pods: BTreeMap<Arc<str>, Home>,
    /// The kubelet's UID of a static pod -> that of the pod which stands for it in the API.
    mirrors: BTreeMap<Arc<str>, Arc<str>>,
    folders: BTreeMap<u64, Folder>,
    netns: BTreeMap<u64, Namespace>,
    live: bool,
}

impl Names {
    /// How long a folder or a namespace that is no longer seen still names samples.
    const LATE_SECONDS: i64 = 900;
    /// Namespaces remembered; the longest unseen go first.
    const NAMESPACES: usize = 8_192;
    /// Addresses remembered of one namespace: both families, and what may come besides.
    const ADDRESSES: usize = 4;
    /// How long an address alone must name a namespace before it is believed: events are seconds late.
    const TRIAL_SECONDS: i64 = 60;

    pub(super) fn new(node: Arc<str>) -> Self {
        Self {
            addresses: Addresses::new(Arc::clone(&node)),
            node,
            pods: BTreeMap::new(),
            mirrors: BTreeMap::new(),
            folders: BTreeMap::new(),
            netns: BTreeMap::new(),
            live: false,
        }
    }

    pub(super) fn begin(&mut self, object: &Object, from: Time) {
        if let Object::Pod(pod) = object
            && let Some(uid) = &pod.meta.uid
        {
            self.pods.insert(Arc::clone(uid), self.home(pod));
            if let Some(kubelets) = pod.static_uid() {
                self.mirrors.insert(Arc::clone(kubelets), Arc::clone(uid));
            }
        }
        self.addresses.begin(object, from);
    }

    pub(super) fn end(&mut self, object: &Object, at: Time) {
        self.addresses.end(object, at);
    }

    /// The pod folders there are; those that went stay for samples that come late.
    pub(super) fn place(&mut self, folders: Vec<PodCgroup>, at: Time) {
        for PodCgroup { id, pod, tree } in folders {
            self.folders.insert(id, Folder { pod, tree, seen: at });
        }
    }

    /// Whether a listing has shown this cgroup as a pod's.
    pub(super) fn knows_cgroup(&self, id: u64) -> bool {
        self.folders.contains_key(&id)
    }

    /// What was seen by the old time was seen by the new one.
    pub(super) fn set_back(&mut self, set_back: SetBack) {
        self.addresses.set_back(set_back);
        for folder in self.folders.values_mut() {
            folder.seen = set_back.of(folder.seen);
        }
        for namespace in self.netns.values_mut() {
            namespace.seen = set_back.of(namespace.seen);
            namespace.since = set_back.of(namespace.since);
        }
    }

    /// Whether what is told of pods may be late: not when an inventory of manifests is all there is.
    pub(super) const fn set_live(&mut self, live: bool) {
        self.live = live;
    }

    /// Forgets what was not seen for long, but pods of `current` objects.
    pub(super) fn prune(&mut self, now: Time, current: impl Fn(&str) -> bool) {
        let limit = now.plus_seconds(-Self::LATE_SECONDS);
        self.addresses.prune(now);
        self.folders.retain(|_, folder| folder.seen >= limit);
        self.netns.retain(|_, namespace| namespace.seen >= limit);
        let folders: std::collections::BTreeSet<&str> = self.folders.values().map(|it| &*it.pod).collect();
        self.mirrors.retain(|kubelets, uid| current(uid) || folders.contains(&**kubelets));
        let mirrored: std::collections::BTreeSet<&str> = self.mirrors.values().map(|uid| &**uid).collect();
        self.pods.retain(|uid, _| current(uid) || folders.contains(&**uid) || mirrored.contains(&**uid));
    }

    /// Whose a sample is; learns namespaces from it on the way.
    pub(super) fn name(&mut self, sample: &Sample) -> Named {
        let by_cgroup = self.by_cgroup(sample);
        let (owner, sure) = match by_cgroup {
            Some(owner) => (Some(owner), true),
            None => match self.by_netns(sample) {
                Some(owner) => (Some(owner), true),
                None => (self.by_address(sample), !self.live),
            },
        };
        let sure = match sample.netns {
            Some(netns) => self.learn(netns, owner.as_ref(), sure, sample),
            None => sure,
        };
        // A wildcard socket has the address that other sockets of its namespace have.
        let local = sample.local.or_else(|| self.address_in_namespace(sample));
        match owner {
            Some(Owner::Pod(uid)) if sure || sample.local.is_none() => Named::Pod(uid),
            Some(Owner::Foreign) => Named::Foreign,
            Some(Owner::Host) => local
                .or_else(|| self.addresses.own_address(sample.remote))
                .map_or(Named::NotYet, Named::Local),
            Some(Owner::Pod(_)) | None => local.map_or(Named::NotYet, Named::Local),
        }
    }

    fn by_cgroup(&self, sample: &Sample) -> Option<Owner> {
        let folder = self.folders.get(&sample.cgroup?)?;
        let pod = self.uid(folder);
        Some(match self.pods.get(pod) {
            Some(Home::HostNetwork) => Owner::Host,
            Some(Home::Elsewhere) => Owner::Foreign,
            None if self.is_foreign(folder.tree) => Owner::Foreign,
            Some(Home::Ours) | None => Owner::Pod(Arc::clone(pod)),
        })
    }

    /// The pod of a folder, as the API calls it where that is known.
    fn uid<'f>(&'f self, folder: &'f Folder) -> &'f Arc<str> {
        self.mirrors.get(&folder.pod).unwrap_or(&folder.pod)
    }

    /// A kubepods folder is another kubelet's when it holds a pod of another node, or when ours is known
    /// and is not this one.
    fn is_foreign(&self, tree: u64) -> bool {
        let mut ours = None;
        for folder in self.folders.values() {
            match self.pods.get(self.uid(folder)) {
                Some(Home::Elsewhere) if folder.tree == tree => return true,
                Some(Home::Ours | Home::HostNetwork) => {
                    if folder.tree == tree {
                        return false;
                    }
                    ours = Some(folder.tree);
                }
                _ => {}
            }
        }
        ours.is_some()
    }

    fn by_netns(&self, sample: &Sample) -> Option<Owner> {
        self.netns.get(&sample.netns?).filter(|it| it.sure).and_then(|it| it.owner.clone())
    }

    fn by_address(&self, sample: &Sample) -> Option<Owner> {
        let holder = self.addresses.holder(sample.local?, sample.first, sample.last)?;
        Some(match holder {
            Holder::Pod(uid) => Owner::Pod(Arc::clone(uid)),
            Holder::Host => Owner::Host,
            Holder::Foreign => Owner::Foreign,
        })
    }

    /// Keeps whose namespace this is; gives back whether that is sure by now. With live events, an address
    /// alone is believed only after a while: the event that its holder changed may still be on its way, and
    /// until it is believed the sample's address and time stand for the pod.
    fn learn(&mut self, netns: u64, owner: Option<&Owner>, sure: bool, sample: &Sample) -> bool {
        let held = self.netns.get(&netns);
        let owner = match (held, owner) {
            (Some(it), None) => it.owner.clone(),
            // Two owners that are both sure of one namespace: pods of the host's network.
            (Some(it), Some(owner)) if it.sure && sure && differ(it.owner.as_ref(), owner) => {
                Some(Owner::Host)
            }
            (_, owner) => owner.cloned(),
        };
        let since = held.filter(|it| it.owner == owner).map_or(sample.first, |it| it.since.min(sample.first));
        let believed = owner.is_some() && sample.last >= since.plus_seconds(Self::TRIAL_SECONDS);
        let sure = sure || (believed && !self.has_another_namespace(owner.as_ref(), netns));
        let sure = sure && owner.is_some();
        let mut addresses = held.map(|it| it.addresses.clone()).unwrap_or_default();
        if let Some(local) = sample.local
            && !addresses.contains(&local)
        {
            addresses.truncate(Self::ADDRESSES - 1);
            addresses.insert(0, local);
        }
        self.netns.insert(netns, Namespace { owner, addresses, sure, since, seen: sample.last });
        if self.netns.len() > Self::NAMESPACES {
            let oldest = self.netns.iter().min_by_key(|(_, it)| it.seen).map(|(netns, _)| *netns);
            if let Some(oldest) = oldest {
                self.netns.remove(&oldest);
            }
        }
        sure
    }

    fn address_in_namespace(&self, sample: &Sample) -> Option<IpAddr> {
        let held = self.netns.get(&sample.netns?)?;
        held.addresses.iter().find(|ip| ip.is_ipv4() == sample.remote.is_ipv4()).copied()
    }

    /// A pod has one namespace: an address in a second one has a new holder.
    fn has_another_namespace(&self, owner: Option<&Owner>, netns: u64) -> bool {
        matches!(owner, Some(Owner::Pod(_)))
            && self.netns.iter().any(|(other, it)| *other != netns && it.sure && it.owner.as_ref() == owner)
    }

    fn home(&self, pod: &Pod) -> Home {
        if pod.node.as_ref().is_some_and(|node| *node != self.node) {
            Home::Elsewhere
        } else if pod.host_network {
            Home::HostNetwork
        } else {
            Home::Ours
        }
    }
}

/// Whether what was known of a namespace and what is now said of it cannot both be one pod's.
fn differ(known: Option<&Owner>, owner: &Owner) -> bool {
    known.is_some_and(|known| known != owner && *known != Owner::Foreign && *owner != Owner::Foreign)
}
