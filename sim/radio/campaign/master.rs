//! The master's side: a loop over a link without memory and the conversations of `hal-vda5050`.

use std::collections::HashMap;
use std::io;
use std::time::Instant as Clock;

use hal_mqtt::client::BrokerUrl;
use hal_mqtt::plain::{PlainEvent, PlainLink, PlainOptions};
use hal_units::{Duration, Instant, Radians};
use hal_vda5050::{
    Address, Conversations, Dialogue, Edge, Event, Heard, Limits, Node, Position, Refusal, VehicleId, Version,
};
use jiff::Timestamp;
use sim_plants::Random;
use sim_vehicles::{Setup, Start, Vehicle};

/// Twice this and once the way there and back is less than what a dispatch may take on a bad link: after two
/// losses in a row, which 0.9 % of the messages and their echoes meet, an order is still there in time.
pub const RESEND: Duration = Duration::from_millis(60);
/// Nodes of a lane, a metre apart; lanes are two metres apart.
const NODES: usize = 12;
/// How long the loop waits for messages.
const PAUSE: Duration = Duration::from_millis(2);

/// Version and names of a vehicle: versions in turn.
pub fn address(index: usize) -> Address {
    let version = if index.is_multiple_of(2) { Version::V2 } else { Version::V3 };
    Address::new("uagv", version, "takt", &format!("v{index:04}")).expect("plain names")
}

/// A vehicle at the beginning of its lane.
pub fn vehicle(index: usize) -> Vehicle {
    let start = Start {
        node_id: name(index, 0),
        map_id: "hall".to_owned(),
        at: [0.0, 2.0 * index as f64],
        heading: Radians(0.0),
    };
    Vehicle::new(Setup { seed: index as u64, ..Setup::usual(address(index), start) })
}

fn name(vehicle: usize, place: usize) -> String {
    format!("{vehicle}-{place}")
}

fn node(vehicle: usize, place: usize) -> Node {
    let (x, y) = (place as f64, 2.0 * vehicle as f64);
    let position = Position { map_id: "hall".to_owned(), x, y, theta: None, deviation: None };
    Node {
        node_id: name(vehicle, place),
        sequence_id: 0,
        released: false,
        position: Some(position),
        actions: Vec::new(),
    }
}

fn leg(vehicle: usize, place: usize) -> (Edge, Node) {
    let edge = Edge {
        edge_id: format!("to-{}", name(vehicle, place)),
        sequence_id: 0,
        released: false,
        start_node_id: String::new(),
        end_node_id: String::new(),
        max_speed: None,
        length: None,
        actions: Vec::new(),
    };
    (edge, node(vehicle, place))
}

/// What a run has shown.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Orders that vehicles said they had done.
    pub done: u64,
    /// Milliseconds from an order to the state that echoes it.
    pub orders_ms: Vec<f64>,
    /// The same for updates.
    pub updates_ms: Vec<f64>,
    /// Anything that should not happen.
    pub wrong: Vec<String>,
    /// Messages sent, and of these again.
    pub sent: (u64, u64),
}

/// What a vehicle is to do.
#[derive(Debug, Default)]
struct Errand {
    /// Places that are not released yet.
    left: Vec<usize>,
    /// When the last message was given, and whether it is an update.
    given: Option<(Instant, bool)>,
    done: u64,
}

/// A master of some vehicles.
#[derive(Debug)]
pub struct Master {
    link: PlainLink,
    all: Conversations,
    errands: HashMap<VehicleId, Errand>,
    random: Random,
    started: Clock,
    outcome: Outcome,
}

impl Master {
    /// Connects to a broker for so many vehicles.
    pub fn connect(url: &str, vehicles: usize, seed: u64) -> io::Result<Self> {
        let mut all = Conversations::new("uagv");
        for index in 0..vehicles {
            let dialogue = Dialogue::new(address(index), Limits::default(), RESEND);
            all.add(dialogue).map_err(|error| io::Error::other(format!("{error:?}")))?;
        }
        let broker = BrokerUrl::parse(url).map_err(io::Error::other)?;
        let mut link = PlainLink::new(PlainOptions {
            broker,
            client_id: "takt-fleet".to_owned(),
            credentials: None,
            filters: all.filters(),
            last_will: None,
            queue: 4096,
        })?;
        link.set_open(Instant::ZERO, true);
        let (errands, random) = (HashMap::new(), Random::new(seed));
        Ok(Self { link, all, errands, random, started: Clock::now(), outcome: Outcome::default() })
    }

