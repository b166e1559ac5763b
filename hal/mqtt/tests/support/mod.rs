//! A link without memory to a broker, for whoever wants to see what goes over it; and the command desk of a node.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant as Clock};

use hal_mqtt::client::BrokerUrl;
use hal_mqtt::command::{CommandDesk, CommandGate, GateLimits, UnitKind};
use hal_mqtt::log::{FileStorage, Sync};
use hal_mqtt::outbox::{Outbox, OutboxId, OutboxLimits};
use hal_mqtt::plain::{PlainEvent, PlainLink, PlainOptions};
use hal_mqtt::topic::{Name, Topics};
use hal_units::{Instant, Watts};

pub const PATIENCE: Duration = Duration::from_secs(20);

pub fn now() -> Instant {
    static START: std::sync::OnceLock<Clock> = std::sync::OnceLock::new();
    Instant::ZERO + START.get_or_init(Clock::now).elapsed()
}

pub fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

pub fn link(broker: &str, client_id: &str, filters: &[&str]) -> PlainLink {
    PlainLink::new(PlainOptions {
        broker: BrokerUrl::parse(broker).unwrap(),
        client_id: client_id.to_owned(),
        credentials: None,
        filters: filters.iter().map(|filter| (*filter).to_owned()).collect(),
        last_will: None,
        queue: 64,
    })
    .unwrap()
}

pub fn open(link: &mut PlainLink) {
    link.set_open(now(), true);
    assert_eq!(next(link), PlainEvent::Connected);
}

#[track_caller]
pub fn next(link: &mut PlainLink) -> PlainEvent {
    let deadline = Clock::now() + PATIENCE;
    while Clock::now() < deadline {
        if let Some(event) = link.next(now()) {
            return event;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    panic!("nothing came in time");
}

/// What a node with one turbine of 5 MW keeps in a folder: its outbox, and a desk on its journal.
pub fn desk_of_a_turbine(folder: &Path) -> (Outbox<FileStorage>, CommandDesk<FileStorage>) {
    let open = |name: &str| FileStorage::open(&folder.join(name)).unwrap();
    let (outbox, _) =
        Outbox::open(open("outbox"), OutboxLimits::default(), Sync::Disk, OutboxId::draw()).unwrap();
    let unit = UnitKind::Turbine { rated_power: Watts::from_kilowatts(5000.0) };
    let gate = CommandGate::new(GateLimits::default(), BTreeMap::from([(name("wt-01"), unit)]));
    (outbox, CommandDesk::open(Topics::new(name("north")), gate, open("journal")).unwrap())
}
