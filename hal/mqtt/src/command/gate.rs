//! The gate: pure judgement of what arrives, with a bounded memory.
//!
//! # Why forgetting is safe
//!
//! The gate remembers accepted commands by issuer and id, to answer repetitions, and per issuer and unit the
//! last sequence: a broker keeps the order of one topic, not that of several. A command is forgotten once it is concluded and its time has passed; if it comes again, it is
//! expired, and should the clock have been set back, its sequence is not above the issuer's last one. An
//! issuer is forgotten only for want of room, when all its commands are forgotten; the latest expiry of a
//! forgotten issuer stays as a floor: a command of an issuer that is not remembered must expire after it. So
//! no forgotten command passes a second time, even under a clock that goes back.

use std::collections::{BTreeMap, BTreeSet};

use hal_units::Watts;
use jiff::{SignedDuration, Timestamp};

use super::envelope::{self, Envelope};
use super::{Command, CommandNumber, CommandRecord, Outcome, Refusal, Remembered, Reply};
use crate::topic::{Name, cut};

/// Limits of the gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GateLimits {
    /// Bytes of a payload at most.
    pub payload_bytes_max: usize,
    /// From `issuedAt` to `expiresAt` at most.
    pub lifetime_max: SignedDuration,
    /// How far `issuedAt` may lie ahead of the clock here.
    pub clock_tolerance: SignedDuration,
    /// Issuers that are remembered at most.
    pub issuers_max: usize,
    /// Commands per issuer that are remembered at most.
    pub commands_per_issuer_max: usize,
}

impl Default for GateLimits {
    fn default() -> Self {
        Self {
            payload_bytes_max: 4096,
            lifetime_max: SignedDuration::from_mins(10),
            clock_tolerance: SignedDuration::from_secs(5),
            issuers_max: 32,
            commands_per_issuer_max: 1024,
        }
    }
}

/// What the gate knows of a unit: which commands it takes, and within what limits.
#[derive(Debug, Clone, PartialEq)]
pub enum UnitKind {
    /// A turbine, or another plant whose power can be limited.
    Turbine {
        /// Rated electrical power: the upper end of `power_limit_kw`.
        rated_power: Watts,
    },
    /// A vehicle: `start` lets it go on after a stop.
    Vehicle,
    /// A fleet of vehicles.
    Fleet {
        /// Where loads are fetched and brought.
        stations: BTreeSet<Name>,
    },
}

impl UnitKind {
    /// What such a unit can be told.
    #[must_use]
    pub const fn commands(&self) -> &'static [&'static str] {
        match self {
            Self::Turbine { .. } => &["derate", "start", "stop", "emergency-stop", "reset"],
            Self::Vehicle => &["start", "stop", "emergency-stop", "reset"],
            Self::Fleet { .. } => &["transport", "cancel", "resolve"],
        }
    }

    fn check(&self, command: &Command) -> Result<(), Refusal> {
        match (self, command) {
            (Self::Turbine { rated_power }, Command::Derate { power_limit }) => {
                let is_within = power_limit.is_finite() && (Watts::ZERO..=*rated_power).contains(power_limit);
                if is_within {
                    return Ok(());
                }
                Err(Refusal::PowerOutOfRange {
                    power_limit_kw: power_limit.as_kilowatts(),
                    rated_kw: rated_power.as_kilowatts(),
                })
            }
            (Self::Fleet { stations }, Command::Transport(transport)) => {
                let known = |field, station: &Name| {
                    let unknown = || Refusal::UnknownStation { field, station: cut(station.as_str()) };
                    stations.contains(station).then_some(()).ok_or_else(unknown)
                };
                known("from", &transport.from)?;
                known("to", &transport.to)
            }
            // Which names a unit takes was checked before.
            (Self::Turbine { .. } | Self::Vehicle | Self::Fleet { .. }, _) => Ok(()),
        }
    }
}

/// What the gate says of a command.
#[derive(Debug, Clone, PartialEq)]
pub enum Judgement {
    /// It may be accepted: make it durable, then [`CommandGate::admit`] it.
    Admissible(CommandRecord),
    /// It was accepted before.
    Repeated(Remembered),
}

/// See the module's description.
#[derive(Debug, Clone)]
pub struct CommandGate {
    limits: GateLimits,
    units: BTreeMap<Name, UnitKind>,
    issuers: BTreeMap<String, Issuer>,
    commands: BTreeMap<CommandNumber, Remembered>,
    next_number: CommandNumber,
    /// Commands of forgotten issuers expired until then at the latest.
    forgotten_until: Timestamp,
}

#[derive(Debug, Clone)]
struct Issuer {
    /// By unit.
    last_seqs: BTreeMap<Name, u64>,
    expires_max: Timestamp,
    numbers: BTreeMap<String, CommandNumber>,
}

