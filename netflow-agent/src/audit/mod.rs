//! Findings about a policy set. In: objects and a compiled cluster. Out: findings, each with its fix.
