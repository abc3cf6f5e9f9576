//! Interned text: labels, names and namespaces repeat thousands of times in a cluster, and are kept once.

use std::collections::HashSet;
use std::sync::Arc;

/// The words met so far. One for each recording, folder or watch.
#[derive(Debug, Default)]
pub struct Words(HashSet<Arc<str>>);

impl Words {
    /// The one copy of this text.
    pub fn intern(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.0.get(text) {
            return Arc::clone(known);
        }
        let word: Arc<str> = Arc::from(text);
        self.0.insert(Arc::clone(&word));
        word
    }

    /// Forgets the words that nothing else holds; a long-lived watch calls this now and then.
    pub fn forget_unused(&mut self) {
        self.0.retain(|word| Arc::strong_count(word) > 1);
        self.0.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_text_is_kept_once_and_unused_text_not_at_all() {
        let mut words = Words::default();
        let first = words.intern("app");
        let second = words.intern("app");
        assert!(Arc::ptr_eq(&first, &second));
        drop((first, second));
        words.forget_unused();
        assert!(words.0.is_empty());
    }
}
