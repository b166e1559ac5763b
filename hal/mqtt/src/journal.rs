//! The journal: what the command gate must not forget, on disk.
//!
//! A command is answered as accepted only after [`Journal::accept`] returned: the disk has it. One that is
//! concluded is told to its issuer only after [`Journal::conclude`] returned. The log is rewritten from the
//! gate's memory when it has doubled; what the gate has forgotten goes by that. A rewrite takes several times as long as
//! a record, so it comes after an outcome: a command that is to be carried out does not wait for it.

use jiff::Timestamp;

use hal_units::Watts;

use crate::command::{
    Command, CommandGate, CommandNumber, CommandRecord, Execution, FoundLoad, Memory, Outcome, Remembered,
    Reply, Transport,
};
use crate::log::{LogError, RecordLog, Storage, Sync};
use crate::topic::Name;
use crate::wire::{Reader, Writer};

/// Bytes that the log may grow by, beyond doubling, before it is rewritten.
const SLACK_BYTES: u64 = 64 * 1024;
/// So many times what it may grow by is too much even before a command, as where none is ever concluded.
const OVERGROWN: u64 = 4;

const KIND_FLOOR: u8 = 1;
const KIND_ISSUER: u8 = 2;
const KIND_COMMAND: u8 = 3;
const KIND_CONCLUDED: u8 = 4;

/// See the module's description.
#[derive(Debug)]
pub struct Journal<S> {
    log: RecordLog<S>,
    bytes_after_rewrite: u64,
    slack_bytes: u64,
}

impl<S: Storage> Journal<S> {
    /// Opens a journal and puts what it knows into the gate.
    ///
    /// # Errors
    /// If the log cannot be read.
    pub fn open(storage: S, gate: &mut CommandGate) -> Result<Self, LogError> {
        Self::open_with(storage, gate, SLACK_BYTES)
    }

    pub(crate) fn open_with(storage: S, gate: &mut CommandGate, slack_bytes: u64) -> Result<Self, LogError> {
        let (log, recovered) = RecordLog::open(storage)?;
        let mut unreadable = 0_usize;
        for record in &recovered.records {
            match Entry::decode(record) {
                Some(Entry::Memory(memory)) => gate.restore(memory),
                Some(Entry::Concluded { number, outcome }) => {
                    gate.conclude(number, outcome);
                }
                None => unreadable += 1,
            }
        }
        if recovered.damaged_bytes > 0 || unreadable > 0 {
            tracing::error!(
                damaged_bytes = recovered.damaged_bytes,
                unreadable,
                "the command journal is damaged: commands may be missing, or be carried out again"
            );
        }
        // Nothing is known of how much of it is needed: rewrite soon.
        Ok(Self { log, bytes_after_rewrite: 0, slack_bytes })
    }

    /// Makes an accepted command durable. The gate admits it afterwards.
    ///
    /// # Errors
    /// If it is not certain that the disk has it. Then it must be refused.
    pub fn accept(
        &mut self,
        number: CommandNumber,
        record: &CommandRecord,
        gate: &CommandGate,
    ) -> Result<(), LogError> {
        let overgrown = self.is_grown(OVERGROWN);
        let result = self.write(&encode_command(number, record, None), gate, overgrown);
        if result.is_err() {
            // The disk may have it all the same: write what is true, without it.
            self.mend(gate).ok();
        }
        result
    }

    /// Makes the outcome of a command durable; the gate knows it already.
    ///
    /// # Errors
    /// If it is not certain that the disk has it.
    pub fn conclude(
        &mut self,
        number: CommandNumber,
        outcome: &Outcome,
        gate: &CommandGate,
    ) -> Result<(), LogError> {
        let record = write_outcome(Writer::of_kind(KIND_CONCLUDED).u64(number.0), Some(outcome)).finish();
        self.write(&record, gate, false)?;
        if self.is_grown(1) { self.mend(gate) } else { Ok(()) }
    }

    fn write(&mut self, record: &[u8], gate: &CommandGate, rewrites: bool) -> Result<(), LogError> {
        if self.log.is_broken() || rewrites {
            self.mend(gate)?;
        }
        self.log.append(record)?;
        self.log.commit(Sync::Disk)
    }

    /// Whether the log has grown by so many times what it may.
    const fn is_grown(&self, times: u64) -> bool {
        let by = self.log.total_bytes().saturating_sub(self.bytes_after_rewrite);
        by > times * (self.bytes_after_rewrite + self.slack_bytes)
    }

    /// Whether a write failed.
    #[must_use]
    pub const fn is_broken(&self) -> bool {
        self.log.is_broken()
    }

    /// Writes the gate's whole memory anew.
    ///
    /// # Errors
    /// If the storage fails.
    pub fn mend(&mut self, gate: &CommandGate) -> Result<(), LogError> {
        self.log.rewrite(gate.memory().map(|memory| encode_memory(&memory)))?;
        self.bytes_after_rewrite = self.log.total_bytes();
        Ok(())
    }
}

enum Entry {
    Memory(Memory),
    Concluded { number: CommandNumber, outcome: Outcome },
}

fn encode_memory(memory: &Memory) -> Vec<u8> {
    match memory {
        Memory::Floor { next_number, forgotten_until } => {
            write_time(Writer::of_kind(KIND_FLOOR).u64(next_number.0), *forgotten_until).finish()
        }
        Memory::Issuer { issuer, unit, last_seq, expires_max } => {
            let writer = Writer::of_kind(KIND_ISSUER).text(issuer).text(unit.as_str());
            write_time(writer.u64(*last_seq), *expires_max).finish()
        }
        Memory::Command(Remembered { number, record, outcome }) => {
            encode_command(*number, record, outcome.as_ref())
        }
    }
}

