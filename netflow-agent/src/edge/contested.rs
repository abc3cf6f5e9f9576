//! Addresses that changed hands within a flow. In: such flows with their possible peers. Out: evidence for the
//! peers whose own end witnessed the flow; without such a witness the peer is Unknown.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use super::join::{Join, MESH_PORTS};
use super::table::Share;
use super::witness::{Peer, Reach};
use crate::flow::{Flow, FlowCounters, Outcome, Side};
use crate::identity::{CHANGED_HANDS, EndId};
use crate::net::Protocol;
use crate::time::Time;

/// Flows of one side whose remote address had several holders in their span: not the flows, but whom to ask.
#[derive(Debug, Default)]
pub(super) struct Claims {
    peers: HashSet<EndId>,
    /// Servers' ends, with the port that was contested.
    served: HashSet<(EndId, u16)>,
    any: bool,
}

impl Claims {
    pub(super) fn add(&mut self, flow: &Flow, local: EndId, peers: &[EndId]) {
        self.any = true;
        self.peers.extend(peers);
        if flow.key.side == Side::Server {
            self.served.insert((local, flow.key.port));
        }
    }
}

/// `first` and `last` are good to one drain at either end, and drains are seconds to a minute apart.
const SLACK_SECONDS: i64 = 60;

/// Stands for every port: a sidecar hides the true one from the server.
const ANY: u16 = 0;

/// When something was seen: spans, and once settled no two of them meet.
#[derive(Debug, Default)]
struct Spans(Vec<(Time, Time)>);

impl Spans {
    fn add(&mut self, counters: &FlowCounters) {
        self.0.push((counters.first, counters.last));
    }

    fn settle(&mut self) {
        self.0.sort_unstable();
        self.0.dedup_by(|later, earlier| {
            let touching = later.0 <= earlier.1;
            if touching {
                earlier.1 = earlier.1.max(later.1);
            }
            touching
        });
    }

    /// Whether a flow was there at such a time, give or take a drain.
    fn meet(&self, counters: &FlowCounters) -> bool {
        let at = self.0.partition_point(|(_, to)| to.plus_seconds(SLACK_SECONDS) < counters.first);
        self.0.get(at).is_some_and(|(from, _)| *from <= counters.last.plus_seconds(SLACK_SECONDS))
    }
}

/// What the possible peers' own ends saw.
#[derive(Debug, Default)]
struct OwnEnds {
    /// By end, side, protocol, and the address and port they talked to.
    direct: HashMap<(EndId, Side, Protocol, IpAddr, u16), Spans>,
    /// By client and protocol, and the end and port behind the Service whose address they called: such a
    /// client knows no other.
    by_service: HashMap<(EndId, Protocol, EndId, u16), Spans>,
}

/// Goes through the flows twice: what the possible peers' own ends saw, then the contested flows once more.
pub(super) fn resolve<E>(
    join: &mut Join<'_, '_>,
    side: Side,
    claims: &Claims,
    each: impl Fn(&mut dyn FnMut(&Flow)) -> Result<(), E>,
) -> Result<(), E> {
    if !claims.any {
        return Ok(());
    }
    let mut own = OwnEnds::default();
    each(&mut |flow| own.take(flow, claims, join))?;
    own.settle();
    each(&mut |flow| {
        if flow.key.side == side
            && let Some(peers) = contenders(join, flow)
        {
            settle(join, flow, &peers, &own);
        }
    })
}

impl OwnEnds {
    fn take(&mut self, flow: &Flow, claims: &Claims, join: &mut Join<'_, '_>) {
        let end = join.world.local(flow);
        if !claims.peers.contains(&end) || matches!(flow.key.outcome, Outcome::Refused | Outcome::Timeout) {
            return;
        }
        let key = &flow.key;
        let direct = (end, key.side, key.protocol, key.remote, key.port);
        self.direct.entry(direct).or_default().add(&flow.counters);
        self.direct.entry((end, key.side, key.protocol, key.remote, ANY)).or_default().add(&flow.counters);
        if key.side == Side::Server || claims.served.is_empty() {
            return;
        }
        let (world, span) = (&join.world, (flow.counters.first, flow.counters.last));
        if let Some(found) = world.services.find(key.remote, key.port, key.protocol, span, false) {
            let targets = world.services.targets(found, span, world.inventory, &world.ends);
            for (behind, port) in targets.into_iter().filter(|target| claims.served.contains(target)) {
                self.by_service.entry((end, key.protocol, behind, port)).or_default().add(&flow.counters);
            }
        }
    }

    fn settle(&mut self) {
        self.direct.values_mut().chain(self.by_service.values_mut()).for_each(Spans::settle);
    }
}

/// The possible peers of a flow that is contested.
fn contenders(join: &Join<'_, '_>, flow: &Flow) -> Option<Vec<EndId>> {
    let is_contested = join.world.reach(flow) == Reach::Between
        && (flow.key.side == Side::Server || join.world.service_of(flow).is_none());
    match join.world.remote(flow) {
        Peer::Several(peers) if is_contested => Some(peers),
        _ => None,
    }
}

fn settle(join: &mut Join<'_, '_>, flow: &Flow, peers: &[EndId], own: &OwnEnds) {
    let local = join.world.local(flow);
    let mut peers: Vec<EndId> =
        peers.iter().copied().filter(|peer| witnessed(join, flow, local, *peer, own)).collect();
    peers.sort_unstable();
    if peers.is_empty() {
        let unknown = join.world.ends.unknown(flow.key.remote, CHANGED_HANDS);
        match flow.key.side {
            Side::Server => join.serve(unknown, local, flow, Share::All),
            Side::Client => join.direct(local, unknown, flow),
        }
        return;
    }
    let share = if peers.len() == 1 { Share::All } else { Share::Presence };
    for peer in peers {
        match flow.key.side {
            Side::Server => join.serve(peer, local, flow, share),
            Side::Client => join.direct_share(local, peer, flow, share),
        }
    }
}

/// Whether a possible peer's own end saw this very conversation.
fn witnessed(join: &Join<'_, '_>, flow: &Flow, local: EndId, peer: EndId, own_ends: &OwnEnds) -> bool {
    let key = &flow.key;
    let other_side = match key.side {
        Side::Client => Side::Server,
        Side::Server => Side::Client,
    };
    let meets = |spans: Option<&Spans>| spans.is_some_and(|spans| spans.meet(&flow.counters));
    let on = |ip: IpAddr, port: u16| meets(own_ends.direct.get(&(peer, other_side, key.protocol, ip, port)));
    let by_mesh = key.side == Side::Server && MESH_PORTS.contains(&key.port);
    let seen = |ip: IpAddr| match key.side {
        Side::Server => on(ip, if by_mesh { ANY } else { key.port }),
        Side::Client => on(ip, key.port) || MESH_PORTS.iter().any(|port| on(ip, *port)),
    };
    let direct = if let Some(ip) = key.local {
        seen(ip)
    } else {
        let pod = key.pod.as_deref().and_then(|uid| join.world.lookup.pod(uid));
        let holds = pod.map(|at| &join.world.inventory.pods[at as usize].holds);
        holds.into_iter().flatten().any(|hold| seen(hold.ip))
    };
    direct
        || (key.side == Side::Server
            && meets(own_ends.by_service.get(&(peer, key.protocol, local, key.port))))
}
