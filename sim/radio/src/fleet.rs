//! All vehicles of a simulator: one task that moves them and hands messages on.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant as Clock;

use hal_units::{Duration, Instant};
use hal_vda5050::Topic;
use jiff::Timestamp;
use sim_vehicles::{Happening, Said, Tally, Truth, Vehicle, Yard};
use tokio::sync::mpsc::{Receiver, channel};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinHandle;

use crate::air::{Air, AirConfig};
use crate::connection::{Connection, Heard};

/// Messages from the broker that may wait for the fleet's task, all vehicles together.
const INBOX: usize = 8192;
/// Vehicles that connect at the same time.
const CONNECTING_MAX: usize = 32;
/// How long a goodbye may take.
const GOODBYE: Duration = Duration::from_millis(300);

/// Settings of a fleet.
#[derive(Debug, Clone, PartialEq)]
pub struct FleetConfig {
    /// The broker's host and port.
    pub broker: (String, u16),
    /// Between vehicles and broker.
    pub air: AirConfig,
    /// Time passes for the vehicles in steps of this.
    pub tick: Duration,
    /// Of a vehicle, in metres, for judging collisions.
    pub diameter: f64,
}

/// Tells where others are, one after the other, always in the same order.
pub type Others = Arc<dyn Fn(&mut Vec<Truth>) + Send + Sync>;

/// What has happened, from the vehicles' true positions and what they did.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Summary {
    /// All vehicles' together.
    pub tally: Tally,
    /// Vehicles that are connected.
    pub connected: usize,
    /// Pairs of vehicles that began to touch.
    pub collisions: u64,
    /// The least distance of two centres, in metres, if any came near.
    pub nearest: Option<f64>,
    /// Messages that vehicles heard, and said.
    pub heard: u64,
    /// Messages that vehicles said.
    pub said: u64,
    /// Messages that the air lost, either way.
    pub lost: u64,
    /// Messages that found no connection.
    pub dropped: u64,
    /// Ticks that came later than one tick after they were due.
    pub late_ticks: u64,
}

/// Vehicles that run and are connected, until this is dropped.
#[derive(Debug)]
pub struct Fleet {
    shared: Arc<Mutex<Shared>>,
    end: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    vehicles: Vec<Vehicle>,
    connections: Vec<Option<Connection>>,
    connected: Vec<bool>,
    yard: Yard,
    /// Where the others are.
    elsewhere: Vec<Truth>,
    air: Air<Flying>,
    started: Clock,
    heard: u64,
    said: u64,
    dropped: u64,
    late_ticks: u64,
}

/// A message in the air, and the vehicle that it is of.
#[derive(Debug)]
enum Flying {
    ToVehicle(usize, Topic, Vec<u8>),
    ToBroker(usize, Said),
    /// The vehicle has news that it could not tell at once.
    Word(usize),
}

impl Fleet {
    /// Starts vehicles on the runtime that this is called on.
    #[must_use]
    pub fn start(vehicles: Vec<Vehicle>, config: FleetConfig) -> Self {
        Self::start_among(vehicles, config, Arc::new(|_| {}))
    }

    /// As [`Fleet::start`], with others on the same floor, which are no vehicles of this fleet but can be run into.
    #[must_use]
    pub fn start_among(vehicles: Vec<Vehicle>, config: FleetConfig, others: Others) -> Self {
        let (heard, inbox) = channel(INBOX);
        let gate = Arc::new(Semaphore::new(CONNECTING_MAX));
        let mut vehicles = vehicles;
        let connect = |(index, vehicle): (usize, &mut Vehicle)| {
            let last_will = vehicle.last_will(Timestamp::now());
            let broker = (config.broker.0.as_str(), config.broker.1);
            let (gate, heard) = (Arc::clone(&gate), heard.clone());
            Some(Connection::open(index, vehicle.address(), broker, last_will, gate, heard))
        };
        let connections: Vec<_> = vehicles.iter_mut().enumerate().map(connect).collect();
        let shared = Shared {
            connected: vec![false; vehicles.len()],
            vehicles,
            connections,
            yard: Yard::new(config.diameter),
            elsewhere: Vec::new(),
            air: Air::new(config.air),
            started: Clock::now(),
            heard: 0,
            said: 0,
            dropped: 0,
            late_ticks: 0,
        };
        let shared = Arc::new(Mutex::new(shared));
        let (end, ended) = oneshot::channel();
        let task = tokio::spawn(run(Arc::clone(&shared), others, inbox, config.tick, ended));
        Self { shared, end: Some(end), task }
    }

    /// How many vehicles are connected.
    #[must_use]
    pub fn connected(&self) -> usize {
        lock(&self.shared).connected.iter().filter(|connected| **connected).count()
    }

    /// Something happens to the vehicle at this place in the list.
    pub fn happen(&self, vehicle: usize, happening: Happening) {
        if let Some(vehicle) = lock(&self.shared).vehicles.get_mut(vehicle) {
            vehicle.happen(happening);
        }
    }

    /// The vehicle at this place in the list is gone without a word.
    pub fn lose(&self, vehicle: usize) {
        let mut shared = lock(&self.shared);
        if let Some(connection) = shared.connections.get_mut(vehicle) {
            *connection = None;
        }
        if let Some(connected) = shared.connected.get_mut(vehicle) {
            *connected = false;
        }
    }

    /// Looks at the vehicles.
    pub fn with_vehicles<T>(&self, look: impl FnOnce(&[Vehicle]) -> T) -> T {
        look(&lock(&self.shared).vehicles)
    }

    /// What has happened so far.
    #[must_use]
    pub fn summary(&self) -> Summary {
        lock(&self.shared).summary()
    }

