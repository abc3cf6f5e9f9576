//! The merge law. In: flows, coverage and objects in any order, any number of times. Out: one `Recording`:
//! equal keys are one flow that grew, equal statements about an object are one statement.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hash};
use std::io;
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::flows::{Flows, in_order};
use super::{Observed, Recording};
use crate::flow::{Coverage, Flow};
use crate::time::Hour;

/// What flows are merged in.
pub trait Keep {
    type Kept: Flows;

    /// An error: there was no room for it.
    fn flow(&mut self, flow: Flow) -> io::Result<()>;
}

/// All flows in memory. The table holds positions only, so nothing is ever read out in hash order.
#[derive(Debug, Default)]
pub struct Held {
    flows: Vec<Flow>,
    at: HashTable<usize>,
    hasher: DefaultHashBuilder,
}

impl Held {
    pub(super) fn add(&mut self, flow: Flow) {
        let hasher = &self.hasher;
        let flows = &mut self.flows;
        let hash = hasher.hash_one(&flow.key);
        let found = self.at.find(hash, |&at| flows[at].key == flow.key).copied();
        if let Some(at) = found {
            flows[at].counters.merge(&flow.counters);
            return;
        }
        flows.push(flow);
        self.at.insert_unique(hash, flows.len() - 1, |&at| hasher.hash_one(&flows[at].key));
    }

    pub(super) const fn len(&self) -> usize {
        self.flows.len()
    }

    /// All of them in the order of the written form. Nothing may be added before `clear`.
    pub(super) fn sorted(&mut self) -> &[Flow] {
        self.flows.sort_unstable_by(|one, other| in_order(&one.key, &other.key));
        &self.flows
    }

    /// Room for the next ones.
    pub(super) fn clear(&mut self) {
        self.flows.clear();
        self.at.clear();
    }

    pub(super) fn into_flows(self) -> Vec<Flow> {
        self.flows
    }
}

impl Keep for Held {
    type Kept = Vec<Flow>;

    fn flow(&mut self, flow: Flow) -> io::Result<()> {
        self.add(flow);
        Ok(())
    }
}

/// A recording under construction.
#[derive(Debug, Default)]
pub struct Merge<K = Held> {
    pub(super) flows: K,
    objects: Vec<Observed>,
    object_at: HashTable<usize>,
    coverage: BTreeMap<(Arc<str>, Hour, u32), Coverage>,
    hasher: DefaultHashBuilder,
}

impl<K: Keep> Merge<K> {
    pub fn new(flows: K) -> Self {
        Self {
            flows,
            objects: Vec::new(),
            object_at: HashTable::new(),
            coverage: BTreeMap::new(),
            hasher: DefaultHashBuilder::default(),
        }
    }

    pub fn coverage(&mut self, coverage: Coverage) {
        let key = (Arc::clone(&coverage.node), coverage.hour, coverage.seq);
        match self.coverage.entry(key) {
            std::collections::btree_map::Entry::Vacant(entry) => {
                entry.insert(coverage);
            }
            std::collections::btree_map::Entry::Occupied(mut entry) => entry.get_mut().merge(&coverage),
        }
    }

    /// Every node tells of the same Services and Namespaces: equal statements are kept once.
    pub fn object(&mut self, observed: Observed) {
        let hasher = &self.hasher;
        let objects = &mut self.objects;
        let hash = hash_of(hasher, &observed);
        if self.object_at.find(hash, |&at| objects[at] == observed).is_some() {
            return;
        }
        objects.push(observed);
        self.object_at.insert_unique(hash, objects.len() - 1, |&at| hash_of(hasher, &objects[at]));
    }

    /// The recording; `flows` makes of what was merged in what is kept.
    pub fn finish<F>(self, flows: impl FnOnce(K) -> F) -> Recording<F> {
        Recording {
            coverage: self.coverage.into_values().collect(),
            objects: self.objects,
            flows: flows(self.flows),
        }
    }
}

fn hash_of(hasher: &DefaultHashBuilder, observed: &Observed) -> u64 {
    let mut state = hasher.build_hasher();
    observed.from.hash(&mut state);
    observed.to.hash(&mut state);
    let meta = observed.object.meta();
    meta.namespace.hash(&mut state);
    meta.name.hash(&mut state);
    meta.uid.hash(&mut state);
    std::hash::Hasher::finish(&state)
}
