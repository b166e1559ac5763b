//! Zone sets as JSON of version 3.0.

use serde::{Deserialize, Serialize};

use crate::Malformed;
use crate::address::Version;
use crate::header::Header;
use crate::order_text::{BlockingText, ParameterText, blocking_of, blocking_text};
use crate::zone::{Limitation, ReleaseLoss, Zone, ZoneAction, ZoneKind, ZoneRule, ZoneSet};

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct MessageText {
    #[serde(flatten)]
    header: Header,
    zone_set: SetText,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SetText {
    map_id: String,
    zone_set_id: String,
    zones: Vec<ZoneText>,
}

/// Which of the fields there are depends on the type.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ZoneText {
    zone_id: String,
    zone_type: ZoneKind,
    vertices: Vec<VertexText>,
    #[serde(skip_serializing_if = "Option::is_none")]
    release_loss_behavior: Option<LossText>,
    #[serde(skip_serializing_if = "Option::is_none")]
    maximum_speed: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    entry_actions: Option<Vec<ActionText>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    during_actions: Option<Vec<ActionText>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exit_actions: Option<Vec<ActionText>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    priority_factor: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    penalty_factor: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    direction: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    directed_limitation: Option<LimitationText>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bidirected_limitation: Option<LimitationText>,
}

#[derive(Serialize, Deserialize)]
struct VertexText {
    x: f64,
    y: f64,
}

#[derive(Serialize, Deserialize, Clone, Copy)]
#[serde(rename_all = "UPPERCASE")]
enum LossText {
    Stop,
    Continue,
    Evacuate,
}

#[derive(Serialize, Deserialize, Clone, Copy)]
#[serde(rename_all = "UPPERCASE")]
enum LimitationText {
    Soft,
    Restricted,
    Strict,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ActionText {
    action_type: String,
    blocking_type: BlockingText,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    action_parameters: Vec<ParameterText>,
}

impl ZoneSet {
    /// The zone set as JSON.
    #[must_use]
    pub fn to_json(&self, header: &Header) -> String {
        let zone_set = SetText {
            map_id: self.map_id.clone(),
            zone_set_id: self.zone_set_id.clone(),
            zones: self.zones.iter().map(zone_text).collect(),
        };
        crate::order_text::written(&MessageText { header: header.clone(), zone_set })
    }

    /// Reads a zone set; see also [`ZoneSet::check`].
    ///
    /// # Errors
    /// If the text is no JSON, lacks a required field, or one has the wrong type.
    pub fn from_json(text: &str) -> Result<(Header, Self), Malformed> {
        let MessageText { header, zone_set } = serde_json::from_str(text)?;
        let SetText { map_id, zone_set_id, zones } = zone_set;
        let zones = zones.into_iter().map(zone_of).collect::<Option<_>>();
        let lacks =
            || Malformed { what: "a zone lacks a field that its type needs".to_owned(), position: (1, 1) };
        Ok((header, Self { zone_set_id, map_id, zones: zones.ok_or_else(lacks)? }))
    }
}

fn zone_text(zone: &Zone) -> ZoneText {
    let mut text = ZoneText {
        zone_id: zone.zone_id.clone(),
        zone_type: zone.rule.kind(),
        vertices: zone.vertices.iter().map(|[x, y]| VertexText { x: *x, y: *y }).collect(),
        release_loss_behavior: None,
        maximum_speed: None,
        entry_actions: None,
        during_actions: None,
        exit_actions: None,
        priority_factor: None,
        penalty_factor: None,
        direction: None,
        directed_limitation: None,
        bidirected_limitation: None,
    };
    let actions = |actions: &[ZoneAction]| Some(actions.iter().map(action_text).collect());
    match &zone.rule {
        ZoneRule::Blocked | ZoneRule::LineGuided | ZoneRule::CoordinatedReplanning => {}
        ZoneRule::Release(loss) => {
            text.release_loss_behavior = Some(match loss {
                ReleaseLoss::Stop => LossText::Stop,
                ReleaseLoss::Continue => LossText::Continue,
                ReleaseLoss::Evacuate => LossText::Evacuate,
            });
        }
        ZoneRule::SpeedLimit(speed) => text.maximum_speed = Some(*speed),
        ZoneRule::Actions { entry, during, exit } => {
            text.entry_actions = actions(entry);
            text.during_actions = actions(during);
            text.exit_actions = actions(exit);
        }
        ZoneRule::Priority(factor) => text.priority_factor = Some(*factor),
        ZoneRule::Penalty(factor) => text.penalty_factor = Some(*factor),
        ZoneRule::Directed(direction, limitation) => {
            (text.direction, text.directed_limitation) =
                (Some(*direction), Some(limitation_text(*limitation)));
        }
        ZoneRule::Bidirected(direction, limitation) => {
            (text.direction, text.bidirected_limitation) =
                (Some(*direction), Some(limitation_text(*limitation)));
        }
    }
    text
}

/// `None` if a field is missing that the type needs.
fn zone_of(text: ZoneText) -> Option<Zone> {
    let actions = |actions: Option<Vec<ActionText>>| Some(actions?.into_iter().map(action_of).collect());
    let rule = match text.zone_type {
        ZoneKind::Blocked => ZoneRule::Blocked,
        ZoneKind::LineGuided => ZoneRule::LineGuided,
        ZoneKind::CoordinatedReplanning => ZoneRule::CoordinatedReplanning,
        ZoneKind::Release => ZoneRule::Release(match text.release_loss_behavior? {
            LossText::Stop => ReleaseLoss::Stop,
            LossText::Continue => ReleaseLoss::Continue,
            LossText::Evacuate => ReleaseLoss::Evacuate,
        }),
        ZoneKind::SpeedLimit => ZoneRule::SpeedLimit(text.maximum_speed?),
        ZoneKind::Action => ZoneRule::Actions {
            entry: actions(text.entry_actions)?,
            during: actions(text.during_actions)?,
            exit: actions(text.exit_actions)?,
        },
        ZoneKind::Priority => ZoneRule::Priority(text.priority_factor?),
        ZoneKind::Penalty => ZoneRule::Penalty(text.penalty_factor?),
        ZoneKind::Directed => ZoneRule::Directed(text.direction?, limitation_of(text.directed_limitation?)),
        ZoneKind::Bidirected => {
            ZoneRule::Bidirected(text.direction?, limitation_of(text.bidirected_limitation?))
        }
    };
    let vertices = text.vertices.into_iter().map(|VertexText { x, y }| [x, y]).collect();
    Some(Zone { zone_id: text.zone_id, vertices, rule })
}

fn action_text(action: &ZoneAction) -> ActionText {
    ActionText {
        action_type: action.action_type.clone(),
        blocking_type: blocking_text(action.blocking, Version::V3),
        action_parameters: action.parameters.iter().map(ParameterText::from).collect(),
    }
}

fn action_of(text: ActionText) -> ZoneAction {
    ZoneAction {
        action_type: text.action_type,
        blocking: blocking_of(text.blocking_type),
        parameters: text.action_parameters.into_iter().map(Into::into).collect(),
    }
}

const fn limitation_text(limitation: Limitation) -> LimitationText {
    match limitation {
        Limitation::Soft => LimitationText::Soft,
        Limitation::Restricted => LimitationText::Restricted,
        Limitation::Strict => LimitationText::Strict,
    }
}

const fn limitation_of(text: LimitationText) -> Limitation {
    match text {
        LimitationText::Soft => Limitation::Soft,
        LimitationText::Restricted => Limitation::Restricted,
        LimitationText::Strict => Limitation::Strict,
    }
}