    /// All vehicles say goodbye; what they did until then is returned.
    pub async fn stop(mut self) -> Summary {
        if let Some(end) = self.end.take() {
            let _ = end.send(());
        }
        let _ = (&mut self.task).await;
        self.summary()
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn run(
    shared: Arc<Mutex<Shared>>,
    others: Others,
    mut inbox: Receiver<(usize, Heard)>,
    tick: Duration,
    mut ended: oneshot::Receiver<()>,
) {
    let (started, air_first) = {
        let shared = lock(&shared);
        (shared.started, shared.air.next())
    };
    let mut next_tick = Instant::ZERO + tick;
    let mut next_landing = air_first;
    let mut batch = Vec::with_capacity(256);
    loop {
        let next = next_landing.map_or(next_tick, |landing| landing.min(next_tick));
        let wake = started + next.since(Instant::ZERO);
        tokio::select! {
            _ = &mut ended => break,
            _ = inbox.recv_many(&mut batch, 256) => {}
            () = tokio::time::sleep_until(wake.into()) => {}
        }
        let mut shared = lock(&shared);
        let now = Instant::ZERO + started.elapsed();
        let wall = Timestamp::now();
        for (vehicle, heard) in batch.drain(..) {
            shared.take(now, wall, vehicle, heard);
        }
        shared.land(now, wall);
        if now >= next_tick {
            shared.late_ticks += u64::from(now.since(next_tick) > tick);
            shared.step(now, wall, &others);
            // A tick that was missed is not made up for: vehicles are told how much time has passed.
            next_tick = (next_tick + tick).max(now);
        }
        next_landing = shared.air.next();
    }
    lock(&shared).say_goodbye();
    tokio::time::sleep(GOODBYE).await;
}

impl Shared {
    fn take(&mut self, now: Instant, wall: Timestamp, index: usize, heard: Heard) {
        match heard {
            Heard::Connected => {
                let subscribed =
                    self.connections.get(index).and_then(Option::as_ref).map(Connection::subscribe);
                debug_assert!(subscribed != Some(false), "the queue of a new connection is empty");
                if let Some(connected) = self.connected.get_mut(index) {
                    *connected = true;
                }
                let mut out = Vec::new();
                if let Some(vehicle) = self.vehicles.get_mut(index) {
                    vehicle.connected(now, wall, &mut out);
                }
                self.say(now, index, out);
            }
            Heard::Lost => {
                if let Some(connected) = self.connected.get_mut(index) {
                    *connected = false;
                }
            }
            Heard::Message(topic, payload) => {
                self.air.send(now, true, Flying::ToVehicle(index, topic, payload));
            }
        }
    }

    /// Messages that have crossed the air.
    fn land(&mut self, now: Instant, wall: Timestamp) {
        while let Some(flying) = self.air.land(now) {
            match flying {
                Flying::ToVehicle(index, topic, payload) => {
                    self.heard += 1;
                    let mut out = Vec::new();
                    if let Some(vehicle) = self.vehicles.get_mut(index) {
                        vehicle.hear(now, wall, topic, &String::from_utf8_lossy(&payload), &mut out);
                    }
                    self.say(now, index, out);
                    self.remember_word(index);
                }
                Flying::Word(index) => {
                    let mut out = Vec::new();
                    if let Some(vehicle) = self.vehicles.get_mut(index) {
                        vehicle.speak(now, wall, &mut out);
                    }
                    self.say(now, index, out);
                }
                Flying::ToBroker(index, said) => {
                    let connection = self.connections.get(index).and_then(Option::as_ref);
                    let sent = connection.is_some_and(|connection| connection.publish(said));
                    self.dropped += u64::from(!sent);
                }
            }
        }
    }

    fn step(&mut self, now: Instant, wall: Timestamp, others: &Others) {
        let mut out = Vec::new();
        for index in 0..self.vehicles.len() {
            if let Some(vehicle) = self.vehicles.get_mut(index) {
                vehicle.step(now, wall, &mut out);
            }
            if !out.is_empty() && self.connected.get(index).is_some_and(|connected| *connected) {
                self.say(now, index, std::mem::take(&mut out));
            }
            out.clear();
        }
        self.elsewhere.clear();
        others(&mut self.elsewhere);
        self.yard.see(self.vehicles.iter().map(Vehicle::truth).chain(&self.elsewhere));
        self.land(now, wall);
    }

    fn remember_word(&mut self, index: usize) {
        if let Some(at) = self.vehicles.get(index).and_then(Vehicle::next_word) {
            self.air.remember(at, Flying::Word(index));
        }
    }

    fn say(&mut self, now: Instant, index: usize, out: Vec<Said>) {
        for said in out {
            self.said += 1;
            self.air.send(now, !said.is_retained(), Flying::ToBroker(index, said));
        }
    }

    /// Past the air: a goodbye is not part of what is simulated.
    fn say_goodbye(&mut self) {
        for (vehicle, connection) in self.vehicles.iter_mut().zip(&self.connections) {
            if let Some(connection) = connection {
                connection.publish(vehicle.disconnects(Timestamp::now()));
                connection.disconnect();
            }
        }
        self.connected.fill(false);
    }

    fn summary(&self) -> Summary {
        let mut tally = Tally::default();
        for vehicle in &self.vehicles {
            tally.add(vehicle.tally());
        }
        Summary {
            tally,
            connected: self.connected.iter().filter(|connected| **connected).count(),
            collisions: self.yard.collisions(),
            nearest: self.yard.nearest(),
            heard: self.heard,
            said: self.said,
            lost: self.air.lost,
            dropped: self.dropped,
            late_ticks: self.late_ticks,
        }
    }
}
