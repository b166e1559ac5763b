//! Two masters after each other: what the old one has sent, however late and often it comes, moves nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use hal_units::Duration;
use hal_vda5050::{Dialogue, Event, Limits, Memory, Outgoing, State, Topic, Version};
use proptest::prelude::*;
use support::{Scene, TICK, action, address, leg, node, wall};

const RESEND: Duration = Duration::from_millis(60);
/// Nodes of the way, a metre apart.
const NODES: usize = 12;

/// A master and its conversation.
struct Master {
    dialogue: Dialogue,
}

fn name(index: usize) -> String {
    format!("n{index}")
}

fn legs(from: usize, to: usize) -> Vec<(hal_vda5050::Edge, hal_vda5050::Node)> {
    (from + 1..=to).map(|index| leg(&name(index), [index as f64, 0.0])).collect()
}

impl Master {
    fn first(version: Version) -> Self {
        Self { dialogue: Dialogue::new(address(version), Limits::default(), RESEND) }
    }

    /// The standby goes on from what it holds.
    fn after(version: Version, memory: Memory) -> Self {
        Self { dialogue: Dialogue::restore(address(version), Limits::default(), RESEND, memory) }
    }

    /// The place at which the base ends.
    fn base(&self) -> usize {
        let order = self.dialogue.order().unwrap();
        order.last_released().unwrap().node_id[1..].parse().unwrap()
    }

    /// Begins an order that stays open: one node of horizon always follows its base.
    fn begins(&mut self, scene: &Scene) -> Outgoing {
        let (now, wall) = (scene.now, wall(scene.now));
        self.dialogue.begin(now, wall, "t", node("n0", [0.0, 0.0]), legs(0, 2), 1).unwrap()
    }

    /// Releases up to so many more nodes, if the conversation allows it.
    fn goes_on(&mut self, scene: &Scene, more: usize) -> Option<Outgoing> {
        let from = self.base();
        let more = more.min(NODES - from);
        self.dialogue.extend(scene.now, wall(scene.now), legs(from, from + more + 1), more).ok()
    }

    fn sends_again(&mut self, scene: &Scene) -> Vec<Outgoing> {
        self.dialogue.due(scene.now, wall(scene.now))
    }

    fn hears(&mut self, text: &str) -> Vec<Event> {
        self.dialogue.on_state(&State::from_json(text).unwrap()).unwrap()
    }
}

fn deliver(scene: &mut Scene, outgoing: &Outgoing) {
    let topic = if outgoing.topic.ends_with("/order") { Topic::Order } else { Topic::InstantActions };
    scene.hears(topic, &outgoing.text);
}

/// What a message may change: the order, how far it is released, and whether the vehicle is held.
fn holds(scene: &Scene) -> (u64, u64, Vec<(String, u32, bool)>, bool) {
    let (tally, state) = (scene.vehicle.tally(), scene.state());
    (tally.orders, tally.updates, state.nodes, state.paused)
}

fn scene(version: Version) -> Scene {
    let mut setup = support::setup(version);
    setup.start.node_id = name(0);
    Scene::with(setup)
}

/// What happens in a tick, drawn.
#[derive(Debug, Clone, Copy)]
struct Tick {
    more: usize,
    lost: bool,
    lost_state: bool,
    /// An old message that comes now.
    late: Option<prop::sample::Index>,
}

fn tick() -> impl Strategy<Value = Tick> {
    (0_usize..3, any::<bool>(), any::<bool>(), prop::option::of(any::<prop::sample::Index>()))
        .prop_map(|(more, lost, lost_state, late)| Tick { more, lost, lost_state, late })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

    /// The old master's messages come late, doubled and out of order, before and after the new one has begun.
    #[test]
    fn an_old_masters_messages_move_nothing_that_the_new_one_has_not_released(
        in_3 in any::<bool>(),
        before in prop::collection::vec(tick(), 1..60),
        after in prop::collection::vec(tick(), 60),
    ) {
        let version = if in_3 { Version::V3 } else { Version::V2 };
        let mut scene = scene(version);
        let mut old = Master::first(version);
        old.hears(&scene.said.last().unwrap().text.clone());
        let mut sent = vec![old.begins(&scene)];
        let mut lost = sent.clone();
        for tick in before {
            lost.extend(old.goes_on(&scene, tick.more));
            lost.extend(old.sends_again(&scene));
            for outgoing in lost.drain(..) {
                if !tick.lost {
                    deliver(&mut scene, &outgoing);
                }
                sent.push(outgoing);
            }
            passes(&mut scene, &mut old, tick.lost_state);
        }
        // The standby holds whatever was sent: nothing leaves before that.
        let mut new = Master::after(version, old.dialogue.state());
        drop(old);
        let good = Tick { more: 2, lost: false, lost_state: false, late: None };
        for tick in after.into_iter().chain(std::iter::repeat_n(good, 800)) {
            if let Some(late) = tick.late {
                let (sealed, before) = (new.dialogue.is_sealed(), holds(&scene));
                deliver(&mut scene, late.get(&sent));
                prop_assert!(!sealed || holds(&scene) == before, "an old message changed something");
            }
            let base = new.base();
            let ahead = scene.state().nodes.into_iter().filter(|(_, _, released)| *released);
            let end = ahead.map(|(name, ..)| name[1..].parse().unwrap()).max().unwrap_or(0);
            prop_assert!(end <= base, "released to {end}, but the new master has released to {base}");
            let mut out: Vec<Outgoing> = new.goes_on(&scene, tick.more).into_iter().collect();
            out.extend(new.sends_again(&scene));
            for outgoing in out.iter().filter(|_| !tick.lost) {
                deliver(&mut scene, outgoing);
            }
            passes(&mut scene, &mut new, tick.lost_state);
            let x = scene.vehicle.truth().x;
            prop_assert!(x <= new.base() as f64 + 1e-9, "it is at {x}");
        }
        prop_assert!((scene.vehicle.truth().x - NODES as f64).abs() < 1e-9, "{:?}", scene.vehicle.truth());
    }
}

