//! Pairs of workloads. In: a compiled cluster and its kinds of pod. Out: per source the destinations and ports.
//!
//! Each kind's rules are spread over the kinds they name, once per direction; a pair is allowed where the
//! source's egress and the destination's ingress meet. Where an `ipBlock` may matter, the pair is judged in full.

use super::kind::{Kinds, number};
use super::table::{PortsId, Table};
use crate::evaluate::Cluster;
use crate::evaluate::compile::{Peers, Rule, RulePort, RulePorts, Side};
use crate::evaluate::verdict;
use crate::net::Direction;

/// What one direction of a kind lets through.
#[derive(Debug)]
struct Reach {
    /// To or from every kind.
    any: PortsId,
    /// To or from some: kind and ports, ascending.
    some: Vec<(u32, PortsId)>,
    /// Some rule names addresses: the ports above are not all, and pairs are judged in full.
    blocks: bool,
}

impl Reach {
    fn with(&self, kind: u32, table: &mut Table) -> PortsId {
        match self.some.binary_search_by_key(&kind, |entry| entry.0) {
            Ok(at) => table.union(self.any, self.some[at].1),
            Err(_) => self.any,
        }
    }
}

pub(super) fn rows(cluster: &Cluster, kinds: &Kinds, table: &mut Table) -> Vec<Vec<(u32, PortsId)>> {
    let mut spread = Spread { cluster, kinds, table };
    let ingress: Vec<Reach> =
        (0..number(kinds.list.len())).map(|kind| spread.reach(kind, Direction::Ingress)).collect();
    // Who lets everybody in, and who lets in whom: so that a source that may go anywhere need not ask all.
    let open: Vec<u32> =
        (0..).zip(&ingress).filter(|(_, reach)| reach.any != PortsId::NONE).map(|(kind, _)| kind).collect();
    let mut admitting: Vec<Vec<u32>> = vec![Vec::new(); kinds.list.len()];
    for (kind, reach) in (0_u32..).zip(&ingress) {
        for &(source, _) in &reach.some {
            admitting[source as usize].push(kind);
        }
    }
    let mut rows = vec![Vec::new(); kinds.workloads.len()];
    for source in 0..number(kinds.list.len()) {
        let egress = spread.reach(source, Direction::Egress);
        let mut candidates: Vec<u32> = if egress.any == PortsId::NONE {
            egress.some.iter().map(|entry| entry.0).collect()
        } else {
            open.iter().chain(&admitting[source as usize]).copied().collect()
        };
        candidates.sort_unstable();
        candidates.dedup();
        let row: &mut Vec<(u32, PortsId)> = &mut rows[kinds.get(source).workload as usize];
        for destination in candidates {
            let ports = spread.pair(source, destination, &egress, &ingress[destination as usize]);
            if ports != PortsId::NONE {
                row.push((kinds.get(destination).workload, ports));
            }
        }
    }
    for row in &mut rows {
        unite(row, spread.table);
    }
    rows
}

struct Spread<'a> {
    cluster: &'a Cluster,
    kinds: &'a Kinds,
    table: &'a mut Table,
}

impl Spread<'_> {
    fn pair(&mut self, source: u32, destination: u32, egress: &Reach, ingress: &Reach) -> PortsId {
        let Some(pair) = self.kinds.pair(source, destination) else {
            return PortsId::NONE;
        };
        if egress.blocks || ingress.blocks {
            let ports = verdict::reachable_ports(self.cluster, pair);
            return self.table.id(ports);
        }
        let (out, into) = (egress.with(destination, self.table), ingress.with(source, self.table));
        self.table.intersection(out, into)
    }

    /// What the rules of one direction of a kind let through, seen from its policies alone.
    fn reach(&mut self, kind: u32, direction: Direction) -> Reach {
        let class = self.kinds.get(kind).class;
        let side = self.cluster.sides.of(class, direction);
        let mut reach = Reach { any: PortsId::NONE, some: Vec::new(), blocks: side.has_blocks };
        if side.policies.is_empty() {
            reach.any = PortsId::ALL;
            return reach;
        }
        for rule in &side.rules {
            self.spread(rule, side, kind, direction, &mut reach);
        }
        unite(&mut reach.some, self.table);
        reach
    }

    fn spread(&mut self, rule: &Rule, side: &Side, kind: u32, direction: Direction, reach: &mut Reach) {
        let named = matches!(&rule.ports, RulePorts::Listed(items)
            if items.iter().any(|item| matches!(item, RulePort::Name(..))));
        // Names are the destination's: for ingress this kind's own, for egress those of each peer.
        let each = direction == Direction::Egress && named;
        let own = self.ports_at(rule, kind);
        let n_kinds = number(self.kinds.list.len());
        let everybody = match &rule.peers {
            Peers::Any => true,
            Peers::Listed { classes, .. } => classes.is_all(self.kinds.by_class.len()),
        };
        match &rule.peers {
            _ if everybody && !each => reach.any = self.table.union(reach.any, own),
            Peers::Any => {
                for peer in 0..n_kinds {
                    reach.some.push((peer, self.ports_at(rule, peer)));
                }
            }
            Peers::Listed { classes, .. } => {
                for class in classes.iter() {
                    for &peer in &self.kinds.by_class[class as usize] {
                        let ports = if each { self.ports_at(rule, peer) } else { own };
                        reach.some.push((peer, ports));
                    }
                }
            }
        }
        if side.has_blocks {
            for block in rule.peers.blocks() {
                // Only which pairs to judge in full: with which ports is found there.
                let hit = self.kinds.within(block.net.network(), block.net.broadcast());
                reach.some.extend(hit.map(|peer| (peer, own)));
            }
        }
    }

    /// The ports that a rule means at a destination of this kind.
    fn ports_at(&mut self, rule: &Rule, kind: u32) -> PortsId {
        let class = &self.cluster.snapshot().classes[self.kinds.get(kind).class as usize];
        let mut ports = crate::evaluate::Ports::default();
        rule.add_ports(&class.ports, &mut ports);
        self.table.id(ports)
    }
}

/// Sorts by the first and unites the ports of equal ones.
fn unite(entries: &mut Vec<(u32, PortsId)>, table: &mut Table) {
    entries.sort_unstable();
    entries.dedup_by(|next, kept| {
        if next.0 == kept.0 {
            kept.1 = table.union(kept.1, next.1);
        }
        next.0 == kept.0
    });
}
