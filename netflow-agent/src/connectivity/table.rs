//! Sets of ports as numbers: a cluster has few different ones. In: sets. Out: numbers, and the number of a
//! union or an intersection, computed once for each pair.

use std::collections::HashMap;
use std::sync::Arc;

use crate::evaluate::Ports;

/// A set of ports in a [`Table`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct PortsId(u32);

impl PortsId {
    pub(super) const NONE: Self = Self(0);
    pub(super) const ALL: Self = Self(1);
}

#[derive(Debug)]
pub(super) struct Table {
    sets: Vec<Arc<Ports>>,
    known: HashMap<Arc<Ports>, PortsId>,
    unions: HashMap<(PortsId, PortsId), PortsId>,
    intersections: HashMap<(PortsId, PortsId), PortsId>,
}

impl Default for Table {
    fn default() -> Self {
        let sets = vec![Arc::new(Ports::default()), Arc::new(Ports::all())];
        let known = sets.iter().cloned().zip([PortsId::NONE, PortsId::ALL]).collect();
        Self { sets, known, unions: HashMap::new(), intersections: HashMap::new() }
    }
}

impl Table {
    pub(super) fn get(&self, id: PortsId) -> &Ports {
        &self.sets[id.0 as usize]
    }

    pub(super) fn id(&mut self, ports: Ports) -> PortsId {
        if let Some(&id) = self.known.get(&ports) {
            return id;
        }
        let id = PortsId(u32::try_from(self.sets.len()).unwrap_or(u32::MAX));
        let ports = Arc::new(ports);
        self.sets.push(Arc::clone(&ports));
        self.known.insert(ports, id);
        id
    }

    pub(super) fn union(&mut self, a: PortsId, b: PortsId) -> PortsId {
        match (a, b) {
            (PortsId::NONE, other) | (other, PortsId::NONE) => return other,
            (PortsId::ALL, _) | (_, PortsId::ALL) => return PortsId::ALL,
            _ if a == b => return a,
            _ => {}
        }
        let key = (a.min(b), a.max(b));
        if let Some(&id) = self.unions.get(&key) {
            return id;
        }
        let mut whole = self.get(a).clone();
        whole.extend(self.get(b));
        let id = self.id(whole);
        self.unions.insert(key, id);
        id
    }

    pub(super) fn intersection(&mut self, a: PortsId, b: PortsId) -> PortsId {
        match (a, b) {
            (PortsId::NONE, _) | (_, PortsId::NONE) => return PortsId::NONE,
            (PortsId::ALL, other) | (other, PortsId::ALL) => return other,
            _ if a == b => return a,
            _ => {}
        }
        let key = (a.min(b), a.max(b));
        if let Some(&id) = self.intersections.get(&key) {
            return id;
        }
        let both = self.get(a).intersection(self.get(b));
        let id = self.id(both);
        self.intersections.insert(key, id);
        id
    }
}
