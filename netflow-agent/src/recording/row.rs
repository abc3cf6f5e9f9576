//! One flow as bytes and back. Keys of one hour sort by seq, then remote; nothing in a row is text but the
//! pod's UID. Bytes that are no row are refused, not guessed.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use crate::flow::{Basis, Flow, FlowCounters, FlowKey, Outcome, Side};
use crate::net::Protocol;
use crate::time::{Hour, Time};

/// Length of a key without its pod.
const FIXED: usize = 4 + 16 + 2 + 4 + 17;

/// The key of a flow within its hour.
pub fn key(key: &FlowKey) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(FIXED + 36);
    bytes.extend(key.seq.to_be_bytes());
    bytes.extend(address(key.remote));
    bytes.extend(key.port.to_be_bytes());
    bytes.push(match key.protocol {
        Protocol::Tcp => 6,
        Protocol::Udp => 17,
        Protocol::Sctp => 132,
    });
    bytes.push(match key.side {
        Side::Client => 0,
        Side::Server => 1,
    });
    bytes.push(match key.outcome {
        Outcome::Established => 0,
        Outcome::Refused => 1,
        Outcome::Timeout => 2,
        Outcome::Unanswered => 3,
    });
    bytes.push(match key.basis {
        Basis::Observed => 0,
        Basis::Existing => 1,
    });
    bytes.push(u8::from(key.local.is_some()));
    bytes.extend(key.local.map_or([0; 16], address));
    bytes.extend(key.pod.iter().flat_map(|pod| pod.bytes()));
    bytes
}

pub fn counters(counters: &FlowCounters) -> [u8; 40] {
    let words = [
        counters.connections.to_le_bytes(),
        counters.bytes_sent.to_le_bytes(),
        counters.bytes_received.to_le_bytes(),
        counters.first.milliseconds().to_le_bytes(),
        counters.last.milliseconds().to_le_bytes(),
    ];
    let mut bytes = [0; 40];
    for (place, word) in bytes.chunks_exact_mut(8).zip(words) {
        place.copy_from_slice(&word);
    }
    bytes
}

/// The seq of a key.
pub fn seq(key: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(*key.first_chunk()?))
}

/// The flow that a row holds; the node comes from the coverage of its hour and seq.
pub fn flow(hour: Hour, node: &Arc<str>, key: &[u8], counters: &[u8]) -> Option<Flow> {
    let (fixed, pod) = key.split_at_checked(FIXED)?;
    let (seq, fixed) = take::<4>(fixed)?;
    let (remote, fixed) = take::<16>(fixed)?;
    let (port, fixed) = take::<2>(fixed)?;
    let ([protocol, side, outcome, basis], fixed) = take::<4>(fixed)?;
    let ([has_local], fixed) = take::<1>(fixed)?;
    let (local, _) = take::<16>(fixed)?;
    let key = FlowKey {
        node: Arc::clone(node),
        hour,
        seq: u32::from_be_bytes(seq),
        side: [Side::Client, Side::Server].get(usize::from(side)).copied()?,
        pod: if pod.is_empty() { None } else { Some(std::str::from_utf8(pod).ok()?.into()) },
        local: (has_local == 1).then(|| from_address(local)),
        remote: from_address(remote),
        port: u16::from_be_bytes(port),
        protocol: match protocol {
            6 => Protocol::Tcp,
            17 => Protocol::Udp,
            132 => Protocol::Sctp,
            _ => return None,
        },
        outcome: [Outcome::Established, Outcome::Refused, Outcome::Timeout, Outcome::Unanswered]
            .get(usize::from(outcome))
            .copied()?,
        basis: [Basis::Observed, Basis::Existing].get(usize::from(basis)).copied()?,
    };
    let mut words = counters.chunks_exact(8).filter_map(|word| word.first_chunk::<8>());
    let mut word = || words.next().copied();
    let counters = FlowCounters {
        connections: u64::from_le_bytes(word()?),
        bytes_sent: u64::from_le_bytes(word()?),
        bytes_received: u64::from_le_bytes(word()?),
        first: Time::from_milliseconds(i64::from_le_bytes(word()?)),
        last: Time::from_milliseconds(i64::from_le_bytes(word()?)),
    };
    Some(Flow { key, counters })
}

fn take<const N: usize>(bytes: &[u8]) -> Option<([u8; N], &[u8])> {
    let (head, rest) = bytes.split_first_chunk::<N>()?;
    Some((*head, rest))
}

fn address(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    }
}

fn from_address(bytes: [u8; 16]) -> IpAddr {
    IpAddr::V6(Ipv6Addr::from(bytes)).to_canonical()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn flows() -> impl Strategy<Value = Flow> {
        let address = prop_oneof![
            any::<u32>().prop_map(|bits| IpAddr::V4(bits.into())),
            any::<u128>().prop_map(|bits| IpAddr::V6(bits.into()).to_canonical()),
        ];
        let words = (any::<u32>(), any::<u16>(), 0..3_usize, any::<bool>(), 0..4_usize, any::<bool>());
        let ends = (address.clone(), proptest::option::of(address), proptest::option::of("[a-f0-9-]{1,36}"));
        (words, ends, any::<[u64; 3]>(), any::<[i64; 2]>()).prop_map(|(words, ends, counts, times)| {
            let (seq, port, protocol, server, outcome, existing) = words;
            let outcomes = [Outcome::Established, Outcome::Refused, Outcome::Timeout, Outcome::Unanswered];
            let key = FlowKey {
                node: "node-a".into(),
                hour: Hour::from_index(7),
                seq,
                side: if server { Side::Server } else { Side::Client },
                pod: ends.2.map(Into::into),
                local: ends.1,
                remote: ends.0,
                port,
                protocol: Protocol::ALL[protocol],
                outcome: outcomes[outcome],
                basis: if existing { Basis::Existing } else { Basis::Observed },
            };
            let [connections, bytes_sent, bytes_received] = counts;
            let [first, last] = times.map(Time::from_milliseconds);
            Flow { key, counters: FlowCounters { connections, bytes_sent, bytes_received, first, last } }
        })
    }

    proptest! {
        #[test]
        fn a_flow_comes_back_as_it_went(flow in flows()) {
            let (key, counters) = (key(&flow.key), counters(&flow.counters));
            let back = super::flow(flow.key.hour, &flow.key.node, &key, &counters);
            prop_assert_eq!(seq(&key), Some(flow.key.seq));
            prop_assert_eq!(back, Some(flow));
        }

        #[test]
        fn bytes_that_are_no_row_are_refused(key in any::<Vec<u8>>(), counters in any::<Vec<u8>>()) {
            // Whatever it answers, it answers.
            drop(flow(Hour::from_index(0), &"n".into(), &key, &counters));
        }
    }
}
