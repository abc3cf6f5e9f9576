//! Merged flows, wherever they are kept: something that can be gone through again and again.

use std::cmp::Ordering;
use std::convert::Infallible;

use crate::flow::{Flow, FlowKey};

/// Flows of which no two have the same key. In which order they come means nothing.
pub trait Flows {
    /// Why they could not be gone through: what is in memory always can.
    type Fault;

    fn each(&self, take: &mut dyn FnMut(&Flow)) -> Result<(), Self::Fault>;
}

impl Flows for Vec<Flow> {
    type Fault = Infallible;

    fn each(&self, take: &mut dyn FnMut(&Flow)) -> Result<(), Infallible> {
        self.iter().for_each(take);
        Ok(())
    }
}

/// The order of the written form: hour by hour.
pub(super) fn in_order(one: &FlowKey, other: &FlowKey) -> Ordering {
    one.hour.cmp(&other.hour).then_with(|| one.cmp(other))
}
