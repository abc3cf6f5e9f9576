//! Addresses that changed hands within a flow. In: such flows with their possible peers. Out: evidence for the
//! peers whose own end witnessed the flow; without such a witness the peer is Unknown.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use super::join::Join;
use super::table::{Key, Share};
use crate::flow::{Flow, Outcome, Side};
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

/// The flows of the possible peers' own ends: end, side, protocol and the address they talked to.
type OwnEnds<'f> = HashMap<(EndId, Side, Protocol, IpAddr), Vec<&'f Flow>>;

pub(super) fn resolve<'f, I: Iterator<Item = &'f Flow>>(
    join: &mut Join<'_, '_>,
    contested: Vec<Contested<'f>>,
    in_window: impl Fn() -> I,
) {
    if contested.is_empty() {
        return;
    }
    let possible: HashSet<EndId> = contested.iter().flat_map(|one| one.peers.iter().copied()).collect();
    let mut own_ends = OwnEnds::new();
    for flow in in_window() {
        let end = join.world.local(flow);
        if !possible.contains(&end) || matches!(flow.key.outcome, Outcome::Refused | Outcome::Timeout) {
            continue;
        }
        own_ends.entry((end, flow.key.side, flow.key.protocol, flow.key.remote)).or_default().push(flow);
    }
    for one in contested {
        settle(join, &one, &own_ends);
    }
}

fn settle(join: &mut Join<'_, '_>, contested: &Contested<'_>, own_ends: &OwnEnds<'_>) {
    let flow = contested.flow;
    let mut peers: Vec<EndId> =
        contested.peers.iter().copied().filter(|peer| witnessed(join, contested, *peer, own_ends)).collect();
    peers.sort_unstable();
    if peers.is_empty() {
        let unknown = join.world.ends.unknown(flow.key.remote, CHANGED_HANDS);
        match flow.key.side {
            Side::Server => join.served(unknown, contested.local, flow),
            Side::Client => join.direct(contested.local, unknown, flow),
        }
        return;
    }
    let share = if peers.len() == 1 { Share::All } else { Share::Presence };
    for peer in peers {
        let (source, destination) = match flow.key.side {
            Side::Server => (peer, contested.local),
            Side::Client => (contested.local, peer),
        };
        let key = Key { source, destination, port: flow.key.port, protocol: flow.key.protocol };
        if matches!(flow.key.outcome, Outcome::Refused | Outcome::Timeout) {
            join.attempt(key, flow);
        } else {
            join.table.add(key, flow, share);
        }
    }
}

/// Whether a possible peer's own end saw this very conversation.
fn witnessed(join: &Join<'_, '_>, contested: &Contested<'_>, peer: EndId, own_ends: &OwnEnds<'_>) -> bool {
    let flow = contested.flow;
    let other_side = match flow.key.side {
        Side::Client => Side::Server,
        Side::Server => Side::Client,
    };
    let seen =
        |ip: IpAddr| own_ends.get(&(peer, other_side, flow.key.protocol, ip)).into_iter().flatten().copied();
    let agrees = |own: &Flow| own.key.port == flow.key.port && overlaps(own, flow);
    if let Some(local) = flow.key.local {
        if seen(local).any(agrees) {
            return true;
        }
    } else {
        let pod = flow.key.pod.as_deref().and_then(|uid| join.world.lookup.pod(uid));
        let holds = pod.map(|at| &join.world.inventory.pods[at as usize].holds);
        if holds.into_iter().flatten().any(|hold| seen(hold.ip).any(agrees)) {
            return true;
        }
    }
    // A client that came through a Service knows only the Service's address.
    flow.key.side == Side::Server && through_a_service(join, contested, peer, own_ends)
}

fn through_a_service(
    join: &Join<'_, '_>,
    contested: &Contested<'_>,
    peer: EndId,
    own_ends: &OwnEnds<'_>,
) -> bool {
    let flow = contested.flow;
    let world = &join.world;
    world.services.addresses_towards(contested.local, flow.key.port).into_iter().any(|ip| {
        let own = own_ends.get(&(peer, Side::Client, flow.key.protocol, ip)).into_iter().flatten();
        own.filter(|own| overlaps(own, flow)).any(|own| {
            let span = (own.counters.first, own.counters.last);
            let found = world.services.find(ip, own.key.port, own.key.protocol, span, false);
            found.is_some_and(|found| {
                let targets = world.services.targets(found, span, world.inventory, &world.ends);
                targets.contains(&(contested.local, flow.key.port))
            })
        })
    })
}

fn overlaps(one: &Flow, other: &Flow) -> bool {
    let meets = |from: Time, to: Time| from <= to.plus_seconds(SLACK_SECONDS);
    meets(one.counters.first, other.counters.last) && meets(other.counters.first, one.counters.last)
}
