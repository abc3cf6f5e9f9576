//! Selectors that name a workload and nobody else. In: the labels of all pods and pod templates of one
//! namespace, by workload. Out: for each workload a selector proven on that table: it matches every row
//! of its own and no other's; or the set of workloads that no label tells apart, with one selector for all.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::label::is_stable;
use crate::identity::WorkloadName;
use crate::manifest::Labels;

/// What a pod's labels must meet: these pairs, and none of these keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Selector {
    pub equal: Labels,
    /// Written as `DoesNotExist`; only where no pair separates the workload.
    pub absent: BTreeSet<Arc<str>>,
}

impl Selector {
    pub fn matches(&self, labels: &Labels) -> bool {
        self.equal.iter().all(|(key, value)| labels.get(key) == Some(value))
            && !self.absent.iter().any(|key| labels.contains_key(key))
    }

    /// Selects every pod of a namespace.
    pub fn is_empty(&self) -> bool {
        self.equal.is_empty() && self.absent.is_empty()
    }
}

/// One workload as the table knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// The pairs of the controller's `spec.selector.matchLabels`; empty where unknown or none.
    pub selector: Labels,
    /// Every set of labels that a pod or a template of it carries or carried.
    pub labels: BTreeSet<Labels>,
}

/// Workloads that share one selector: one, unless no label tells them apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Sorted; the first gives the policy its name.
    pub members: Vec<WorkloadName>,
    pub selector: Selector,
}

/// The groups of one namespace, in the order of their first members.
pub fn choose(rows: &BTreeMap<WorkloadName, Row>) -> Vec<Group> {
    let mut table = Table::of(rows);
    let mut open: Vec<usize> = (0..table.groups.len()).collect();
    let mut selectors: BTreeMap<usize, Selector> = BTreeMap::new();
    while let Some(at) = open.pop() {
        // Merged into another meanwhile.
        if table.groups[at].members.is_empty() {
            continue;
        }
        match table.separate(at) {
            Ok(selector) => drop(selectors.insert(at, selector)),
            Err(blockers) => {
                for other in blockers {
                    table.merge(at, other);
                    selectors.remove(&other);
                }
                open.push(at);
            }
        }
    }
    let mut chosen: Vec<Group> = selectors
        .into_iter()
        .map(|(at, selector)| {
            let mut members: Vec<WorkloadName> =
                table.groups[at].members.iter().map(|name| (*name).clone()).collect();
            members.sort();
            Group { members, selector }
        })
        .collect();
    chosen.sort_by(|a, b| a.members.cmp(&b.members));
    chosen
}

/// Workloads that are being told apart from all others together.
struct Candidate<'a> {
    members: Vec<&'a WorkloadName>,
    /// Where the search begins: the controller's pairs, else all pairs in common.
    base: Labels,
    /// The stable pairs that every pod and template of it carries.
    common: Labels,
    /// Every key that any of them carries.
    keys: BTreeSet<Arc<str>>,
}

/// All rows of the namespace, findable by pair.
struct Table<'a> {
    groups: Vec<Candidate<'a>>,
    labels: Vec<&'a Labels>,
    /// Row -> group.
    owner: Vec<usize>,
    by_pair: BTreeMap<(&'a str, &'a str), Vec<usize>>,
}

impl<'a> Table<'a> {
    fn of(rows: &'a BTreeMap<WorkloadName, Row>) -> Self {
        let mut table =
            Self { groups: Vec::new(), labels: Vec::new(), owner: Vec::new(), by_pair: BTreeMap::new() };
        for (name, row) in rows {
            let common = in_common(&row.labels);
            // What a controller selects by never changes, so its values may look like anything.
            let mut controller = row.selector.clone();
            controller.retain(|key, _| is_stable(key, ""));
            let carried = |key, value| row.labels.iter().all(|labels| labels.get(key) == Some(value));
            let proven = controller.iter().all(|(key, value)| carried(key, value));
            let base = if controller.is_empty() || !proven { common.clone() } else { controller };
            let keys = row.labels.iter().flat_map(|labels| labels.keys().cloned()).collect();
            for labels in &row.labels {
                for (key, value) in labels {
                    table.by_pair.entry((key, value)).or_default().push(table.labels.len());
                }
                table.labels.push(labels);
                table.owner.push(table.groups.len());
            }
            table.groups.push(Candidate { members: vec![name], base, common, keys });
        }
        table
    }

