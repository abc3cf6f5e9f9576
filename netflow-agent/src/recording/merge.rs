//! The merge law. In: flows, coverage and objects in any order, any number of times. Out: one `Recording`:
//! equal keys are one flow that grew, equal statements about an object are one statement.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::{Observed, Recording};
use crate::flow::{Coverage, Flow};
use crate::time::Hour;

/// A recording under construction. Tables hold positions only, so nothing is ever read out in hash order.
#[derive(Debug, Default)]
pub struct Merge {
    flows: Vec<Flow>,
    flow_at: HashTable<usize>,
    objects: Vec<Observed>,
    object_at: HashTable<usize>,
    coverage: BTreeMap<(Arc<str>, Hour, u32), Coverage>,
    hasher: DefaultHashBuilder,
}

impl Merge {
    pub fn flow(&mut self, flow: Flow) {
        let hasher = &self.hasher;
        let flows = &mut self.flows;
        let hash = hasher.hash_one(&flow.key);
        let found = self.flow_at.find(hash, |&at| flows[at].key == flow.key).copied();
        if let Some(at) = found {
            flows[at].counters.merge(&flow.counters);
            return;
        }
        flows.push(flow);
        self.flow_at.insert_unique(hash, flows.len() - 1, |&at| hasher.hash_one(&flows[at].key));
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

    pub fn finish(self) -> Recording {
        Recording {
            coverage: self.coverage.into_values().collect(),
            objects: self.objects,
            flows: self.flows,
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
