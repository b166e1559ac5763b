//! A disk that crashes where a test wants it to, and then shows what a real disk might show.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;

use super::frame::RECORD_HEADER_BYTES;
use super::{SegmentId, Storage};

/// Clones share the disk, so that it outlives the process that crashed.
#[derive(Debug, Clone, Default)]
pub(crate) struct SimDisk(Rc<RefCell<State>>);

#[derive(Debug, Default)]
struct State {
    segments: BTreeMap<SegmentId, Segment>,
    /// Work that may still be done before the power fails: a byte appended, a sync, a create or a remove
    /// costs one each.
    fuel: Option<u64>,
    spent: u64,
    sync_fails: bool,
}

#[derive(Debug, Default, Clone)]
struct Segment {
    bytes: Vec<u8>,
    synced_bytes: usize,
}

/// What the power failure left of bytes that were appended but not synced.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Unsynced {
    /// All of them: the process was killed, the kernel lives.
    Kept,
    /// None.
    Lost,
    /// A part, chosen by the number.
    Cut(u64),
    /// The length grew, but blocks were not written: zeros from a place chosen by the number.
    Zeroed(u64),
}

impl SimDisk {
    /// From now on the power fails after `fuel` units of work.
    pub(crate) fn power_fails_after(&self, fuel: u64) {
        let mut state = self.0.borrow_mut();
        state.fuel = Some(fuel);
        state.spent = 0;
    }

    /// Units of work since the disk was made or the power came back.
    pub(crate) fn spent(&self) -> u64 {
        self.0.borrow().spent
    }

    /// The machine starts again.
    pub(crate) fn power_returns(&self, unsynced: Unsynced) {
        let mut state = self.0.borrow_mut();
        state.fuel = None;
        state.spent = 0;
        for segment in state.segments.values_mut() {
            let tail_bytes = segment.bytes.len() - segment.synced_bytes;
            let place = |number: u64| segment.synced_bytes + (number % (tail_bytes as u64 + 1)) as usize;
            match unsynced {
                Unsynced::Kept => {}
                Unsynced::Lost => segment.bytes.truncate(segment.synced_bytes),
                Unsynced::Cut(number) => {
                    let end = place(number);
                    segment.bytes.truncate(end);
                }
                Unsynced::Zeroed(number) => {
                    let start = place(number);
                    segment.bytes[start..].fill(0);
                }
            }
            segment.synced_bytes = segment.bytes.len();
        }
    }

    pub(crate) fn fail_next_sync(&self) {
        self.0.borrow_mut().sync_fails = true;
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.0.borrow().segments.values().map(|segment| segment.bytes.len() as u64).sum()
    }

    pub(crate) fn flip_bit_of_body(&self, body: &[u8]) {
        for segment in self.0.borrow_mut().segments.values_mut() {
            let found = segment.bytes.windows(body.len()).position(|window| window == body);
            if let Some(start) = found {
                segment.bytes[start] ^= 1;
                return;
            }
        }
        panic!("no such body");
    }

    pub(crate) fn flip_first_bit_of_record_at(&self, offset: usize) {
        let mut state = self.0.borrow_mut();
        let segment = state.segments.values_mut().next().unwrap();
        assert!(segment.bytes.len() >= offset + RECORD_HEADER_BYTES);
        segment.bytes[offset] ^= 1;
    }

    fn spend(&self) -> io::Result<()> {
        let mut state = self.0.borrow_mut();
        if let Some(fuel) = &mut state.fuel {
            *fuel = fuel.checked_sub(1).ok_or_else(|| io::Error::other("no power"))?;
        }
        state.spent += 1;
        Ok(())
    }
}

impl Storage for SimDisk {
    fn segments(&mut self) -> io::Result<Vec<SegmentId>> {
        Ok(self.0.borrow().segments.keys().copied().collect())
    }

    fn read(&mut self, id: SegmentId) -> io::Result<Vec<u8>> {
        let state = self.0.borrow();
        Ok(state.segments.get(&id).ok_or(io::ErrorKind::NotFound)?.bytes.clone())
    }

    fn create(&mut self, id: SegmentId) -> io::Result<()> {
        self.spend()?;
        let mut state = self.0.borrow_mut();
        if state.segments.contains_key(&id) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        state.segments.insert(id, Segment::default());
        Ok(())
    }

    fn append(&mut self, id: SegmentId, bytes: &[u8]) -> io::Result<()> {
        for byte in bytes {
            self.spend()?;
            self.0.borrow_mut().segments.get_mut(&id).ok_or(io::ErrorKind::NotFound)?.bytes.push(*byte);
        }
        Ok(())
    }

    fn sync(&mut self, id: SegmentId) -> io::Result<()> {
        self.spend()?;
        let mut state = self.0.borrow_mut();
        if std::mem::take(&mut state.sync_fails) {
            return Err(io::Error::other("the disk did not confirm"));
        }
        let segment = state.segments.get_mut(&id).ok_or(io::ErrorKind::NotFound)?;
        segment.synced_bytes = segment.bytes.len();
        Ok(())
    }

    fn remove(&mut self, id: SegmentId) -> io::Result<()> {
        self.spend()?;
        self.0.borrow_mut().segments.remove(&id);
        Ok(())
    }
}
