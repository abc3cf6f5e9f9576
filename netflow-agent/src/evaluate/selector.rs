//! Label selectors on interned labels. In: a selector of the API. Out: whether labels match it, as
//! apimachinery decides: `NotIn` and `DoesNotExist` match a missing key, `In` does not, `""` needs the key.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};

use super::intern::{Word, Words};

/// Labels of one subject or namespace: (key, value), sorted by key.
pub(super) type Labels = Box<[(Word, Word)]>;

#[derive(Debug)]
enum Test {
    In(Vec<Word>),
    NotIn(Vec<Word>),
    Exists,
    DoesNotExist,
}

#[derive(Debug)]
struct Requirement {
    key: Word,
    test: Test,
}

/// A selector made ready for one snapshot.
#[derive(Debug)]
pub(super) struct Selector {
    requirements: Vec<Requirement>,
    /// It asks for a key or value that nobody carries.
    nothing: bool,
}

impl Selector {
    pub(super) fn new(selector: &LabelSelector, words: &Words) -> Self {
        let mut ready = Self { requirements: Vec::new(), nothing: false };
        for (key, value) in selector.match_labels.iter().flatten() {
            let values = words.get(value).into_iter().collect();
            ready.require(words.get(key), Test::In(values));
        }
        for requirement in selector.match_expressions.iter().flatten() {
            match test(requirement, words) {
                Some(test) => ready.require(words.get(&requirement.key), test),
                None => ready.nothing = true,
            }
        }
        ready
    }

    fn require(&mut self, key: Option<Word>, test: Test) {
        match (key, test) {
            (None, Test::NotIn(_) | Test::DoesNotExist) => {}
            (None, Test::In(_) | Test::Exists) => self.nothing = true,
            (Some(_), Test::In(values)) if values.is_empty() => self.nothing = true,
            (Some(key), test) => self.requirements.push(Requirement { key, test }),
        }
    }

    pub(super) fn matches_nothing(&self) -> bool {
        self.nothing
    }

    pub(super) fn matches_everything(&self) -> bool {
        !self.nothing && self.requirements.is_empty()
    }

    /// The labels of which a match must carry exactly one: (key, value) of its narrowest `In`.
    pub(super) fn narrowest(&self) -> Option<(Word, &[Word])> {
        self.requirements
            .iter()
            .filter_map(|requirement| match &requirement.test {
                Test::In(values) => Some((requirement.key, values.as_slice())),
                _ => None,
            })
            .min_by_key(|(_, values)| values.len())
    }

    pub(super) fn matches(&self, labels: &[(Word, Word)]) -> bool {
        !self.nothing
            && self.requirements.iter().all(|requirement| {
                let found = labels.binary_search_by_key(&requirement.key, |label| label.0);
                let value = found.ok().map(|at| labels[at].1);
                match (&requirement.test, value) {
                    (Test::In(values), Some(value)) => values.contains(&value),
                    (Test::NotIn(values), Some(value)) => !values.contains(&value),
                    (Test::Exists, Some(_)) | (Test::DoesNotExist | Test::NotIn(_), None) => true,
                    (Test::DoesNotExist, Some(_)) | (Test::Exists | Test::In(_), None) => false,
                }
            })
    }
}

/// None for an operator that the API does not know: such a selector matches nothing.
fn test(requirement: &LabelSelectorRequirement, words: &Words) -> Option<Test> {
    let values = || requirement.values.iter().flatten().filter_map(|value| words.get(value)).collect();
    match requirement.operator.as_str() {
        "In" => Some(Test::In(values())),
        "NotIn" => Some(Test::NotIn(values())),
        "Exists" => Some(Test::Exists),
        "DoesNotExist" => Some(Test::DoesNotExist),
        _ => None,
    }
}
