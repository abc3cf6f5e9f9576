//! A YAML stream into documents. It reads the events of serde-saphyr's own parser: only they tell a plain
//! scalar from a quoted one, keep duplicate keys apart, and know each line. Depth, aliases and size are
//! bounded, so that no input costs more than its own length times a small factor.

use std::borrow::Cow;
use std::collections::HashMap;

use granit_parser::{Event, Parser, ScalarStyle, Tag};

use super::node::{Node, Value};
use super::scalar;

/// Nested deeper than any object of Kubernetes, and shallow enough for every stack.
const DEEPEST: usize = 128;
/// Values of one document after aliases are replaced; longer text counts as several.
const HEAVIEST: usize = 4_000_000;
const TEXT_PER_VALUE: usize = 32;

/// Why the stream ends early.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Broken {
    pub(super) line: usize,
    pub(super) reason: String,
}

/// Hands each document to `each`, with its number from 1; empty documents are counted, not handed out.
pub(super) fn documents<'a>(
    text: &'a str,
    mut each: impl FnMut(usize, Node<'a>),
) -> Result<(), (usize, Broken)> {
    let mut options = granit_parser::Options::default();
    options.set_emit_comments(false);
    let mut number = 0;
    let mut builder = Builder::default();
    for event in Parser::new_from_str_with_options(text, options) {
        let (event, span) = event.map_err(|error| {
            (
                number.max(1),
                Broken { line: error.marker().line(), reason: format!("not YAML: {}", error.info()) },
            )
        })?;
        match event {
            Event::DocumentStart(..) => {
                number += 1;
                builder = Builder::default();
            }
            Event::DocumentEnd => {
                if let Some((node, _height)) = builder.finished.take()
                    && node.value != Value::Null
                {
                    each(number, node);
                }
            }
            event => builder.event(event, span.start.line()).map_err(|broken| (number, broken))?,
        }
    }
    Ok(())
}

/// A collection that is still open.
struct Frame<'a> {
    value: Value<'a>,
    line: usize,
    anchor: usize,
    /// In a map: the key whose value comes next; `Merge` for `<<`.
    key: Option<Key<'a>>,
    merges: Vec<Node<'a>>,
    height: usize,
}

enum Key<'a> {
    Name(Cow<'a, str>),
    Merge,
}

/// An anchored value, how deep it is and what it weighs.
struct Anchor<'a> {
    node: Node<'a>,
    height: usize,
    weight: usize,
}

#[derive(Default)]
struct Builder<'a> {
    open: Vec<Frame<'a>>,
    anchors: HashMap<usize, Anchor<'a>>,
    weight: usize,
    finished: Option<(Node<'a>, usize)>,
}

impl<'a> Builder<'a> {
    fn event(&mut self, event: Event<'a>, line: usize) -> Result<(), Broken> {
        match event {
            Event::Scalar(text, style, anchor, tag) => self.scalar(text, style, anchor, tag.as_deref(), line),
            Event::SequenceStart(_, anchor, _) => self.open(Value::List(Vec::new()), anchor, line),
            Event::MappingStart(_, anchor, _) => self.open(Value::Map(Vec::new()), anchor, line),
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Alias(id) => self.alias(id, line),
            _ => Ok(()),
        }
    }

    fn weigh(&mut self, weight: usize, line: usize) -> Result<(), Broken> {
        self.weight = self.weight.saturating_add(weight);
        if self.weight <= HEAVIEST {
            return Ok(());
        }
        let reason = format!(
            "a document of more than {HEAVIEST} values, aliases counted: split it, or use JSON, which is read \
             one item at a time"
        );
        Err(Broken { line, reason })
    }

    fn scalar(
        &mut self,
        text: Cow<'a, str>,
        style: ScalarStyle,
        anchor: usize,
        tag: Option<&Tag>,
        line: usize,
    ) -> Result<(), Broken> {
        let weight = 1 + text.len() / TEXT_PER_VALUE;
        self.weigh(weight, line)?;
        let plain = style == ScalarStyle::Plain;
        if plain && anchor == 0 && text == "<<" && tag.is_none() && self.wants_key() {
            self.key(Key::Merge);
            return Ok(());
        }
        let resolved = match tag.and_then(Tag::core_suffix) {
            Some("str" | "binary") => None,
            Some(_) => scalar::resolve(&text),
            None if plain => scalar::resolve(&text),
            None => None,
        };
        let node = Node { value: resolved.unwrap_or(Value::Text(text)), line };
        self.value(node, 0, anchor, weight)
    }

    fn open(&mut self, value: Value<'a>, anchor: usize, line: usize) -> Result<(), Broken> {
        self.weigh(1, line)?;
        if self.open.len() >= DEEPEST {
            return Err(Broken { line, reason: format!("nested deeper than {DEEPEST} levels") });
        }
        self.open.push(Frame { value, line, anchor, key: None, merges: Vec::new(), height: 0 });
        Ok(())
    }

