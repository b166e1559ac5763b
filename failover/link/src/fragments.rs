//! A replicated state in parts, and whole again.
//!
//! # Model
//!
//! A state belongs to a cycle. The newest cycle wins: its first fragment ends the wait for the rest of an
//! older one, and fragments of a cycle that is over are late. So the memory of one state suffices, and it is
//! taken at the start. A lost fragment is not asked for again, since the next cycle's state is on its way;
//! the second link's copy usually fills it in.

use crate::codec::Fragment;

/// The largest state, in bytes.
pub const STATE_BYTES_MAX: usize = FRAGMENTS_MAX * FRAGMENT_BYTES_MAX;
/// Bytes of a state that go into one fragment.
pub(crate) const FRAGMENT_BYTES_MAX: usize = 1200;
/// Fragments of one state: as many as an integer has bits.
const FRAGMENTS_MAX: usize = u128::BITS as usize;

/// Which states follow each other: each series has its own cycles and its own newest state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Series {
    /// Of the control cycles.
    Control,
    /// Of the fleet's steps.
    Fleet,
}

impl Series {
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Control => 0,
            Self::Fleet => 1,
        }
    }

    pub(crate) const fn of(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Control),
            1 => Some(Self::Fleet),
            _ => None,
        }
    }
}

/// A state that is whole: every fragment is in and the check sum is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State<'a> {
    /// Among which states.
    pub series: Series,
    /// The cycle after which it was taken.
    pub cycle: u64,
    /// Hash of its layout. A different one than the receiver's own cannot be continued from.
    pub schema: u64,
    /// Its contents.
    pub bytes: &'a [u8],
}

/// How the replication goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StateCounters {
    /// States that came whole.
    pub whole: u64,
    /// States that began to come, and a newer one came before they were whole.
    pub incomplete: u64,
    /// Cycles between two whole states of which no state came whole, those incomplete among them.
    pub gaps: u64,
    /// Fragments of a cycle that was over: second copies are not among them.
    pub late: u64,
    /// States whose check sum was wrong.
    pub corrupt: u64,
}

/// The fragments of a state, in order.
pub(crate) fn split(state: State<'_>) -> Option<impl Iterator<Item = Fragment<'_>>> {
    let State { series, cycle, schema, bytes: state } = state;
    let count = u16::try_from(fragments_of(state.len())).ok()?;
    let total_bytes = u32::try_from(state.len()).ok()?;
    let crc = crc32fast::hash(state);
    let fits = state.len() <= STATE_BYTES_MAX;
    let fragment = move |index: u16| {
        let from = usize::from(index) * FRAGMENT_BYTES_MAX;
        let to = (from + FRAGMENT_BYTES_MAX).min(state.len());
        let bytes = state.get(from..to).unwrap_or_default();
        Fragment { series, cycle, schema, index, count, total_bytes, crc, bytes }
    };
    fits.then(|| (0..count).map(fragment))
}

/// An empty state takes one fragment too.
const fn fragments_of(bytes: usize) -> usize {
    let count = bytes.div_ceil(FRAGMENT_BYTES_MAX);
    if count == 0 { 1 } else { count }
}

/// What a fragment did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It was the last one missing.
    Whole,
    /// Others are still missing, or it is a copy, or late.
    Noted,
    /// It cannot be: nothing was changed.
    Malformed,
}

/// Puts fragments together.
#[derive(Debug)]
pub(crate) struct Reassembler {
    series: Series,
    buffer: Box<[u8]>,
    /// The one that is being put together, or was last.
    current: Option<Current>,
    /// The newest whole one.
    whole_cycle: Option<u64>,
    pub(crate) counters: StateCounters,
}

#[derive(Debug, Clone, Copy)]
struct Current {
    cycle: u64,
    schema: u64,
    count: u16,
    total_bytes: u32,
    crc: u32,
    /// One bit a fragment.
    have: u128,
    done: bool,
}

impl Reassembler {
    /// Takes the memory for states of up to so many bytes, at most [`STATE_BYTES_MAX`].
    pub(crate) fn new(series: Series, state_bytes_max: usize) -> Self {
        let buffer = vec![0; state_bytes_max.min(STATE_BYTES_MAX)].into_boxed_slice();
        Self { series, buffer, current: None, whole_cycle: None, counters: StateCounters::default() }
    }

