//! Evidence added up per edge. In: flows with their ends numbered, in any order. Out: the totals, sorted by
//! ends, port and protocol. Hashed inside only.

use std::collections::BTreeSet;

use hashbrown::HashMap;

use super::node_port::{Dialled, Way};
use super::{EdgeKey, Witness};
use crate::flow::{Basis, Flow, FlowCounters, Outcome, Side};
use crate::identity::{EndId, Ends};
use crate::net::Protocol;
use crate::time::{Hour, Time};

/// An edge's key in numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) source: EndId,
    pub(super) destination: EndId,
    pub(super) port: u16,
    pub(super) protocol: Protocol,
}

impl Key {
    pub(super) fn name(self, ends: &Ends) -> EdgeKey {
        EdgeKey {
            source: ends.get(self.source).clone(),
            destination: ends.get(self.destination).clone(),
            port: self.port,
            protocol: self.protocol,
        }
    }
}

/// What one end saw of an edge, added up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sum {
    pub(super) connections: u64,
    sent: u64,
    received: u64,
    /// In order of arrival, repeats possible until `settle`.
    hours: Vec<Hour>,
}

impl Sum {
    fn hour(&mut self, hour: Hour) {
        if self.hours.last() != Some(&hour) {
            self.hours.push(hour);
        }
    }

    fn settle(&mut self) {
        self.hours.sort_unstable();
        self.hours.dedup();
    }

    fn add(&mut self, more: &Self, share: Share) {
        if share == Share::All {
            self.connections = self.connections.saturating_add(more.connections);
            self.sent = self.sent.saturating_add(more.sent);
            self.received = self.received.saturating_add(more.received);
        }
        more.hours.iter().for_each(|hour| self.hour(*hour));
    }
}

/// Everything seen of one edge.
#[derive(Clone, Debug)]
pub(super) struct Evidence {
    pub(super) client: Option<Box<Sum>>,
    pub(super) server: Option<Box<Sum>>,
    pub(super) first: Time,
    pub(super) last: Time,
    /// Seen to begin, at least once.
    observed: bool,
    /// Seen to be answered, or seen by the server, at least once.
    confirmed: bool,
    /// Flows added, and those of them that came from the server's own node.
    flows: u64,
    pub(super) own_flows: u64,
    /// Services that were translated, by number, repeats possible.
    pub(super) via: Vec<EndId>,
    pub(super) node_ports: Vec<Dialled>,
}

impl Evidence {
    fn begin(first: Time, last: Time) -> Self {
        Self {
            client: None,
            server: None,
            first,
            last,
            observed: false,
            confirmed: false,
            flows: 0,
            own_flows: 0,
            via: Vec::new(),
            node_ports: Vec::new(),
        }
    }

    fn add(&mut self, more: &Self, share: Share) {
        for (side, more) in [(&mut self.client, &more.client), (&mut self.server, &more.server)] {
            if let Some(more) = more {
                side.get_or_insert_with(Box::default).add(more, share);
            }
        }
        self.first = self.first.min(more.first);
        self.last = self.last.max(more.last);
        self.observed |= more.observed;
        self.confirmed |= more.confirmed;
        self.flows += more.flows;
        self.own_flows += more.own_flows;
        for service in &more.via {
            if !self.via.contains(service) {
                self.via.push(*service);
            }
        }
    }

    pub(super) fn witness(&self) -> Witness {
        match (&self.client, &self.server) {
            (Some(_), Some(_)) => Witness::Both,
            (None, Some(_)) => Witness::Server,
            _ => Witness::Client,
        }
    }

    pub(super) fn basis(&self) -> Basis {
        if self.observed { Basis::Observed } else { Basis::Existing }
    }

    pub(super) fn own_node(&self) -> bool {
        self.flows > 0 && self.flows == self.own_flows
    }

    pub(super) fn unconfirmed(&self) -> bool {
        !self.confirmed
    }

    /// Both ends count the same connections: the larger count has lost less.
    pub(super) fn connections(&self) -> u64 {
        self.sums().map(|sum| sum.connections).max().unwrap_or(0)
    }

    /// Payload from the source to the destination, and back.
    pub(super) fn bytes(&self) -> (u64, u64) {
        let client = self.client.as_deref().map_or((0, 0), |sum| (sum.sent, sum.received));
        let server = self.server.as_deref().map_or((0, 0), |sum| (sum.received, sum.sent));
        (client.0.max(server.0), client.1.max(server.1))
    }

