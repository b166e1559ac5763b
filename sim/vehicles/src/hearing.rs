//! What a vehicle does with what it hears.

use hal_units::Instant;
use hal_vda5050::{
    Action, ActionStatus, Header, Held, InstantActions, Malformed, Order, OrderFault, Rejection, Taken,
    Topic, Value, Version, ZoneSet, judge,
};
use jiff::Timestamp;

use crate::tasks::Times;
use crate::vehicle::{INSTANT_MAX, Said, Vehicle};

/// Zone sets that a vehicle has room for.
const ZONE_SETS_MAX: usize = 8;

impl Vehicle {
    /// Takes in a message of the master, and says what is to be said at once.
    pub fn hear(&mut self, now: Instant, wall: Timestamp, topic: Topic, text: &str, out: &mut Vec<Said>) {
        match topic {
            Topic::Order if !self.hibernates => self.hear_order(text),
            Topic::InstantActions => self.hear_instant(wall, text, out),
            Topic::ZoneSet if self.version == Version::V3 && !self.hibernates => self.hear_zone_set(text),
            // It asks for nothing that is answered there.
            Topic::Responses | Topic::Order | Topic::ZoneSet => {}
            Topic::State | Topic::Visualization | Topic::Connection | Topic::Factsheet => {}
        }
        self.tell(now, wall, out);
    }

    fn hear_order(&mut self, text: &str) {
        self.news = true;
        let (header, order) = match Order::from_json(text) {
            Ok(read) => read,
            Err(malformed) => return self.malformed("order", &malformed),
        };
        let unread = Order::unread_fields(text).unwrap_or_default();
        let judged = self.judge_order(&header, &order).and_then(|taken| match unread.as_slice() {
            [] => Ok(taken),
            _ => Err(Rejection::UnsupportedParameter),
        });
        match judged {
            Ok(Taken::Repeated) => self.tally.repeated += 1,
            Ok(Taken::New) => {
                self.tally.orders += 1;
                self.faults.order_taken();
                self.begin(&order);
                self.last = Some(order);
            }
            Ok(Taken::Update) => {
                self.tally.updates += 1;
                self.faults.order_taken();
                self.follow(&order);
                self.last = Some(order);
            }
            Err(rejection) => {
                self.tally.rejected += 1;
                let mut references = vec![
                    ("topic", "order".to_owned()),
                    ("headerId", header.header_id.to_string()),
                    ("orderId", order.order_id.clone()),
                    ("orderUpdateId", order.order_update_id.to_string()),
                ];
                if rejection == Rejection::UnsupportedParameter {
                    references.extend(unread.iter().map(|field| ("parameter", (*field).to_owned())));
                }
                self.faults.reject(rejection, references, format!("{rejection:?}"), self.version);
            }
        }
    }

    fn judge_order(&self, header: &Header, order: &Order) -> Result<Taken, Rejection> {
        if !self.is_for_me(header) {
            return Err(Rejection::Invalid(OrderFault::NoName));
        }
        let map = self.setup.start.map_id.as_str();
        let held = Held {
            last: self.last.as_ref(),
            active: !self.is_idle() || self.cancelling.is_some(),
            cancelled: self.cancelled || self.cancelling.is_some(),
            available: self.mode.takes_orders() && !self.lost,
            stands_on: &|node| self.stands_on(node),
            knows_map: &|other| other == map,
            can_do: &|action| Times::KNOWN.contains(&action),
            can_reach: &|node| self.place_of(node).is_some(),
        };
        judge(&held, order, self.version)
    }

    fn is_for_me(&self, header: &Header) -> bool {
        header.is_from(&self.setup.address) && self.version.understands(&header.version)
    }

    fn malformed(&mut self, topic: &str, malformed: &Malformed) {
        self.tally.rejected += 1;
        let (line, column) = malformed.position;
        let description = format!("line {line}, column {column}: {}", malformed.what);
        let references = vec![("topic", topic.to_owned())];
        self.faults.reject(Rejection::Invalid(OrderFault::NoNodes), references, description, self.version);
    }

    fn hear_instant(&mut self, wall: Timestamp, text: &str, out: &mut Vec<Said>) {
        let (header, actions) = match InstantActions::from_json(text) {
            Ok(read) => read,
            Err(malformed) => {
                self.news = true;
                return self.malformed("instantActions", &malformed);
            }
        };
        if !self.is_for_me(&header) {
            return;
        }
        for action in actions.actions {
            if self.hibernates && action.action_type != "stopHibernation" {
                continue;
            }
            self.news = true;
            // One that it has is not done again; its state answers.
            if !self.instant.iter().any(|(known, _)| known.action_id == action.action_id) {
                self.do_instant(wall, action, out);
            }
        }
    }

    fn do_instant(&mut self, wall: Timestamp, action: Action, out: &mut Vec<Said>) {
        if self.instant.len() >= INSTANT_MAX {
            let over = self.instant.iter().position(|(_, status)| status.is_over());
            self.instant.remove(over.unwrap_or(0));
        }
        let id = action.action_id.clone();
        self.instant.push((action.clone(), ActionStatus::Running));
        match self.instant_outcome(wall, &action, out) {
            Ok(Some(status)) => {
                self.faults.instant_taken();
                self.end_instant(&id, status);
            }
            Ok(None) => self.faults.instant_taken(),
            Err(rejection) => {
                self.end_instant(&id, ActionStatus::Failed);
                let references = vec![("topic", "instantActions".to_owned()), ("actionId", id)];
                self.faults.reject(rejection, references, action.action_type, self.version);
            }
        }
    }