    /// Forgets everything but the counters: another sender begins.
    pub(crate) fn reset(&mut self) {
        (self.current, self.whole_cycle) = (None, None);
    }

    pub(crate) fn take(&mut self, fragment: &Fragment<'_>) -> Taken {
        if !self.is_possible(fragment) {
            return Taken::Malformed;
        }
        let current = match self.current {
            Some(current) if fragment.cycle < current.cycle => {
                self.counters.late += 1;
                return Taken::Noted;
            }
            Some(current) if fragment.cycle == current.cycle => {
                if !current.is_of(fragment) {
                    return Taken::Malformed;
                }
                current
            }
            older => {
                if older.is_some_and(|current| !current.done) {
                    self.counters.incomplete += 1;
                }
                Current::begun_by(fragment)
            }
        };
        let current = self.current.insert(current);
        let bit = 1_u128 << fragment.index;
        if current.done || current.have & bit != 0 {
            return Taken::Noted;
        }
        let from = usize::from(fragment.index) * FRAGMENT_BYTES_MAX;
        if let Some(place) = self.buffer.get_mut(from..from + fragment.bytes.len()) {
            place.copy_from_slice(fragment.bytes);
        }
        current.have |= bit;
        if current.have.count_ones() < u32::from(current.count) {
            return Taken::Noted;
        }
        current.done = true;
        let (cycle, crc, length) = (current.cycle, current.crc, current.total_bytes as usize);
        if crc32fast::hash(self.buffer.get(..length).unwrap_or_default()) != crc {
            self.counters.corrupt += 1;
            return Taken::Noted;
        }
        self.counters.whole += 1;
        let missed = self.whole_cycle.map_or(0, |last| cycle.saturating_sub(last.saturating_add(1)));
        self.counters.gaps = self.counters.gaps.saturating_add(missed);
        self.whole_cycle = Some(cycle);
        Taken::Whole
    }

    /// The state that [`Taken::Whole`] spoke of.
    pub(crate) fn state(&self) -> Option<State<'_>> {
        let current = self.current.filter(|current| Some(current.cycle) == self.whole_cycle)?;
        let bytes = self.buffer.get(..current.total_bytes as usize)?;
        Some(State { series: self.series, cycle: current.cycle, schema: current.schema, bytes })
    }

    fn is_possible(&self, fragment: &Fragment<'_>) -> bool {
        let (index, total) = (usize::from(fragment.index), fragment.total_bytes as usize);
        let from = index * FRAGMENT_BYTES_MAX;
        total <= self.buffer.len()
            && usize::from(fragment.count) == fragments_of(total)
            && fragment.index < fragment.count
            && fragment.bytes.len() == (total - from.min(total)).min(FRAGMENT_BYTES_MAX)
    }
}

impl Current {
    const fn begun_by(fragment: &Fragment<'_>) -> Self {
        Self {
            cycle: fragment.cycle,
            schema: fragment.schema,
            count: fragment.count,
            total_bytes: fragment.total_bytes,
            crc: fragment.crc,
            have: 0,
            done: false,
        }
    }

    const fn is_of(&self, fragment: &Fragment<'_>) -> bool {
        self.schema == fragment.schema
            && self.count == fragment.count
            && self.total_bytes == fragment.total_bytes
            && self.crc == fragment.crc
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split_up(cycle: u64, schema: u64, bytes: &[u8]) -> Option<impl Iterator<Item = Fragment<'_>>> {
        split(State { series: Series::Control, cycle, schema, bytes })
    }

    fn state(cycle: u64, bytes: usize) -> Vec<u8> {
        (0..bytes).map(|at| (at as u64 ^ cycle) as u8).collect()
    }

    fn whole(reassembler: &mut Reassembler, cycle: u64, bytes: &[u8], order: &[usize]) -> bool {
        let fragments: Vec<Fragment<'_>> = split_up(cycle, 7, bytes).unwrap().collect();
        let mut taken = order.iter().map(|at| reassembler.take(&fragments[*at]));
        taken.any(|taken| taken == Taken::Whole)
    }