    fn close(&mut self) -> Result<(), Broken> {
        let Some(frame) = self.open.pop() else { return Ok(()) };
        let Frame { mut value, line, anchor, merges, height, .. } = frame;
        if let Value::Map(entries) = &mut value {
            merge(entries, merges, line)?;
        }
        let node = Node { value, line };
        let weight = if anchor == 0 { 0 } else { weight(&node) };
        self.value(node, height + 1, anchor, weight)
    }

    fn alias(&mut self, id: usize, line: usize) -> Result<(), Broken> {
        let Some(anchor) = self.anchors.get(&id) else {
            return Err(Broken { line, reason: "an alias inside the value that it names".to_owned() });
        };
        let (weight, height) = (anchor.weight, anchor.height);
        // Weighed before it is copied.
        self.weigh(weight, line)?;
        match self.anchors.get(&id) {
            Some(anchor) => {
                let node = Node { value: anchor.node.value.clone(), line };
                self.value(node, height, 0, 0)
            }
            None => Ok(()),
        }
    }

    fn wants_key(&self) -> bool {
        self.open.last().is_some_and(|frame| matches!(frame.value, Value::Map(_)) && frame.key.is_none())
    }

    fn key(&mut self, key: Key<'a>) {
        if let Some(frame) = self.open.last_mut() {
            frame.key = Some(key);
        }
    }

    /// A value is complete: it is a key, an entry, an item, or the document.
    fn value(&mut self, node: Node<'a>, height: usize, anchor: usize, weight: usize) -> Result<(), Broken> {
        if self.open.len() + height > DEEPEST {
            return Err(Broken { line: node.line, reason: format!("nested deeper than {DEEPEST} levels") });
        }
        if anchor != 0 {
            self.weigh(weight, node.line)?;
            self.anchors.insert(anchor, Anchor { node: node.clone(), height, weight });
        }
        let wants_key = self.wants_key();
        let Some(frame) = self.open.last_mut() else {
            self.finished = Some((node, height));
            return Ok(());
        };
        if wants_key {
            let key = key_text(node)?;
            self.key(Key::Name(key));
            return Ok(());
        }
        frame.height = frame.height.max(height);
        match (&mut frame.value, frame.key.take()) {
            (Value::Map(entries), Some(Key::Name(key))) => entries.push((key, node)),
            (Value::Map(_), Some(Key::Merge)) => frame.merges.push(node),
            (Value::List(items), _) => items.push(node),
            _ => {}
        }
        Ok(())
    }
}

/// Keys that look like numbers or booleans become their text, as kubectl turns YAML into JSON.
fn key_text(node: Node<'_>) -> Result<Cow<'_, str>, Broken> {
    match node.value {
        Value::Text(text) => Ok(text),
        Value::Bool(value) => Ok(Cow::Owned(value.to_string())),
        Value::Integer(value) => Ok(Cow::Owned(value.to_string())),
        Value::Float(value) => Ok(Cow::Owned(value.to_string())),
        Value::Null | Value::List(_) | Value::Map(_) => {
            Err(Broken { line: node.line, reason: format!("{} cannot be a key", node.describe()) })
        }
    }
}

/// `<<: *base` and `<<: [*one, *two]`: what the map itself does not say.
fn merge<'a>(
    entries: &mut Vec<(Cow<'a, str>, Node<'a>)>,
    merges: Vec<Node<'a>>,
    line: usize,
) -> Result<(), Broken> {
    if merges.is_empty() {
        return Ok(());
    }
    let mut known: std::collections::HashSet<Cow<'a, str>> =
        entries.iter().map(|(key, _)| key.clone()).collect();
    let mut bases = Vec::new();
    for node in merges {
        match node.value {
            Value::List(items) => bases.extend(items.into_iter().map(|item| item.value)),
            value => bases.push(value),
        }
    }
    for base in bases {
        let Value::Map(base) = base else {
            return Err(Broken { line, reason: "`<<` takes a map or a list of maps".to_owned() });
        };
        entries.extend(base.into_iter().filter(|(key, _)| known.insert(key.clone())));
    }
    Ok(())
}

fn weight(node: &Node<'_>) -> usize {
    match &node.value {
        Value::Text(text) => 1 + text.len() / TEXT_PER_VALUE,
        Value::List(items) => 1 + items.iter().map(weight).sum::<usize>(),
        Value::Map(entries) => {
            1 + entries.iter().map(|(key, node)| 1 + key.len() / TEXT_PER_VALUE + weight(node)).sum::<usize>()
        }
        _ => 1,
    }
}
