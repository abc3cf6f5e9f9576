//! The space of addresses, cut where some `ipBlock` begins or ends. In: blocks. Out: the place of an address
//! (addresses of one place are in the same blocks).

use std::net::IpAddr;

use ipnet::IpNet;

use super::block::Block;

/// The first address of every place but the lowest, per family.
#[derive(Debug, Default)]
pub(crate) struct Space {
    v4: Vec<u32>,
    v6: Vec<u128>,
}

/// Where an address lies among the cuts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Place {
    v6: bool,
    at: usize,
}

impl Space {
    pub(crate) fn new<'a>(blocks: impl Iterator<Item = &'a Block>) -> Self {
        let mut space = Self::default();
        for net in blocks.flat_map(|block| block.except.iter().chain([&block.net])) {
            match net {
                IpNet::V4(net) => {
                    space.v4.push(net.network().to_bits());
                    space.v4.extend(net.broadcast().to_bits().checked_add(1));
                }
                IpNet::V6(net) => {
                    space.v6.push(net.network().to_bits());
                    space.v6.extend(net.broadcast().to_bits().checked_add(1));
                }
            }
        }
        space.v4.sort_unstable();
        space.v4.dedup();
        space.v6.sort_unstable();
        space.v6.dedup();
        space
    }

    pub(crate) fn place(&self, ip: IpAddr) -> Place {
        match ip {
            IpAddr::V4(ip) => Place { v6: false, at: self.v4.partition_point(|&cut| cut <= ip.to_bits()) },
            IpAddr::V6(ip) => Place { v6: true, at: self.v6.partition_point(|&cut| cut <= ip.to_bits()) },
        }
    }
}
