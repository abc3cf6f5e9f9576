//! A client's flow to its destination. In: the flow and its local end. Out: evidence for the workload itself,
//! or for the pod ports behind the Service; an attempt; or a doubt.

use super::DoubtReason;
use super::join::Join;
use super::node_port::Way;
use super::table::{Key, Share};
use super::witness::{Peer, World};
use crate::flow::{Basis, Flow, Outcome};
use crate::identity::service::Found;
use crate::identity::{CHANGED_HANDS, EndId, Endpoint};
use crate::net::Protocol;

/// Ports from here on are handed to clients that ask for none (Linux, `ip_local_port_range`).
const FIRST_EPHEMERAL: u16 = 32_768;

impl World<'_, '_> {
    /// The Service, or the port of it at every node, that a client's flow was to.
    pub(super) fn service_of(&self, flow: &Flow) -> Option<Found> {
        let (key, span) = (&flow.key, (flow.counters.first, flow.counters.last));
        let is_node = self.is_node(key.remote, span.0, span.1);
        self.services.find(key.remote, key.port, key.protocol, span, is_node)
    }

    /// A Service that holds the remote address, though not at this port.
    pub(super) fn service_at(&mut self, flow: &Flow) -> Option<EndId> {
        let span = (flow.counters.first, flow.counters.last);
        let name = self.services.at_address(flow.key.remote, span)?;
        Some(self.ends.service(name))
    }

    /// By which Service a flow came; an address that is not the Service's own is that of a node.
    fn way(&mut self, found: Found, flow: &Flow) -> Way {
        let service = self.ends.service(self.services.name(found));
        let ends = if self.services.is_own(found, flow.key.remote) {
            Vec::new()
        } else {
            match self.peer(flow, flow.key.remote) {
                Peer::One(end) => vec![end],
                Peer::Several(ends) => ends,
                Peer::Nobody => Vec::new(),
            }
        };
        let is_node = |end: &EndId| matches!(self.ends.get(*end), Endpoint::Node(_));
        let nodes = ends.into_iter().filter(is_node).collect();
        Way { service, nodes, hides_client: self.services.hides_client(found) }
    }
}

impl Join<'_, '_> {
    /// A client's flow to a Service's address and port; false where it is to something else.
    pub(super) fn translated(&mut self, local: EndId, flow: &Flow) -> bool {
        let span = (flow.counters.first, flow.counters.last);
        let world = &mut self.world;
        let Some(found) = world.service_of(flow) else { return false };
        let rivals = world.services.rivals(found, flow.key.remote, span);
        if !rivals.is_empty() {
            self.one_of([found].into_iter().chain(rivals), local, flow);
            return true;
        }
        let targets = world.services.targets(found, span, world.inventory, &world.ends);
        let way = world.way(found, flow);
        let key = |(destination, port)| Key { source: local, destination, port, protocol: flow.key.protocol };
        if targets.is_empty() {
            let nowhere = key((way.service, world.services.nominal_port(found)));
            match flow.key.outcome {
                Outcome::Established => drop(self.table.add(nowhere, flow, Share::All)),
                _ => self.attempt(nowhere, flow),
            }
            return true;
        }
        if matches!(flow.key.outcome, Outcome::Refused | Outcome::Timeout) {
            for target in targets {
                let table = self.attempts.entry(flow.key.outcome).or_default();
                table.add_via(key(target), flow, Share::All, &way);
            }
            return true;
        }
        let witnessed = |join: &Self, target: (EndId, u16)| {
            join.table.server_saw_near(key(target), flow.key.hour)
                || join.by_mesh.contains(&(local, target.0))
        };
        let seen: Vec<(EndId, u16)> =
            targets.iter().copied().filter(|target| witnessed(self, *target)).collect();
        if seen.is_empty() {
            for target in targets {
                self.untold(key(target), flow, &way);
            }
            return true;
        }
        // Which of several backends each connection reached is in the servers' own counts.
        let share = if seen.len() == 1 { Share::All } else { Share::Presence };
        for target in seen {
            self.table.add_via(key(target), flow, share, &way);
        }
        true
    }

