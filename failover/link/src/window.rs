//! Which frames of a sender were seen already.

/// Frames behind the newest that are still told apart.
pub(crate) const WINDOW: u64 = 1024;
const WORDS: usize = (WINDOW / 64) as usize;

/// A sliding window over a sender's counter (the algorithm of RFC 6479). Counters start at 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReplayWindow {
    newest: u64,
    /// Bit `n` of the ring stands for the counter that is `n` modulo the window.
    seen: [u64; WORDS],
}

impl ReplayWindow {
    pub(crate) const fn new() -> Self {
        Self { newest: 0, seen: [0; WORDS] }
    }

    /// Whether the counter was not seen yet; notes that it is seen now. One that is older than the window
    /// counts as seen.
    pub(crate) fn accept(&mut self, counter: u64) -> bool {
        if counter == 0 || counter.saturating_add(WINDOW) <= self.newest {
            return false;
        }
        if counter > self.newest {
            let steps = (counter - self.newest).min(WINDOW);
            (1..=steps).for_each(|step| self.clear(counter - steps + step));
            self.newest = counter;
        }
        let (word, bit) = place(counter);
        let Some(word) = self.seen.get_mut(word) else { return false };
        let is_new = *word & bit == 0;
        *word |= bit;
        is_new
    }

    fn clear(&mut self, counter: u64) {
        let (word, bit) = place(counter);
        if let Some(word) = self.seen.get_mut(word) {
            *word &= !bit;
        }
    }
}

fn place(counter: u64) -> (usize, u64) {
    let at = counter % WINDOW;
    (usize::try_from(at / 64).unwrap_or(0), 1 << (at % 64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    #[test]
    fn a_counter_is_accepted_once() {
        let mut window = ReplayWindow::new();
        assert!(window.accept(7));
        assert!(!window.accept(7));
        assert!(window.accept(5));
        assert!(!window.accept(5));
    }

    #[test]
    fn what_is_older_than_the_window_counts_as_seen() {
        let mut window = ReplayWindow::new();
        assert!(window.accept(WINDOW + 10));
        assert!(!window.accept(10));
        assert!(window.accept(11));
        assert!(!window.accept(0));
        assert!(window.accept(u64::MAX));
        assert!(!window.accept(u64::MAX));
    }

    proptest! {
        #[test]
        fn no_order_of_counters_makes_one_pass_twice(
            steps in proptest::collection::vec((any::<bool>(), 0_u64..3000), 1..400),
        ) {
            let (mut window, mut seen, mut newest) = (ReplayWindow::new(), HashSet::new(), 0_u64);
            for (forward, distance) in steps {
                let counter = if forward { newest + distance } else { newest.saturating_sub(distance) };
                let inside = counter > 0 && counter + WINDOW > newest;
                let accepted = window.accept(counter);
                prop_assert_eq!(accepted, inside && !seen.contains(&counter), "{}", counter);
                if accepted {
                    seen.insert(counter);
                    newest = newest.max(counter);
                }
            }
        }
    }
}