    /// Does it; `None` if it goes on.
    fn instant_outcome(
        &mut self,
        wall: Timestamp,
        action: &Action,
        out: &mut Vec<Said>,
    ) -> Result<Option<ActionStatus>, Rejection> {
        let done = |fine: bool| Ok(Some(if fine { ActionStatus::Finished } else { ActionStatus::Failed }));
        let named = text_of(action, "actionId");
        match (action.action_type.as_str(), self.version) {
            ("startPause", _) => self.paused = true,
            ("stopPause", _) => self.paused = false,
            ("startCharging", _) => self.charging = self.is_idle(),
            ("stopCharging", _) => self.charging = false,
            ("stateRequest" | "logReport", _) => {}
            ("factsheetRequest", _) => {
                let factsheet = self.factsheet(wall);
                out.push(factsheet);
            }
            ("cancelOrder", _) => return self.cancel(action),
            ("initPosition", Version::V2) | ("initializePosition", Version::V3) => {
                return done(self.set_position(action));
            }
            ("trigger", Version::V3) => return done(self.tasks.trigger()),
            ("retry", Version::V3) => {
                let times = self.times();
                return done(self.tasks.retry(named.unwrap_or_default(), times));
            }
            ("skipRetry", Version::V3) => {
                return done(self.tasks.end(named.unwrap_or_default(), ActionStatus::Failed));
            }
            ("clearInstantActions", Version::V3) => {
                self.instant.retain(|(_, status)| !status.is_over());
            }
            ("clearZoneActions", Version::V3) => {}
            ("enableZoneSet", Version::V3) => return done(self.enable_zone_set(action)),
            ("deleteZoneSet", Version::V3) => return done(self.delete_zone_set(action)),
            ("startHibernation", Version::V3) => {
                self.clear_order();
                self.hibernates = true;
                out.push(self.connection(wall, "HIBERNATING"));
            }
            ("stopHibernation", Version::V3) => {
                self.hibernates = false;
                out.push(self.connection(wall, "ONLINE"));
            }
            _ => return Err(Rejection::InvalidInstantAction),
        }
        done(true)
    }

    fn cancel(&mut self, action: &Action) -> Result<Option<ActionStatus>, Rejection> {
        let other = text_of(action, "orderId")
            .is_some_and(|order_id| self.last.as_ref().is_none_or(|last| last.order_id != order_id));
        if other || self.is_idle() || self.cancelling.is_some() {
            return Err(Rejection::NoOrderToCancel);
        }
        self.tasks.fail();
        self.cancelling = Some(action.action_id.clone());
        Ok(None)
    }

    fn hear_zone_set(&mut self, text: &str) {
        self.news = true;
        let (header, zone_set) = match ZoneSet::from_json(text) {
            Ok(read) => read,
            Err(malformed) => return self.malformed("zoneSet", &malformed),
        };
        let id = &zone_set.zone_set_id;
        match self.zone_sets.iter().find(|(held, _)| held.zone_set_id == *id) {
            _ if !self.is_for_me(&header) => {}
            // It comes again, because the state that tells of it was lost.
            Some((held, _)) if *held == zone_set => {}
            Some(_) => self.faults.zone_set(id, true),
            None if zone_set.check().is_err() || self.zone_sets.len() >= ZONE_SETS_MAX => {
                self.faults.zone_set(id, false);
            }
            None => self.zone_sets.push((zone_set, false)),
        }
    }

    fn enable_zone_set(&mut self, action: &Action) -> bool {
        let Some(id) = text_of(action, "zoneSetId") else { return false };
        let Some(map) =
            self.zone_sets.iter().find(|(set, _)| set.zone_set_id == id).map(|(set, _)| &set.map_id)
        else {
            return false;
        };
        let map = map.clone();
        for (set, enabled) in self.zone_sets.iter_mut().filter(|(set, _)| set.map_id == map) {
            *enabled = set.zone_set_id == id;
        }
        true
    }

    /// One that is in use stays.
    fn delete_zone_set(&mut self, action: &Action) -> bool {
        let Some(id) = text_of(action, "zoneSetId") else { return false };
        let before = self.zone_sets.len();
        self.zone_sets.retain(|(set, enabled)| *enabled || set.zone_set_id != id);
        self.zone_sets.len() < before
    }

    fn set_position(&mut self, action: &Action) -> bool {
        let number = |key: &str| number_of(action, key).filter(|number| number.is_finite());
        let (Some(x), Some(y), Some(theta)) = (number("x"), number("y"), number("theta")) else {
            return false;
        };
        let map = text_of(action, "mapId");
        if !self.is_idle() || map.is_some_and(|map| map != self.setup.start.map_id) {
            return false;
        }
        (self.truth.x, self.truth.y, self.truth.heading) = (x, y, crate::motion::wrapped(theta));
        if let Some(node) = text_of(action, "lastNodeId") {
            self.last_node = (node.to_owned(), 0);
        }
        self.lost = false;
        self.faults.localization(false, self.version);
        true
    }
}

pub(crate) fn text_of<'a>(action: &'a Action, key: &str) -> Option<&'a str> {
    action.parameters.iter().find(|(name, _)| name == key).and_then(|(_, value)| match value {
        Value::Text(text) => Some(text.as_str()),
        Value::Number(_) | Value::Flag(_) => None,
    })
}

fn number_of(action: &Action, key: &str) -> Option<f64> {
    action.parameters.iter().find(|(name, _)| name == key).and_then(|(_, value)| match value {
        Value::Number(number) => Some(*number),
        Value::Text(_) | Value::Flag(_) => None,
    })
}
