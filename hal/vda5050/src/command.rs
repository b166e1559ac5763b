//! What a master may ask of a vehicle at once: the predefined instant actions of either version.
//!
//! Names and parameters: VDA 5050 3.0.0, section 6.2.3, and the table of predefined actions of 2.1.0. Those of
//! a maker are sent by [`Dialogue::instant`](crate::Dialogue::instant).

use crate::address::Version;
use crate::order::{Action, Blocking, Value};

/// Something to do now. `cancelOrder` is [`Dialogue::cancel`](crate::Dialogue::cancel).
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Stand still until [`Command::StopPause`].
    StartPause,
    /// Go on.
    StopPause,
    /// Charge.
    StartCharging,
    /// Stop charging.
    StopCharging,
    /// The vehicle is where it is told.
    InitPosition {
        /// In metres.
        x: f64,
        /// In metres.
        y: f64,
        /// In radians.
        theta: f64,
        /// On this map.
        map_id: String,
        /// On, or last on, this node.
        last_node_id: String,
    },
    /// Send a state.
    StateRequest,
    /// Send the factsheet.
    FactsheetRequest,
    /// Keep a log, and why.
    LogReport(String),
    /// Get a map from an address.
    DownloadMap {
        /// The map.
        map_id: String,
        /// Its version.
        map_version: String,
        /// From where.
        link: String,
    },
    /// Use a map.
    EnableMap {
        /// The map.
        map_id: String,
        /// Its version.
        map_version: String,
    },
    /// Forget a map.
    DeleteMap {
        /// The map.
        map_id: String,
        /// Its version.
        map_version: String,
    },
    /// Get a zone set from an address; only 3.0.
    DownloadZoneSet {
        /// The set.
        zone_set_id: String,
        /// From where.
        link: String,
    },
    /// Use a zone set; only 3.0.
    EnableZoneSet(String),
    /// Forget a zone set; only 3.0.
    DeleteZoneSet(String),
    /// Leave instant actions that are over out of the state; only 3.0. The vehicle then does not know any
    /// more what it has done already: not while messages of another master may come.
    ClearInstantActions,
    /// The same for actions of zones; only 3.0.
    ClearZoneActions,
    /// Go on after `waitForTrigger`; only 3.0.
    Trigger,
    /// Try an action again that may be; only 3.0.
    Retry(String),
    /// Do not try it again; only 3.0.
    SkipRetry(String),
    /// Sleep, until a time if one is given; only 3.0. The order is cleared.
    StartHibernation(Option<String>),
    /// Wake up; only 3.0.
    StopHibernation,
    /// Switch off; only 3.0, and only when idle.
    Shutdown,
    /// Get new certificates; only 3.0.
    UpdateCertificate {
        /// What for, for instance MQTT.
        service: String,
        /// From where.
        key_link: String,
        /// From where.
        certificate_link: String,
    },
}

impl Command {
    /// The action, under a name; `None` if the version has none like this.
    #[must_use]
    pub fn into_action(self, action_id: String, version: Version) -> Option<Action> {
        let text = |key: &str, value: String| (key.to_owned(), Value::Text(value));
        let number = |key: &str, value: f64| (key.to_owned(), Value::Number(value));
        let both = |action_type: &str, parameters| Some((action_type.to_owned(), parameters));
        let in_3 = |action_type: &str, parameters| match version {
            Version::V2 => None,
            Version::V3 => Some((action_type.to_owned(), parameters)),
        };
        let map = |map_id, map_version| vec![text("mapId", map_id), text("mapVersion", map_version)];
        let (action_type, parameters) = match self {
            Self::StartPause => both("startPause", Vec::new()),
            Self::StopPause => both("stopPause", Vec::new()),
            Self::StartCharging => both("startCharging", Vec::new()),
            Self::StopCharging => both("stopCharging", Vec::new()),
            Self::StateRequest => both("stateRequest", Vec::new()),
            Self::FactsheetRequest => both("factsheetRequest", Vec::new()),
            Self::LogReport(reason) => both("logReport", vec![text("reason", reason)]),
            Self::InitPosition { x, y, theta, map_id, last_node_id } => {
                let (map_id, last_node_id) = (text("mapId", map_id), text("lastNodeId", last_node_id));
                let pose = [number("x", x), number("y", y), number("theta", theta)];
                let name = match version {
                    Version::V2 => "initPosition",
                    Version::V3 => "initializePosition",
                };
                both(name, pose.into_iter().chain([map_id, last_node_id]).collect())
            }
            Self::DownloadMap { map_id, map_version, link } => {
                let mut parameters = map(map_id, map_version);
                parameters.push(text("mapDownloadLink", link));
                both("downloadMap", parameters)
            }
            Self::EnableMap { map_id, map_version } => both("enableMap", map(map_id, map_version)),
            Self::DeleteMap { map_id, map_version } => both("deleteMap", map(map_id, map_version)),
            Self::DownloadZoneSet { zone_set_id, link } => in_3(
                "downloadZoneSet",
                vec![text("zoneSetId", zone_set_id), text("zoneSetDownloadLink", link)],
            ),
            Self::EnableZoneSet(id) => in_3("enableZoneSet", vec![text("zoneSetId", id)]),
            Self::DeleteZoneSet(id) => in_3("deleteZoneSet", vec![text("zoneSetId", id)]),
            Self::ClearInstantActions => in_3("clearInstantActions", Vec::new()),
            Self::ClearZoneActions => in_3("clearZoneActions", Vec::new()),
            Self::Trigger => in_3("trigger", Vec::new()),
            Self::Retry(id) => in_3("retry", vec![text("actionId", id)]),
            Self::SkipRetry(id) => in_3("skipRetry", vec![text("actionId", id)]),
            Self::StartHibernation(wake_up) => {
                in_3("startHibernation", wake_up.into_iter().map(|time| text("wakeUpTime", time)).collect())
            }
            Self::StopHibernation => in_3("stopHibernation", Vec::new()),
            Self::Shutdown => in_3("shutdown", Vec::new()),
            Self::UpdateCertificate { service, key_link, certificate_link } => in_3(
                "updateCertificate",
                vec![
                    text("service", service),
                    text("keyDownloadLink", key_link),
                    text("certificateDownloadLink", certificate_link),
                ],
            ),
        }?;
        Some(Action { action_type, action_id, blocking: Blocking::None, parameters })
    }
}
