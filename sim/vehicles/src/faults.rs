//! What a vehicle complains about, and for how long (VDA 5050 3.0.0, section 6.6.5.4).

use hal_vda5050::{ActionStatus, Level, Rejection, Version};

/// Complaints in a state; the oldest go first.
const FAULTS_MAX: usize = 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Until {
    /// The next order or update is taken.
    Order,
    /// The mode allows orders.
    OrdersAllowed,
    /// The next instant action is taken.
    Instant,
    /// The vehicle knows where it is.
    Localized,
}

/// A complaint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) error_type: &'static str,
    pub(crate) level: Level,
    pub(crate) references: Vec<(&'static str, String)>,
    pub(crate) description: String,
    until: Until,
}

/// All complaints.
#[derive(Debug, Clone, Default)]
pub(crate) struct Faults {
    faults: Vec<Fault>,
}

impl Faults {
    pub(crate) fn all(&self) -> &[Fault] {
        &self.faults
    }

    /// A message was not taken.
    pub(crate) fn reject(
        &mut self,
        rejection: Rejection,
        references: Vec<(&'static str, String)>,
        description: String,
        version: Version,
    ) {
        let until = match rejection {
            Rejection::NotAvailable => Until::OrdersAllowed,
            Rejection::InvalidInstantAction => Until::Instant,
            Rejection::Invalid(_)
            | Rejection::UnsupportedAction
            | Rejection::UnsupportedParameter
            | Rejection::UnknownMap
            | Rejection::Outdated
            | Rejection::SameUpdate
            | Rejection::AfterCancel
            | Rejection::OtherActive
            | Rejection::NotStitched
            | Rejection::StartOutOfRange
            | Rejection::NoRoute
            | Rejection::NoOrderToCancel => Until::Order,
        };
        let (error_type, level) = (rejection.error_type(version), rejection.level(version));
        self.add(Fault { error_type, level, references, description, until });
    }

    /// An action ended.
    pub(crate) fn action(&mut self, action_id: &str, status: ActionStatus, version: Version) {
        if status == ActionStatus::Failed {
            // Neither version names a type for this.
            let error_type = match version {
                Version::V2 => "actionFailed",
                Version::V3 => "ACTION_FAILED",
            };
            let references = vec![("actionId", action_id.to_owned())];
            let description = "the action was tried and failed".to_owned();
            self.add(Fault {
                error_type,
                level: Level::Warning,
                references,
                description,
                until: Until::Order,
            });
        }
    }

    pub(crate) fn localization(&mut self, lost: bool, version: Version) {
        self.faults.retain(|fault| fault.until != Until::Localized);
        if lost {
            let error_type = match version {
                Version::V2 => "localizationError",
                Version::V3 => "LOCALIZATION_ERROR",
            };
            let description = "the vehicle does not know where it is".to_owned();
            let (level, references) = (Level::Fatal, Vec::new());
            self.add(Fault { error_type, level, references, description, until: Until::Localized });
        }
    }

    /// A zone set was not taken: one of its name is there, or it is none.
    pub(crate) fn zone_set(&mut self, zone_set_id: &str, is_there: bool) {
        let error_type = if is_there { "DUPLICATE_ZONE_SET" } else { "VALIDATION_FAILURE" };
        let references = vec![("topic", "zoneSet".to_owned()), ("zoneSetId", zone_set_id.to_owned())];
        let description = if is_there { "a zone set of this name is there" } else { "this is no zone set" };
        let description = description.to_owned();
        self.add(Fault { error_type, level: Level::Warning, references, description, until: Until::Order });
    }

    pub(crate) fn order_taken(&mut self) {
        self.faults.retain(|fault| fault.until != Until::Order);
    }

    pub(crate) fn orders_allowed(&mut self) {
        self.faults.retain(|fault| fault.until != Until::OrdersAllowed);
    }

    pub(crate) fn instant_taken(&mut self) {
        self.faults.retain(|fault| fault.until != Until::Instant);
    }

    fn add(&mut self, fault: Fault) {
        if self.faults.contains(&fault) {
            return;
        }
        if self.faults.len() >= FAULTS_MAX {
            self.faults.remove(0);
        }
        self.faults.push(fault);
    }
}
