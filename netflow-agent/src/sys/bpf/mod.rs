//! The kernel programs: what they require, how they load, attach and are drained.
