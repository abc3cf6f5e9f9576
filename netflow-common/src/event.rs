//! What travels through the ring buffer: one flow that the map had no room for. Decoded field by field, so
//! that a record of another layout is refused and not misread.

use crate::addr::Address;
use crate::flow::{FlowKey, FlowStats};

/// `FlowRecord::kind`. Another value means that programs and agent differ in layout.
pub const KIND_FLOW: u32 = 1;

/// A count that belongs into the flow map and found it full.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowRecord {
    pub kind: u32,
    pub padding: u32,
    pub key: FlowKey,
    pub stats: FlowStats,
}

const _: () = assert!(size_of::<FlowRecord>() == FlowRecord::LENGTH);

/// Reads fields off the front of a record.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    fn u16(&mut self) -> Option<u16> {
        self.take().map(u16::from_ne_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_ne_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_ne_bytes)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take().map(|[byte]: [u8; 1]| byte)
    }

    fn address(&mut self) -> Option<Address> {
        Some(Address { words_be: [self.u32()?, self.u32()?, self.u32()?, self.u32()?] })
    }
}

impl FlowKey {
    pub const LENGTH: usize = 56;

    /// The key in these bytes of a map; `None` when they are too few.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        Some(Self {
            netns: reader.u64()?,
            cgroup: reader.u64()?,
            local: reader.address()?,
            remote: reader.address()?,
            port: reader.u16()?,
            protocol: reader.u8()?,
            side: reader.u8()?,
            outcome: reader.u8()?,
            basis: reader.u8()?,
            padding: reader.u16()?,
        })
    }
}

impl FlowStats {
    pub const LENGTH: usize = 40;

    /// The value in these bytes of a map; `None` when they are too few.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        Some(Self {
            begun: reader.u32()?,
            ended: reader.u32()?,
            sent: reader.u64()?,
            received: reader.u64()?,
            first_ns: reader.u64()?,
            last_ns: reader.u64()?,
        })
    }
}

impl FlowRecord {
    pub const LENGTH: usize = 8 + FlowKey::LENGTH + FlowStats::LENGTH;

    /// The record in these bytes of the ring; `None` when length or kind are not ours.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes.len() != Self::LENGTH {
            return None;
        }
        let kind = Reader(bytes).u32()?;
        if kind != KIND_FLOW {
            return None;
        }
        let rest = bytes.get(8..)?;
        let stats = rest.get(FlowKey::LENGTH..)?;
        Some(Self { kind, padding: 0, key: FlowKey::decode(rest)?, stats: FlowStats::decode(stats)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_of_another_length_or_kind_is_refused() {
        let mut bytes = [0_u8; FlowRecord::LENGTH + 1];
        bytes[..4].copy_from_slice(&KIND_FLOW.to_ne_bytes());
        assert!(FlowRecord::decode(&bytes).is_none());
        assert!(FlowRecord::decode(&bytes[..FlowRecord::LENGTH - 1]).is_none());
        assert!(FlowRecord::decode(&bytes[..FlowRecord::LENGTH]).is_some());
        bytes[0] = 9;
        assert!(FlowRecord::decode(&bytes[..FlowRecord::LENGTH]).is_none());
        assert!(FlowRecord::decode(&[]).is_none());
    }

    #[test]
    fn every_field_is_read_from_its_own_place() {
        let mut bytes = [0_u8; FlowRecord::LENGTH];
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::try_from(at).expect("a short record");
        }
        bytes[..4].copy_from_slice(&KIND_FLOW.to_ne_bytes());
        let record = FlowRecord::decode(&bytes).expect("a whole record");
        assert_eq!(record.key.netns.to_ne_bytes(), [8, 9, 10, 11, 12, 13, 14, 15]);
        assert_eq!(record.key.remote.words_be[3].to_ne_bytes(), [52, 53, 54, 55]);
        assert_eq!(record.key.port.to_ne_bytes(), [56, 57]);
        assert_eq!((record.key.protocol, record.key.side), (58, 59));
        assert_eq!((record.key.outcome, record.key.basis), (60, 61));
        assert_eq!(record.stats.begun.to_ne_bytes(), [64, 65, 66, 67]);
        assert_eq!(record.stats.last_ns.to_ne_bytes(), [96, 97, 98, 99, 100, 101, 102, 103]);
    }
}