    #[test]
    fn a_state_of_any_order_and_with_copies_comes_whole_once() {
        let mut reassembler = Reassembler::new(Series::Control, 10_000);
        let bytes = state(5, 3000);
        assert!(whole(&mut reassembler, 5, &bytes, &[2, 0, 0, 2, 1]));
        assert_eq!(
            reassembler.state(),
            Some(State { series: Series::Control, cycle: 5, schema: 7, bytes: &bytes })
        );
        assert!(!whole(&mut reassembler, 5, &bytes, &[0, 1, 2]));
    }

    #[test]
    fn the_newest_cycle_wins() {
        let mut reassembler = Reassembler::new(Series::Control, 10_000);
        assert!(!whole(&mut reassembler, 5, &state(5, 3000), &[0, 1]));
        assert!(whole(&mut reassembler, 8, &state(8, 1200), &[0]));
        assert!(!whole(&mut reassembler, 5, &state(5, 3000), &[2]));
        assert!(whole(&mut reassembler, 11, &state(11, 0), &[0]));
        let expected = StateCounters { whole: 2, incomplete: 1, gaps: 2, late: 1, corrupt: 0 };
        assert_eq!(reassembler.counters, expected);
    }

    #[test]
    fn a_wrong_check_sum_makes_no_state() {
        let mut reassembler = Reassembler::new(Series::Control, 10_000);
        let bytes = state(5, 2000);
        for mut fragment in split_up(5, 7, &bytes).unwrap() {
            fragment.crc ^= 1;
            assert_eq!(reassembler.take(&fragment), Taken::Noted);
        }
        assert_eq!((reassembler.counters.corrupt, reassembler.state()), (1, None));
    }

    #[test]
    fn a_fragment_that_cannot_be_changes_nothing() {
        let bytes = state(5, 3000);
        let good = split_up(5, 7, &bytes).unwrap().nth(1).unwrap();
        let too_long = split_up(5, 7, &[0; 20_000]).unwrap().next().is_some();
        assert!(too_long);
        for bad in [
            Fragment { index: 3, ..good },
            Fragment { count: 2, ..good },
            Fragment { total_bytes: 3601, ..good },
            Fragment { total_bytes: u32::MAX, count: u16::MAX, ..good },
            Fragment { bytes: &bytes[..1199], ..good },
            Fragment { index: u16::MAX, count: u16::MAX, ..good },
        ] {
            let mut reassembler = Reassembler::new(Series::Control, 10_000);
            assert_eq!(reassembler.take(&bad), Taken::Malformed, "{bad:?}");
            assert!(reassembler.current.is_none());
        }
        let mut reassembler = Reassembler::new(Series::Control, 10_000);
        assert_eq!(reassembler.take(&good), Taken::Noted);
        assert_eq!(reassembler.take(&Fragment { crc: good.crc ^ 1, index: 0, ..good }), Taken::Malformed);
        assert!(split_up(1, 1, &vec![0; STATE_BYTES_MAX + 1]).is_none());
    }

    proptest! {
        #[test]
        fn whatever_is_lost_or_doubled_only_true_states_come_whole(
            sizes in proptest::collection::vec(0_usize..5000, 1..8),
            picks in proptest::collection::vec((0_usize..8, 0_usize..5), 0..80),
        ) {
            let states: Vec<Vec<u8>> =
                sizes.iter().enumerate().map(|(cycle, size)| state(cycle as u64, *size)).collect();
            let mut reassembler = Reassembler::new(Series::Control, 5000);
            let mut newest = None;
            for (cycle, index) in picks {
                let Some(bytes) = states.get(cycle) else { continue };
                let Some(fragment) = split_up(cycle as u64, 7, bytes).unwrap().nth(index) else { continue };
                let taken = reassembler.take(&fragment);
                prop_assert_ne!(taken, Taken::Malformed);
                if taken == Taken::Whole {
                    prop_assert!(newest < Some(cycle), "cycle {} after {:?}", cycle, newest);
                    newest = Some(cycle);
                    prop_assert_eq!(reassembler.state().unwrap().bytes, &bytes[..]);
                }
            }
        }
    }
}
