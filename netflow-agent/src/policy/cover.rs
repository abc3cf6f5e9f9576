//! CIDR covers of addresses. In: addresses seen. Out: the smallest set of blocks that holds exactly these;
//! or, within a budget of blocks, a wider one with the number of addresses it adds. A wider block never
//! holds an address of the cluster and never reaches over the edge of a private or special range.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};
use std::net::IpAddr;

use ipnet::IpNet;

/// Ranges that a widened block lies wholly inside or wholly outside of.
const BORDERS: &[&str] = &[
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "0.0.0.0/8",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "fc00::/7",
    "fe80::/10",
    "ff00::/8",
    "::/96",
    "64:ff9b::/96",
];

/// A cover and what it costs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cover {
    /// Canonical, sorted, none inside another.
    pub blocks: Vec<IpNet>,
    /// Addresses inside that nobody was seen to use.
    pub added: u128,
}

/// The smallest set of blocks that holds exactly these addresses.
pub fn exact(ips: &BTreeSet<IpAddr>) -> Cover {
    Cover { blocks: exact_blocks(ips), added: 0 }
}

fn exact_blocks(ips: &BTreeSet<IpAddr>) -> Vec<IpNet> {
    let hosts: Vec<IpNet> = ips.iter().map(|ip| IpNet::from(*ip)).collect();
    let mut blocks = IpNet::aggregate(&hosts);
    blocks.sort();
    blocks
}

/// At most `budget` blocks where the borders let it, always merging what adds the fewest addresses.
/// `taken` are the addresses of pods, Services and nodes, which no widened block may hold.
pub fn within(ips: &BTreeSet<IpAddr>, budget: usize, taken: &BTreeSet<IpAddr>, ranges: &[IpNet]) -> Cover {
    let mut chain = Chain::of(exact_blocks(ips), taken, ranges);
    while chain.alive > budget && chain.merge_cheapest() {}
    let blocks: Vec<IpNet> = chain.blocks.into_iter().flatten().collect();
    let held = blocks.iter().fold(0u128, |sum, block| sum.saturating_add(size(block)));
    Cover { blocks, added: held.saturating_sub(ips.len() as u128) }
}

/// Blocks in order, each with its neighbours, and the merges that may be made, cheapest first.
struct Chain<'a> {
    blocks: Vec<Option<IpNet>>,
    previous: Vec<Option<usize>>,
    next: Vec<Option<usize>>,
    merges: BinaryHeap<Reverse<(u128, usize, usize, IpNet)>>,
    alive: usize,
    taken: &'a BTreeSet<IpAddr>,
    borders: Vec<IpNet>,
}

impl<'a> Chain<'a> {
    fn of(blocks: Vec<IpNet>, taken: &'a BTreeSet<IpAddr>, ranges: &[IpNet]) -> Self {
        let count = blocks.len();
        let mut borders: Vec<IpNet> = BORDERS.iter().filter_map(|text| text.parse().ok()).collect();
        borders.extend(ranges);
        let mut chain = Self {
            blocks: blocks.into_iter().map(Some).collect(),
            previous: (0..count).map(|at| at.checked_sub(1)).collect(),
            next: (0..count).map(|at| (at + 1 < count).then_some(at + 1)).collect(),
            merges: BinaryHeap::new(),
            alive: count,
            taken,
            borders,
        };
        for at in 1..count {
            chain.offer(at - 1, at);
        }
        chain
    }

    fn offer(&mut self, left: usize, right: usize) {
        let (Some(Some(a)), Some(Some(b))) = (self.blocks.get(left), self.blocks.get(right)) else { return };
        if let Some(wide) = enclosing(a, b).filter(|wide| self.may_widen(wide)) {
            let added = size(&wide).saturating_sub(size(a)).saturating_sub(size(b));
            self.merges.push(Reverse((added, left, right, wide)));
        }
    }

    fn may_widen(&self, wide: &IpNet) -> bool {
        let holds_taken = self.taken.range(wide.network()..=wide.broadcast()).next().is_some();
        !holds_taken && !self.borders.iter().any(|border| wide.contains(border) && wide != border)
    }

