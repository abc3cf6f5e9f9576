//! The inventory in time. In: objects applied, deleted, listed. Out: versions of each object with `from` and
//! `to`, those that changed since the last save first of all.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;

use super::input::{Kinds, SetBack};
use crate::manifest::{Object, Pod};
use crate::recording::Observed;
use crate::time::Time;

/// What makes an object the same one over its versions, but for its UID.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    pub kind: Arc<str>,
    pub namespace: Arc<str>,
    pub name: Arc<str>,
}

impl Name {
    pub fn of(object: &Object) -> Self {
        let (kind, meta) = object.kind_and_meta();
        Self { kind: kind.into(), namespace: Arc::clone(&meta.namespace), name: Arc::clone(&meta.name) }
    }
}

/// The objects there are, and the versions that ended since the last save.
#[derive(Debug, Default)]
pub(super) struct History {
    current: BTreeMap<Name, Version>,
    /// Versions that are over and not saved yet, oldest first, and what they weigh.
    ended: VecDeque<Observed>,
    ended_weight: usize,
    /// UIDs that are gone: an event about them that comes late changes nothing.
    gone: BTreeMap<Arc<str>, Time>,
}

#[derive(Debug)]
struct Version {
    observed: Observed,
    /// When the event came that this version is from.
    at: Time,
    unsaved: bool,
}

/// What an event did.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Step {
    Nothing,
    /// This object is so from then on. `replaced` is an earlier version of it with other addresses, or
    /// another object of its name.
    Began {
        object: Arc<Object>,
        from: Time,
        replaced: Option<Arc<Object>>,
    },
    Ended(Arc<Object>),
}

impl History {
    /// Gone UIDs that are remembered: enough for any burst of late events.
    const GONE: usize = 4_096;
    /// Weight of the ended versions that wait to be saved: about 10 MB.
    const WAITING: usize = 50_000;

    /// Goes on from versions that had no end when they were stored.
    pub(super) fn resume(open: Vec<Observed>) -> Self {
        let mut history = Self::default();
        for observed in open {
            let at = observed.from.unwrap_or(Time::MIN);
            let name = Name::of(&observed.object);
            let newer = history.current.get(&name).is_none_or(|version| version.at <= at);
            if newer {
                history.current.insert(name, Version { observed, at, unsaved: false });
            }
        }
        history
    }

    pub(super) fn objects(&self) -> impl Iterator<Item = &Observed> {
        self.current.values().map(|version| &version.observed)
    }

    /// A full list has this object: whatever was said before, it is there.
    pub(super) fn listed(&mut self, object: Object, at: Time) -> Step {
        if let Some(uid) = &object.meta().uid {
            self.gone.remove(uid);
        }
        self.apply(object, at)
    }

    /// An object was added or changed.
    pub(super) fn apply(&mut self, object: Object, at: Time) -> Step {
        let name = Name::of(&object);
        let uid = object.meta().uid.clone();
        if uid.as_ref().is_some_and(|uid| self.gone.contains_key(uid)) {
            return Step::Nothing;
        }
        let mut from = begun(&object, at);
        let mut replaced = None;
        if let Some(before) = self.current.get(&name) {
            if *before.observed.object == object || before.at > at {
                return Step::Nothing;
            }
            let same = before.observed.object.meta().uid == uid;
            if same {
                let since = before.observed.from.unwrap_or(Time::MIN);
                // Told once the containers run: by then a quick pod has spoken, or is over. What it was before
                // it had an address may have been told as late, and does not put that off.
                if !gains_its_address(&before.observed.object, &object) {
                    // A pod that is over was so when its last container ended, whenever that is told.
                    from = finished(&object).map_or(at, |end| end.min(at)).max(since);
                }
            } else if created_before(&object, &before.observed.object) {
                return Step::Nothing;
            }
            let until = if same { from } else { from.min(at) };
            replaced = self.end(&name, until, !same);
        }
        let object = Arc::new(object);
        let observed =
            Observed { from: Some(from), to: None, gateways: Vec::new(), object: Arc::clone(&object) };
        self.current.insert(name, Version { observed, at, unsaved: true });
        Step::Began { object, from, replaced }
    }

    /// An object was deleted. An event about another object of that name changes nothing.
    pub(super) fn delete(&mut self, object: &Object, at: Time) -> Step {
        let name = Name::of(object);
        let uid = &object.meta().uid;
        if let Some(uid) = uid {
            self.forget(uid, at);
        }
        match self.current.get(&name) {
            Some(version) if uid.is_none() || version.observed.object.meta().uid == *uid => {
                // The last state says more than the one before it: a container's end, above all.
                let (from, gone) = (version.observed.from, finished(object));
                let ended = Arc::clone(&version.observed.object);
                self.end(&name, gone.filter(|end| from.is_none_or(|from| from < *end)).unwrap_or(at), true);
                Step::Ended(ended)
            }
            _ => Step::Nothing,
        }
    }

    /// Ends what a full list no longer has; gives back what ended, and when. It went away at some time since
    /// the last event: `at` the latest, or when another was given its address.
    pub(super) fn retain(
        &mut self,
        kinds: &Kinds,
        listed: &[Name],
        taken: &BTreeMap<IpAddr, Time>,
        at: Time,
    ) -> Vec<(Arc<Object>, Time)> {
        let gone: Vec<Name> = self
            .current
            .iter()
            .filter(|(name, version)| {
                let spoken_for = match kinds {
                    Kinds::All => true,
                    Kinds::One(kind) => name.kind == *kind,
                };
                spoken_for && version.at <= at && listed.binary_search(name).is_err()
            })
            .map(|(name, _)| name.clone())
            .collect();
        let end = |name: &Name| {
            let version = self.current.get(name)?;
            let since = version.observed.from.unwrap_or(Time::MIN);
            let until = addresses(&version.observed.object).iter().filter_map(|ip| taken.get(ip));
            let until = until.filter(|taken| since < **taken).min().map_or(at, |taken| at.min(*taken));
            Some((self.end(name, until, true)?, until))
        };
        gone.iter().filter_map(end).collect()
    }

