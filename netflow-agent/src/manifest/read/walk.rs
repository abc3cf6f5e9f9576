//! Reads typed objects from a `Node`, as Go's JSON does (null is the zero value), and says where it stopped:
//! an error names path, line and what stands there; fields that the type does not know are listed.

use core::fmt;
use std::cell::RefCell;

use serde::de::value::{BorrowedStrDeserializer, StringDeserializer};
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;

use super::node::{Node, Path, Value};

/// The value does not fit its field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mismatch {
    /// Path and line; None until the walk has added them.
    pub(super) at: Option<(String, usize)>,
    pub(super) reason: String,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for Mismatch {}

impl de::Error for Mismatch {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self { at: None, reason: message.to_string() }
    }
}

/// A field that the type does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unknown {
    pub(super) path: String,
    pub(super) line: usize,
    /// A field that the type does have and that is spelled alike.
    pub(super) meant: Option<&'static str>,
}

/// A node and how it was reached.
#[derive(Clone, Copy)]
pub(super) struct Walk<'de, 'p> {
    pub(super) node: &'de Node<'de>,
    pub(super) path: &'p Path<'p>,
    /// Where unknown fields are listed; None: they are of no interest.
    pub(super) unknown: Option<&'p RefCell<Vec<Unknown>>>,
    /// The fields of the struct that this is a field of.
    pub(super) siblings: &'static [&'static str],
}

impl<'de, 'p> Walk<'de, 'p> {
    pub(super) fn new(node: &'de Node<'de>, unknown: Option<&'p RefCell<Vec<Unknown>>>) -> Self {
        Self { node, path: &Path::Root, unknown, siblings: &[] }
    }

    fn refuse<T>(&self, wanted: &str) -> Result<T, Mismatch> {
        let hint = match (&self.node.value, wanted) {
            (Value::Bool(_) | Value::Integer(_) | Value::Float(_), "text") => ": quote it",
            _ => "",
        };
        self.place(Err(Mismatch {
            at: None,
            reason: format!("{} stands where {wanted} is needed{hint}", self.node.describe()),
        }))
    }

    fn place<T>(&self, result: Result<T, Mismatch>) -> Result<T, Mismatch> {
        result.map_err(|mismatch| Mismatch {
            at: mismatch.at.or_else(|| Some((self.path.to_string(), self.node.line))),
            ..mismatch
        })
    }

    fn list<V: Visitor<'de>>(self, items: &'de [Node<'de>], visitor: V) -> Result<V::Value, Mismatch> {
        self.place(visitor.visit_seq(Items { walk: self, items: items.iter().enumerate() }))
    }

    fn map<V: Visitor<'de>>(
        self,
        entries: &'de [(std::borrow::Cow<'de, str>, Node<'de>)],
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mismatch> {
        let map = Entries { walk: self, fields, rest: entries.iter(), value: None };
        self.place(visitor.visit_map(map))
    }
}

struct Items<'de, 'p> {
    walk: Walk<'de, 'p>,
    items: core::iter::Enumerate<core::slice::Iter<'de, Node<'de>>>,
}

impl<'de> SeqAccess<'de> for Items<'de, '_> {
    type Error = Mismatch;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Mismatch> {
        let Some((i, node)) = self.items.next() else { return Ok(None) };
        let path = Path::Index(self.walk.path, i);
        seed.deserialize(Walk { node, path: &path, unknown: self.walk.unknown, siblings: &[] }).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len())
    }
}

struct Entries<'de, 'p> {
    walk: Walk<'de, 'p>,
    fields: &'static [&'static str],
    rest: core::slice::Iter<'de, (std::borrow::Cow<'de, str>, Node<'de>)>,
    value: Option<(&'de str, &'de Node<'de>)>,
}

impl<'de> MapAccess<'de> for Entries<'de, '_> {
    type Error = Mismatch;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Mismatch> {
        let Some((key, node)) = self.rest.next() else { return Ok(None) };
        self.value = Some((key, node));
        seed.deserialize(BorrowedStrDeserializer::new(key)).map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Mismatch> {
        let Some((key, node)) = self.value.take() else {
            return Err(de::Error::custom("a value was asked for before its key"));
        };
        let path = Path::Field(self.walk.path, key);
        seed.deserialize(Walk { node, path: &path, unknown: self.walk.unknown, siblings: self.fields })
    }
}

impl<'de> Deserializer<'de> for Walk<'de, '_> {
    type Error = Mismatch;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        let result = match &self.node.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Integer(value) => visitor.visit_i64(*value),
            Value::Float(value) => visitor.visit_f64(*value),
            Value::Text(text) => visitor.visit_borrowed_str(text),
            Value::List(items) => return self.list(items, visitor),
            Value::Map(entries) => return self.map(entries, &[], visitor),
        };
        self.place(result)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        match &self.node.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        match &self.node.value {
            Value::Text(text) => self.place(visitor.visit_borrowed_str(text)),
            Value::Null => self.place(visitor.visit_borrowed_str("")),
            _ => self.refuse("text"),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        match &self.node.value {
            Value::Bool(value) => self.place(visitor.visit_bool(*value)),
            Value::Null => self.place(visitor.visit_bool(false)),
            _ => self.refuse("true or false"),
        }
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        match &self.node.value {
            Value::Integer(value) => self.place(visitor.visit_i64(*value)),
            Value::Null => self.place(visitor.visit_i64(0)),
            _ => self.refuse("a whole number"),
        }
    }

    fn deserialize_i32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        self.deserialize_i64(visitor)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        match &self.node.value {
            Value::List(items) => self.list(items, visitor),
            Value::Null => self.list(&[], visitor),
            _ => self.refuse("a list"),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        self.deserialize_struct("", &[], visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mismatch> {
        match &self.node.value {
            Value::Map(entries) => self.map(entries, fields, visitor),
            Value::Null => self.map(&[], fields, visitor),
            _ => self.refuse("a map"),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Mismatch> {
        let number = match &self.node.value {
            Value::Integer(value) => value.to_string(),
            Value::Float(value) => value.to_string(),
            _ => return visitor.visit_newtype_struct(self),
        };
        // A quantity may be written as a bare number: `cpu: 1`.
        match name {
            "Quantity" => visitor.visit_newtype_struct(StringDeserializer::new(number)),
            _ => visitor.visit_newtype_struct(self),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        if let (Some(unknown), Path::Field(_, key)) = (self.unknown, self.path) {
            let meant = self.siblings.iter().copied().find(|field| alike(field, key));
            let field = Unknown { path: self.path.to_string(), line: self.node.line, meant };
            unknown.borrow_mut().push(field);
        }
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        i8 i16 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct tuple tuple_struct
        enum identifier
    }
}

/// Equal but for case, or one letter too many, too few or swapped.
pub(crate) fn alike(right: &str, written: &str) -> bool {
    if right.eq_ignore_ascii_case(written) {
        return true;
    }
    let (right, written) = (right.as_bytes(), written.as_bytes());
    let front = right.iter().zip(written).take_while(|(a, b)| a == b).count();
    let (right, written) = (&right[front..], &written[front..]);
    let back = right.iter().rev().zip(written.iter().rev()).take_while(|(a, b)| a == b).count();
    let (right, written) = (&right[..right.len() - back], &written[..written.len() - back]);
    match (right, written) {
        ([_], [] | [_]) | ([], [_]) => true,
        ([a, b], [c, d]) => a == d && b == c,
        _ => false,
    }
}
