//! Classes: pods that no selector and no port name can tell apart, because namespace, labels and container
//! ports are equal. In: subjects. Out: numbers in the order of namespaces, and sets of such numbers.

use core::ops::Range;

use super::intern::Word;
use super::selector::Labels;
use crate::net::Protocol;

pub(crate) type ClassId = u32;

/// A container port of a class; its name interned.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ClassPort {
    pub(crate) name: Option<Word>,
    pub(crate) protocol: Protocol,
    pub(crate) port: u16,
}

/// What all pods of a class have in common.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Class {
    pub(crate) namespace: u32,
    pub(crate) labels: Labels,
    pub(crate) ports: Box<[ClassPort]>,
}

/// A set of classes, small in memory for the common cases: one namespace, or a few workloads.
#[derive(Clone, Debug)]
pub(crate) enum ClassSet {
    Range(Range<ClassId>),
    Few(Box<[ClassId]>),
    Bits(Box<[u64]>),
}

impl ClassSet {
    /// From any list of the `n_classes` classes that there are.
    pub(crate) fn new(mut classes: Vec<ClassId>, n_classes: usize) -> Self {
        classes.sort_unstable();
        classes.dedup();
        let (Some(&first), Some(&last)) = (classes.first(), classes.last()) else {
            return Self::Range(0..0);
        };
        let span = (last - first) as usize + 1;
        if span == classes.len() {
            return Self::Range(first..last + 1);
        }
        if classes.len() <= 8 {
            return Self::Few(classes.into());
        }
        let mut bits = vec![0_u64; n_classes.div_ceil(64)];
        for class in classes {
            if let Some(word) = bits.get_mut(class as usize / 64) {
                *word |= 1 << (class % 64);
            }
        }
        Self::Bits(bits.into())
    }

    pub(crate) fn contains(&self, class: ClassId) -> bool {
        match self {
            Self::Range(range) => range.contains(&class),
            Self::Few(few) => few.contains(&class),
            Self::Bits(bits) => {
                bits.get(class as usize / 64).is_some_and(|word| word & (1 << (class % 64)) != 0)
            }
        }
    }

    /// The least range around it.
    pub(crate) fn bounds(&self) -> Range<ClassId> {
        match self {
            Self::Range(range) => range.clone(),
            Self::Few(_) | Self::Bits(_) => {
                let mut classes = self.iter();
                let first = classes.next().unwrap_or_default();
                first..classes.last().unwrap_or(first).saturating_add(1)
            }
        }
    }

    /// Whether it holds all of the `n_classes` classes that there are.
    pub(crate) fn is_all(&self, n_classes: usize) -> bool {
        matches!(self, Self::Range(range) if range.start == 0 && range.end as usize == n_classes)
    }

    /// In ascending order.
    pub(crate) fn iter(&self) -> Box<dyn Iterator<Item = ClassId> + '_> {
        match self {
            Self::Range(range) => Box::new(range.clone()),
            Self::Few(few) => Box::new(few.iter().copied()),
            Self::Bits(bits) => Box::new((0_u32..).zip(bits.iter()).flat_map(|(index, word)| {
                (0..64_u32).filter(move |bit| word & (1 << bit) != 0).map(move |bit| index * 64 + bit)
            })),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_set_holds_what_was_put_in() {
        for classes in [vec![], vec![3], vec![4, 5, 6], vec![9, 2, 2, 199], (0..200).step_by(3).collect()] {
            let set = ClassSet::new(classes.clone(), 200);
            let mut sorted = classes;
            sorted.sort_unstable();
            sorted.dedup();
            assert_eq!(set.iter().collect::<Vec<_>>(), sorted, "{set:?}");
            assert!((0..200).all(|class| set.contains(class) == sorted.contains(&class)), "{set:?}");
        }
    }
}
