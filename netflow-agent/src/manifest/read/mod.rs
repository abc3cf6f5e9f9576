//! Manifests into objects. In: a file's name and its bytes: a YAML stream, JSON, JSON lines, Lists. Out: the
//! objects with their places, and findings. Total and bounded: no bytes make it panic or grow without end.

mod json;
mod node;
mod scalar;
mod strict;
pub(super) mod walk;
mod yaml;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;

use self::node::{Node, Path, Value};
use self::walk::{Mismatch, Walk};
use super::convert::clip;
use super::kind::Kind;
use super::object::{Refusal, convert};
use super::wire::Text;
use super::{Finding, Object, Place, Severity, Words, validate};

/// An object and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Placed {
    pub object: Object,
    pub place: Place,
    /// Within the document: `items[3]`, or empty.
    pub path: String,
}

/// What was read so far, from any number of files.
#[derive(Debug, Default)]
pub struct Manifests {
    pub objects: Vec<Placed>,
    pub findings: Vec<Finding>,
    words: Words,
    /// Findings of the present file.
    n_in_file: usize,
}

/// Past this many findings in one file the rest is only counted as "more".
const MOST_FINDINGS: usize = 1_000;
/// No single object comes near: an API server takes 3 MiB.
const LARGEST_OBJECT_BYTES: usize = 8 << 20;
/// Lists of Lists end here.
const DEEPEST_LIST: usize = 4;

/// Reads one file's bytes.
pub fn read(file: &str, bytes: &[u8]) -> Manifests {
    let mut manifests = Manifests::default();
    manifests.read(file, bytes);
    manifests
}

impl Manifests {
    /// Adds one file's bytes; its name is only for messages.
    pub fn read(&mut self, file: &str, bytes: &[u8]) {
        self.n_in_file = 0;
        let place = Place { file: Arc::from(file), document: 1, line: None };
        let text = match core::str::from_utf8(bytes) {
            Ok(text) => text.strip_prefix('\u{feff}').unwrap_or(text),
            Err(error) => {
                let reason = format!("not UTF-8 at byte {}", error.valid_up_to());
                return self.find(place, String::new(), String::new(), reason, Severity::Error);
            }
        };
        if text.trim_start().starts_with('{') {
            self.read_json(&place, text);
        } else {
            self.read_yaml(&place, text);
        }
    }

    /// Keeps the last of objects of the same kind, namespace and name, as `kubectl apply` would, and names
    /// the others. To be called when all files are read.
    pub fn settle(&mut self) {
        let mut last: BTreeMap<(String, Arc<str>, Arc<str>), usize> = BTreeMap::new();
        let mut dropped = Vec::new();
        for (i, placed) in self.objects.iter().enumerate() {
            // One kind of another API may share its name with one of these.
            if matches!(placed.object, Object::Caller(_) | Object::OtherPolicy { .. } | Object::Other { .. })
            {
                continue;
            }
            let (kind, meta) = placed.object.kind_and_meta();
            let key = (kind.to_owned(), Arc::clone(&meta.namespace), Arc::clone(&meta.name));
            if let Some(earlier) = last.insert(key, i) {
                dropped.push((earlier, i));
            }
        }
        for (earlier, later) in &dropped {
            let (earlier, later) = (&self.objects[*earlier], &self.objects[*later]);
            let reason = format!("written again at {}: the last one counts", later.place);
            self.findings.push(Finding {
                place: earlier.place.clone(),
                object: earlier.object.title(),
                path: String::new(),
                reason,
                severity: Severity::Warning,
            });
        }
        let gone: std::collections::BTreeSet<usize> =
            dropped.into_iter().map(|(earlier, _)| earlier).collect();
        let mut i = 0;
        self.objects.retain(|_| {
            i += 1;
            !gone.contains(&(i - 1))
        });
    }

    /// The first finding that the API server would refuse or nothing could read.
    pub fn first_error(&self) -> Option<&Finding> {
        self.findings.iter().find(|finding| finding.severity == Severity::Error)
    }

    fn find(&mut self, place: Place, object: String, path: String, reason: String, severity: Severity) {
        self.n_in_file += 1;
        let finding = match self.n_in_file {
            ..=MOST_FINDINGS => Finding { place, object, path, reason, severity },
            n if n == MOST_FINDINGS + 1 => Finding {
                place: Place { line: None, document: 1, ..place },
                object: String::new(),
                path: String::new(),
                reason: format!("more than {MOST_FINDINGS} findings: the others are not listed"),
                severity: Severity::Error,
            },
            _ => return,
        };
        self.findings.push(finding);
    }

    fn read_yaml(&mut self, place: &Place, text: &str) {
        let broken = yaml::documents(text, |document, node| {
            let place = Place { document, ..place.clone() };
            self.document(&place, node, "", None, 0);
        });
        if let Err((document, broken)) = broken {
            let place = Place { document, line: Some(broken.line), ..place.clone() };
            self.find(place, String::new(), String::new(), broken.reason, Severity::Error);
        }
    }

