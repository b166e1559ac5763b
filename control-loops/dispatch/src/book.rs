//! The book of orders that are accepted and not over, and the names of those that were over last.

use alloc::boxed::Box;
use alloc::vec;

use control_loops_fleet::Node;
use postcard_schema::Schema;
use serde::{Deserialize, Serialize};

use crate::order::{Class, OrderId, OrderState, Outcome};

/// An order as it is kept. Times are milliseconds on the controller's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub(crate) struct Record {
    pub(crate) id: OrderId,
    pub(crate) priority: u8,
    pub(crate) deadline: Option<u64>,
    pub(crate) pick: Option<Node>,
    pub(crate) drop: Node,
    pub(crate) class: Option<Class>,
    pub(crate) load_kg: u32,
    pub(crate) state: OrderState,
    pub(crate) accepted: u64,
    /// It ends as cancelled once the load is down.
    pub(crate) cancelling: bool,
    pub(crate) late: bool,
    pub(crate) overdue: bool,
    pub(crate) blocked: bool,
    /// The vehicle that has it is not the best one, but the best one still carries another load.
    pub(crate) bridged: bool,
}

impl Record {
    /// Where a vehicle goes first for it.
    pub(crate) fn first_node(&self) -> Node {
        self.pick.unwrap_or(self.drop)
    }
}

/// An order that is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub(crate) struct Ended {
    pub(crate) id: OrderId,
    pub(crate) outcome: Outcome,
}

/// The book.
#[derive(Debug, Clone)]
pub(crate) struct Book {
    pub(crate) records: Box<[Option<Record>]>,
    /// A ring; as long as the book.
    pub(crate) ended: Box<[Option<Ended>]>,
    pub(crate) next_ended: usize,
}

impl Book {
    pub(crate) fn new(most: usize) -> Self {
        let most = most.clamp(1, usize::from(u16::MAX));
        Self {
            records: vec![None; most].into_boxed_slice(),
            ended: vec![None; most].into_boxed_slice(),
            next_ended: 0,
        }
    }

    pub(crate) fn slots(&self) -> u16 {
        self.records.len() as u16
    }

    pub(crate) fn at(&self, slot: u16) -> Option<&Record> {
        self.records.get(usize::from(slot))?.as_ref()
    }

    pub(crate) fn at_mut(&mut self, slot: u16) -> Option<&mut Record> {
        self.records.get_mut(usize::from(slot))?.as_mut()
    }

    pub(crate) fn find(&self, id: OrderId) -> Option<u16> {
        let found = self.records.iter().position(|record| record.is_some_and(|record| record.id == id));
        found.map(|slot| slot as u16)
    }

    pub(crate) fn ended(&self, id: OrderId) -> Option<Outcome> {
        self.ended.iter().flatten().find(|ended| ended.id == id).map(|ended| ended.outcome)
    }

    pub(crate) fn free(&self) -> Option<u16> {
        self.records.iter().position(Option::is_none).map(|slot| slot as u16)
    }

    pub(crate) fn put(&mut self, slot: u16, record: Record) {
        if let Some(place) = self.records.get_mut(usize::from(slot)) {
            *place = Some(record);
        }
    }

    /// Takes an order out, and remembers how it ended.
    pub(crate) fn end(&mut self, slot: u16, outcome: Outcome) -> Option<Record> {
        let record = self.records.get_mut(usize::from(slot))?.take()?;
        self.note_ended(record.id, outcome);
        Some(record)
    }

    /// Remembers how an order ended; the oldest one is forgotten for it.
    pub(crate) fn note_ended(&mut self, id: OrderId, outcome: Outcome) {
        if let Some(place) = self.ended.get_mut(self.next_ended) {
            *place = Some(Ended { id, outcome });
            self.next_ended = (self.next_ended + 1) % self.ended.len();
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u16, &Record)> {
        self.records.iter().enumerate().filter_map(|(slot, record)| Some((slot as u16, record.as_ref()?)))
    }
}
