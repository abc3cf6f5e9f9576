//! One counter for each way in which the kernel side can lose something.

/// What was lost, and why: the index of its counter in the map `LOSSES`.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Loss {
    /// A connection, attempt or UDP conversation: the map was full, and the ring too.
    RingFull = 0,
    /// The end of a connection (its bytes): the map was full, and the ring too.
    CloseRingFull = 1,
    /// A UDP call could not be judged: the kernel had no memory for the socket's state.
    SocketState = 2,
    /// A TCP socket may not report its close, or reported it without its role: the kernel refused, or another
    /// program overwrites the callbacks. Its bytes, or its attempt, go unseen; that it came up does not.
    Callback = 3,
}

impl Loss {
    /// All, in the order of their index.
    pub const ALL: [Self; 4] = [Self::RingFull, Self::CloseRingFull, Self::SocketState, Self::Callback];

    /// The index of its counter.
    #[inline]
    #[must_use]
    pub const fn index(self) -> u32 {
        self as u32
    }

    /// The cause as recordings and metrics spell it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RingFull => "ring_full",
            Self::CloseRingFull => "close_ring_full",
            Self::SocketState => "socket_state",
            Self::Callback => "callback",
        }
    }
}

/// Length of the map `LOSSES`: the causes, then the flows that went by the ring and were not lost.
pub const COUNTERS: u32 = 5;

/// Index of the count of flows that found the map full and went by the ring.
pub const OVERFLOWED: u32 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_has_its_own_counter_and_name() {
        for (at, loss) in Loss::ALL.into_iter().enumerate() {
            assert_eq!(usize::try_from(loss.index()), Ok(at));
            assert_eq!(Loss::ALL.iter().filter(|other| other.as_str() == loss.as_str()).count(), 1);
        }
        assert_eq!(usize::try_from(OVERFLOWED), Ok(Loss::ALL.len()));
    }
}
