//! A vehicle in virtual time, and a master that talks with it.

#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use hal_units::{Duration, Instant, Radians};
use hal_vda5050::{
    Action, Address, Blocking, Connection, Dialogue, Edge, Event, Header, InstantActions, Limits, Node,
    Order, Outgoing, Position, State, Topic, Version,
};
use jiff::Timestamp;
use sim_vehicles::{Said, Setup, Start, Vehicle};

pub(crate) const BOTH: [Version; 2] = [Version::V2, Version::V3];
pub(crate) const TICK: Duration = Duration::from_millis(20);

pub(crate) fn address(version: Version) -> Address {
    Address::new("uagv", version, "KIT", "0001").unwrap()
}

pub(crate) fn wall(now: Instant) -> Timestamp {
    let start: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
    start + now.since(Instant::ZERO)
}

pub(crate) fn setup(version: Version) -> Setup {
    let start =
        Start { node_id: "a".to_owned(), map_id: "hall".to_owned(), at: [0.0, 0.0], heading: Radians(0.0) };
    Setup::usual(address(version), start)
}

/// A node at a place in the hall.
pub(crate) fn node(name: &str, at: [f64; 2]) -> Node {
    let [x, y] = at;
    let position = Position { map_id: "hall".to_owned(), x, y, theta: None, deviation: None };
    Node {
        node_id: name.to_owned(),
        sequence_id: 0,
        released: false,
        position: Some(position),
        actions: Vec::new(),
    }
}

pub(crate) fn leg(name: &str, at: [f64; 2]) -> (Edge, Node) {
    let edge = Edge {
        edge_id: format!("to-{name}"),
        sequence_id: 0,
        released: false,
        start_node_id: String::new(),
        end_node_id: String::new(),
        max_speed: None,
        length: None,
        actions: Vec::new(),
    };
    (edge, node(name, at))
}

pub(crate) fn action(action_type: &str, action_id: &str) -> Action {
    Action {
        action_type: action_type.to_owned(),
        action_id: action_id.to_owned(),
        blocking: Blocking::Hard,
        parameters: Vec::new(),
    }
}

/// A straight order over nodes that are two metres apart, numbered as the standard says.
pub(crate) fn order(names: &[&str], update: u32, released: usize) -> Order {
    let mut order = Order {
        order_id: "transport-1".to_owned(),
        order_update_id: update,
        nodes: Vec::new(),
        edges: Vec::new(),
    };
    for (index, name) in names.iter().enumerate() {
        let (edge, node) = leg(name, [2.0 * index as f64, 0.0]);
        let (sequence_id, released) = (2 * index as u32, index <= released);
        if index > 0 {
            let (start_node_id, end_node_id) = (names[index - 1].to_owned(), (*name).to_owned());
            order.edges.push(Edge {
                sequence_id: sequence_id - 1,
                released,
                start_node_id,
                end_node_id,
                ..edge
            });
        }
        order.nodes.push(Node { sequence_id, released, ..node });
    }
    order
}

/// A vehicle, the time, and what it has said.
pub(crate) struct Scene {
    pub(crate) vehicle: Vehicle,
    pub(crate) now: Instant,
    pub(crate) said: Vec<Said>,
    headers: u32,
}

impl Scene {
    pub(crate) fn with(setup: Setup) -> Self {
        let mut scene =
            Self { vehicle: Vehicle::new(setup), now: Instant::ZERO, said: Vec::new(), headers: 0 };
        scene.vehicle.connected(scene.now, wall(scene.now), &mut scene.said);
        scene
    }

    pub(crate) fn new(version: Version) -> Self {
        Self::with(setup(version))
    }

    pub(crate) fn hears(&mut self, topic: Topic, text: &str) {
        self.now = self.now + Duration::from_millis(10);
        self.vehicle.hear(self.now, wall(self.now), topic, text, &mut self.said);
    }

    pub(crate) fn hears_order(&mut self, order: &Order) {
        let (address, now) = (self.vehicle.address().clone(), wall(self.now));
        self.headers += 1;
        let text = order.to_json(&Header::new(&address, self.headers, now), address.version());
        self.hears(Topic::Order, &text);
    }

    pub(crate) fn hears_instant(&mut self, action: Action) {
        let (address, now) = (self.vehicle.address().clone(), wall(self.now));
        self.headers += 1;
        let actions = InstantActions { actions: vec![action] };
        let text = actions.to_json(&Header::new(&address, self.headers, now), address.version());
        self.hears(Topic::InstantActions, &text);
    }

    /// Lets time pass.
    pub(crate) fn runs(&mut self, seconds: f64) {
        let end = self.now + Duration::from_secs_f64(seconds);
        while self.now < end {
            self.now = self.now + TICK;
            self.vehicle.step(self.now, wall(self.now), &mut self.said);
        }
    }

    /// The newest state.
    pub(crate) fn state(&self) -> State {
        let last = self.said.iter().rev().find(|said| said.topic == Topic::State).unwrap();
        State::from_json(&last.text).unwrap()
    }

    pub(crate) fn error_types(&self) -> Vec<String> {
        self.state().errors.into_iter().map(|error| error.error_type).collect()
    }
}

/// A master that talks with a vehicle without loss or delay.
pub(crate) struct Talk {
    pub(crate) scene: Scene,
    pub(crate) dialogue: Dialogue,
    pub(crate) events: Vec<Event>,
}

impl Talk {
    pub(crate) fn new(version: Version) -> Self {
        let dialogue = Dialogue::new(address(version), Limits::default(), Duration::from_millis(60));
        let mut talk = Self { scene: Scene::new(version), dialogue, events: Vec::new() };
        talk.hear();
        talk
    }

    /// The master hears all that the vehicle has said.
    pub(crate) fn hear(&mut self) {
        for said in self.scene.said.drain(..) {
            match said.topic {
                Topic::Connection => self.dialogue.on_connection(&Connection::from_json(&said.text).unwrap()),
                Topic::State => {
                    let state = State::from_json(&said.text).unwrap();
                    self.events.extend(self.dialogue.on_state(&state).unwrap());
                }
                _ => {}
            }
        }
    }

    pub(crate) fn send(&mut self, outgoing: &Outgoing) {
        let topic = [Topic::Order, Topic::InstantActions]
            .into_iter()
            .find(|topic| outgoing.topic.ends_with(topic.as_str()))
            .unwrap();
        self.scene.hears(topic, &outgoing.text);
    }

    pub(crate) fn begin(&mut self, order_id: &str, start: Node, legs: Vec<(Edge, Node)>, released: usize) {
        let (now, wall) = (self.scene.now, wall(self.scene.now));
        let outgoing = self.dialogue.begin(now, wall, order_id, start, legs, released).unwrap();
        self.send(&outgoing);
    }

    pub(crate) fn runs(&mut self, seconds: f64) {
        self.scene.runs(seconds);
        self.hear();
    }
}
