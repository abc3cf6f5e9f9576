//! Addresses that changed hands within a flow. In: such flows with their possible peers. Out: evidence for the
//! peers whose own end witnessed the flow; without such a witness the peer is Unknown.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use super::join::{Join, MESH_PORTS, Meshed};
use super::table::Share;
use crate::flow::{Flow, FlowCounters, Outcome, Side};
use crate::identity::{CHANGED_HANDS, EndId};
use crate::net::Protocol;
use crate::time::Time;

/// A flow whose remote address had several holders in its span.
pub(super) struct Contested<'f> {
    pub(super) flow: &'f Flow,
    pub(super) local: EndId,
    pub(super) peers: Vec<EndId>,
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

pub(super) fn resolve<'f, I: Iterator<Item = &'f Flow>>(
    join: &mut Join<'_, '_>,
    contested: Vec<Contested<'f>>,
    meshed: &mut Meshed<'f>,
    in_window: impl Fn() -> I,
) {
    if contested.is_empty() {
        return;
    }
    let own_ends = own_ends(join, &contested, in_window());
    for one in contested {
        settle(join, &one, meshed, &own_ends);
    }
}

fn own_ends<'f>(
    join: &mut Join<'_, '_>,
    contested: &[Contested<'f>],
    flows: impl Iterator<Item = &'f Flow>,
) -> OwnEnds {
    let possible: HashSet<EndId> = contested.iter().flat_map(|one| one.peers.iter().copied()).collect();
    let served: HashSet<(EndId, u16)> = contested
        .iter()
        .filter(|one| one.flow.key.side == Side::Server)
        .map(|one| (one.local, one.flow.key.port))
        .collect();
    let mut own = OwnEnds::default();
    for flow in flows {
        let end = join.world.local(flow);
        if !possible.contains(&end) || matches!(flow.key.outcome, Outcome::Refused | Outcome::Timeout) {
            continue;
        }
        let key = &flow.key;
        let direct = (end, key.side, key.protocol, key.remote, key.port);
        own.direct.entry(direct).or_default().add(&flow.counters);
        own.direct.entry((end, key.side, key.protocol, key.remote, ANY)).or_default().add(&flow.counters);
        if key.side == Side::Server || served.is_empty() {
            continue;
        }
        let (world, span) = (&join.world, (flow.counters.first, flow.counters.last));
        if let Some(found) = world.services.find(key.remote, key.port, key.protocol, span, false) {
            let targets = world.services.targets(found, span, world.inventory, &world.ends);
            for (end_behind, port) in targets.into_iter().filter(|target| served.contains(target)) {
                own.by_service.entry((end, key.protocol, end_behind, port)).or_default().add(&flow.counters);
            }
        }
    }
    own.direct.values_mut().chain(own.by_service.values_mut()).for_each(Spans::settle);
    own
}

fn settle<'f>(
    join: &mut Join<'_, '_>,
    contested: &Contested<'f>,
    meshed: &mut Meshed<'f>,
    own_ends: &OwnEnds,
) {
    let flow = contested.flow;
    let mut peers: Vec<EndId> =
        contested.peers.iter().copied().filter(|peer| witnessed(join, contested, *peer, own_ends)).collect();
    peers.sort_unstable();
    if peers.is_empty() {
        let unknown = join.world.ends.unknown(flow.key.remote, CHANGED_HANDS);
        match flow.key.side {
            Side::Server => join.serve(unknown, contested.local, flow, meshed),
            Side::Client => join.direct(contested.local, unknown, flow),
        }
        return;
    }
    let share = if peers.len() == 1 { Share::All } else { Share::Presence };
    for peer in peers {
        match flow.key.side {
            Side::Server => join.serve_share(peer, contested.local, flow, share, meshed),
            Side::Client => join.direct_share(contested.local, peer, flow, share),
        }
    }
}

/// Whether a possible peer's own end saw this very conversation.
fn witnessed(join: &Join<'_, '_>, contested: &Contested<'_>, peer: EndId, own_ends: &OwnEnds) -> bool {
    let flow = contested.flow;
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
    let direct = if let Some(local) = key.local {
        seen(local)
    } else {
        let pod = key.pod.as_deref().and_then(|uid| join.world.lookup.pod(uid));
        let holds = pod.map(|at| &join.world.inventory.pods[at as usize].holds);
        holds.into_iter().flatten().any(|hold| seen(hold.ip))
    };
    let by_service =
        |own: &OwnEnds| meets(own.by_service.get(&(peer, key.protocol, contested.local, key.port)));
    direct || (key.side == Side::Server && by_service(own_ends))
}