    /// The rows of others that carry all these pairs.
    fn strangers(&self, group: usize, pairs: &Labels) -> Vec<usize> {
        let rarest = pairs
            .iter()
            .map(|(key, value)| self.by_pair.get(&(&**key, &**value)).map_or(&[][..], Vec::as_slice))
            .min_by_key(|rows| rows.len());
        let carries = |row: &usize| {
            let labels = self.labels[*row];
            self.owner[*row] != group && pairs.iter().all(|(key, value)| labels.get(key) == Some(value))
        };
        match rarest {
            Some(rows) => rows.iter().copied().filter(carries).collect(),
            None => (0..self.labels.len()).filter(carries).collect(),
        }
    }

    /// A proven selector, or the groups that nothing keeps out.
    fn separate(&self, at: usize) -> Result<Selector, BTreeSet<usize>> {
        let group = &self.groups[at];
        let base_strangers = self.strangers(at, &group.base);
        if base_strangers.is_empty() && (!group.base.is_empty() || self.groups.len() == 1) {
            return Ok(Selector { equal: group.base.clone(), absent: BTreeSet::new() });
        }
        let spare: Vec<(&Arc<str>, &Arc<str>)> =
            group.common.iter().filter(|(key, _)| !group.base.contains_key(*key)).collect();
        if let Some(extra) = fewest(&spare, &base_strangers, &self.labels) {
            let mut equal = group.base.clone();
            equal.extend(extra.into_iter().map(|(key, value)| (key.clone(), value.clone())));
            return Ok(Selector { equal, absent: BTreeSet::new() });
        }
        self.keep_out(at, &group.base, &base_strangers)
            .or_else(|_| self.keep_out(at, &group.common, &self.strangers(at, &group.common)))
    }

    /// Keys that strangers carry and no pod of the group does, so that their absence separates.
    fn keep_out(&self, at: usize, equal: &Labels, strangers: &[usize]) -> Result<Selector, BTreeSet<usize>> {
        let (mut left, mut absent) = (strangers.to_vec(), BTreeSet::new());
        while !left.is_empty() {
            let mut kept_out: BTreeMap<&Arc<str>, usize> = BTreeMap::new();
            for row in &left {
                for key in self.labels[*row].keys().filter(|key| is_stable(key, "")) {
                    if !self.groups[at].keys.contains(key) {
                        *kept_out.entry(key).or_default() += 1;
                    }
                }
            }
            let best = kept_out.iter().max_by(|a, b| a.1.cmp(b.1).then_with(|| b.0.cmp(a.0)));
            let Some((&key, _)) = best else { return Err(left.iter().map(|row| self.owner[*row]).collect()) };
            absent.insert(key.clone());
            left.retain(|row| !self.labels[*row].contains_key(key));
        }
        Ok(Selector { equal: equal.clone(), absent })
    }

    fn merge(&mut self, into: usize, other: usize) {
        let members = std::mem::take(&mut self.groups[other].members);
        let keys = std::mem::take(&mut self.groups[other].keys);
        let common = std::mem::take(&mut self.groups[other].common);
        let group = &mut self.groups[into];
        group.members.extend(members);
        group.keys.extend(keys);
        group.common.retain(|key, value| common.get(key) == Some(value));
        group.base.clone_from(&group.common);
        for owner in &mut self.owner {
            if *owner == other {
                *owner = into;
            }
        }
    }
}

/// The fewest spare pairs, then the lexicographically first, that no stranger carries all of.
fn fewest<'s>(
    spare: &[(&'s Arc<str>, &'s Arc<str>)],
    strangers: &[usize],
    labels: &[&Labels],
) -> Option<Vec<(&'s Arc<str>, &'s Arc<str>)>> {
    let carries = |row: usize, pair: &(&Arc<str>, &Arc<str>)| labels[row].get(pair.0) == Some(pair.1);
    let separates = |pairs: &[(&'s Arc<str>, &'s Arc<str>)]| {
        strangers.iter().all(|row| !pairs.iter().all(|pair| carries(*row, pair)))
    };
    if strangers.is_empty() || !separates(spare) {
        return None;
    }
    for one in spare {
        if separates(&[*one]) {
            return Some(vec![*one]);
        }
    }
    if spare.len() <= FEW {
        for (at, one) in spare.iter().enumerate() {
            if let Some(two) = spare[at + 1..].iter().find(|two| separates(&[*one, **two])) {
                return Some(vec![*one, *two]);
            }
        }
    }
    // Beyond two of them, or with many labels: always the one that keeps out the most.
    let (mut left, mut pairs) = (strangers.to_vec(), Vec::new());
    while !left.is_empty() {
        let keeps_out =
            |pair: &(&Arc<str>, &Arc<str>)| left.iter().filter(|row| !carries(**row, pair)).count();
        let best = spare.iter().rev().max_by_key(|pair| keeps_out(pair))?;
        left.retain(|row| carries(*row, best));
        pairs.push(*best);
    }
    pairs.sort();
    Some(pairs)
}

