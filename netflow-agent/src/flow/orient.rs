//! Which samples are conversations between two ends at all. In: a sample. Out: the conversation it grows,
//! once its local end is named, or why it is nobody's.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use super::sum::{Conversation, Growth, Span};
use super::{Outcome, Sample};
use crate::net::Protocol;

/// Why a sample is no flow between two ends. None of these is a loss: nothing that a policy could name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ignored {
    /// Loopback, or a pod talking to its own address.
    Itself,
    /// Multicast or broadcast: no pod is the other end.
    Group,
    /// The unspecified address, an IPv6 link-local one, or port 0.
    NoAddress,
}

impl Ignored {
    pub const ALL: [Self; 3] = [Self::Itself, Self::Group, Self::NoAddress];

    /// The label of its counter.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Itself => "itself",
            Self::Group => "group",
            Self::NoAddress => "no_address",
        }
    }
}

/// Whether a sample can be a flow, before anything is known about its local end.
pub fn check(sample: &Sample) -> Result<(), Ignored> {
    let remote = sample.remote;
    if remote.is_loopback() || sample.local.is_some_and(|local| local == remote || local.is_loopback()) {
        return Err(Ignored::Itself);
    }
    if is_group(remote) || sample.local.is_some_and(is_group) || is_directed_broadcast(sample) {
        return Err(Ignored::Group);
    }
    if sample.port == 0 || remote.is_unspecified() || is_link_local_v6(remote) {
        return Err(Ignored::NoAddress);
    }
    Ok(())
}

/// The conversation of a sample whose local end is named.
pub fn orient(sample: &Sample, pod: Option<Arc<str>>, local: Option<IpAddr>) -> (Conversation, Growth, Span) {
    let conversation = Conversation {
        remote: sample.remote,
        port: sample.port,
        protocol: sample.protocol,
        side: sample.side,
        local,
        pod,
        outcome: sample.outcome,
        basis: sample.basis,
    };
    let growth = Growth {
        connections: sample.connections,
        bytes_sent: sample.bytes_sent,
        bytes_received: sample.bytes_received,
    };
    (conversation, growth, Span { first: sample.first, last: sample.last.max(sample.first) })
}

fn is_group(ip: IpAddr) -> bool {
    ip.is_multicast() || ip == IpAddr::V4(Ipv4Addr::BROADCAST)
}

fn is_link_local_v6(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local())
}

/// The last address of the sender's own /24, sent to and never heard from: its subnet's broadcast address
/// wherever subnets are no smaller than that. An answer proves that it is a host.
fn is_directed_broadcast(sample: &Sample) -> bool {
    match (sample.local, sample.remote) {
        (Some(IpAddr::V4(local)), IpAddr::V4(remote)) => {
            sample.protocol == Protocol::Udp
                && sample.outcome == Outcome::Unanswered
                && remote.octets()[3] == 255
                && local.octets()[..3] == remote.octets()[..3]
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Time;

    fn sample(local: &str, remote: &str, port: u16) -> Sample {
        let ip = |text: &str| text.parse().expect("an address");
        let times = [Time::from_seconds(0), Time::from_seconds(10)];
        Sample {
            protocol: Protocol::Udp,
            outcome: Outcome::Unanswered,
            ..Sample::opened(ip(local), ip(remote), port, times)
        }
    }

    #[test]
    fn only_two_ends_that_a_policy_could_name_make_a_flow() {
        for (local, remote, port, expected) in [
            ("10.0.0.1", "10.0.0.2", 80, Ok(())),
            ("10.0.0.1", "169.254.169.254", 80, Ok(())),
            ("fd00::1", "fd00::2", 80, Ok(())),
            ("10.0.0.1", "127.0.0.1", 80, Err(Ignored::Itself)),
            ("10.0.0.1", "10.0.0.1", 80, Err(Ignored::Itself)),
            ("127.0.0.1", "10.0.0.1", 15001, Err(Ignored::Itself)),
            ("::1", "fd00::1", 80, Err(Ignored::Itself)),
            ("10.0.0.1", "224.0.0.251", 5353, Err(Ignored::Group)),
            ("10.0.0.1", "255.255.255.255", 67, Err(Ignored::Group)),
            ("10.0.0.1", "10.0.0.255", 137, Err(Ignored::Group)),
            ("10.0.1.1", "10.0.0.255", 137, Ok(())),
            ("fd00::1", "ff02::fb", 5353, Err(Ignored::Group)),
            ("10.0.0.1", "0.0.0.0", 80, Err(Ignored::NoAddress)),
            ("10.0.0.1", "10.0.0.2", 0, Err(Ignored::NoAddress)),
            ("fd00::1", "fe80::2", 546, Err(Ignored::NoAddress)),
        ] {
            assert_eq!(check(&sample(local, remote, port)), expected, "{local} -> {remote}:{port}");
        }
    }

    #[test]
    fn a_host_that_answers_from_255_is_no_broadcast_address() {
        let answered = Sample { outcome: Outcome::Established, ..sample("10.0.0.1", "10.0.0.255", 53) };
        assert_eq!(check(&answered), Ok(()));
    }
}
