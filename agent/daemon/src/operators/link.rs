//! The link to the broker: commands to the cycles and the fleet, their outcomes and the units' states back.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use agent_cycle::{Command, Executed};
use hal_linux_rt::clock::now;
use hal_mqtt::client::{BrokerUrl, Credentials, Delivery, Voice};
use hal_mqtt::command::{
    CommandDesk, CommandGate, CommandKey, CommandNumber, Execution, ExecutionMark, GateLimits,
    IncomingCommand, Outcome, UnitKind,
};
use hal_mqtt::log::{FileStorage, Sync};
use hal_mqtt::outbox::{Outbox, OutboxId, OutboxLimits};
use hal_mqtt::sparkplug::{EdgeNode, SparkplugTopics};
use hal_mqtt::state::StateFilter;
use hal_mqtt::topic::{Name, TopicError, Topics};
use hal_mqtt::{Clock, Mqtt, MqttOptions};
use hal_units::Instant;
use jiff::Timestamp;

use super::OperatorsError;
use super::asked::{action, fleet_request};
use crate::carried_out::CarriedOut;
use crate::config::{FLEET, MqttConfig, PlantConfig, SiteConfig};
use crate::fleet::{FleetAnswer, FleetRequest, FleetThread};
use crate::overrides::OverrideStore;
use crate::sparkplug::{Session, SessionNumbers};
use crate::unit_state::{ValueNames, state_filter, state_values};
use crate::watch::GroupControl;

/// Commands under way at a time; further ones wait in the client, which refuses them as busy when full.
const UNDER_WAY_MAX: usize = 64;

/// What became of a command, before its issuer is told.
pub(super) struct Concluded {
    number: CommandNumber,
    outcome: Outcome,
    /// How it was carried out, if it was.
    executed: Option<Executed>,
    since: Instant,
}

/// What became of a command that was to be handed to a cycle.
enum HandOver {
    Done,
    /// No room yet.
    Later,
    /// It is over.
    Never(Outcome),
}

/// A unit's place.
#[derive(Debug, Clone, Copy)]
struct Place {
    group: usize,
    unit: u16,
}

/// Commands from the broker to the cycles, and what became of them back.
pub(super) struct Link {
    pub(super) mqtt: Mqtt,
    topics: Topics,
    pub(super) broker: String,
    places: HashMap<String, Place>,
    /// Handed to a cycle, by token, which is the command's key.
    pub(super) under_way: HashMap<u64, CommandNumber>,
    /// What the client is to be told as soon as it takes it.
    pub(super) voice_due: Option<Voice>,
    marks: VecDeque<ExecutionMark>,
    /// Not yet told.
    pub(super) concluded: VecDeque<Concluded>,
    pub(super) carried_out: CarriedOut,
    pub(super) held: Option<IncomingCommand>,
    states: BTreeMap<String, (Name, StateFilter)>,
    pub(super) executed: u64,
    names: ValueNames,
    pub(super) sparkplug: Option<Session>,
}

