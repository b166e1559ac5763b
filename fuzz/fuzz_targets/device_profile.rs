//! Device profiles: any text is refused helpfully, or compiles to blocks that a bus can carry and that
//! turn any registers into finite values.
#![no_main]

use hal_diagnostics::Document;
use hal_field_bus::DeviceProfile;
use hal_process_image::{DeviceInputs, Quality, TagIndex};
use libfuzzer_sys::fuzz_target;
use takt_fuzz::{FILE, assert_helpful};

/// Limits of the Modbus application protocol V1.1b3, 6.3 and 6.12, in registers.
const READ_WORDS_MAX: u16 = 125;
const WRITE_WORDS_MAX: u16 = 123;

fuzz_target!(|text: &str| {
    let document = Document::new(FILE, text);
    let profile = match DeviceProfile::parse(&document) {
        Ok(profile) => profile,
        Err(complaint) => return assert_helpful(FILE, text, &complaint),
    };
    let mut inputs = DeviceInputs::NEVER;
    for block in &profile.reads {
        assert!((1..=READ_WORDS_MAX).contains(&block.count));
        for garbage in [0_u16, 0x7f80, 0x8000, 0xffff] {
            profile.decode(block, &vec![garbage; usize::from(block.count)], &mut inputs);
        }
    }
    for (at, tag) in profile.inputs.iter().enumerate() {
        let sample = inputs.sample(TagIndex(at.try_into().expect("a device has few tags")));
        assert!(sample.value.is_finite());
        let plausible = (tag.range.0..=tag.range.1).contains(&sample.value);
        assert!(plausible || sample.quality != Quality::Good, "{tag:?}: {sample:?}");
    }
    let outputs = profile.initial_outputs();
    for block in &profile.writes {
        assert!((1..=WRITE_WORDS_MAX).contains(&block.count));
        profile.encode(block, &outputs, &mut vec![0; usize::from(block.count)]);
    }
});
