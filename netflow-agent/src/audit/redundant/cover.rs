//! What other rules together allow of a rule. In: rules as compiled for the pods of the input, with their ports as
//! written. Out: whether each peer and port of one is in the others. An address is covered by addresses only, a
//! port name by its name or by all ports of its protocol.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::audit::scene::RuleAt;
use crate::evaluate::Ports;
use crate::evaluate::block::Block;
use crate::evaluate::compile::{Peers, SharedRule};
use crate::net::Protocol;

/// A rule, its peers compiled, its ports as sets and names.
#[derive(Debug)]
pub(super) struct Written<'a> {
    rule: &'a SharedRule,
    numbers: Ports,
    names: BTreeSet<(String, String)>,
}

impl<'a> Written<'a> {
    pub(super) fn new(rule: &'a SharedRule, at: &RuleAt<'_>) -> Self {
        Self { rule, numbers: at.numbers(), names: at.names() }
    }

    /// Whether the others allow all that it allows. What allows nothing is another finding.
    pub(super) fn is_covered(&self, others: &[&Self]) -> bool {
        if self.numbers.is_empty() && self.names.is_empty() {
            return false;
        }
        let Peers::Listed { classes, blocks, .. } = &self.rule.peers else {
            return self
                .ports_in(others.iter().copied().filter(|other| matches!(other.rule.peers, Peers::Any)));
        };
        if classes.iter().next().is_none() && blocks.is_empty() {
            return false;
        }
        let of_class = |class| {
            self.ports_in(others.iter().copied().filter(move |other| match &other.rule.peers {
                Peers::Any => true,
                Peers::Listed { classes, .. } => classes.contains(class),
            }))
        };
        classes.iter().all(of_class) && blocks.iter().all(|block| self.block_in(block, others))
    }

    fn ports_in<'o>(&self, others: impl Iterator<Item = &'o Self>) -> bool
    where
        'a: 'o,
    {
        let (mut left, mut names) = (self.numbers.clone(), self.names.clone());
        let mut whole = Ports::default();
        for other in others {
            left = left.minus(&other.numbers);
            whole.extend(&other.numbers);
            names.retain(|name| !other.names.contains(name));
            names.retain(|(of, _)| of.parse::<Protocol>().map_or(true, |of| !whole.of(of).is_all()));
            if left.is_empty() && names.is_empty() {
                return true;
            }
        }
        false
    }

    /// Piece by piece, as the others cut it.
    fn block_in(&self, block: &Block, others: &[&Self]) -> bool {
        let holding = |other: &&&Self, ip: IpAddr| match &other.rule.peers {
            Peers::Any => true,
            Peers::Listed { blocks, .. } => blocks.iter().any(|block| block.contains(ip)),
        };
        let others_blocks = others.iter().flat_map(|other| other.rule.peers.blocks());
        let nets = others_blocks.chain([block]).flat_map(|block| block.except.iter().chain([&block.net]));
        let mut starts: Vec<IpAddr> = nets.flat_map(starts).filter(|ip| block.contains(*ip)).collect();
        starts.sort_unstable();
        starts.dedup();
        starts.into_iter().all(|ip| self.ports_in(others.iter().filter(|other| holding(other, ip)).copied()))
    }
}

/// Where a range begins, and what comes after it.
fn starts(net: &IpNet) -> impl Iterator<Item = IpAddr> + use<> {
    let after = match net.broadcast() {
        IpAddr::V4(ip) => ip.to_bits().checked_add(1).map(|bits| IpAddr::V4(bits.into())),
        IpAddr::V6(ip) => ip.to_bits().checked_add(1).map(|bits| IpAddr::V6(bits.into())),
    };
    [Some(net.network()), after].into_iter().flatten()
}
