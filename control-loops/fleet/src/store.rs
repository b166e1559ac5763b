//! Memory of fixed size with total access: an index outside reads the fill value and writes nothing.
//!
//! The planner's loops compute their indices from checked parts, so an index outside is a programmer's
//! mistake; it must not stop a fleet. Debug builds assert it.

use alloc::boxed::Box;
use alloc::vec;

/// A slice of `Copy` values that is taken once and never grows.
#[derive(Debug, Clone)]
pub(crate) struct Store<T> {
    values: Box<[T]>,
    outside: T,
}

impl<T: Copy> Store<T> {
    pub(crate) fn new(len: usize, fill: T) -> Self {
        Self { values: vec![fill; len].into_boxed_slice(), outside: fill }
    }

    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    #[inline]
    pub(crate) fn at(&self, index: usize) -> T {
        debug_assert!(index < self.values.len(), "read outside: {index} of {}", self.values.len());
        self.values.get(index).copied().unwrap_or(self.outside)
    }

    #[inline]
    pub(crate) fn put(&mut self, index: usize, value: T) {
        debug_assert!(index < self.values.len(), "write outside: {index} of {}", self.values.len());
        if let Some(slot) = self.values.get_mut(index) {
            *slot = value;
        }
    }

    pub(crate) fn fill(&mut self, value: T) {
        self.values.fill(value);
    }

    /// `len` values from `start`; empty if that reaches outside.
    #[inline]
    pub(crate) fn part(&self, start: usize, len: usize) -> &[T] {
        self.values.get(start..start + len).unwrap_or(&[])
    }

    #[inline]
    pub(crate) fn part_mut(&mut self, start: usize, len: usize) -> &mut [T] {
        self.values.get_mut(start..start + len).unwrap_or(&mut [])
    }
}
