//! Names of policies: `<workload>-<kind>`, the same in every run. In: the workloads of one namespace. Out:
//! names that the API server accepts and that no two share.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};

use super::selector::Group;
use crate::identity::WorkloadName;
use crate::manifest::WorkloadKind;

/// The default deny of a namespace.
pub const DEFAULT_DENY: &str = "default-deny-all";

/// The API server's limit for the name of a NetworkPolicy.
const LONGEST: usize = 253;

/// What a pod without an owner is called by, before any other label of its own.
const NAMING: [&str; 5] = ["app.kubernetes.io/name", "app", "k8s-app", "run", "name"];

/// The workload that gives each group its name, all distinct: its first member; for pods without an owner, which
/// come and go under other names, what their stable labels say.
pub fn called(groups: &[&Group]) -> Vec<WorkloadName> {
    let ownerless = |group: &Group| group.members.iter().all(|member| member.kind == WorkloadKind::Pod);
    let plain = |group: &Group| {
        let own = &group.selector.equal;
        let value = NAMING.iter().find_map(|key| own.get(*key)).or_else(|| own.values().next());
        let value = value.filter(|value| ownerless(group) && !value.is_empty());
        let first = &group.members[0];
        WorkloadName { name: value.unwrap_or(&first.name).clone(), ..first.clone() }
    };
    let names: Vec<WorkloadName> = groups.iter().map(|group| plain(group)).collect();
    let mut times: BTreeMap<&WorkloadName, usize> = BTreeMap::new();
    for name in &names {
        *times.entry(name).or_default() += 1;
    }
    let told_apart = |(group, name): (&&Group, &WorkloadName)| {
        let shared = ownerless(group) && times.get(name).is_some_and(|times| *times > 1);
        let selector = &group.selector;
        let all = selector.equal.iter().flat_map(|(key, value)| [&**key, &**value]);
        let all = all.chain(selector.absent.iter().map(|key| &**key));
        let name = if shared { hashed(&name.name, all).into() } else { name.name.clone() };
        WorkloadName { name, ..group.members[0].clone() }
    };
    groups.iter().zip(&names).map(told_apart).collect()
}

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
            let identity = [&*workload.namespace, workload.kind.as_str(), &*workload.name];
            let name =
                if shared || name.len() > LONGEST { hashed(&name, identity.into_iter()) } else { name };
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
fn hashed<'p>(name: &str, identity: impl Iterator<Item = &'p str>) -> String {
    let mut digest = Sha256::new();
    for part in identity {
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
    use crate::policy::Selector;

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
    fn pods_without_an_owner_are_called_by_their_labels() {
        let group = |pods: &[&str], labels: &[(&str, &str)]| Group {
            members: pods.iter().map(|pod| named(WorkloadKind::Pod, pod)).collect(),
            selector: Selector {
                equal: labels.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect(),
                ..Selector::default()
            },
        };
        let web = |pods: &[&str]| group(pods, &[("app", "web"), ("team", "red")]);
        let bare = group(&["naked"], &[]);
        let names = |groups: &[&Group]| -> Vec<String> {
            called(groups).iter().map(|one| one.name.to_string()).collect()
        };
        assert_eq!(names(&[&web(&["web-1", "web-2"]), &bare]), ["web", "naked"]);
        assert_eq!(names(&[&web(&["web-7"]), &bare]), ["web", "naked"]);
        // Two of one value are told apart by all that they are selected by, never by a pod.
        let other = group(&["web-9"], &[("app", "web"), ("team", "blue")]);
        let both = names(&[&web(&["web-1"]), &other]);
        assert_eq!(both, names(&[&web(&["web-5"]), &group(&["x"], &[("app", "web"), ("team", "blue")])]));
        assert!(both[0] != both[1] && both.iter().all(|name| name.starts_with("web-")), "{both:?}");
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
