//! What the cycle sees of the field.

use hal_process_image::{DeviceInputs, DeviceOutputs};

/// The process images of a loop group's devices, by position. Both sides are wait-free.
pub trait Bus {
    /// The last complete scan of a device; [`DeviceInputs::NEVER`] for one that does not exist.
    fn inputs(&mut self, device: usize) -> &DeviceInputs;

    /// Hands outputs to the driver, which writes them unless they expire first.
    fn publish(&mut self, device: usize, outputs: &DeviceOutputs);
}