impl Link {
    pub(super) fn open(
        site: &SiteConfig,
        config: &MqttConfig,
        stations: Option<BTreeSet<Name>>,
    ) -> Result<Self, OperatorsError> {
        let topics = Topics::new(Name::new(&site.name)?);
        let mut options = MqttOptions::new(BrokerUrl::parse(&config.broker)?, config.client_id.clone());
        options.credentials =
            config.credentials.clone().map(|(username, password)| Credentials { username, password });
        // Each node of a pair has a presence of its own.
        let presence = site
            .pair
            .as_ref()
            .map_or_else(|| "agent".to_owned(), |pair| format!("agent-{}", pair.node.as_str()));
        options.presence_topic = Some(topics.online(&Name::new(&presence)?));
        if site.pair.is_some() {
            options.voice = Voice::Silent;
        }
        let sparkplug = sparkplug_topics(site, config)?;
        let is_b = site.pair.as_ref().is_some_and(|pair| pair.node.as_str() == "b");
        let numbers = SessionNumbers::new(&site.state_dir, is_b);
        let mut edge_node = sparkplug.clone().map(|topics| EdgeNode::new(topics, numbers.next(wall_ms())));
        let mut units = BTreeMap::new();
        let mut states = BTreeMap::new();
        for unit in &site.units {
            let name = Name::new(&unit.name)?;
            let kind = match &unit.plant {
                PlantConfig::Turbine(parameters) => UnitKind::Turbine { rated_power: parameters.rated_power },
                PlantConfig::Vehicle(_) => UnitKind::Vehicle,
                PlantConfig::Der(parameters) => UnitKind::Turbine { rated_power: parameters.rated_power },
                PlantConfig::Park(park) => UnitKind::Turbine { rated_power: park.parameters.rated_power },
            };
            let filter = state_filter(&unit.plant, config.names);
            edge_node =
                edge_node.map(|node| node.with(name.clone(), filter.fields().to_vec(), kind.commands()));
            units.insert(name.clone(), kind);
            states.insert(unit.name.clone(), (name, filter));
        }
        if let Some(stations) = stations {
            units.insert(Name::new(FLEET)?, UnitKind::Fleet { stations });
        }
        let (outbox, _) = Outbox::open(
            FileStorage::open(&site.state_dir.join("outbox"))?,
            OutboxLimits::default(),
            Sync::Disk,
            OutboxId::draw(),
        )?;
        let gate = CommandGate::new(GateLimits::default(), units);
        let journal = FileStorage::open(&site.state_dir.join("commands"))?;
        let mut desk = CommandDesk::open(topics.clone(), gate, journal)?;
        let mut session = None;
        if let (Some(topics), Some(node)) = (sparkplug, edge_node) {
            let broker = BrokerUrl::parse(&config.broker)?;
            let opened = Session::new(config, broker, &topics, node, numbers);
            session = Some(opened.map_err(OperatorsError::Sparkplug)?);
            desk = desk.with_sparkplug(topics);
        }
        let clock = Clock { monotonic: now, wall: Timestamp::now };
        let places = (0..site.groups.len())
            .flat_map(|group| {
                site.units_of(group)
                    .zip(0..)
                    .map(move |((_, config), unit)| (config.name.clone(), Place { group, unit }))
            })
            .collect();
        Ok(Self {
            mqtt: Mqtt::start(options, outbox, Some(desk), clock)?,
            topics,
            broker: config.broker.clone(),
            places,
            under_way: HashMap::new(),
            voice_due: None,
            marks: VecDeque::new(),
            concluded: VecDeque::new(),
            carried_out: CarriedOut::default(),
            held: None,
            states,
            executed: 0,
            names: config.names,
            sparkplug: session,
        })
    }

    /// The other node has carried out a command.
    pub(super) fn learn(&mut self, executed: Executed) {
        let Executed { token, epoch, cycle } = executed;
        self.marks.push_back(ExecutionMark { key: CommandKey(token), execution: Execution { epoch, cycle } });
        self.carried_out.note(now(), executed);
    }

    /// Tells the client what it could not take before.
    pub(super) fn pass_on(&mut self) {
        // Marks first: what was carried out must be known before anything is handed out.
        while let Some(mark) = self.marks.front() {
            if self.mqtt.note_executed(*mark).is_err() {
                return;
            }
            self.marks.pop_front();
        }
        if let Some(voice) = self.voice_due.take()
            && self.mqtt.set_voice(voice).is_err()
        {
            self.voice_due = Some(voice);
        }
    }

    pub(super) fn take_executed(&mut self, controls: &mut [GroupControl]) {
        for control in controls {
            while let Some(executed) = control.ports.executed.dequeue() {
                if let Some(number) = self.under_way.remove(&executed.token) {
                    self.executed += 1;
                    let execution = Execution { epoch: executed.epoch, cycle: executed.cycle };
                    let outcome = Outcome::Executed(Some(execution));
                    self.concluded.push_back(Concluded {
                        number,
                        outcome,
                        executed: Some(executed),
                        since: now(),
                    });
                }
            }
        }
    }

    /// What became of commands to the fleet. The fleet says so when it outlives this node.
    pub(super) fn take_fleet(&mut self, fleet: &FleetThread) -> Vec<Executed> {
        let mut all = Vec::new();
        for answer in fleet.answers.try_iter() {
            let (number, outcome) = match answer {
                FleetAnswer::Done { number, executed } => {
                    self.under_way.remove(&executed.token);
                    self.executed += 1;
                    self.carried_out.note(now(), executed);
                    all.push(executed);
                    let execution = Execution { epoch: executed.epoch, cycle: executed.cycle };
                    (number, Outcome::Executed(Some(execution)))
                }
                FleetAnswer::Impossible { number, why } => {
                    self.under_way.retain(|_, known| *known != number);
                    (number, Outcome::Failed { text: why })
                }
            };
            self.concluded.push_back(Concluded { number, outcome, executed: None, since: now() });
        }
        all
    }

    /// Tells what became of commands, but of none that this node alone knows to be carried out: should it
    /// die, its successor would carry it out again.
    pub(super) fn conclude(&mut self, outlives: impl Fn(u64, Instant) -> bool) {
        while let Some(done) = self.concluded.pop_front() {
            let outlived = done.executed.is_none_or(|executed| outlives(executed.cycle, done.since));
            // A full queue: the next round tries again.
            if !outlived || self.mqtt.conclude(done.number, done.outcome.clone()).is_err() {
                self.concluded.push_front(done);
                return;
            }
            if let Some(executed) = done.executed {
                self.carried_out.note(now(), executed);
            }
        }
    }

