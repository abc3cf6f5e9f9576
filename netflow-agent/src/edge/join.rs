//! The join. In: a recording, what is known of the cluster, the window. Out: edges, attempts and doubts, the
//! same for any order of lines. Servers' flows come first, since they are the truth for the port.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::contested::{Claims, resolve};
use super::node_port::Dialled;
use super::table::{Evidence, Key, Share, Table};
use super::witness::{Peer, Reach, World};
use super::{Attempt, Doubt, DoubtReason, Edge, Joined, LeftOut};
use crate::flow::{Flow, Outcome, Side};
use crate::identity::{EndId, Endpoint, Inventory, ServiceName};
use crate::net::Protocol;
use crate::recording::{Flows, Recording};
use crate::time::Window;

/// Where a mesh sidecar listens inside the pod; on the wire the port was another.
pub(super) const MESH_PORTS: [u16; 2] = [15_001, 15_006];

/// Everything under construction while flows are joined. None of it grows with the flows, but with the ends
/// that talk and the hours in which they did.
pub(super) struct Join<'a, 'i> {
    pub(super) world: World<'a, 'i>,
    pub(super) table: Table,
    pub(super) attempts: BTreeMap<Outcome, Table>,
    pub(super) doubts: BTreeMap<DoubtReason, Table>,
    /// What servers saw by a sidecar's port, until the clients have told the true one.
    meshed: Table,
    /// Who reached whom by a sidecar's port.
    pub(super) by_mesh: HashSet<(EndId, EndId)>,
    pub(super) left_out: LeftOut,
}

/// All flows of the window, joined to workloads.
pub fn join(recording: &Recording, inventory: &Inventory<'_>, window: Window) -> Joined {
    let Ok(joined) = try_join(recording, inventory, window);
    joined
}

/// The same, wherever the flows are: they are gone through for the servers' ends, then for the clients', and
/// twice more for either where addresses changed hands.
pub fn try_join<F: Flows>(
    recording: &Recording<F>,
    inventory: &Inventory<'_>,
    window: Window,
) -> Result<Joined, F::Fault> {
    let mut join = Join {
        world: World::of(inventory),
        table: Table::default(),
        attempts: BTreeMap::new(),
        doubts: BTreeMap::new(),
        meshed: Table::default(),
        by_mesh: HashSet::new(),
        left_out: LeftOut::default(),
    };
    let each = |take: &mut dyn FnMut(&Flow)| {
        recording.flows.each(&mut |flow| {
            if window.meets(flow.counters.first, flow.counters.last) {
                take(flow);
            }
        })
    };
    let mut flows = 0;
    let mut claims = Claims::default();
    each(&mut |flow| {
        flows += 1;
        if flow.key.side == Side::Server {
            join.server(flow, &mut claims);
        }
    })?;
    resolve(&mut join, Side::Server, &claims, each)?;
    join.table.settle();
    let mut claims = Claims::default();
    each(&mut |flow| {
        if flow.key.side == Side::Client {
            join.client(flow, &mut claims);
        }
    })?;
    resolve(&mut join, Side::Client, &claims, each)?;
    join.mesh();
    Ok(join.finish(flows))
}

impl Join<'_, '_> {
    /// A flow of a server's own end: the local end is the destination, on its own port.
    fn server(&mut self, flow: &Flow, claims: &mut Claims) {
        if self.leave_out(flow) {
            return;
        }
        let local = self.world.local(flow);
        match self.world.remote(flow) {
            Peer::One(end) => self.serve(end, local, flow, Share::All),
            Peer::Several(peers) => claims.add(flow, local, &peers),
            Peer::Nobody => {
                let end = self.world.stranger(flow.key.remote);
                self.serve(end, local, flow, Share::All);
            }
        }
    }

    /// A server's flow with both ends known; several sources may have a share in it.
    pub(super) fn serve(&mut self, source: EndId, local: EndId, flow: &Flow, share: Share) {
        let key = Key { source, destination: local, port: flow.key.port, protocol: flow.key.protocol };
        if !came_up(flow) {
            self.attempt(key, flow);
            return;
        }
        if key.protocol == Protocol::Tcp && MESH_PORTS.contains(&key.port) {
            self.by_mesh.insert((source, local));
            self.meshed.add(key, flow, share);
            return;
        }
        let own = matches!(self.world.ends.get(source), Endpoint::Node(name) if *name == flow.key.node);
        self.table.add(key, flow, share).own_flows += u64::from(own);
    }

