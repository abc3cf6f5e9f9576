//! What applying the generated policies would change. In: the policies in force and those generated. Out: the
//! YAML that changes, line by line, and the flows that become allowed or denied.

use std::io::{self, Write};
use std::sync::Arc;

use crate::compare::compare;
use crate::connectivity::Connectivity;
use crate::evaluate::{Cluster, Snapshot};
use crate::manifest::NetworkPolicy;
use crate::policy::{Options, is_ours};
use crate::render::change;

/// Whether an equal policy is in force.
pub(super) fn is_in_force(policy: &NetworkPolicy, live: &[NetworkPolicy]) -> bool {
    counterpart(policy, live).is_some_and(|other| other.spec == policy.spec)
}

fn counterpart<'l>(policy: &NetworkPolicy, live: &'l [NetworkPolicy]) -> Option<&'l NetworkPolicy> {
    live.iter()
        .find(|other| other.meta.namespace == policy.meta.namespace && other.meta.name == policy.meta.name)
}

/// Both parts; nothing where nothing changes.
pub(super) fn print(
    snapshot: &Arc<Snapshot>,
    live: &[NetworkPolicy],
    generated: &[NetworkPolicy],
    options: &Options,
    out: &mut dyn Write,
) -> io::Result<()> {
    for policy in generated.iter().filter(|policy| !is_in_force(policy, live)) {
        let name = format!("{}/{}", policy.meta.namespace, policy.meta.name);
        let new = lines(policy);
        match counterpart(policy, live) {
            None => {
                writeln!(out, "added {name}")?;
                new.iter().try_for_each(|line| writeln!(out, "+ {line}"))?;
            }
            Some(old) => {
                writeln!(out, "changed {name}")?;
                difference(&lines(old), &new, out)?;
            }
        }
    }
    for policy in live.iter().filter(|policy| is_ours(&policy.meta)) {
        if options.is_subject(&policy.meta.namespace) && counterpart(policy, generated).is_none() {
            let name = format!("{}/{}", policy.meta.namespace, policy.meta.name);
            writeln!(
                out,
                "stale {name}: ours and no longer generated; it stays in force until it is deleted"
            )?;
        }
    }
    let mut after: Vec<NetworkPolicy> =
        live.iter().filter(|policy| counterpart(policy, generated).is_none()).cloned().collect();
    after.extend(generated.iter().cloned());
    let of =
        |policies: Vec<NetworkPolicy>| Connectivity::new(&Cluster::compile(Arc::clone(snapshot), policies));
    let changes = compare(&of(live.to_vec()), &of(after));
    change::table(&changes, out)
}

fn lines(policy: &NetworkPolicy) -> Vec<String> {
    let text = serde_saphyr::to_string(&policy.spec).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// The longest common part stays, the rest is `-` and `+`.
fn difference(old: &[String], new: &[String], out: &mut dyn Write) -> io::Result<()> {
    let width = new.len() + 1;
    let mut longest = vec![0usize; (old.len() + 1) * width];
    for at in (0..old.len()).rev() {
        for to in (0..new.len()).rev() {
            longest[at * width + to] = if old[at] == new[to] {
                longest[(at + 1) * width + to + 1] + 1
            } else {
                longest[(at + 1) * width + to].max(longest[at * width + to + 1])
            };
        }
    }
    let (mut at, mut to) = (0, 0);
    while at < old.len() || to < new.len() {
        if at < old.len() && to < new.len() && old[at] == new[to] {
            (at, to) = (at + 1, to + 1);
        } else if to == new.len()
            || (at < old.len() && longest[(at + 1) * width + to] >= longest[at * width + to + 1])
        {
            writeln!(out, "- {}", old[at])?;
            at += 1;
        } else {
            writeln!(out, "+ {}", new[to])?;
            to += 1;
        }
    }
    Ok(())
}
