//! The way that a vehicle may drive.

use hal_units::Meters;
use postcard_schema::Schema;
use serde::{Deserialize, Serialize};

/// Waypoints of a route at most: more than fleet control grants ahead of a vehicle.
pub const WAYPOINTS_MAX: usize = 8;

/// A place on the way.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, Schema)]
pub struct Waypoint {
    /// Metres.
    pub x: Meters,
    /// Metres.
    pub y: Meters,
}

/// What is to be done where a route ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub enum HandlingKind {
    /// Take a load up.
    Pick,
    /// Put the load down.
    Drop,
    /// Charge, until the vehicle is sent away.
    Charge,
    /// Whatever the vehicle does at a station.
    Visit,
}

/// One thing to be done, once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub struct Handling {
    /// Another number says that it is another thing. Not 0.
    pub number: u32,
    /// What.
    pub kind: HandlingKind,
}

/// The granted part of a course.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Schema)]
pub struct Route {
    /// Which course. 0 is none.
    pub course: u32,
    /// Number of the first waypoint: the vehicle is there, or has been.
    pub first: u32,
    count: u8,
    points: [Waypoint; WAYPOINTS_MAX],
    /// The vehicle shall stop at the next waypoint where it can, and give up the rest.
    pub recalled: bool,
    /// To be done at the last waypoint.
    pub handling: Option<Handling>,
    /// The transport order that it is for, by its number; 0 for none. Shown, not heeded.
    pub order: u64,
}

impl Route {
    /// No way to drive.
    pub const NONE: Self = Self {
        course: 0,
        first: 0,
        count: 0,
        points: [Waypoint { x: Meters(0.0), y: Meters(0.0) }; WAYPOINTS_MAX],
        recalled: false,
        handling: None,
        order: 0,
    };

    /// A route over waypoints, of which those beyond [`WAYPOINTS_MAX`] are left for later.
    #[must_use]
    pub fn over(course: u32, first: u32, points: impl IntoIterator<Item = Waypoint>) -> Self {
        let mut route = Self { course, first, ..Self::NONE };
        for (slot, point) in route.points.iter_mut().zip(points) {
            *slot = point;
            route.count += 1;
        }
        route
    }

    /// Number of the last waypoint; that before the first if there is none.
    #[must_use]
    pub fn last(&self) -> u32 {
        (self.first + u32::from(self.count)).saturating_sub(1)
    }

    /// The waypoint of a number, if it is part of the route.
    #[must_use]
    pub fn waypoint(&self, number: u32) -> Option<Waypoint> {
        let at = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.points.get(..usize::from(self.count))?.get(at).copied()
    }

    /// Whether all waypoints are numbers.
    #[must_use]
    pub fn is_finite(&self) -> bool {
        self.points.iter().all(|point| point.x.is_finite() && point.y.is_finite())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waypoints_are_found_by_their_numbers() {
        let point = |x| Waypoint { x: Meters(x), y: Meters(0.0) };
        let route = Route::over(3, 7, [point(0.0), point(1.0)]);
        assert_eq!(route.last(), 8);
        assert_eq!(route.waypoint(8), Some(point(1.0)));
        assert_eq!(route.waypoint(9), None);
        assert_eq!(route.waypoint(6), None);
    }

    #[test]
    fn what_does_not_fit_is_left_for_later() {
        let points = (0..20).map(|x| Waypoint { x: Meters(f64::from(x)), y: Meters(0.0) });
        assert_eq!(Route::over(1, 0, points).last(), WAYPOINTS_MAX as u32 - 1);
    }
}
