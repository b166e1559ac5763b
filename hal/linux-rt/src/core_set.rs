//! Sets of processor cores, and the kernel's list format for them (`0-3,8`).

use std::fmt;

/// Cores that a set can name: the size of the C library's `cpu_set_t`.
pub const CORES_MAX: usize = 1024;

const WORDS: usize = CORES_MAX / 64;

/// A set of cores with numbers below [`CORES_MAX`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct CoreSet([u64; WORDS]);

/// A text that is not a list of cores.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{part}` in the core list is not a core number below {CORES_MAX} or a range of them, such as 0-3,8")]
pub struct CoreListError {
    /// The part between two commas that is wrong.
    pub part: String,
}

impl CoreSet {
    /// No core.
    pub const EMPTY: Self = Self([0; WORDS]);

    /// One core; empty if its number is out of range.
    #[must_use]
    pub fn of(core: usize) -> Self {
        let mut set = Self::EMPTY;
        set.insert(core);
        set
    }

    /// Adds a core. Returns false if its number is out of range.
    pub fn insert(&mut self, core: usize) -> bool {
        match self.0.get_mut(core / 64) {
            Some(word) => {
                *word |= 1 << (core % 64);
                true
            }
            None => false,
        }
    }

    /// Whether the core is in the set.
    #[must_use]
    pub fn contains(&self, core: usize) -> bool {
        self.0.get(core / 64).is_some_and(|word| word & (1 << (core % 64)) != 0)
    }

    /// Whether every core of this set is in `other`.
    #[must_use]
    pub fn is_subset(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).all(|(a, b)| a & !b == 0)
    }

    /// Number of cores.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether there is no core in the set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The cores in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        (0..CORES_MAX).filter(|core| self.contains(*core))
    }

    /// Reads the kernel's list format: `0-3,8`, with surrounding white space; empty text is no core.
    ///
    /// # Errors
    /// The first part that is neither a number nor an ascending range below [`CORES_MAX`].
    pub fn parse(list: &str) -> Result<Self, CoreListError> {
        let mut set = Self::EMPTY;
        for part in list.trim().split(',').filter(|part| !part.is_empty()) {
            let error = || CoreListError { part: part.to_owned() };
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let number = |text: &str| text.trim().parse::<usize>().map_err(|_| error());
            let (first, last) = (number(first)?, number(last)?);
            if first > last || last >= CORES_MAX {
                return Err(error());
            }
            for core in first..=last {
                set.insert(core);
            }
        }
        Ok(set)
    }
}

impl FromIterator<usize> for CoreSet {
    fn from_iter<I: IntoIterator<Item = usize>>(cores: I) -> Self {
        let mut set = Self::EMPTY;
        for core in cores {
            set.insert(core);
        }
        set
    }
}

impl fmt::Display for CoreSet {
    /// The kernel's list format; nothing for the empty set.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut cores = self.iter().peekable();
        let mut separator = "";
        while let Some(first) = cores.next() {
            let mut last = first;
            while let Some(next) = cores.next_if_eq(&(last + 1)) {
                last = next;
            }
            if first == last {
                write!(f, "{separator}{first}")?;
            } else {
                write!(f, "{separator}{first}-{last}")?;
            }
            separator = ",";
        }
        Ok(())
    }
}

impl fmt::Debug for CoreSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CoreSet({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_list_of_the_kernel_is_read() {
        let set = CoreSet::parse("0-2,7\n").unwrap();
        assert_eq!(set.iter().collect::<Vec<_>>(), [0, 1, 2, 7]);
    }

    #[test]
    fn empty_text_is_no_core() {
        assert!(CoreSet::parse("\n").unwrap().is_empty());
    }

    #[test]
    fn a_wrong_part_is_named() {
        for (list, part) in [("0,x", "x"), ("3-1", "3-1"), ("0-1024", "0-1024"), ("-1", "-1")] {
            assert_eq!(CoreSet::parse(list).unwrap_err().part, part, "{list}");
        }
    }

    #[test]
    fn a_core_out_of_range_is_refused() {
        assert!(!CoreSet::EMPTY.clone().insert(CORES_MAX));
        assert!(!CoreSet::of(CORES_MAX).contains(CORES_MAX));
    }

    proptest! {
        #[test]
        fn every_set_survives_its_text(cores in prop::collection::btree_set(0..CORES_MAX, 0..40)) {
            let set: CoreSet = cores.iter().copied().collect();
            prop_assert_eq!(set.len(), cores.len());
            prop_assert_eq!(CoreSet::parse(&set.to_string()), Ok(set));
        }

        #[test]
        fn no_text_makes_it_panic(list in "[0-9,\\- x]{0,20}") {
            let _ = CoreSet::parse(&list);
        }
    }
}