    /// One JSON value after the other; what is no JSON may still be YAML that begins with a brace.
    fn read_json(&mut self, place: &Place, text: &str) {
        let mut lines = Lines { text, at: 0, line: 1 };
        let values = serde_json::Deserializer::from_str(text).into_iter::<&RawValue>();
        let mut pending = Vec::new();
        for value in values {
            match value {
                Ok(raw) => pending.push(raw),
                Err(error) => {
                    if yaml::documents(text, |_, _| {}).is_ok() {
                        return self.read_yaml(place, text);
                    }
                    let place =
                        Place { document: pending.len() + 1, line: Some(error.line()), ..place.clone() };
                    let reason = format!("not JSON: {error}");
                    self.find(place, String::new(), String::new(), reason, Severity::Error);
                    break;
                }
            }
        }
        for (i, raw) in pending.into_iter().enumerate() {
            let place = Place { document: i + 1, ..place.clone() };
            self.json(&place, raw, "", None, &mut lines, 0);
        }
    }

    /// A List's items are read one at a time, so that a dump of a cluster costs no more than its largest
    /// object.
    fn json(
        &mut self,
        place: &Place,
        raw: &RawValue,
        path: &str,
        kind: Option<&(String, String)>,
        lines: &mut Lines<'_>,
        depth: usize,
    ) {
        let line = lines.line_of(raw.get());
        let list = serde_json::from_str::<JsonList<'_>>(raw.get()).ok().filter(|_| depth < DEEPEST_LIST);
        if let Some(JsonList { api_version, kind: Some(list), items: Some(items) }) = list
            && let Some(item) = list.0.strip_suffix("List")
        {
            let item = item_kind(item, api_version.as_ref().map_or("", |text| &text.0));
            for (i, raw) in items.into_iter().enumerate() {
                self.json(place, raw, &item_path(path, i), item.as_ref(), lines, depth + 1);
            }
            return;
        }
        if raw.get().len() > LARGEST_OBJECT_BYTES {
            let place = Place { line: Some(line), ..place.clone() };
            let reason = format!("an object of more than {} MiB", LARGEST_OBJECT_BYTES >> 20);
            return self.find(place, String::new(), path.to_owned(), reason, Severity::Error);
        }
        match serde_json::from_str::<Node<'_>>(raw.get()) {
            Ok(mut node) => {
                node.place(line);
                self.document(place, node, path, kind, depth);
            }
            Err(error) => {
                let place = Place { line: Some(line + error.line().saturating_sub(1)), ..place.clone() };
                let reason = format!("not JSON: {error}");
                self.find(place, String::new(), path.to_owned(), reason, Severity::Error);
            }
        }
    }

    /// One document or one item of a List. `kind` is the item's where the List says it for all.
    fn document(
        &mut self,
        place: &Place,
        mut node: Node<'_>,
        path: &str,
        kind: Option<&(String, String)>,
        depth: usize,
    ) {
        let place = Place { line: Some(node.line), ..place.clone() };
        let mut doubled = Vec::new();
        node.drop_duplicates(&Path::Root, &mut doubled);
        let said = |key: &str| node.get(key).and_then(Node::text).map(str::to_owned);
        let (api_version, name) = match (said("apiVersion"), said("kind"), kind) {
            (Some(api_version), Some(kind), _) => (api_version, kind),
            (None, None, Some((api_version, kind))) => (api_version.clone(), kind.clone()),
            _ => {
                let (reason, severity) = nameless(&node);
                return self.find(place, String::new(), path.to_owned(), reason, severity);
            }
        };
        if let Some(item) = name.strip_suffix("List").filter(|_| depth < DEEPEST_LIST)
            && matches!(node.get("items").map(|items| &items.value), Some(Value::List(_)))
        {
            let item = item_kind(item, &api_version);
            for (i, node) in take_items(node).into_iter().enumerate() {
                self.document(&place, node, &item_path(path, i), item.as_ref(), depth + 1);
            }
            return;
        }
        let title = title(&name, &node);
        if depth >= DEEPEST_LIST {
            let reason = format!("Lists inside Lists, deeper than {DEEPEST_LIST}");
            return self.find(place, title, path.to_owned(), reason, Severity::Error);
        }
        for (field, line) in doubled {
            let place = Place { line: Some(line), ..place.clone() };
            let reason = "written twice: the last one counts".to_owned();
            self.find(place, title.clone(), join(path, &field), reason, Severity::Warning);
        }
        self.object(place, &node, path, &api_version, &name, title);
    }

    fn object(
        &mut self,
        place: Place,
        node: &Node<'_>,
        path: &str,
        api_version: &str,
        kind: &str,
        title: String,
    ) {
        let which = Kind::of(api_version, kind);
        let (unknown, mismatch) = strict::check(&which, node);
        for field in unknown {
            let meant = field.meant.map(|meant| format!(": did you mean `{meant}`?")).unwrap_or_default();
            let place = Place { line: Some(field.line), ..place.clone() };
            let reason = format!("unknown field{meant}");
            self.find(place, title.clone(), join(path, &field.path), reason, Severity::Warning);
        }
        if let Some(mismatch) = mismatch {
            return self.mismatch(place, title, path, mismatch);
        }
        let at = |field: &str| Place { line: Some(node.line_of(field)), ..place.clone() };
        match convert(api_version, kind, Walk::new(node, None), &mut self.words) {
            Err(mismatch) => self.mismatch(place, title, path, mismatch),
            Ok(Err(Refusal::Field(fault))) => {
                self.find(at(&fault.path), title, join(path, &fault.path), fault.reason, Severity::Error);
            }
            Ok(Err(Refusal::Retired(served))) => {
                let reason = format!("`{}` is no longer served: use `{served}`", clip(api_version));
                self.find(place, title, join(path, "apiVersion"), reason, Severity::Error);
            }
            Ok(Ok(object)) => {
                for violation in validate::object(&object) {
                    let field = join(path, &violation.path);
                    self.find(
                        at(&violation.path),
                        title.clone(),
                        field,
                        violation.reason,
                        violation.severity,
                    );
                }
                self.objects.push(Placed { object, place, path: path.to_owned() });
            }
        }
    }

    fn mismatch(&mut self, place: Place, title: String, path: &str, mismatch: Mismatch) {
        let (field, line) = mismatch.at.unwrap_or_default();
        let place = Place { line: Some(line).filter(|&line| line > 0).or(place.line), ..place };
        self.find(place, title, join(path, &field), mismatch.reason, Severity::Error);
    }
}

