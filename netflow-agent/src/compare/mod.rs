//! The difference in meaning of two policy sets. In: two compiled clusters. Out: what is newly allowed or denied.