    /// A Service's address that passed to another Service meanwhile: only what a server witnessed is told.
    fn one_of(&mut self, found: impl Iterator<Item = Found>, local: EndId, flow: &Flow) {
        let span = (flow.counters.first, flow.counters.last);
        let mut witnessed = Vec::new();
        for found in found {
            let world = &mut self.world;
            let way = world.way(found, flow);
            for (destination, port) in world.services.targets(found, span, world.inventory, &world.ends) {
                let key = Key { source: local, destination, port, protocol: flow.key.protocol };
                if self.table.server_saw_near(key, flow.key.hour) {
                    witnessed.push((key, way.clone()));
                }
            }
        }
        if witnessed.is_empty() || matches!(flow.key.outcome, Outcome::Refused | Outcome::Timeout) {
            let unknown = self.world.ends.unknown(flow.key.remote, CHANGED_HANDS);
            self.direct(local, unknown, flow);
            return;
        }
        for (key, way) in witnessed {
            self.table.add_via(key, flow, Share::Presence, &way);
        }
    }

    /// A translated flow that no server tells of. A connection to a Service's address has its client at this
    /// end for certain, however old it is: nobody calls from there.
    fn untold(&mut self, key: Key, flow: &Flow, way: &Way) {
        let believed = flow.key.outcome == Outcome::Established || self.is_beyond(key.destination);
        if believed {
            self.table.add_via(key, flow, Share::All, way);
        } else {
            self.attempts.entry(flow.key.outcome).or_default().add_via(key, flow, Share::All, way);
        }
    }

    /// A client's flow to an address that is its destination's own.
    pub(super) fn direct(&mut self, local: EndId, destination: EndId, flow: &Flow) {
        let key = Key { source: local, destination, port: flow.key.port, protocol: flow.key.protocol };
        let witnessed = self.table.server_saw(key) || self.by_mesh.contains(&(local, destination));
        match self.judge(key, flow, witnessed) {
            Belief::Edge => {
                let own = self.world.is_probe(local, flow);
                self.table.add(key, flow, Share::All).own_flows += u64::from(own);
            }
            Belief::Attempt => self.attempt(key, flow),
            Belief::Doubt(reason) => self.doubt(reason, key, flow),
        }
    }

    /// A client's flow that one of its address's holders witnessed.
    pub(super) fn direct_share(&mut self, local: EndId, destination: EndId, flow: &Flow, share: Share) {
        let key = Key { source: local, destination, port: flow.key.port, protocol: flow.key.protocol };
        if matches!(flow.key.outcome, Outcome::Refused | Outcome::Timeout) {
            self.attempt(key, flow);
        } else {
            let own = self.world.is_probe(local, flow);
            self.table.add(key, flow, share).own_flows += u64::from(own);
        }
    }

    pub(super) fn judge(&self, key: Key, flow: &Flow, witnessed: bool) -> Belief {
        match flow.key.outcome {
            Outcome::Refused | Outcome::Timeout => return Belief::Attempt,
            _ if witnessed => return Belief::Edge,
            Outcome::Unanswered if self.is_beyond(key.destination) => {}
            Outcome::Unanswered => return Belief::Attempt,
            Outcome::Established => {}
        }
        let ephemeral = flow.key.port >= FIRST_EPHEMERAL;
        let external = matches!(self.world.ends.get(key.destination), Endpoint::External(_));
        if flow.key.basis == Basis::Existing && (ephemeral || !external) {
            return Belief::Doubt(DoubtReason::RoleUnconfirmed);
        }
        if flow.key.protocol == Protocol::Udp && ephemeral && !external {
            return Belief::Doubt(DoubtReason::EphemeralPort);
        }
        Belief::Edge
    }

    /// A node or an address outside: nobody there is expected to tell what it received.
    fn is_beyond(&self, end: EndId) -> bool {
        matches!(self.world.ends.get(end), Endpoint::Node(_) | Endpoint::External(_))
    }
}

/// What a client's flow is taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Belief {
    Edge,
    Attempt,
    Doubt(DoubtReason),
}
