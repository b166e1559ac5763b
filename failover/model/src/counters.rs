//! The arbiter's counters, named so that states which differ in nothing else are one.
//!
//! A counter only ever grows and is compared: so of all the places that hold one of a node's counters only the
//! order matters, and the smallest gets the name 0.

use failover_protocol::Node;

use crate::space::Space;
use crate::world::{Flight, NODES, Registers, World};

impl Space {
    /// Gives the arbiter's counters the smallest names that keep their order: only that matters of them.
    pub(crate) fn rename_counters(&mut self, world: &mut World) {
        for owner in NODES {
            let mut values = Values::default();
            self.each_counter(world, owner, &mut |value| {
                values.insert(value);
                value
            });
            if values.is_dense() {
                continue;
            }
            self.each_counter(world, owner, &mut |value| values.rank(value));
        }
    }

    /// Passes every place that holds a counter of `owner` through `name`.
    fn each_counter(&mut self, world: &mut World, owner: Node, name: &mut impl FnMut(u8) -> u8) {
        let rename_one = |registers: &mut Registers, name: &mut dyn FnMut(u8) -> u8| {
            registers.counter = name(registers.counter);
        };
        rename_one(world.registers_mut(owner), name);
        for node in NODES {
            let machine = world.machine_mut(node);
            if node == owner
                && let Some(orphan) = &mut machine.orphan
            {
                rename_one(orphan, name);
            }
            match &mut machine.flight {
                Some(Flight::Sent { write: Some(write) }) if node == owner => rename_one(write, name),
                Some(Flight::Half { write, read }) => {
                    if node == owner
                        && let Some(write) = write
                    {
                        rename_one(write, name);
                    }
                    if let Some([a, b]) = read {
                        rename_one(if owner == Node::A { a } else { b }, name);
                    }
                }
                Some(Flight::Done { read: [a, b] }) => rename_one(if owner == Node::A { a } else { b }, name),
                Some(Flight::Sent { .. }) | None => {}
            }
        }
        for node in NODES {
            let Some(mut pair) = self.pair(world, node) else { continue };
            let (own, peer) = pair.counters();
            let short = |value: u16| u8::try_from(value).unwrap_or(u8::MAX);
            if node == owner {
                let new = name(short(own)).into();
                if new != own {
                    pair.rename_counters(|_| new, |peer| peer);
                    world.machine_mut(node).core = self.keep(&pair);
                }
            } else if let Some(peer) = peer {
                let new = name(short(peer)).into();
                if new != peer {
                    pair.rename_counters(|own| own, |_| new);
                    world.machine_mut(node).core = self.keep(&pair);
                }
            }
        }
    }
}

/// A small set of counters.
/// The most places that hold a counter of one node.
const PLACES: usize = 12;

#[derive(Debug, Default)]
struct Values {
    values: [u8; PLACES],
    len: usize,
}

impl Values {
    fn used(&self) -> &[u8] {
        self.values.get(..self.len).unwrap_or(&[])
    }

    fn insert(&mut self, value: u8) {
        if self.used().contains(&value) {
            return;
        }
        if let Some(place) = self.values.get_mut(self.len) {
            *place = value;
            self.len += 1;
        }
    }

    fn rank(&self, value: u8) -> u8 {
        u8::try_from(self.used().iter().filter(|other| **other < value).count()).unwrap_or(u8::MAX)
    }

    /// Whether the values are 0, 1, 2 and so on already.
    fn is_dense(&self) -> bool {
        self.used().iter().all(|value| usize::from(*value) < self.len)
    }
}
