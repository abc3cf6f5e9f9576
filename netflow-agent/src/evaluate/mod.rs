//! What NetworkPolicy v1 means. In: policies, pods, namespaces. Out: verdicts with their deciding rules.
