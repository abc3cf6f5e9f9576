//! The live state machine: samples, cluster changes, losses and ticks in; flows and objects with their times out.