fn encode_command(number: CommandNumber, record: &CommandRecord, outcome: Option<&Outcome>) -> Vec<u8> {
    let CommandRecord { issuer, id, seq, unit, command, issued_at, expires_at, reply } = record;
    let writer =
        Writer::of_kind(KIND_COMMAND).u64(number.0).text(issuer).text(id).u64(*seq).text(unit.as_str());
    let writer = match command {
        Command::Derate { power_limit } => writer.u8(1).f64(power_limit.get()),
        Command::Start => writer.u8(2),
        Command::Stop => writer.u8(3),
        Command::EmergencyStop => writer.u8(4),
        Command::Reset => writer.u8(5),
        Command::Transport(transport) => {
            let Transport { from, to, priority, due } = &**transport;
            let writer = writer.u8(6).text(from.as_str()).text(to.as_str()).u8(*priority);
            match due {
                Some(due) => write_time(writer.u8(1), *due),
                None => writer.u8(0),
            }
        }
        Command::Cancel { order } => writer.u8(7).text(order),
        Command::Resolve { vehicle, load } => writer.u8(8).text(vehicle.as_str()).u8(match load {
            FoundLoad::Delivered => 0,
            FoundLoad::Removed => 1,
            FoundLoad::OnBoard => 2,
        }),
    };
    let writer = write_time(write_time(writer, *issued_at), *expires_at);
    let writer = writer.text(&reply.topic).optional_bytes(reply.correlation.as_deref());
    write_outcome(writer, outcome).finish()
}

fn write_time(writer: Writer, time: Timestamp) -> Writer {
    writer.i64(time.as_second()).u32(time.subsec_nanosecond().cast_unsigned())
}

fn write_outcome(writer: Writer, outcome: Option<&Outcome>) -> Writer {
    match outcome {
        None => writer.u8(0),
        Some(Outcome::Executed(None)) => writer.u8(1),
        Some(Outcome::Executed(Some(Execution { epoch, cycle }))) => writer.u8(4).u32(*epoch).u64(*cycle),
        Some(Outcome::Failed { text }) => writer.u8(2).text(text),
        Some(Outcome::Expired) => writer.u8(3),
    }
}

fn read_time(reader: &mut Reader<'_>) -> Option<Timestamp> {
    let second = reader.i64()?;
    Timestamp::new(second, reader.u32()?.cast_signed()).ok()
}

fn read_outcome(reader: &mut Reader<'_>) -> Option<Option<Outcome>> {
    Some(match reader.u8()? {
        0 => None,
        1 => Some(Outcome::Executed(None)),
        4 => Some(Outcome::Executed(Some(Execution { epoch: reader.u32()?, cycle: reader.u64()? }))),
        2 => Some(Outcome::Failed { text: reader.text()? }),
        3 => Some(Outcome::Expired),
        _ => return None,
    })
}

impl Entry {
    fn decode(record: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(record);
        let entry = match reader.u8()? {
            KIND_FLOOR => Self::Memory(Memory::Floor {
                next_number: CommandNumber(reader.u64()?),
                forgotten_until: read_time(&mut reader)?,
            }),
            KIND_ISSUER => Self::Memory(Memory::Issuer {
                issuer: reader.text()?,
                unit: Name::new(&reader.text()?).ok()?,
                last_seq: reader.u64()?,
                expires_max: read_time(&mut reader)?,
            }),
            KIND_COMMAND => Self::Memory(Memory::Command(read_command(&mut reader)?)),
            KIND_CONCLUDED => {
                Self::Concluded { number: CommandNumber(reader.u64()?), outcome: read_outcome(&mut reader)?? }
            }
            _ => return None,
        };
        reader.end()?;
        Some(entry)
    }
}

fn read_command(reader: &mut Reader<'_>) -> Option<Remembered> {
    let number = CommandNumber(reader.u64()?);
    let issuer = reader.text()?;
    let id = reader.text()?;
    let seq = reader.u64()?;
    let unit = Name::new(&reader.text()?).ok()?;
    let command = match reader.u8()? {
        1 => Command::Derate { power_limit: Watts(reader.f64()?) },
        2 => Command::Start,
        3 => Command::Stop,
        4 => Command::EmergencyStop,
        5 => Command::Reset,
        6 => Command::Transport(Box::new(Transport {
            from: Name::new(&reader.text()?).ok()?,
            to: Name::new(&reader.text()?).ok()?,
            priority: reader.u8()?,
            due: match reader.u8()? {
                0 => None,
                1 => Some(read_time(reader)?),
                _ => return None,
            },
        })),
        7 => Command::Cancel { order: reader.text()? },
        8 => Command::Resolve {
            vehicle: Name::new(&reader.text()?).ok()?,
            load: match reader.u8()? {
                0 => FoundLoad::Delivered,
                1 => FoundLoad::Removed,
                2 => FoundLoad::OnBoard,
                _ => return None,
            },
        },
        _ => return None,
    };
    let issued_at = read_time(reader)?;
    let expires_at = read_time(reader)?;
    let reply = Reply { topic: reader.text()?, correlation: reader.optional_bytes()? };
    let record = CommandRecord { issuer, id, seq, unit, command, issued_at, expires_at, reply };
    Some(Remembered { number, record, outcome: read_outcome(reader)? })
}

#[cfg(test)]
mod tests;