    /// A sidecar's port gives way to the ports that the client's own records tell.
    fn mesh(&mut self) {
        let meshed = std::mem::take(&mut self.meshed).into_numbered();
        if meshed.is_empty() {
            return;
        }
        let known = self.table.seen_by_clients();
        for (key, evidence) in meshed {
            let (source, destination) = (key.source, key.destination);
            let ports: Vec<u16> = known
                .range((source, destination, 0)..=(source, destination, u16::MAX))
                .map(|(_, _, port)| *port)
                .filter(|port| !MESH_PORTS.contains(port))
                .collect();
            // Which of several ports each connection went to is in the clients' own counts.
            let share = if ports.len() == 1 { Share::All } else { Share::Presence };
            for port in &ports {
                self.table.add_evidence(Key { port: *port, ..key }, &evidence, share);
            }
            if ports.is_empty() {
                self.table.add_evidence(key, &evidence, Share::All);
                let doubts = self.doubts.entry(DoubtReason::MeshPort).or_default();
                doubts.add_evidence(key, &evidence, Share::All);
            }
        }
    }

    fn leave_out(&mut self, flow: &Flow) -> bool {
        match self.world.reach(flow) {
            Reach::Between => return false,
            Reach::Own => self.left_out.own += 1,
            Reach::Group => self.left_out.multicast += 1,
        }
        true
    }

    fn client(&mut self, flow: &Flow, claims: &mut Claims) {
        if self.leave_out(flow) {
            return;
        }
        let local = self.world.local(flow);
        if self.translated(local, flow) {
            return;
        }
        match self.world.remote(flow) {
            Peer::One(end) => self.direct(local, end, flow),
            Peer::Several(peers) => claims.add(flow, local, &peers),
            Peer::Nobody => {
                if flow.key.outcome == Outcome::Unanswered
                    && crate::identity::class::looks_like_broadcast(flow.key.remote)
                {
                    self.left_out.multicast += 1;
                    return;
                }
                let end = match self.world.service_at(flow) {
                    Some(end) => end,
                    None => self.world.stranger(flow.key.remote),
                };
                self.direct(local, end, flow);
            }
        }
    }

    pub(super) fn attempt(&mut self, key: Key, flow: &Flow) {
        self.attempts.entry(flow.key.outcome).or_default().add(key, flow, Share::All);
    }

    pub(super) fn doubt(&mut self, reason: DoubtReason, key: Key, flow: &Flow) {
        self.doubts.entry(reason).or_default().add(key, flow, Share::All);
    }

    fn finish(self, flows: u64) -> Joined {
        let ends = &self.world.ends;
        let ranks = ends.ranks();
        let edges = self.table.into_sorted(&ranks).into_iter().map(|(key, evidence)| {
            let (bytes_sent, bytes_received) = evidence.bytes();
            Edge {
                key: key.name(ends),
                witness: evidence.witness(),
                via: via(&evidence, ends),
                connections: evidence.connections(),
                bytes_sent,
                bytes_received,
                hours: evidence.hours(),
                first: evidence.first,
                last: evidence.last,
                basis: evidence.basis(),
                unconfirmed: evidence.unconfirmed(),
                own_node: evidence.own_node(),
                node_ports: Dialled::named(evidence.node_ports, ends),
            }
        });
        let edges = edges.collect();
        let mut attempts: Vec<Attempt> = Vec::new();
        for (outcome, table) in self.attempts {
            attempts.extend(table.into_sorted(&ranks).into_iter().map(|(key, evidence)| Attempt {
                key: key.name(ends),
                outcome,
                via: via(&evidence, ends),
                connections: evidence.connections(),
                hours: evidence.hours(),
                first: evidence.first,
                last: evidence.last,
            }));
        }
        attempts.sort_by(|one, other| one.key.cmp(&other.key).then(one.outcome.cmp(&other.outcome)));
        let mut doubts: Vec<Doubt> = Vec::new();
        for (reason, table) in self.doubts {
            doubts.extend(table.into_sorted(&ranks).into_iter().map(|(key, evidence)| Doubt {
                key: key.name(ends),
                reason,
                connections: evidence.connections(),
                hours: evidence.hours(),
                first: evidence.first,
                last: evidence.last,
            }));
        }
        doubts.sort_by(|one, other| one.key.cmp(&other.key).then(one.reason.cmp(&other.reason)));
        Joined { edges, attempts, doubts, left_out: self.left_out, flows }
    }
}

/// A server that received a datagram and did not answer is a witness all the same.
fn came_up(flow: &Flow) -> bool {
    match flow.key.outcome {
        Outcome::Established => true,
        Outcome::Unanswered => flow.key.side == Side::Server,
        Outcome::Refused | Outcome::Timeout => false,
    }
}

fn via(evidence: &Evidence, ends: &crate::identity::Ends) -> BTreeSet<ServiceName> {
    let names = evidence.via.iter().filter_map(|id| match ends.get(*id) {
        Endpoint::Service(name) => Some(name.clone()),
        _ => None,
    });
    names.collect()
}
