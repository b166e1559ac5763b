//! Zone sets of 3.0: areas of a map with rules for whoever drives there (VDA 5050 3.0.0, section 6.4).

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::order::{Blocking, Value};

/// Zones of one map. A vehicle may hold several sets of a map, and uses the one that is enabled.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ZoneSet {
    /// Its name, unique everywhere: contents never change under a name.
    pub zone_set_id: String,
    /// The map.
    pub map_id: String,
    /// The zones.
    pub zones: Vec<Zone>,
}

/// An area.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Zone {
    /// Unique in the set.
    pub zone_id: String,
    /// Corners in metres; the last one is joined with the first.
    pub vertices: Vec<[f64; 2]>,
    /// What holds there.
    pub rule: ZoneRule,
}

/// What holds in an area.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ZoneRule {
    /// Nobody may be there.
    Blocked,
    /// Only along edges.
    LineGuided,
    /// Only after a request was granted.
    Release(ReleaseLoss),
    /// New ways only after a request was granted.
    CoordinatedReplanning,
    /// At most this fast, in metres a second.
    SpeedLimit(f64),
    /// Something is to be done on the way in, meanwhile, and on the way out.
    Actions {
        /// On the way in.
        entry: Vec<ZoneAction>,
        /// Inside.
        during: Vec<ZoneAction>,
        /// On the way out.
        exit: Vec<ZoneAction>,
    },
    /// Preferred, from 0 to 1.
    Priority(f64),
    /// Avoided, from 0 to 1.
    Penalty(f64),
    /// One direction, in radians.
    Directed(f64, Limitation),
    /// One direction and back, in radians; never [`Limitation::Strict`].
    Bidirected(f64, Limitation),
}

/// What a vehicle does when a release ends while it is inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReleaseLoss {
    /// It stops.
    Stop,
    /// It goes on.
    Continue,
    /// It leaves.
    Evacuate,
}

/// How much a direction binds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Limitation {
    /// A wish.
    Soft,
    /// Only obstacles excuse.
    Restricted,
    /// Nothing does.
    Strict,
}

/// Something to do in a zone. It gets its name from the vehicle.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ZoneAction {
    /// What.
    pub action_type: String,
    /// What may go on meanwhile.
    pub blocking: Blocking,
    /// Names and values.
    pub parameters: Vec<(String, Value)>,
}

/// A kind of rule, as a factsheet names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ZoneKind {
    /// See [`ZoneRule::Blocked`].
    Blocked,
    /// See [`ZoneRule::LineGuided`].
    LineGuided,
    /// See [`ZoneRule::Release`].
    Release,
    /// See [`ZoneRule::CoordinatedReplanning`].
    CoordinatedReplanning,
    /// See [`ZoneRule::SpeedLimit`].
    SpeedLimit,
    /// See [`ZoneRule::Actions`].
    Action,
    /// See [`ZoneRule::Priority`].
    Priority,
    /// See [`ZoneRule::Penalty`].
    Penalty,
    /// See [`ZoneRule::Directed`].
    Directed,
    /// See [`ZoneRule::Bidirected`].
    Bidirected,
}

/// Why a zone set is none, beyond what the schema says. With the zone's place in the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ZoneFault {
    /// The set, its map or a zone has no name.
    NoName,
    /// Two zones have one name.
    Doubled(usize),
    /// A zone has fewer than three corners.
    Corners(usize),
    /// A zone has no area, or its border crosses itself.
    Border(usize),
    /// A number that is not finite, or outside its range.
    Number(usize),
    /// An action without a type.
    Action(usize),
    /// A direction in both ways cannot be strict.
    Limitation(usize),
}

impl ZoneRule {
    /// Its kind.
    #[must_use]
    pub const fn kind(&self) -> ZoneKind {
        match self {
            Self::Blocked => ZoneKind::Blocked,
            Self::LineGuided => ZoneKind::LineGuided,
            Self::Release(_) => ZoneKind::Release,
            Self::CoordinatedReplanning => ZoneKind::CoordinatedReplanning,
            Self::SpeedLimit(_) => ZoneKind::SpeedLimit,
            Self::Actions { .. } => ZoneKind::Action,
            Self::Priority(_) => ZoneKind::Priority,
            Self::Penalty(_) => ZoneKind::Penalty,
            Self::Directed(..) => ZoneKind::Directed,
            Self::Bidirected(..) => ZoneKind::Bidirected,
        }
    }

    fn check(&self, index: usize) -> Result<(), ZoneFault> {
        let number = |fine: bool| if fine { Ok(()) } else { Err(ZoneFault::Number(index)) };
        match self {
            Self::Blocked | Self::LineGuided | Self::Release(_) | Self::CoordinatedReplanning => Ok(()),
            Self::SpeedLimit(speed) => number(speed.is_finite() && *speed >= 0.0),
            Self::Priority(factor) | Self::Penalty(factor) => number((0.0..=1.0).contains(factor)),
            Self::Directed(direction, _) => number(direction.is_finite()),
            Self::Bidirected(_, Limitation::Strict) => Err(ZoneFault::Limitation(index)),
            Self::Bidirected(direction, _) => number(direction.is_finite()),
            Self::Actions { entry, during, exit } => {
                let mut all = entry.iter().chain(during).chain(exit);
                if all.clone().any(|action| action.action_type.is_empty()) {
                    return Err(ZoneFault::Action(index));
                }
                let finite = |(_, value): &(String, Value)| match value {
                    Value::Number(number) => number.is_finite(),
                    Value::Text(_) | Value::Flag(_) => true,
                };
                number(all.all(|action| action.parameters.iter().all(finite)))
            }
        }
    }
}

