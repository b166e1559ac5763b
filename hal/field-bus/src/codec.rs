//! Blocks of registers into process images and back.

use hal_process_image::{DeviceInputs, DeviceOutputs, Quality};

use crate::profile::{Block, DeviceProfile};

impl DeviceProfile {
    /// Puts the registers of one read block into the image: each tag good if plausible, else bad.
    /// `words` start at the block's first register; tags beyond their end become bad.
    pub fn decode(&self, block: &Block, words: &[u16], image: &mut DeviceInputs) {
        for &tag_index in &block.tags {
            let Some(tag) = self.inputs.get(usize::from(tag_index.0)) else { continue };
            let offset = usize::from(tag.register.address.saturating_sub(block.start));
            let raw = words.get(offset..).and_then(|words| tag.register.decode(words));
            let raw = match (raw, tag.bit) {
                (Some(raw), Some(bit)) => Some(f64::from((raw as u32 >> bit) & 1)),
                (raw, _) => raw,
            };
            let value = raw.map_or(f64::NAN, |raw| raw * tag.factor + tag.offset);
            if value >= tag.range.0 && value <= tag.range.1 {
                image.set(tag_index, value, Quality::Good);
            } else {
                // The last plausible value would look fresh; a doubtful one is shown as it came.
                image.set(tag_index, if value.is_finite() { value } else { 0.0 }, Quality::Bad);
            }
        }
    }

    /// Writes one block's outputs into `words`, which start at the block's first register. A value
    /// outside its limits is held at their end; one that is not a number becomes the initial value.
    pub fn encode(&self, block: &Block, image: &DeviceOutputs, words: &mut [u16]) {
        for &tag_index in &block.tags {
            let Some(tag) = self.outputs.get(usize::from(tag_index.0)) else { continue };
            let value = image.value(tag_index).filter(|value| !value.is_nan()).unwrap_or(tag.initial);
            let held = value.max(tag.limits.0).min(tag.limits.1);
            let offset = usize::from(tag.register.address.saturating_sub(block.start));
            if let Some(words) = words.get_mut(offset..) {
                tag.register.encode((held - tag.offset) / tag.factor, words);
            }
        }
    }
}
