//! Words as numbers: label keys, label values and port names are compared millions of times. In: text. Out: a
//! number, the same for equal text; a word that no pod carries has none.

use std::collections::HashMap;
use std::sync::Arc;

/// A label key, label value or port name that some subject carries.
pub(super) type Word = u32;

#[derive(Debug, Default)]
pub(super) struct Words {
    known: HashMap<Arc<str>, Word>,
    list: Vec<Arc<str>>,
}

impl Words {
    pub(super) fn intern(&mut self, text: &Arc<str>) -> Word {
        if let Some(&word) = self.known.get(text) {
            return word;
        }
        let word = index(self.list.len());
        self.known.insert(Arc::clone(text), word);
        self.list.push(Arc::clone(text));
        word
    }

    pub(super) fn get(&self, text: &str) -> Option<Word> {
        self.known.get(text).copied()
    }

    pub(super) fn text(&self, word: Word) -> &Arc<str> {
        &self.list[word as usize]
    }
}

/// Tables here are indexed by `u32`: four thousand million pods are not expected in one cluster.
pub(super) fn index(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
