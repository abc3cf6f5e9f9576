//! What capturing requires of this machine, checked one by one: for `doctor`, and for errors that say more.

use std::path::Path;

/// How one requirement stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Good,
    /// Capturing works, but something will not be seen, or costs more.
    Limited,
    Missing,
}

/// One requirement: what was found, and what to do where it is not good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    pub name: &'static str,
    pub state: State,
    pub found: String,
    pub fix: Option<String>,
}

/// Every requirement, in a fixed order. `cgroup` as in `Options`.
pub fn check(_cgroup: Option<&Path>) -> Vec<Check> {
    Vec::new()
}