    /// False when nothing is left to merge.
    fn merge_cheapest(&mut self) -> bool {
        while let Some(Reverse((_, left, right, wide))) = self.merges.pop() {
            let inside = |block: Option<IpNet>| block.is_some_and(|block| wide.contains(&block));
            // Stale: one of the two has been merged since.
            if self.next[left] != Some(right) || !inside(self.blocks[left]) || !inside(self.blocks[right]) {
                continue;
            }
            self.blocks[left] = Some(wide);
            self.drop_next(left);
            // The wider block may have swallowed what stood beside the pair.
            while self.next[left].is_some_and(|after| inside(self.blocks[after])) {
                self.drop_next(left);
            }
            while let Some(before) = self.previous[left].filter(|before| inside(self.blocks[*before])) {
                self.blocks[before] = None;
                self.alive -= 1;
                self.previous[left] = self.previous[before];
                if let Some(further) = self.previous[left] {
                    self.next[further] = Some(left);
                }
            }
            if let Some(before) = self.previous[left] {
                self.offer(before, left);
            }
            if let Some(after) = self.next[left] {
                self.offer(left, after);
            }
            return true;
        }
        false
    }

    fn drop_next(&mut self, at: usize) {
        let Some(gone) = self.next[at] else { return };
        self.blocks[gone] = None;
        self.alive -= 1;
        self.next[at] = self.next[gone];
        if let Some(after) = self.next[at] {
            self.previous[after] = Some(at);
        }
    }
}

/// The smallest block that holds both; none across families.
fn enclosing(a: &IpNet, b: &IpNet) -> Option<IpNet> {
    let mut wide = *a;
    while !wide.contains(b) {
        wide = wide.supernet()?;
    }
    Some(wide)
}

/// How many addresses a block holds; `::/0` counts one less than it has.
pub fn size(block: &IpNet) -> u128 {
    let host_bits = u32::from(block.max_prefix_len() - block.prefix_len());
    1u128.checked_shl(host_bits).unwrap_or(u128::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ips(text: &str) -> BTreeSet<IpAddr> {
        text.split_whitespace().map(|ip| ip.parse().expect("an address")).collect()
    }

    fn spelled(cover: &Cover) -> String {
        cover.blocks.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn an_exact_cover_holds_what_was_seen_and_nothing_else() {
        for (seen, expected) in [
            ("", ""),
            ("203.0.113.7", "203.0.113.7/32"),
            ("203.0.113.4 203.0.113.5 203.0.113.6 203.0.113.7", "203.0.113.4/30"),
            ("203.0.113.5 203.0.113.6", "203.0.113.5/32 203.0.113.6/32"),
            ("2001:db8::1", "2001:db8::1/128"),
            ("2001:db8::2 2001:db8::3 203.0.113.7", "203.0.113.7/32 2001:db8::2/127"),
        ] {
            assert_eq!(spelled(&exact(&ips(seen))), expected, "{seen}");
        }
    }

    #[test]
    fn a_budget_merges_what_adds_the_fewest_addresses_and_counts_them() {
        let seen = ips("203.0.113.5 203.0.113.6 198.51.100.1 198.51.100.9");
        for (budget, expected, added) in [
            (4, "198.51.100.1/32 198.51.100.9/32 203.0.113.5/32 203.0.113.6/32", 0),
            (3, "198.51.100.1/32 198.51.100.9/32 203.0.113.4/30", 2),
            (2, "198.51.100.0/28 203.0.113.4/30", 16),
        ] {
            let cover = within(&seen, budget, &BTreeSet::new(), &[]);
            assert_eq!((spelled(&cover).as_str(), cover.added), (expected, added), "{budget}");
        }
    }

    #[test]
    fn no_widened_block_holds_the_cluster_or_crosses_a_border() {
        let taken = ips("203.0.113.5");
        assert_eq!(
            spelled(&within(&ips("203.0.113.4 203.0.113.6"), 1, &taken, &[])),
            "203.0.113.4/32 203.0.113.6/32"
        );
        assert_eq!(
            spelled(&within(&ips("9.255.255.255 10.0.0.0"), 1, &BTreeSet::new(), &[])),
            "9.255.255.255/32 10.0.0.0/32"
        );
        assert_eq!(
            spelled(&within(&ips("203.0.113.4 2001:db8::1"), 1, &BTreeSet::new(), &[])),
            "203.0.113.4/32 2001:db8::1/128"
        );
        let pods = ["203.0.113.64/26".parse().expect("a block")];
        let cover = within(&ips("203.0.113.1 203.0.113.200"), 1, &BTreeSet::new(), &pods);
        assert_eq!(spelled(&cover), "203.0.113.1/32 203.0.113.200/32");
    }

    #[test]
    fn a_merge_swallows_its_neighbours() {
        let cover = within(
            &ips("203.0.113.0 203.0.113.3 203.0.113.4 203.0.113.7 203.0.113.250"),
            1,
            &BTreeSet::new(),
            &[],
        );
        assert_eq!((spelled(&cover).as_str(), cover.added), ("203.0.113.0/24", 251));
    }
}
