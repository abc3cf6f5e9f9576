//! Names of policies: `<workload>-<kind>`, the same in every run. In: the workloads of one namespace. Out:
//! names that the API server accepts and that no two share.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};

use crate::identity::WorkloadName;

/// The default deny of a namespace.
pub const DEFAULT_DENY: &str = "default-deny-all";

/// The API server's limit for the name of a NetworkPolicy.
const LONGEST: usize = 253;

/// One name for each, whatever the order they come in.
pub fn assign(workloads: &BTreeSet<WorkloadName>) -> BTreeMap<WorkloadName, String> {
    let mut plain: BTreeMap<String, usize> = BTreeMap::from([(DEFAULT_DENY.to_owned(), 1)]);
    for workload in workloads {
        *plain.entry(spelled(workload)).or_default() += 1;
    }
    workloads
        .iter()
        .map(|workload| {
            let name = spelled(workload);
            let shared = plain.get(&name).is_some_and(|count| *count > 1);
            let name = if shared || name.len() > LONGEST { hashed(&name, workload) } else { name };
            (workload.clone(), name)
        })
        .collect()
}

fn spelled(workload: &WorkloadName) -> String {
    let text = format!("{}-{}", workload.name, workload.kind.as_str()).to_lowercase();
    let clean: String = text
        .chars()
        .map(|letter| {
            if letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '.' { letter } else { '-' }
        })
        .collect();
    // Every dotted part begins and ends with a letter or figure.
    let parts: Vec<&str> =
        clean.split('.').map(|part| part.trim_matches('-')).filter(|part| !part.is_empty()).collect();
    if parts.is_empty() { "workload".to_owned() } else { parts.join(".") }
}

/// Cut to fit, with eight figures of the full identity at the end.
fn hashed(name: &str, workload: &WorkloadName) -> String {
    let mut digest = Sha256::new();
    for part in [&*workload.namespace, workload.kind.as_str(), &*workload.name] {
        digest.update(part.as_bytes());
        digest.update([0]);
    }
    let mut first = [0; 4];
    first.copy_from_slice(&digest.finalize()[..4]);
    let figures = u32::from_be_bytes(first);
    let kept = &name[..name.len().min(LONGEST - 9)];
    format!("{}-{figures:08x}", kept.trim_end_matches(['-', '.']))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::WorkloadKind;

    fn named(kind: WorkloadKind, name: &str) -> WorkloadName {
        WorkloadName { namespace: "shop".into(), kind, name: name.into() }
    }

    #[test]
    fn a_name_is_the_workload_and_its_kind() {
        for (kind, name, expected) in [
            (WorkloadKind::Deployment, "frontend", "frontend-deployment"),
            (WorkloadKind::StatefulSet, "db.main", "db.main-statefulset"),
            (WorkloadKind::Other("GameServer".into()), "x", "x-gameserver"),
            (WorkloadKind::Other("We!rd Kind_".into()), "x", "x-we-rd-kind"),
        ] {
            let workload = named(kind, name);
            assert_eq!(assign(&BTreeSet::from([workload.clone()]))[&workload], expected);
        }
    }

    #[test]
    fn names_that_meet_or_are_too_long_are_told_apart_by_a_stable_suffix() {
        let long = named(WorkloadKind::Pod, &"a".repeat(253));
        let twin = named(WorkloadKind::Other("POD".into()), &"a".repeat(253));
        let (one, two) =
            (named(WorkloadKind::Other("X.y".into()), "a"), named(WorkloadKind::Other("x.Y".into()), "a"));
        let deny = named(WorkloadKind::Other("all".into()), "default-deny");
        let all = BTreeSet::from([long, twin, one, two, deny.clone()]);
        let names = assign(&all);
        let distinct: BTreeSet<&String> = names.values().collect();
        assert_eq!(distinct.len(), all.len(), "{names:?}");
        assert!(names.values().all(|name| name.len() <= 253 && name != DEFAULT_DENY), "{names:?}");
        assert!(names[&deny].starts_with("default-deny-all-"));
    }
}
