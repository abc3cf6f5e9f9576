//! Who can reach whom, at workload level. In: a compiled cluster. Out: pairs with their port sets.