    /// Runs for so long, or until every vehicle has done so many orders.
    pub fn run(mut self, time: Duration, orders: u64) -> Outcome {
        loop {
            let now = Instant::ZERO + self.started.elapsed();
            let all_done = self.errands.len() == self.all.len()
                && self.errands.values().all(|errand| errand.done >= orders);
            if now.since(Instant::ZERO) >= time || all_done {
                break;
            }
            let wall = Timestamp::now();
            while let Some(event) = self.link.next(now) {
                self.take(now, event);
            }
            self.give(now, wall, orders);
            self.all.resend(now, wall);
            while let Some(outgoing) = self.all.leave(u64::MAX) {
                self.link.send(&outgoing.topic, outgoing.text);
            }
            if let Ok((number, event)) = self.link.ready().recv_timeout(PAUSE)
                && let Some(event) = self.link.take(now, number, event)
            {
                self.take(Instant::ZERO + self.started.elapsed(), event);
            }
        }
        let counters = self.all.counters();
        self.outcome.sent = (counters.sent, counters.resent);
        self.link.end();
        self.outcome
    }

    fn take(&mut self, now: Instant, event: PlainEvent) {
        let PlainEvent::Arrived { topic, payload } = event else { return };
        match self.all.hear(&topic, &payload) {
            Heard::State(vehicle, state, events) => {
                let errand = self.errands.entry(vehicle).or_default();
                for error in &state.errors {
                    self.outcome.wrong.push(format!("{vehicle:?} reports {}", error.error_type));
                }
                for event in events {
                    match event {
                        Event::Took(_) => {
                            if let Some((given, is_update)) = errand.given.take() {
                                let ms = now.since(given).as_secs_f64() * 1e3;
                                let list = if is_update {
                                    &mut self.outcome.updates_ms
                                } else {
                                    &mut self.outcome.orders_ms
                                };
                                list.push(ms);
                            }
                        }
                        Event::Done => {
                            errand.done += 1;
                            self.outcome.done += 1;
                        }
                        Event::Reached { .. } | Event::NeedsBase | Event::Arrived => {}
                        other => self.outcome.wrong.push(format!("{vehicle:?}: {other:?}")),
                    }
                }
            }
            // A state that the network has overtaken is stale, which is no fault.
            Heard::Connection(..) | Heard::Unbelieved(_, hal_vda5050::StateFault::Stale) | Heard::Nothing => {
            }
            other => self.outcome.wrong.push(format!("{other:?}")),
        }
    }

    /// Orders for whom has none, updates for whom has the last one.
    fn give(&mut self, now: Instant, wall: Timestamp, orders: u64) {
        for (vehicle, errand) in &mut self.errands {
            let Some(dialogue) = self.all.dialogue(*vehicle) else { continue };
            if errand.given.is_some() || !dialogue.takes_orders() {
                continue;
            }
            let given = match dialogue.order() {
                None if errand.done >= orders => continue,
                None => {
                    let place = dialogue.stands_on().rsplit('-').next().and_then(|place| place.parse().ok());
                    let Some(from): Option<usize> = place else { continue };
                    let to = (from + 1 + (self.random.uniform() * (NODES - 1) as f64) as usize) % NODES;
                    let way: Vec<usize> =
                        if to > from { (from + 1..=to).collect() } else { (to..from).rev().collect() };
                    errand.left = way.get(1..).unwrap_or_default().to_vec();
                    let legs = way.iter().map(|place| leg(vehicle.0, *place)).collect();
                    let (name, start) = (format!("t-{}-{}", vehicle.0, errand.done), node(vehicle.0, from));
                    self.all
                        .say(*vehicle, |dialogue| dialogue.begin(now, wall, &name, start, legs, 1))
                        .map(|()| false)
                }
                // One node more each time.
                Some(_) if !errand.left.is_empty() => {
                    let legs = errand.left.iter().map(|place| leg(vehicle.0, *place)).collect();
                    let said = self.all.say(*vehicle, |dialogue| dialogue.extend(now, wall, legs, 1));
                    if said.is_ok() {
                        errand.left.remove(0);
                    }
                    said.map(|()| true)
                }
                Some(_) => continue,
            };
            match given {
                Ok(is_update) => errand.given = Some((now, is_update)),
                Err(Refusal::NotEchoed | Refusal::NotConnected | Refusal::NotAutomatic) => {}
                Err(refusal) => self.outcome.wrong.push(format!("{vehicle:?}: {refusal:?}")),
            }
        }
    }
}

/// The value below which such a part of the sample is, in the sample's unit.
pub fn percentile(sample: &mut [f64], part: f64) -> f64 {
    sample.sort_by(f64::total_cmp);
    let rank = (part * sample.len() as f64).ceil() as usize;
    sample.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}
