//! Whether a vehicle may take an order: the rules of the standard, in its order of asking.
//!
//! The master never sends what would be refused, and a simulated vehicle refuses what a real one would.
//! Error types: VDA 5050 2.1.0, section 6.6.4 and 6.10.6; 3.0.0, sections 6.1.4 and 6.7.

use crate::address::Version;
use crate::order::{Node, Order, OrderFault};
use crate::state::Level;

/// What a vehicle has, before it looks at a new message.
pub struct Held<'a> {
    /// The last message that it took.
    pub last: Option<&'a Order>,
    /// Whether nodes, edges or actions of it are left.
    pub active: bool,
    /// Whether it was cancelled.
    pub cancelled: bool,
    /// Whether the vehicle takes orders at all.
    pub available: bool,
    /// Whether the vehicle stands on a node, or near enough to begin there.
    pub stands_on: &'a dyn Fn(&Node) -> bool,
    /// Whether the vehicle knows a map.
    pub knows_map: &'a dyn Fn(&str) -> bool,
    /// Whether the vehicle can do an action.
    pub can_do: &'a dyn Fn(&str) -> bool,
    /// Whether the vehicle finds a way to a node.
    pub can_reach: &'a dyn Fn(&Node) -> bool,
}

/// What becomes of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// A new order begins.
    New,
    /// The order goes on from its last released node.
    Update,
    /// It came before: nothing changes.
    Repeated,
}

/// Why a vehicle does not take a message; what it has goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejection {
    /// The order is none.
    Invalid(OrderFault),
    /// The vehicle is in the hands of a person, or starts.
    NotAvailable,
    /// It cannot do one of the actions.
    UnsupportedAction,
    /// It cannot use one of the optional fields.
    UnsupportedParameter,
    /// It does not know the map of a node.
    UnknownMap,
    /// An older update than the one that it has.
    Outdated,
    /// The same update with other contents; in 2.1 such a message is passed over.
    SameUpdate,
    /// An update of an order that was cancelled.
    AfterCancel,
    /// A new order while another one is not done.
    OtherActive,
    /// An update that does not begin where the base ends.
    NotStitched,
    /// It does not stand at the first node.
    StartOutOfRange,
    /// It finds no way to a node.
    NoRoute,
    /// There is nothing to cancel.
    NoOrderToCancel,
    /// It cannot do an instant action.
    InvalidInstantAction,
}

impl Rejection {
    /// The standard's word for it.
    #[must_use]
    pub const fn error_type(self, version: Version) -> &'static str {
        match version {
            Version::V2 => match self {
                Self::Invalid(_) => "validationError",
                Self::NotAvailable
                | Self::UnsupportedAction
                | Self::UnsupportedParameter
                | Self::UnknownMap => "orderError",
                Self::Outdated
                | Self::SameUpdate
                | Self::AfterCancel
                | Self::OtherActive
                | Self::NotStitched => "orderUpdateError",
                Self::StartOutOfRange | Self::NoRoute => "noRouteError",
                Self::NoOrderToCancel => "noOrderToCancel",
                // Version 2.1 asks for an error without naming its type; this is what is in use.
                Self::InvalidInstantAction => "instantActionError",
            },
            Version::V3 => match self {
                Self::Invalid(_) | Self::NotStitched => "VALIDATION_FAILURE",
                Self::NotAvailable => "MOBILE_ROBOT_NOT_AVAILABLE",
                Self::UnsupportedAction => "INVALID_ORDER_ACTION",
                Self::UnsupportedParameter => "UNSUPPORTED_PARAMETER",
                Self::UnknownMap => "UNKNOWN_MAP_ID",
                Self::Outdated => "OUTDATED_ORDER_UPDATE",
                Self::SameUpdate => "SAME_ORDER_UPDATE_ID",
                Self::AfterCancel => "ORDER_UPDATE_FOLLOWING_CANCEL",
                Self::OtherActive => "OTHER_ORDER_ACTIVE",
                Self::StartOutOfRange => "START_NODE_OUT_OF_RANGE",
                Self::NoRoute => "NO_ROUTE_TO_TARGET",
                Self::NoOrderToCancel => "NO_ORDER_TO_CANCEL",
                Self::InvalidInstantAction => "INVALID_INSTANT_ACTION",
            },
        }
    }

    /// How bad the standard finds it.
    #[must_use]
    pub const fn level(self, version: Version) -> Level {
        match (self, version) {
            (Self::UnsupportedParameter, Version::V3) => Level::Critical,
            _ => Level::Warning,
        }
    }

    /// Whether an error of this type says that an order was not taken.
    #[must_use]
    pub fn is_of_order(error_type: &str, version: Version) -> bool {
        const OF_ORDERS: [Rejection; 12] = [
            Rejection::Invalid(OrderFault::NoNodes),
            Rejection::NotAvailable,
            Rejection::UnsupportedAction,
            Rejection::UnsupportedParameter,
            Rejection::UnknownMap,
            Rejection::Outdated,
            Rejection::SameUpdate,
            Rejection::AfterCancel,
            Rejection::OtherActive,
            Rejection::NotStitched,
            Rejection::StartOutOfRange,
            Rejection::NoRoute,
        ];
        OF_ORDERS.iter().any(|rejection| rejection.error_type(version) == error_type)
    }
}

/// Whether a vehicle takes a message, and as what.
///
/// # Errors
/// Why it does not; see [`Rejection`].
pub fn judge(held: &Held<'_>, order: &Order, version: Version) -> Result<Taken, Rejection> {
    order.check().map_err(Rejection::Invalid)?;
    if !held.available {
        return Err(Rejection::NotAvailable);
    }
    let taken = match held.last.filter(|last| last.order_id == order.order_id) {
        Some(last) => judge_update(held, last, order, version)?,
        None if held.active => return Err(Rejection::OtherActive),
        None => Taken::New,
    };
    if taken == Taken::Repeated {
        return Ok(taken);
    }
    if order.actions().any(|action| !(held.can_do)(&action.action_type)) {
        return Err(Rejection::UnsupportedAction);
    }
    let maps = order.nodes.iter().filter_map(|node| node.position.as_ref());
    if maps.into_iter().any(|position| !(held.knows_map)(&position.map_id)) {
        return Err(Rejection::UnknownMap);
    }
    let begins_here = order.nodes.first().is_some_and(|node| (held.stands_on)(node));
    if taken == Taken::New && !begins_here {
        return Err(Rejection::StartOutOfRange);
    }
    if order.nodes.iter().any(|node| !(held.can_reach)(node)) { Err(Rejection::NoRoute) } else { Ok(taken) }
}

fn judge_update(held: &Held<'_>, last: &Order, order: &Order, version: Version) -> Result<Taken, Rejection> {
    if order.order_update_id < last.order_update_id {
        return Err(Rejection::Outdated);
    }
    if order.order_update_id == last.order_update_id {
        return match version {
            Version::V3 if order != last => Err(Rejection::SameUpdate),
            Version::V2 | Version::V3 => Ok(Taken::Repeated),
        };
    }
    if held.cancelled {
        return Err(Rejection::AfterCancel);
    }
    let place = |node: &Node| (node.node_id.clone(), node.sequence_id);
    if order.nodes.first().map(place) != last.last_released().map(place) {
        return Err(Rejection::NotStitched);
    }
    Ok(Taken::Update)
}
