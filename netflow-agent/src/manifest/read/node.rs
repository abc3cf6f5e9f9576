//! A document as it was written: values with their lines, keys in order, duplicates kept until they are
//! named. YAML and JSON both become this, and `walk` reads typed objects from it.

use std::borrow::Cow;
use std::collections::HashSet;

/// One value and the line it begins on.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node<'a> {
    pub(super) value: Value<'a>,
    pub(super) line: usize,
}

/// A value as JSON knows them.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value<'a> {
    Null,
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(Cow<'a, str>),
    List(Vec<Node<'a>>),
    Map(Vec<(Cow<'a, str>, Node<'a>)>),
}

impl<'a> Node<'a> {
    /// The last entry of this key, if this is a map that has it.
    pub(super) fn get(&self, key: &str) -> Option<&Node<'a>> {
        match &self.value {
            Value::Map(entries) => entries.iter().rev().find(|(name, _)| name == key).map(|(_, node)| node),
            _ => None,
        }
    }

    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// What this is, in the words of a message.
    pub(super) fn describe(&self) -> String {
        match &self.value {
            Value::Null => "null".to_owned(),
            Value::Bool(value) => format!("the boolean `{value}`"),
            Value::Integer(value) => format!("the number `{value}`"),
            Value::Float(value) => format!("the number `{value}`"),
            Value::Text(text) => format!("the text `{}`", crate::manifest::convert::clip(text)),
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a map".to_owned(),
        }
    }

    /// The line of the deepest node on this path (`spec.ingress[0].ports`) that exists.
    pub(super) fn line_of(&self, path: &str) -> usize {
        let mut node = self;
        let steps = path.split(['.', '[']).map(|step| step.trim_end_matches(']'));
        for step in steps.filter(|step| !step.is_empty()) {
            let next = match (&node.value, step.parse::<usize>()) {
                (Value::List(items), Ok(i)) => items.get(i),
                _ => node.get(step),
            };
            match next {
                Some(found) => node = found,
                None => break,
            }
        }
        node.line
    }

    /// Drops all but the last of equal keys, as kubectl reads them, and names each that it drops.
    pub(super) fn drop_duplicates(&mut self, path: &Path<'_>, found: &mut Vec<(String, usize)>) {
        match &mut self.value {
            Value::List(items) => {
                for (i, item) in items.iter_mut().enumerate() {
                    item.drop_duplicates(&Path::Index(path, i), found);
                }
            }
            Value::Map(entries) => {
                let mut seen: HashSet<Cow<'_, str>> = HashSet::with_capacity(entries.len());
                let mut doubled = false;
                for (key, node) in entries.iter() {
                    if !seen.insert(key.clone()) {
                        doubled = true;
                        found.push((Path::Field(path, key).to_string(), node.line));
                    }
                }
                drop(seen);
                if doubled {
                    keep_last(entries);
                }
                for (key, node) in entries {
                    node.drop_duplicates(&Path::Field(path, key), found);
                }
            }
            _ => {}
        }
    }
}

fn keep_last<'a>(entries: &mut Vec<(Cow<'a, str>, Node<'a>)>) {
    let mut seen: HashSet<Cow<'a, str>> = HashSet::with_capacity(entries.len());
    let mut kept: Vec<_> = entries.drain(..).rev().filter(|(key, _)| seen.insert(key.clone())).collect();
    kept.reverse();
    *entries = kept;
}

/// Where a walk stands; kept on the stack, written out only for a message.
#[derive(Clone, Copy, Debug)]
pub(super) enum Path<'p> {
    Root,
    Field(&'p Path<'p>, &'p str),
    Index(&'p Path<'p>, usize),
}

impl core::fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Field(Self::Root, key) => f.write_str(&crate::manifest::convert::clip(key)),
            Self::Field(parent, key) => write!(f, "{parent}.{}", crate::manifest::convert::clip(key)),
            Self::Index(parent, i) => write!(f, "{parent}[{i}]"),
        }
    }
}
