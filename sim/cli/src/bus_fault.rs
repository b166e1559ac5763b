//! How a device misbehaves on the bus, as people write it.

use std::str::FromStr;

use hal_units::Duration;
use sim_devices::{DeviceFault, Farm, FieldDevice};

use crate::failure::Failure;

/// `N:KIND`, the device counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FaultArgument {
    device: u16,
    fault: DeviceFault,
}

impl FromStr for FaultArgument {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "give N:dead, N:refuse, N:garbage or N:slow:MS (1 to 60000)";
        let (device, kind) = text.split_once(':').ok_or(wrong)?;
        let device = device.parse().map_err(|_| wrong)?;
        let fault = match kind.split_once(':') {
            None if kind == "dead" => DeviceFault::Dead,
            None if kind == "refuse" => DeviceFault::Refuse,
            None if kind == "garbage" => DeviceFault::Garbage,
            Some(("slow", millis)) => {
                let millis = millis.parse().ok().filter(|millis| (1..=60_000).contains(millis));
                DeviceFault::Slow(Duration::from_millis(millis.ok_or(wrong)?))
            }
            None | Some(_) => return Err(wrong),
        };
        Ok(Self { device, fault })
    }
}

impl FaultArgument {
    /// Complains about faults of devices that are not there; `kind` is what a device is called.
    pub(crate) fn check(all: &[Self], kind: &str, count: u16) -> Result<(), Failure> {
        match all.iter().find(|fault| !(1..=count).contains(&fault.device)) {
            Some(wrong) => Err(Failure::arguments(
                format!("--fault names {kind} {} of {count}", wrong.device),
                format!("{kind}s count from 1"),
            )),
            None => Ok(()),
        }
    }

    /// Sets the fault at its device.
    pub(crate) fn set<D: FieldDevice>(self, farm: &Farm<D>) {
        farm.set_fault(usize::from(self.device).saturating_sub(1), self.fault);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_names_its_device_and_its_kind() {
        let parsed = |text: &str| text.parse::<FaultArgument>();
        assert_eq!(parsed("7:dead"), Ok(FaultArgument { device: 7, fault: DeviceFault::Dead }));
        let slow = DeviceFault::Slow(Duration::from_millis(250));
        assert_eq!(parsed("1:slow:250"), Ok(FaultArgument { device: 1, fault: slow }));
        for wrong in ["dead", "x:dead", "1:", "1:slow", "1:slow:0", "1:slow:x", "1:dead:3", "-1:dead"] {
            assert!(parsed(wrong).is_err(), "{wrong}");
        }
    }
}