impl ZoneSet {
    /// Checks what the schema cannot say.
    ///
    /// # Errors
    /// The first fault that is found.
    pub fn check(&self) -> Result<(), ZoneFault> {
        if self.zone_set_id.is_empty() || self.map_id.is_empty() {
            return Err(ZoneFault::NoName);
        }
        let mut names = HashSet::new();
        for (index, zone) in self.zones.iter().enumerate() {
            if zone.zone_id.is_empty() {
                return Err(ZoneFault::NoName);
            }
            if !names.insert(zone.zone_id.as_str()) {
                return Err(ZoneFault::Doubled(index));
            }
            if zone.vertices.len() < 3 {
                return Err(ZoneFault::Corners(index));
            }
            if zone.vertices.iter().flatten().any(|number| !number.is_finite()) {
                return Err(ZoneFault::Number(index));
            }
            if !is_simple(&zone.vertices) {
                return Err(ZoneFault::Border(index));
            }
            zone.rule.check(index)?;
        }
        Ok(())
    }
}

/// Whether a border encloses an area and does not touch itself but at its corners.
fn is_simple(vertices: &[[f64; 2]]) -> bool {
    let sides: Vec<([f64; 2], [f64; 2])> =
        vertices.iter().copied().zip(vertices.iter().copied().cycle().skip(1)).collect();
    let twice_area: f64 = sides.iter().map(|([x0, y0], [x1, y1])| x0 * y1 - x1 * y0).sum();
    if twice_area.abs() <= f64::EPSILON {
        return false;
    }
    let count = sides.len();
    for (first, side) in sides.iter().enumerate() {
        if side.0 == side.1 {
            return false;
        }
        for (second, other) in sides.iter().enumerate().skip(first + 1) {
            let neighbours = second == first + 1 || (first == 0 && second + 1 == count);
            if !neighbours && crosses(*side, *other) {
                return false;
            }
        }
    }
    true
}

/// Whether two stretches have a point in common.
fn crosses((a, b): ([f64; 2], [f64; 2]), (c, d): ([f64; 2], [f64; 2])) -> bool {
    let turn =
        |p: [f64; 2], q: [f64; 2], r: [f64; 2]| (q[0] - p[0]) * (r[1] - p[1]) - (q[1] - p[1]) * (r[0] - p[0]);
    let within = |p: [f64; 2], q: [f64; 2], r: [f64; 2]| {
        turn(p, q, r) == 0.0
            && (p[0].min(q[0])..=p[0].max(q[0])).contains(&r[0])
            && (p[1].min(q[1])..=p[1].max(q[1])).contains(&r[1])
    };
    let (c_side, d_side, a_side, b_side) = (turn(a, b, c), turn(a, b, d), turn(c, d, a), turn(c, d, b));
    (c_side * d_side < 0.0 && a_side * b_side < 0.0)
        || within(a, b, c)
        || within(a, b, d)
        || within(c, d, a)
        || within(c, d, b)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(vertices: &[[f64; 2]], rule: ZoneRule) -> ZoneSet {
        let zone = Zone { zone_id: "z".to_owned(), vertices: vertices.to_vec(), rule };
        ZoneSet { zone_set_id: "s".to_owned(), map_id: "hall".to_owned(), zones: vec![zone] }
    }

    const SQUARE: [[f64; 2]; 4] = [[0.0, 0.0], [2.0, 0.0], [2.0, 2.0], [0.0, 2.0]];

    #[test]
    fn a_border_may_be_bent_but_not_cross_itself() {
        let of = |vertices: &[[f64; 2]]| set(vertices, ZoneRule::Blocked).check();
        assert_eq!(of(&SQUARE), Ok(()));
        assert_eq!(of(&[[0.0, 0.0], [4.0, 0.0], [4.0, 4.0], [2.0, 1.0], [0.0, 4.0]]), Ok(()));
        assert_eq!(of(&[[0.0, 0.0], [2.0, 2.0], [2.0, 0.0], [0.0, 2.0]]), Err(ZoneFault::Border(0)));
        assert_eq!(of(&[[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]]), Err(ZoneFault::Border(0)));
        assert_eq!(of(&SQUARE[..2]), Err(ZoneFault::Corners(0)));
        assert_eq!(of(&[[0.0, 0.0], [f64::NAN, 0.0], [1.0, 1.0]]), Err(ZoneFault::Number(0)));
    }

    #[test]
    fn rules_keep_to_their_ranges() {
        let of = |rule| set(&SQUARE, rule).check();
        assert_eq!(of(ZoneRule::Priority(1.0)), Ok(()));
        assert_eq!(of(ZoneRule::Penalty(1.1)), Err(ZoneFault::Number(0)));
        assert_eq!(of(ZoneRule::SpeedLimit(-1.0)), Err(ZoneFault::Number(0)));
        assert_eq!(of(ZoneRule::Directed(1.0, Limitation::Strict)), Ok(()));
        assert_eq!(of(ZoneRule::Bidirected(1.0, Limitation::Strict)), Err(ZoneFault::Limitation(0)));
        let nameless =
            ZoneAction { action_type: String::new(), blocking: Blocking::None, parameters: Vec::new() };
        let rule = ZoneRule::Actions { entry: vec![nameless], during: Vec::new(), exit: Vec::new() };
        assert_eq!(of(rule), Err(ZoneFault::Action(0)));
    }

    #[test]
    fn zones_have_names_of_their_own() {
        let mut two = set(&SQUARE, ZoneRule::Blocked);
        two.zones.push(two.zones[0].clone());
        assert_eq!(two.check(), Err(ZoneFault::Doubled(1)));
        two.zones[1].zone_id.clear();
        assert_eq!(two.check(), Err(ZoneFault::NoName));
    }
}
