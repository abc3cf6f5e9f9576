//! From rule sets and answers to bytes: YAML, JSON, text.
