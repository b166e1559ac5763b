//! The durable log: whatever happens to the bytes on the disk, what comes back was written, in its order, and
//! the log goes on. A flipped byte is caught by its CRC-32; collisions are too rare to meet here.
#![no_main]

use std::collections::BTreeMap;
use std::io;

use hal_mqtt::log::{LogError, RecordLog, SegmentId, Storage, Sync};
use libfuzzer_sys::fuzz_target;

/// Records to write, places to damage (position, what to flip), and how many bytes are lost at the end.
type Story = (Vec<Vec<u8>>, Vec<(u16, u8)>, u8);

fuzz_target!(|story: Story| {
    let (records, damage, lost_bytes) = story;
    let mut memory = Memory::default();
    let (mut log, _) = RecordLog::open(&mut memory).expect("an empty log opens");
    for record in &records {
        log.append(record).expect("a small record is taken");
    }
    log.commit(Sync::Disk).expect("memory takes all");
    drop(log);

    memory.damage(&damage, usize::from(lost_bytes));
    let found = match RecordLog::open(&mut memory) {
        Ok((mut log, recovered)) => {
            log.append(b"next").expect("a small record is taken");
            log.commit(Sync::Disk).expect("memory takes all");
            recovered.records
        }
        Err(LogError::Foreign { .. }) => return,
        Err(other) => panic!("{other}"),
    };
    let mut written = records.iter();
    for record in &found {
        assert!(written.any(|w| w == record), "{record:?} was not written, or not there");
    }
    if damage.iter().all(|(_, flip)| *flip == 0) && lost_bytes == 0 {
        assert_eq!(found, records, "without damage all comes back");
    }
    let (_, again) = RecordLog::open(&mut memory).expect("what opened once opens again");
    assert_eq!(again.records.last().map(Vec::as_slice), Some(&b"next"[..]));
    assert_eq!(again.records.len(), found.len() + 1);
});

/// Segments in memory.
#[derive(Debug, Default)]
struct Memory(BTreeMap<SegmentId, Vec<u8>>);

impl Memory {
    fn damage(&mut self, places: &[(u16, u8)], lost_bytes: usize) {
        for bytes in self.0.values_mut() {
            for (at, flip) in places {
                if let Some(byte) = bytes.get_mut(usize::from(*at)) {
                    *byte ^= flip;
                }
            }
            bytes.truncate(bytes.len().saturating_sub(lost_bytes));
        }
    }

    fn segment(&mut self, id: SegmentId) -> io::Result<&mut Vec<u8>> {
        self.0.get_mut(&id).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Storage for &mut Memory {
    fn segments(&mut self) -> io::Result<Vec<SegmentId>> {
        Ok(self.0.keys().copied().collect())
    }

    fn read(&mut self, id: SegmentId) -> io::Result<Vec<u8>> {
        self.segment(id).cloned()
    }

    fn create(&mut self, id: SegmentId) -> io::Result<()> {
        match self.0.insert(id, Vec::new()) {
            None => Ok(()),
            Some(_) => Err(io::ErrorKind::AlreadyExists.into()),
        }
    }

    fn append(&mut self, id: SegmentId, bytes: &[u8]) -> io::Result<()> {
        self.segment(id)?.extend_from_slice(bytes);
        Ok(())
    }

    fn sync(&mut self, id: SegmentId) -> io::Result<()> {
        self.segment(id).map(|_| ())
    }

    fn remove(&mut self, id: SegmentId) -> io::Result<()> {
        self.0.remove(&id);
        Ok(())
    }
}