/// The gate's whole memory, in the order in which it can be restored.
#[derive(Debug, Clone, PartialEq)]
pub enum Memory {
    /// Numbers up to here, exclusive, are used; issuers that expired until then may be forgotten.
    Floor {
        /// The next number.
        next_number: CommandNumber,
        /// See [`Refusal::Forgotten`].
        forgotten_until: Timestamp,
    },
    /// An issuer's commands to a unit.
    Issuer {
        /// Its name.
        issuer: String,
        /// The unit.
        unit: Name,
        /// The last accepted sequence.
        last_seq: u64,
        /// The latest expiry of its commands.
        expires_max: Timestamp,
    },
    /// A command.
    Command(Remembered),
}

impl CommandGate {
    /// A gate without memory.
    #[must_use]
    pub fn new(limits: GateLimits, units: BTreeMap<Name, UnitKind>) -> Self {
        Self {
            limits,
            units,
            issuers: BTreeMap::new(),
            commands: BTreeMap::new(),
            next_number: CommandNumber(1),
            forgotten_until: Timestamp::MIN,
        }
    }

    /// The units that take commands.
    pub fn units(&self) -> impl Iterator<Item = &Name> {
        self.units.keys()
    }

    /// Judges a payload for `unit` and the command `name`. Changes nothing but to forget what may be forgotten.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn judge(
        &mut self,
        now: Timestamp,
        unit: &str,
        name: &str,
        payload: &[u8],
        reply: Reply,
    ) -> Result<Judgement, Refusal> {
        let (unit, kind) =
            self.units.get_key_value(unit).ok_or_else(|| Refusal::UnknownUnit { unit: cut(unit) })?;
        if !kind.commands().contains(&name) {
            return Err(Refusal::UnknownCommand { name: cut(name), known: kind.commands() });
        }
        let envelope = envelope::parse(name, payload, self.limits.payload_bytes_max)?;
        let Envelope { id, seq, issuer, issued_at, expires_at, command } = envelope;
        let record =
            CommandRecord { issuer, id, seq, unit: unit.clone(), command, issued_at, expires_at, reply };
        let checked = kind.check(&record.command);
        if let Some(known) = self.recall(&record.issuer, &record.id) {
            let is_same = known.record.is_same_order(&record);
            return if is_same { Ok(Judgement::Repeated(known.clone())) } else { Err(Refusal::IdReused) };
        }
        self.check_times(now, &record)?;
        self.check_order(&record)?;
        checked?;
        self.forget(now);
        self.check_room(now, &record)?;
        Ok(Judgement::Admissible(record))
    }

    fn recall(&self, issuer: &str, id: &str) -> Option<&Remembered> {
        let number = self.issuers.get(issuer)?.numbers.get(id)?;
        self.commands.get(number)
    }

    fn check_times(&self, now: Timestamp, record: &CommandRecord) -> Result<(), Refusal> {
        let lifetime = record.expires_at.duration_since(record.issued_at);
        if lifetime <= SignedDuration::ZERO {
            return Err(Refusal::ExpiresBeforeIssued);
        }
        if lifetime > self.limits.lifetime_max {
            return Err(Refusal::LifetimeTooLong { lifetime, lifetime_max: self.limits.lifetime_max });
        }
        let ahead = record.issued_at.duration_since(now);
        if ahead > self.limits.clock_tolerance {
            return Err(Refusal::FromTheFuture { ahead });
        }
        let late = now.duration_since(record.expires_at);
        if late >= SignedDuration::ZERO {
            return Err(Refusal::Expired { expired_at: record.expires_at, late });
        }
        Ok(())
    }

    fn check_order(&self, record: &CommandRecord) -> Result<(), Refusal> {
        match self.issuers.get(&record.issuer) {
            Some(issuer) => match issuer.last_seqs.get(&record.unit) {
                Some(&last) if record.seq <= last => Err(Refusal::OutOfOrder { seq: record.seq, last }),
                Some(_) | None => Ok(()),
            },
            None if record.expires_at <= self.forgotten_until => Err(Refusal::Forgotten {
                expires_at: record.expires_at,
                forgotten_until: self.forgotten_until,
            }),
            None => Ok(()),
        }
    }

    fn check_room(&mut self, now: Timestamp, record: &CommandRecord) -> Result<(), Refusal> {
        let GateLimits { issuers_max, commands_per_issuer_max: commands_max, .. } = self.limits;
        let commands = self.issuers.get(&record.issuer).map(|issuer| issuer.numbers.len());
        let has_room = match commands {
            Some(commands) if commands >= commands_max => {
                return Err(Refusal::TooManyCommands { commands_max });
            }
            Some(_) => true,
            None => self.issuers.len() < issuers_max || self.forget_an_issuer(now),
        };
        if has_room { Ok(()) } else { Err(Refusal::TooManyIssuers { issuers_max }) }
    }

    /// Forgets the commands that are concluded and expired.
    fn forget(&mut self, now: Timestamp) {
        let issuers = &mut self.issuers;
        self.commands.retain(|_, known| {
            let kept = known.outcome.is_none() || known.record.expires_at > now;
            if !kept && let Some(issuer) = issuers.get_mut(&known.record.issuer) {
                issuer.numbers.remove(&known.record.id);
            }
            kept
        });
    }

    /// Forgets the issuer that has been silent for longest, if there is one without commands.
    fn forget_an_issuer(&mut self, now: Timestamp) -> bool {
        let silent = self
            .issuers
            .iter()
            .filter(|(_, issuer)| issuer.numbers.is_empty() && issuer.expires_max <= now)
            .min_by_key(|(_, issuer)| issuer.expires_max)
            .map(|(name, issuer)| (name.clone(), issuer.expires_max));
        match silent {
            Some((name, expires_max)) => {
                self.issuers.remove(&name);
                self.forgotten_until = self.forgotten_until.max(expires_max);
                true
            }
            None => false,
        }
    }

    /// The number that the next admitted command gets.
    #[must_use]
    pub const fn next_number(&self) -> CommandNumber {
        self.next_number
    }

    /// Takes an admissible command into memory, after it was made durable under [`next_number`](Self::next_number).
    pub fn admit(&mut self, record: CommandRecord) -> CommandNumber {
        let number = self.next_number;
        self.restore(Memory::Command(Remembered { number, record, outcome: None }));
        number
    }

    /// Notes what became of a command; `None` if there is none of this number that waits for it.
    pub fn conclude(&mut self, number: CommandNumber, outcome: Outcome) -> Option<&Remembered> {
        let known = self.commands.get_mut(&number).filter(|known| known.outcome.is_none())?;
        known.outcome = Some(outcome);
        Some(known)
    }

    /// A command that is remembered.
    #[must_use]
    pub fn get(&self, number: CommandNumber) -> Option<&Remembered> {
        self.commands.get(&number)
    }

    /// Commands that are not concluded, in the order of acceptance.
    pub fn pending(&self) -> impl Iterator<Item = &Remembered> {
        self.commands.values().filter(|known| known.outcome.is_none())
    }

    /// All commands that are remembered, in the order of acceptance.
    pub fn remembered(&self) -> impl Iterator<Item = &Remembered> {
        self.commands.values()
    }

    /// Everything that is remembered, for the journal.
    pub fn memory(&self) -> impl Iterator<Item = Memory> + '_ {
        let floor = Memory::Floor { next_number: self.next_number, forgotten_until: self.forgotten_until };
        let issuers = self.issuers.iter().flat_map(|(name, issuer)| {
            issuer.last_seqs.iter().map(|(unit, last_seq)| Memory::Issuer {
                issuer: name.clone(),
                unit: unit.clone(),
                last_seq: *last_seq,
                expires_max: issuer.expires_max,
            })
        });
        let commands = self.commands.values().cloned().map(Memory::Command);
        std::iter::once(floor).chain(issuers).chain(commands)
    }

    /// Puts back what was remembered.
    pub fn restore(&mut self, memory: Memory) {
        match memory {
            Memory::Floor { next_number, forgotten_until } => {
                self.next_number = self.next_number.max(next_number);
                self.forgotten_until = self.forgotten_until.max(forgotten_until);
            }
            Memory::Issuer { issuer, unit, last_seq, expires_max } => {
                self.note_issuer(&issuer, &unit, last_seq, expires_max);
            }
            Memory::Command(known) => {
                let CommandRecord { issuer, id, seq, unit, expires_at, .. } = &known.record;
                let number = known.number;
                self.note_issuer(issuer, unit, *seq, *expires_at).numbers.insert(id.clone(), number);
                self.next_number = self.next_number.max(CommandNumber(number.0.saturating_add(1)));
                self.commands.insert(number, known);
            }
        }
    }

    fn note_issuer(&mut self, name: &str, unit: &Name, seq: u64, expires_at: Timestamp) -> &mut Issuer {
        let issuer = self.issuers.entry(name.to_owned()).or_insert_with(|| Issuer {
            last_seqs: BTreeMap::new(),
            expires_max: expires_at,
            numbers: BTreeMap::new(),
        });
        let last_seq = issuer.last_seqs.entry(unit.clone()).or_insert(seq);
        *last_seq = (*last_seq).max(seq);
        issuer.expires_max = issuer.expires_max.max(expires_at);
        issuer
    }

    /// The limits.
    #[must_use]
    pub const fn limits(&self) -> GateLimits {
        self.limits
    }
}

#[cfg(test)]
mod tests;
