//! What a command of an operator asks of a unit or of the fleet.

use agent_cycle::CommandAction;
use hal_mqtt::command::{self, CommandKey, IncomingCommand};

use crate::fleet::FleetRequest;

/// What a command asks of the fleet; `None` if it is for another unit.
pub(super) fn fleet_request(command: &IncomingCommand) -> Option<FleetRequest> {
    let (number, key) = (command.number, command.key);
    match &command.command {
        command::Command::Transport(transport) => {
            Some(FleetRequest::Submit { number, key, transport: transport.clone() })
        }
        command::Command::Cancel { order } => {
            let order = CommandKey::of(&command.issuer, order);
            Some(FleetRequest::Cancel { number, key, order })
        }
        command::Command::Resolve { vehicle, load } => {
            Some(FleetRequest::Resolve { number, key, vehicle: vehicle.clone(), load: *load })
        }
        command::Command::Derate { .. }
        | command::Command::Start
        | command::Command::Stop
        | command::Command::EmergencyStop
        | command::Command::Reset => None,
    }
}

/// What a unit is told; `None` for what no unit can be told.
pub(super) fn action(command: &command::Command) -> Option<CommandAction> {
    Some(match command {
        command::Command::Derate { power_limit } => CommandAction::Derate(*power_limit),
        command::Command::Start => CommandAction::Start,
        command::Command::Stop => CommandAction::Stop,
        command::Command::EmergencyStop => CommandAction::EmergencyStop,
        command::Command::Reset => CommandAction::Reset,
        command::Command::Transport(_)
        | command::Command::Cancel { .. }
        | command::Command::Resolve { .. } => return None,
    })
}