    pub(super) fn hours(&self) -> BTreeSet<Hour> {
        self.sums().flat_map(|sum| sum.hours.iter().copied()).collect()
    }

    fn sums(&self) -> impl Iterator<Item = &Sum> {
        self.client.as_deref().into_iter().chain(self.server.as_deref())
    }

    /// Whether the server saw it in this hour or beside it: the ends' drains do not fall together.
    fn server_near(&self, hour: Hour) -> bool {
        self.server.as_ref().is_some_and(|sum| {
            let near = |seen: &Hour| seen.index().abs_diff(hour.index()) <= 1;
            sum.hours.iter().any(near)
        })
    }
}

/// How much of a flow an edge gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Share {
    All,
    /// It was there; its counters stand elsewhere already.
    Presence,
}

/// The edges under construction.
#[derive(Debug, Default)]
pub(super) struct Table {
    evidence: HashMap<Key, Evidence>,
}

impl Table {
    pub(super) fn add(&mut self, key: Key, flow: &Flow, share: Share) -> &mut Evidence {
        let FlowCounters { first, last, .. } = flow.counters;
        let evidence = self.evidence.entry(key).or_insert_with(|| Evidence::begin(first, last));
        let side = match flow.key.side {
            Side::Client => &mut evidence.client,
            Side::Server => &mut evidence.server,
        };
        let sum = side.get_or_insert_with(Box::default);
        if share == Share::All {
            sum.connections = sum.connections.saturating_add(flow.counters.connections);
            sum.sent = sum.sent.saturating_add(flow.counters.bytes_sent);
            sum.received = sum.received.saturating_add(flow.counters.bytes_received);
        }
        sum.hour(flow.key.hour);
        evidence.first = evidence.first.min(flow.counters.first);
        evidence.last = evidence.last.max(flow.counters.last);
        evidence.observed |= flow.key.basis == Basis::Observed;
        evidence.flows += 1;
        evidence.confirmed |= flow.key.side == Side::Server || flow.key.outcome == Outcome::Established;
        evidence
    }

    /// A Service was translated on the way to this edge.
    pub(super) fn add_via(&mut self, key: Key, flow: &Flow, share: Share, way: &Way) {
        let evidence = self.add(key, flow, share);
        if !evidence.via.contains(&way.service) {
            evidence.via.push(way.service);
        }
        Dialled::add(&mut evidence.node_ports, way, flow);
    }

    /// What was added up under another key belongs under this one.
    pub(super) fn add_evidence(&mut self, key: Key, more: &Evidence, share: Share) {
        let evidence = self.evidence.entry(key).or_insert_with(|| Evidence::begin(more.first, more.last));
        evidence.add(more, share);
    }

    pub(super) fn server_saw(&self, key: Key) -> bool {
        self.evidence.get(&key).is_some_and(|evidence| evidence.server.is_some())
    }

    pub(super) fn server_saw_near(&self, key: Key, hour: Hour) -> bool {
        self.evidence.get(&key).is_some_and(|evidence| evidence.server_near(hour))
    }

    /// Call between the pass over the servers' flows and the pass over the clients'.
    pub(super) fn settle(&mut self) {
        for sum in self.evidence.values_mut().filter_map(|evidence| evidence.server.as_deref_mut()) {
            sum.settle();
        }
    }

    /// Keys of TCP edges that a client saw, sorted by number.
    pub(super) fn seen_by_clients(&self) -> BTreeSet<(EndId, EndId, u16)> {
        let seen = self
            .evidence
            .iter()
            .filter(|(key, evidence)| evidence.client.is_some() && key.protocol == Protocol::Tcp);
        seen.map(|(key, _)| (key.source, key.destination, key.port)).collect()
    }

    /// All evidence, sorted by number.
    pub(super) fn into_numbered(self) -> Vec<(Key, Evidence)> {
        let mut all: Vec<(Key, Evidence)> = self.evidence.into_iter().collect();
        all.sort_unstable_by_key(|(key, _)| (key.source, key.destination, key.port, key.protocol));
        all
    }

    /// All evidence, sorted by the rank of its ends, then port and protocol.
    pub(super) fn into_sorted(self, ranks: &[u32]) -> Vec<(Key, Evidence)> {
        let mut all: Vec<(Key, Evidence)> = self.evidence.into_iter().collect();
        all.sort_unstable_by_key(|(key, _)| {
            (ranks[Ends::index(key.source)], ranks[Ends::index(key.destination)], key.port, key.protocol)
        });
        all
    }
}