/// A tenth of a second passes; the master hears the newest state.
fn passes(scene: &mut Scene, master: &mut Master, lost: bool) {
    for _ in 0..5 {
        scene.runs(TICK.as_secs_f64());
    }
    let mut states = scene.said.iter().filter(|said| said.topic == Topic::State);
    let newest = states.next_back().cloned();
    scene.said.clear();
    scene.said.extend(newest);
    if !lost && let Some(said) = scene.said.last() {
        // One that it has heard already is stale.
        let _ = master.dialogue.on_state(&State::from_json(&said.text).unwrap());
    }
}

#[test]
fn an_old_cancel_that_was_done_is_not_done_again() {
    for version in support::BOTH {
        let mut scene = scene(version);
        let mut old = Master::first(version);
        old.hears(&scene.said.last().unwrap().text.clone());
        let begin = old.begins(&scene);
        deliver(&mut scene, &begin);
        let hear = |scene: &mut Scene, master: &mut Master| passes(scene, master, false);
        hear(&mut scene, &mut old);
        let cancel = old.dialogue.cancel(scene.now, wall(scene.now)).unwrap();
        let mut new = Master::after(version, old.dialogue.state());
        (0..12).for_each(|_| hear(&mut scene, &mut new));
        for outgoing in new.sends_again(&scene) {
            deliver(&mut scene, &outgoing);
        }
        (0..30).for_each(|_| hear(&mut scene, &mut new));
        assert_eq!(new.dialogue.order(), None, "cancelled");
        let at: usize = new.dialogue.stands_on()[1..].parse().unwrap();
        let mut start = node(&name(at), [at as f64, 0.0]);
        start.position.as_mut().unwrap().deviation = Some(1.0);
        let legs = legs(at, at + 3);
        let begin = new.dialogue.begin(scene.now, wall(scene.now), "t2", start, legs, 2).unwrap();
        deliver(&mut scene, &begin);
        let before = holds(&scene);
        deliver(&mut scene, &cancel);
        assert_eq!(holds(&scene), before);
        scene.runs(10.0);
        assert!((scene.vehicle.truth().x - (at as f64 + 2.0)).abs() < 1e-9);
    }
}

#[test]
fn an_old_stop_of_a_pause_does_not_undo_a_new_pause() {
    let mut scene = scene(Version::V2);
    let mut old = Master::first(Version::V2);
    old.hears(&scene.said.last().unwrap().text.clone());
    let begin = old.begins(&scene);
    deliver(&mut scene, &begin);
    passes(&mut scene, &mut old, false);
    let go = old.dialogue.instant(scene.now, wall(scene.now), action("stopPause", "go-1")).unwrap();
    // The new master knows of it, sends it until it is done, and pauses after that.
    let mut new = Master::after(Version::V2, old.dialogue.state());
    (0..12).for_each(|_| passes(&mut scene, &mut new, false));
    for outgoing in new.sends_again(&scene) {
        deliver(&mut scene, &outgoing);
    }
    passes(&mut scene, &mut new, false);
    let pause = new.dialogue.instant(scene.now, wall(scene.now), action("startPause", "halt-1")).unwrap();
    deliver(&mut scene, &pause);
    deliver(&mut scene, &go);
    assert!(scene.state().paused);
}

/// Why orders of a pair stay open: without a horizon a vehicle is idle, and an idle one takes any order that
/// begins where it stands.
#[test]
fn a_vehicle_whose_order_was_not_kept_open_takes_an_old_one_again() {
    let mut scene = scene(Version::V3);
    let mut master = Master::first(Version::V3);
    master.hears(&scene.said.last().unwrap().text.clone());
    let mut sent = Vec::new();
    for (order, from, to) in [("there", [0.0, 0.0], [1.0, 0.0]), ("back", [1.0, 0.0], [0.0, 0.0])] {
        let (from, to) = ((name(from[0] as usize), from), (name(to[0] as usize), to));
        let legs = vec![leg(&to.0, to.1)];
        let begin =
            master.dialogue.begin(scene.now, wall(scene.now), order, node(&from.0, from.1), legs, 1).unwrap();
        deliver(&mut scene, &begin);
        (0..60).for_each(|_| passes(&mut scene, &mut master, false));
        assert_eq!(master.dialogue.order(), None, "done");
        sent.push(begin);
    }
    let before = scene.vehicle.tally().orders;
    deliver(&mut scene, &sent[0]);
    assert_eq!(
        scene.vehicle.tally().orders,
        before + 1,
        "if vehicles refuse this, orders need not stay open"
    );
}