    /// The default gateways of this node's pods travel with its Node.
    pub(super) fn set_gateways(&mut self, node: &str, gateways: &[IpAddr]) {
        for version in self.current.values_mut() {
            let ours = matches!(&*version.observed.object, Object::Node(it) if &*it.meta.name == node);
            if ours && version.observed.gateways != gateways {
                version.observed.gateways = gateways.to_vec();
                version.unsaved = true;
            }
        }
    }

    /// Versions that began, changed or ended since the last save.
    pub(super) fn unsaved(&self) -> Vec<Observed> {
        let current =
            self.current.values().filter(|version| version.unsaved).map(|version| &version.observed);
        self.ended.iter().chain(current).cloned().collect()
    }

    pub(super) fn saved(&mut self) {
        self.ended.clear();
        self.ended_weight = 0;
        for version in self.current.values_mut() {
            version.unsaved = false;
        }
    }

    /// Nothing of it is on disk any more.
    pub(super) fn unsave(&mut self) {
        for version in self.current.values_mut() {
            version.unsaved = true;
        }
    }

    fn end(&mut self, name: &Name, at: Time, gone: bool) -> Option<Arc<Object>> {
        let version = self.current.remove(name)?;
        let mut observed = version.observed;
        if gone && let Some(uid) = observed.object.meta().uid.clone() {
            self.forget(&uid, at);
        }
        let object = Arc::clone(&observed.object);
        let end = at.max(observed.from.unwrap_or(at));
        // A pod that is over gave its address back when its last container ended.
        let since = observed.from.unwrap_or(Time::MIN);
        observed.to = Some(finished(&object).map_or(end, |finished| finished.min(end)).max(since));
        self.wait(observed);
        Some(object)
    }

    fn wait(&mut self, ended: Observed) {
        self.ended_weight += weight(&ended);
        self.ended.push_back(ended);
    }

    /// As many versions wait to be saved as may.
    pub(super) fn is_full(&self) -> bool {
        self.ended_weight > Self::WAITING
    }

    /// Lets the oldest go that wait to be saved, until no more wait than may; gives back how many.
    pub(super) fn shed(&mut self) -> u64 {
        let mut shed = 0;
        while self.is_full()
            && let Some(oldest) = self.ended.pop_front()
        {
            self.ended_weight -= weight(&oldest);
            shed += 1;
        }
        shed
    }

    /// What was noted by the old time is noted by the new one: news that come now would else be older than it.
    pub(super) fn set_back(&mut self, set_back: SetBack) {
        let mut closed = Vec::new();
        for version in self.current.values_mut() {
            version.at = set_back.of(version.at);
            let from = version.observed.from;
            let moved = from.map(|from| set_back.of(from));
            if moved == from {
                continue;
            }
            if !version.unsaved {
                // The store has it under a time that never was.
                closed.push(Observed { to: from, ..version.observed.clone() });
            }
            version.observed.from = moved;
            version.unsaved = true;
        }
        for observed in closed {
            self.wait(observed);
        }
    }

    fn forget(&mut self, uid: &Arc<str>, at: Time) {
        self.gone.insert(Arc::clone(uid), at);
        while self.gone.len() > Self::GONE {
            let oldest = self.gone.iter().min_by_key(|(_, at)| **at).map(|(uid, _)| Arc::clone(uid));
            if let Some(oldest) = oldest {
                self.gone.remove(&oldest);
            }
        }
    }
}

/// What a version takes in memory, roughly, in endpoints of a slice.
fn weight(observed: &Observed) -> usize {
    match &*observed.object {
        Object::EndpointSlice(slice) => 4 + slice.endpoints.len(),
        _ => 4,
    }
}

/// When the first version of an object began to be so: a pod has its address from its start. One that has not
/// started was created some time ago, however late that is told.
fn begun(object: &Object, at: Time) -> Time {
    match object {
        Object::Pod(pod) => pod.started.or(pod.meta.created).unwrap_or(at).min(at),
        _ => at,
    }
}

/// The addresses that are a pod's alone.
fn addresses(object: &Object) -> &[IpAddr] {
    match object {
        Object::Pod(pod) if !pod.host_network => &pod.ips,
        _ => &[],
    }
}

/// From when on the running pods of a list have their addresses.
pub(super) fn taken(objects: &[Object]) -> BTreeMap<IpAddr, Time> {
    let mut taken = BTreeMap::new();
    for object in objects {
        if let (Object::Pod(Pod { started: Some(started), .. }), None) = (object, finished(object)) {
            taken.extend(addresses(object).iter().map(|ip| (*ip, *started)));
        }
    }
    taken
}

fn gains_its_address(before: &Object, after: &Object) -> bool {
    matches!((before, after), (Object::Pod(before), Object::Pod(after)) if before.ips.is_empty() && !after.ips.is_empty())
}

fn finished(object: &Object) -> Option<Time> {
    match object {
        Object::Pod(pod) => pod.over(),
        _ => None,
    }
}

fn created_before(one: &Object, other: &Object) -> bool {
    matches!((one.meta().created, other.meta().created), (Some(one), Some(other)) if one < other)
}
