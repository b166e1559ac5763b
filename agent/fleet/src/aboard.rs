//! Whose load is where, after a while in which nobody led the fleet.
//!
//! # Model
//!
//! Of an order the last state is known in which somebody led the fleet. Since then its vehicle may have gone on with what
//! it was told: it may have taken the load, or put it down. What it says now about that decides what becomes of the
//! order. Nothing is guessed: where the load may be here or there, a person has to look for it.

use control_loops_dispatch::{OrderState, TaskKind};

/// What is known of a vehicle's load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Aboard {
    /// It has one.
    Load,
    /// It has none.
    Nothing,
    /// It has done nothing since, so what was so then is so now.
    AsBefore,
    /// It has done one thing since, and that was the next one of its order.
    OneOn,
    /// It may have one or not.
    Unknown,
}

/// What becomes of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resumption {
    /// Its load is where it was fetched from: any vehicle can do it.
    Anew,
    /// The vehicle brings its load on.
    GoesOn,
    /// Its load is where it belongs.
    Done,
    /// Its load may be here or there.
    Lost,
}

impl Aboard {
    /// After a task of this kind is done.
    pub(crate) const fn after(kind: TaskKind) -> Self {
        match kind {
            TaskKind::Pick => Self::Load,
            TaskKind::Drop => Self::Nothing,
            TaskKind::Visit | TaskKind::Charge | TaskKind::Park => Self::AsBefore,
        }
    }

    /// What becomes of a transport order that was so far, if its vehicle is at the place where the load goes or not.
    pub(crate) const fn resumption(self, then: OrderState, is_at_drop: bool) -> Resumption {
        match (then, self) {
            (OrderState::Waiting, _) => Resumption::Anew,
            (
                OrderState::Assigned(_) | OrderState::ToPick(_) | OrderState::AtPick(_),
                Self::Load | Self::OneOn,
            ) => Resumption::GoesOn,
            (
                OrderState::Assigned(_) | OrderState::ToPick(_) | OrderState::AtPick(_),
                Self::Nothing | Self::AsBefore,
            ) => Resumption::Anew,
            // It would have been seen to have begun, unless the state is old; then the load is not found, which is said.
            (OrderState::Assigned(_) | OrderState::ToPick(_), Self::Unknown) => Resumption::Anew,
            (OrderState::ToDrop(_) | OrderState::AtDrop(_), Self::Load | Self::AsBefore) => {
                Resumption::GoesOn
            }
            (OrderState::AtDrop(_), Self::Nothing | Self::OneOn) | (OrderState::ToDrop(_), Self::OneOn) => {
                Resumption::Done
            }
            (OrderState::ToDrop(_), Self::Nothing) if is_at_drop => Resumption::Done,
            // Something went wrong already then: only a vehicle that feels its load knows better.
            (OrderState::Held(_), Self::Load) => Resumption::GoesOn,
            (OrderState::AtPick(_) | OrderState::AtDrop(_), Self::Unknown)
            | (OrderState::ToDrop(_), Self::Nothing | Self::Unknown)
            | (OrderState::Held(_), Self::Nothing | Self::AsBefore | Self::OneOn | Self::Unknown)
            | (OrderState::Over(_), _) => Resumption::Lost,
        }
    }
}

#[cfg(test)]
mod tests {
    use control_loops_dispatch::Vehicle;

    use super::*;

    const AT: Vehicle = Vehicle(0);

    #[test]
    fn an_order_goes_on_only_if_its_load_can_be_at_one_place_alone() {
        use Aboard::{AsBefore, Load, Nothing, OneOn, Unknown};
        use Resumption::{Anew, Done, GoesOn, Lost};
        let table = [
            (
                OrderState::Assigned(AT),
                [(Load, GoesOn), (Nothing, Anew), (AsBefore, Anew), (OneOn, GoesOn), (Unknown, Anew)],
            ),
            (
                OrderState::ToPick(AT),
                [(Load, GoesOn), (Nothing, Anew), (AsBefore, Anew), (OneOn, GoesOn), (Unknown, Anew)],
            ),
            (
                OrderState::AtPick(AT),
                [(Load, GoesOn), (Nothing, Anew), (AsBefore, Anew), (OneOn, GoesOn), (Unknown, Lost)],
            ),
            (
                OrderState::ToDrop(AT),
                [(Load, GoesOn), (Nothing, Lost), (AsBefore, GoesOn), (OneOn, Done), (Unknown, Lost)],
            ),
            (
                OrderState::AtDrop(AT),
                [(Load, GoesOn), (Nothing, Done), (AsBefore, GoesOn), (OneOn, Done), (Unknown, Lost)],
            ),
            (
                OrderState::Held(AT),
                [(Load, GoesOn), (Nothing, Lost), (AsBefore, Lost), (OneOn, Lost), (Unknown, Lost)],
            ),
        ];
        for (then, row) in table {
            for (aboard, becomes) in row {
                assert_eq!(aboard.resumption(then, false), becomes, "{then:?} {aboard:?}");
            }
        }
        assert_eq!(Nothing.resumption(OrderState::ToDrop(AT), true), Done, "it stands where the load goes");
    }
}
