//! The process images of a loop group's devices, as its real-time thread holds them.

use agent_cycle::Bus;
use hal_process_image::{DeviceInputs, DeviceOutputs, Publisher, Subscriber, exchange};

/// The real-time thread's ends, one pair for each device.
#[derive(Debug)]
pub struct GroupImages {
    devices: Box<[DeviceImages]>,
}

#[derive(Debug)]
struct DeviceImages {
    inputs: Subscriber<DeviceInputs>,
    outputs: Publisher<DeviceOutputs>,
}

/// The driver's ends for one device.
#[derive(Debug)]
pub struct DriverImages {
    /// Where complete scans go.
    pub inputs: Publisher<DeviceInputs>,
    /// Where outputs come from.
    pub outputs: Subscriber<DeviceOutputs>,
}

impl GroupImages {
    /// Images for as many devices, and the driver's ends in the same order. Allocates: set-up only.
    #[must_use]
    pub fn new(devices: usize) -> (Self, Vec<DriverImages>) {
        let (group, drivers) = (0..devices)
            .map(|_| {
                let (inputs_in, inputs_out) = exchange(&DeviceInputs::NEVER);
                let (outputs_in, outputs_out) = exchange(&DeviceOutputs::NEVER);
                let images = DeviceImages { inputs: inputs_out, outputs: outputs_in };
                (images, DriverImages { inputs: inputs_in, outputs: outputs_out })
            })
            .unzip::<_, _, Vec<_>, Vec<_>>();
        (Self { devices: group.into_boxed_slice() }, drivers)
    }
}

impl Bus for GroupImages {
    fn inputs(&mut self, device: usize) -> &DeviceInputs {
        match self.devices.get_mut(device) {
            Some(images) => images.inputs.latest(),
            None => &DeviceInputs::NEVER,
        }
    }

    fn publish(&mut self, device: usize, outputs: &DeviceOutputs) {
        if let Some(images) = self.devices.get_mut(device) {
            images.outputs.publish(outputs);
        }
    }
}