    pub(super) fn hand_out(
        &mut self,
        site: &SiteConfig,
        controls: &mut [GroupControl],
        fleet: Option<&FleetThread>,
        overrides: &mut OverrideStore,
    ) {
        while self.under_way.len() + self.concluded.len() < UNDER_WAY_MAX {
            let Some(command) = self.held.take().or_else(|| self.mqtt.commands().try_recv().ok()) else {
                return;
            };
            let handed = match fleet_request(&command) {
                Some(request) => self.hand_to_fleet(&command, request, fleet),
                None => self.hand_over(&command, site, controls, overrides),
            };
            let outcome = match handed {
                HandOver::Done => continue,
                HandOver::Later => {
                    self.held = Some(command);
                    return;
                }
                HandOver::Never(outcome) => outcome,
            };
            self.concluded.push_back(Concluded {
                number: command.number,
                outcome,
                executed: None,
                since: now(),
            });
        }
    }

    fn hand_to_fleet(
        &mut self,
        command: &IncomingCommand,
        request: FleetRequest,
        fleet: Option<&FleetThread>,
    ) -> HandOver {
        let Some(fleet) = fleet else {
            return HandOver::Never(Outcome::Failed { text: "this site has no fleet".to_owned() });
        };
        if command.expires_at <= Timestamp::now() {
            return HandOver::Never(Outcome::Expired);
        }
        if !fleet.has_room() || !fleet.ask(request) {
            return HandOver::Later;
        }
        let name = command.command.name();
        tracing::debug!(command = name, issuer = %command.issuer, id = %command.id, "fleet");
        self.under_way.insert(command.key.0, command.number);
        HandOver::Done
    }

    fn hand_over(
        &mut self,
        command: &IncomingCommand,
        site: &SiteConfig,
        controls: &mut [GroupControl],
        overrides: &mut OverrideStore,
    ) -> HandOver {
        if command.expires_at <= Timestamp::now() {
            return HandOver::Never(Outcome::Expired);
        }
        let unit = command.unit.as_str();
        let Some(place) = self.places.get(unit).copied() else {
            let text = format!("the site {} has no unit {unit} any more", site.name);
            return HandOver::Never(Outcome::Failed { text });
        };
        let Some(control) = controls.get_mut(place.group).filter(|control| control.ports.commands.ready())
        else {
            return HandOver::Later;
        };
        let Some(action) = action(&command.command) else {
            let text = format!("{unit} cannot be told to {}", command.command.name());
            return HandOver::Never(Outcome::Failed { text });
        };
        let token = command.key.0;
        if control.ports.commands.enqueue(Command { unit: place.unit, action, token }).is_err() {
            return HandOver::Later;
        }
        // The cycle does not wait for the disk: if the process dies now, its journal hands the command out again. But
        // nobody is told that it was carried out before its effect is stored.
        if let Err(error) = overrides.note(unit, action) {
            tracing::error!(%error, unit, "a command was carried out and cannot be stored");
            let text = format!("carried out, but forgotten when this node restarts: {error}");
            return HandOver::Never(Outcome::Failed { text });
        }
        tracing::info!(unit, command = command.command.name(), issuer = %command.issuer, "command");
        self.under_way.insert(token, command.number);
        HandOver::Done
    }

    pub(super) fn publish(&mut self, site: &SiteConfig, controls: &[GroupControl]) {
        let (at, wall) = (now(), Timestamp::now());
        for control in controls {
            for (unit, position) in control.units.iter().enumerate() {
                let state = site.units.get(*position).and_then(|config| self.states.get_mut(&config.name));
                let (Some(record), Some((name, filter))) = (control.collector.unit(unit), state) else {
                    continue;
                };
                let values = state_values(record, self.names);
                if let Some(session) = &mut self.sparkplug {
                    let trusted = record.quality.is_usable().then(|| values.clone());
                    session.observe(name, trusted, wall_ms());
                }
                if filter.is_due(at, &values) {
                    let payload = filter.payload(wall, &values);
                    let topic = self.topics.state(name);
                    if let Err(error) = self.mqtt.set_latest(&topic, payload, Delivery::AtMostOnce) {
                        tracing::warn!(%error, topic, "a state is not published");
                    }
                }
            }
        }
    }
}

/// Milliseconds since 1970, as Sparkplug counts.
pub(super) fn wall_ms() -> u64 {
    u64::try_from(Timestamp::now().as_millisecond()).unwrap_or(0)
}

/// The topics of the edge node that this site is, if it shall be one.
fn sparkplug_topics(site: &SiteConfig, config: &MqttConfig) -> Result<Option<SparkplugTopics>, TopicError> {
    let Some(group) = &config.sparkplug_group else { return Ok(None) };
    Ok(Some(SparkplugTopics { group: Name::new(group)?, node: Name::new(&site.name)? }))
}