/// Labels of a pod of which all pairs are tried.
const FEW: usize = 64;

fn stable(labels: &Labels) -> Labels {
    labels
        .iter()
        .filter(|(key, value)| is_stable(key, value))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

/// The stable pairs that all these sets hold.
fn in_common(sets: &BTreeSet<Labels>) -> Labels {
    let mut sets = sets.iter();
    let mut common = sets.next().map(stable).unwrap_or_default();
    for labels in sets {
        common.retain(|key, value| labels.get(key) == Some(value));
    }
    common
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::WorkloadKind;

    fn labels(text: &str) -> Labels {
        text.split_whitespace()
            .filter_map(|pair| pair.split_once('='))
            .map(|(key, value)| (key.into(), value.into()))
            .collect()
    }

    /// Rows as `name: selector | labels | labels`; answers as `names: selector`.
    fn check(rows: &[&str], expected: &[&str]) {
        let table: BTreeMap<WorkloadName, Row> = rows
            .iter()
            .map(|row| {
                let (name, rest) = row.split_once(':').expect("name: selector | labels");
                let mut parts = rest.split('|');
                let selector = labels(parts.next().expect("a selector"));
                let name = WorkloadName {
                    namespace: "shop".into(),
                    kind: WorkloadKind::Deployment,
                    name: name.into(),
                };
                (name, Row { selector, labels: parts.map(labels).collect() })
            })
            .collect();
        let answers: Vec<String> = choose(&table).iter().map(spelled).collect();
        assert_eq!(answers, expected, "{rows:?}");
        for group in choose(&table) {
            for (name, row) in &table {
                for labels in &row.labels {
                    assert_eq!(
                        group.selector.matches(labels),
                        group.members.contains(name),
                        "{name:?} {labels:?}"
                    );
                }
            }
        }
    }

    fn spelled(group: &Group) -> String {
        let names: Vec<&str> = group.members.iter().map(|member| &*member.name).collect();
        let mut words: Vec<String> =
            group.selector.equal.iter().map(|(key, value)| format!("{key}={value}")).collect();
        words.extend(group.selector.absent.iter().map(|key| format!("!{key}")));
        format!("{}: {}", names.join(","), words.join(" "))
    }

    #[test]
    fn the_controllers_selector_comes_first() {
        check(
            &[
                "a: app=a | app=a tier=web pod-template-hash=6c9f8 | app=a tier=api",
                "b: app=b | app=b tier=web",
            ],
            &["a: app=a", "b: app=b"],
        );
    }

    #[test]
    fn a_controllers_value_may_look_like_a_hash_and_a_stamped_key_counts_never() {
        check(
            &[
                "a: app=a1b2c3d4 pod-template-hash=x | app=a1b2c3d4 pod-template-hash=x",
                "b: app=20240101 | app=20240101",
                "c: | app=c0ffee12 team=x",
            ],
            &["a: app=a1b2c3d4", "b: app=20240101", "c: team=x"],
        );
    }

    #[test]
    fn without_a_controller_all_stable_labels_in_common_count() {
        check(&["a: | app=a team=x job-name=j | app=a team=x job-name=k"], &["a: app=a team=x"]);
    }

    #[test]
    fn too_wide_a_selector_gets_the_fewest_keys_more() {
        check(
            &["a: app=x | app=x part=one zone=1", "b: app=x | app=x part=two zone=1"],
            &["a: app=x part=one", "b: app=x part=two"],
        );
        check(
            &["a: app=x | app=x p=1 q=1", "b: app=x | app=x p=1 q=2", "c: app=x | app=x p=2 q=1"],
            &["a: app=x p=1 q=1", "b: app=x q=2", "c: app=x p=2"],
        );
    }

    #[test]
    fn a_subset_of_anothers_labels_is_told_apart_by_absence() {
        check(
            &["a: app=x | app=x", "b: app=x tier=b | app=x tier=b"],
            &["a: app=x !tier", "b: app=x tier=b"],
        );
    }

    #[test]
    fn equal_labels_are_one_group() {
        check(&["a: app=x | app=x", "b: app=x | app=x", "c: app=y | app=y"], &["a,b: app=x", "c: app=y"]);
    }

    #[test]
    fn a_pod_without_labels_is_selected_by_what_it_lacks() {
        check(&["a: | ", "b: | app=b"], &["a: !app", "b: app=b"]);
    }

    #[test]
    fn an_empty_value_needs_the_key() {
        check(&["a: | app= ", "b: | tier=x"], &["a: app=", "b: tier=x"]);
    }
}