/// A document without `apiVersion` or `kind`: an object that was mistyped, or no object at all.
fn nameless(node: &Node<'_>) -> (String, Severity) {
    let Value::Map(entries) = &node.value else {
        return (format!("{} is no object", node.describe()), Severity::Error);
    };
    if node.get("apiVersion").is_none()
        && let Some("coverage" | "flow" | "object") = node.get("kind").and_then(Node::text)
    {
        return ("a line of a recording: give it with `--input`".to_owned(), Severity::Error);
    }
    let known = ["apiVersion", "kind", "metadata", "spec"];
    let object = entries.iter().any(|(key, _)| known.iter().any(|known| walk::alike(known, key)));
    if object {
        ("no `apiVersion` or no `kind`".to_owned(), Severity::Error)
    } else {
        ("no object of Kubernetes: skipped".to_owned(), Severity::Warning)
    }
}

fn take_items(node: Node<'_>) -> Vec<Node<'_>> {
    let Value::Map(entries) = node.value else { return Vec::new() };
    let items = entries.into_iter().find(|(key, _)| key == "items").map(|(_, items)| items.value);
    match items {
        Some(Value::List(items)) => items,
        _ => Vec::new(),
    }
}

/// A `PodList`'s items need not say that they are Pods; those of a plain `List` must.
fn item_kind(item: &str, api_version: &str) -> Option<(String, String)> {
    (!item.is_empty()).then(|| (api_version.to_owned(), item.to_owned()))
}

fn item_path(path: &str, i: usize) -> String {
    join(path, &format!("items[{i}]"))
}

fn join(path: &str, field: &str) -> String {
    match (path.is_empty(), field.is_empty()) {
        (true, _) => field.to_owned(),
        (_, true) => path.to_owned(),
        _ => format!("{path}.{field}"),
    }
}

fn title(kind: &str, node: &Node<'_>) -> String {
    let metadata = node.get("metadata");
    let said = |key: &str| metadata.and_then(|metadata| metadata.get(key)).and_then(Node::text).map(clip);
    let name = said("name").unwrap_or_default();
    match said("namespace") {
        Some(namespace) => format!("{} {namespace}/{name}", clip(kind)),
        None => format!("{} {name}", clip(kind)),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JsonList<'a> {
    #[serde(borrow)]
    api_version: Option<Text<'a>>,
    #[serde(borrow)]
    kind: Option<Text<'a>>,
    #[serde(borrow)]
    items: Option<Vec<&'a RawValue>>,
}

/// Counts lines up to a piece of the text, each only once.
struct Lines<'a> {
    text: &'a str,
    at: usize,
    line: usize,
}

impl Lines<'_> {
    fn line_of(&mut self, piece: &str) -> usize {
        let offset = (piece.as_ptr() as usize).saturating_sub(self.text.as_ptr() as usize);
        if offset >= self.at
            && let Some(between) = self.text.as_bytes().get(self.at..offset)
        {
            self.line += between.split(|&byte| byte == b'\n').count() - 1;
            self.at = offset;
        }
        self.line
    }
}

#[cfg(test)]
mod tests;
