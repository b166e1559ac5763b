//! Operators: their commands on the way to the cycles, and what they are shown.
//!
//! # A command's way
//!
//! `hal-mqtt` has validated it, put it into its journal and answered `accepted` before it comes here. Here
//! it goes on the ring to its group's real-time thread, then its effect is stored with the overrides, and
//! when a cycle says that it was carried out, it is concluded in the journal and answered `executed`.
//! Whatever dies in between, the command is handed out again at the next start until it is concluded;
//! carrying it out twice does no harm, because commands set a state.
//!
//! In a pair both nodes receive each command, and the one that is not active keeps silent about it: see
//! `hal_mqtt::client`.

mod asked;
mod link;

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;

use agent_cycle::{Executed, PlantRecord};
use agent_status::{Commands, MqttLink};
use hal_linux_rt::clock::now;
use hal_mqtt::client::{ConnectionState, OptionsError, UrlError, Voice};
use hal_mqtt::log::LogError;
use hal_mqtt::topic::{Name, TopicError};
use hal_units::{Duration, Instant};

use crate::config::SiteConfig;
use crate::fleet::FleetThread;
use crate::overrides::{Condition, OverrideStore};
use crate::pair::Learned;
use crate::watch::GroupControl;
use link::{Link, wall_ms};

/// Why the command interface cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OperatorsError {
    /// The broker's address.
    #[error("[mqtt] broker: {0}")]
    Broker(#[from] UrlError),
    /// A name that is no part of a topic.
    #[error("a name cannot be part of a topic: {0}")]
    Topic(#[from] TopicError),
    /// A setting.
    #[error("[mqtt]: {0}")]
    Options(#[from] OptionsError),
    /// Outbox or journal.
    #[error("{0}")]
    Log(#[from] LogError),
    /// The session of the Sparkplug edge node.
    #[error("[mqtt] sparkplug_group: {0}")]
    Sparkplug(std::io::Error),
    /// The client.
    #[error("{0}")]
    Client(#[from] hal_mqtt::client::StartError),
}

/// See the module's head.
pub(crate) struct Operators {
    overrides: OverrideStore,
    link: Option<Link>,
    active: bool,
}

impl Operators {
    /// Opens outbox and journal and starts the client, if there is a broker.
    /// `stations` are those of the fleet, if there is one.
    pub(crate) fn start(
        site: &SiteConfig,
        overrides: OverrideStore,
        stations: Option<BTreeSet<Name>>,
    ) -> Result<Self, OperatorsError> {
        let link = site.mqtt.as_ref().map(|mqtt| Link::open(site, mqtt, stations)).transpose()?;
        Ok(Self { overrides, link, active: site.pair.is_none() })
    }

    /// Names an eventfd that becomes readable when there is a command to hand out.
    pub(crate) fn call_for_commands(&self, event: OwnedFd) {
        if let Some(link) = &self.link {
            link.mqtt.call_for_commands(event);
        }
    }

    /// One round: hand commands to the cycles and to the fleet, conclude those that were carried out in a cycle
    /// that `outlives` this node. Returns what the fleet has carried out: the other node has to be told.
    pub(crate) fn turn(
        &mut self,
        site: &SiteConfig,
        controls: &mut [GroupControl],
        fleet: Option<&FleetThread>,
        outlives: impl Fn(u64, Instant) -> bool,
    ) -> Vec<Executed> {
        let Some(link) = &mut self.link else { return Vec::new() };
        if let Some(session) = &mut link.sparkplug {
            session.set_active(self.active, now(), wall_ms());
            session.turn(now(), wall_ms());
        }
        link.pass_on();
        link.take_executed(controls);
        let of_fleet = fleet.map(|fleet| link.take_fleet(fleet)).unwrap_or_default();
        link.conclude(outlives);
        if self.active {
            link.hand_out(site, controls, fleet, &mut self.overrides);
        }
        of_fleet
    }

    /// Whether this node speaks to operators and carries out their commands, or follows one that does.
    pub(crate) fn set_active(&mut self, active: bool) {
        self.active = active;
        if let Some(link) = &mut self.link {
            link.voice_due = Some(if active { Voice::Speaking } else { Voice::Silent });
            if !active {
                // Whoever is active now carries out what is not done.
                link.under_way.clear();
                link.concluded.clear();
                link.held = None;
            }
        }
    }

    /// Takes over what the node that writes has done: it must stand also after this node has restarted.
    pub(crate) fn learn(&mut self, site: &SiteConfig, controls: &[GroupControl], learned: Learned) {
        match learned {
            Learned::Executed(executed) => {
                if let Some(link) = &mut self.link {
                    link.learn(executed);
                }
            }
            Learned::CarriedOut(all) => {
                if let Some(link) = &mut self.link {
                    all.into_iter().for_each(|executed| link.learn(executed));
                }
            }
            Learned::Overrides { group, unit, overrides } => {
                let Some(name) = name(site, controls, group, unit) else { return };
                if let Err(error) = self.overrides.set(name, overrides) {
                    tracing::error!(%error, "what operators left standing cannot be stored here");
                }
            }
            Learned::Conditions(all) => {
                let named = all
                    .into_iter()
                    .filter_map(|(group, unit, now)| Some((name(site, controls, group, unit)?, now)));
                note(&mut self.overrides, named);
            }
        }
    }

    /// Keeps which turbines operate, and at which causes of a trip are latched, so that a restart does not forget it.
    /// A node that follows learns it from the one that writes.
    pub(crate) fn keep_conditions(&mut self, site: &SiteConfig, controls: &[GroupControl]) {
        if !self.active {
            return;
        }
        let conditions = controls.iter().flat_map(|control| {
            control.units.iter().enumerate().filter_map(|(at, position)| {
                let PlantRecord::Turbine(turbine) = control.collector.unit(at)?.plant else { return None };
                let tripped = !turbine.trips.is_empty();
                let name = site.units.get(*position)?.name.as_str();
                Some((
                    name,
                    Condition { tripped, operating: turbine.operating, twist_lost: turbine.twist_lost },
                ))
            })
        });
        note(&mut self.overrides, conditions);
    }

    /// Commands that were carried out lately, by either node.
    pub(crate) fn carried_out(&self) -> Vec<Executed> {
        self.link.as_ref().map(|link| link.carried_out.all()).unwrap_or_default()
    }

    /// Publishes the state of units that have changed.
    pub(crate) fn publish(&mut self, site: &SiteConfig, controls: &[GroupControl]) {
        if let Some(link) = self.link.as_mut().filter(|_| self.active) {
            link.publish(site, controls);
        }
    }

    /// Ends the link: what was concluded is answered, as far as the broker takes it in time.
    pub(crate) fn stop(&mut self, controls: &mut [GroupControl]) {
        if let Some(link) = &mut self.link {
            link.take_executed(controls);
            link.conclude(|_, _| true);
            if let Some(session) = &mut link.sparkplug {
                session.stop(now(), wall_ms());
            }
            link.mqtt.stop(Duration::from_secs(1));
        }
    }

    /// What an operator's command left standing at a unit, in words.
    pub(crate) fn override_words(&self, unit: &str) -> Vec<String> {
        self.overrides.words(unit)
    }

    /// Commands since the start.
    pub(crate) fn commands(&self) -> Commands {
        let Some(link) = &self.link else { return Commands::default() };
        let counters = link.mqtt.status().counters;
        Commands {
            received: counters.commands_received,
            acknowledged: counters.commands_accepted + counters.commands_repeated,
            executed: link.executed,
            refused: counters.commands_refused.values().sum(),
            refused_by_reason: counters
                .commands_refused
                .iter()
                .map(|(reason, count)| ((*reason).to_owned(), *count))
                .collect(),
        }
    }

    /// The link to the broker.
    pub(crate) fn link(&self) -> Option<MqttLink> {
        let link = self.link.as_ref()?;
        let status = link.mqtt.status();
        Some(MqttLink {
            broker: link.broker.clone(),
            connected: matches!(status.connection, ConnectionState::Connected { .. }),
            published: status.counters.published,
            acknowledged: status.counters.acknowledged,
            resent: status.counters.resent,
            pending: status.outbox_entries as u64,
        })
    }
}

/// Stores conditions of units, or says that it cannot.
fn note<'a>(overrides: &mut OverrideStore, conditions: impl IntoIterator<Item = (&'a str, Condition)>) {
    if let Err(error) = overrides.note_conditions(conditions) {
        tracing::error!(%error, "a restart of this node would forget that a turbine operates or has tripped");
    }
}

/// The name of a group's unit.
fn name<'a>(site: &'a SiteConfig, controls: &[GroupControl], group: usize, unit: usize) -> Option<&'a str> {
    let position = *controls.get(group)?.units.get(unit)?;
    Some(site.units.get(position)?.name.as_str())
}
