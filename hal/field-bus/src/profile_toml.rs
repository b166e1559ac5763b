//! Device profiles as people write them.

use core::time::Duration;
use std::collections::HashSet;

use hal_diagnostics::{Diagnostic, Document, Spanned};
use hal_process_image::{TAGS_MAX, TagIndex};
use serde::Deserialize;

use crate::profile::{
    DeviceProfile, Exchange, InputTag, OutputTag, READ_WORDS_MAX, SafeAction, Start, WRITE_WORDS_MAX, blocks,
    index,
};
use crate::register::{Register, RegisterTable, RegisterType, WordOrder};
use crate::unit;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProfileToml {
    name: String,
    #[serde(rename = "description", default)]
    _description: String,
    response_timeout_ms: Spanned<u32>,
    #[serde(default = "default_connections")]
    connections_max: Spanned<u16>,
    #[serde(default = "unplaced")]
    exchange: Spanned<Exchange>,
    #[serde(default)]
    start: Start,
    /// Unused registers between two inputs that may be read along to save a transaction.
    #[serde(default = "default_gap")]
    gap_max: Spanned<u16>,
    watchdog: Option<Spanned<String>>,
    epoch: Option<Spanned<String>>,
    heartbeat: Option<Spanned<String>>,
    local: Option<Spanned<String>>,
    #[serde(default)]
    input: Vec<Spanned<InputToml>>,
    #[serde(default)]
    output: Vec<Spanned<OutputToml>>,
}

fn unplaced<T: Default>() -> Spanned<T> {
    Spanned::new(0..0, T::default())
}

fn default_connections() -> Spanned<u16> {
    Spanned::new(0..0, 1)
}

fn default_gap() -> Spanned<u16> {
    Spanned::new(0..0, 4)
}

fn one() -> f64 {
    1.0
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct InputToml {
    tag: Spanned<String>,
    #[serde(default)]
    table: RegisterTable,
    register: u16,
    #[serde(rename = "type")]
    kind: RegisterType,
    #[serde(default)]
    word_order: WordOrder,
    bit: Option<Spanned<u8>>,
    #[serde(default = "unplaced")]
    unit: Spanned<String>,
    #[serde(default = "one")]
    scale: f64,
    #[serde(default)]
    offset: f64,
    min: Option<f64>,
    max: Option<f64>,
    max_age_ms: Spanned<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OutputToml {
    tag: Spanned<String>,
    register: u16,
    #[serde(rename = "type")]
    kind: RegisterType,
    #[serde(default)]
    word_order: WordOrder,
    #[serde(default = "unplaced")]
    unit: Spanned<String>,
    #[serde(default = "one")]
    scale: f64,
    #[serde(default)]
    offset: f64,
    min: f64,
    max: f64,
    safe: Spanned<SafeToml>,
    #[serde(default)]
    initial: f64,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
enum SafeToml {
    Hold,
    Zero,
    Value(f64),
    Ramp { to: f64, per_second: f64 },
}

impl DeviceProfile {
    /// Reads, checks and compiles a profile.
    ///
    /// # Errors
    /// At the first thing that is missing, unknown, out of range or contradictory, with its place.
    pub fn parse(document: &Document) -> Result<Self, Diagnostic> {
        let toml: ProfileToml = document.parse()?;
        check_range(document, &toml.response_timeout_ms, 1..=60_000, "response_timeout_ms")?;
        check_range(document, &toml.connections_max, 1..=1_000, "connections_max")?;
        check_range(document, &toml.gap_max, 0..=100, "gap_max")?;
        let inputs = check_inputs(document, &toml.input)?;
        let outputs = check_outputs(document, &toml.output)?;
        if inputs.is_empty() && outputs.is_empty() {
            return Err(document.whole("the profile has neither [[input]] nor [[output]]", "add one"));
        }
        let reads = blocks(
            &positions(inputs.iter().map(|tag| tag.register)),
            u32::from(*toml.gap_max.get_ref()),
            READ_WORDS_MAX,
        );
        // A gap in a write would write registers that the profile does not name.
        let writes = blocks(&positions(outputs.iter().map(|tag| tag.register)), 0, WRITE_WORDS_MAX);
        let exchange = *toml.exchange.get_ref();
        let one_each =
            reads.len() == 1 && writes.len() == 1 && reads.iter().all(|b| b.table == RegisterTable::Holding);
        if exchange == Exchange::Combined && !one_each {
            return Err(document.at(
                toml.exchange.span(),
                "a combined exchange needs all inputs in one block of holding registers and all outputs in one block",
                "use exchange = \"split\", or raise gap_max so that the inputs make one block",
            ));
        }
        let mut profile = Self {
            name: toml.name,
            response_timeout: millis(*toml.response_timeout_ms.get_ref()),
            connections_max: *toml.connections_max.get_ref(),
            exchange,
            start: toml.start,
            inputs,
            outputs,
            watchdog: None,
            epoch: None,
            heartbeat: None,
            local: None,
            reads,
            writes,
        };
        profile.watchdog = special_output(document, &profile, toml.watchdog.as_ref(), "watchdog")?;
        profile.epoch = special_output(document, &profile, toml.epoch.as_ref(), "epoch")?;
        profile.heartbeat = special_input(document, &profile, toml.heartbeat.as_ref(), "heartbeat")?;
        profile.local = special_input(document, &profile, toml.local.as_ref(), "local")?;
        Ok(profile)
    }
}

fn positions(registers: impl Iterator<Item = Register>) -> Vec<(TagIndex, Register)> {
    registers.enumerate().filter_map(|(at, register)| Some((index(at)?, register))).collect()
}

fn millis(millis: u32) -> Duration {
    Duration::from_millis(u64::from(millis))
}

fn check_range<T>(
    document: &Document,
    field: &Spanned<T>,
    range: core::ops::RangeInclusive<T>,
    name: &str,
) -> Result<(), Diagnostic>
where
    T: PartialOrd + core::fmt::Display,
{
    if range.contains(field.get_ref()) {
        return Ok(());
    }
    Err(document.at(
        field.span(),
        format!("{name} is {}", field.get_ref()),
        format!("give {} to {}", range.start(), range.end()),
    ))
}

fn special_output(
    document: &Document,
    profile: &DeviceProfile,
    name: Option<&Spanned<String>>,
    role: &str,
) -> Result<Option<TagIndex>, Diagnostic> {
    let Some(name) = name else { return Ok(None) };
    let complain = |what: String| {
        document.at(
            name.span(),
            what,
            "name an [[output]] of type u16 or u32 with the whole range of its type",
        )
    };
    let tag = profile
        .output(name.get_ref())
        .ok_or_else(|| complain(format!("the {role} `{}` is not an output", name.get_ref())))?;
    let output = profile.outputs.get(usize::from(tag.0));
    let whole = output.is_some_and(|output| {
        matches!(output.register.kind, RegisterType::U16 | RegisterType::U32)
            && output.limits == output.register.kind.raw_range()
            && output.factor == 1.0
            && output.offset == 0.0
    });
    if whole { Ok(Some(tag)) } else { Err(complain(format!("the {role} cannot count in this output"))) }
}

fn special_input(
    document: &Document,
    profile: &DeviceProfile,
    name: Option<&Spanned<String>>,
    role: &str,
) -> Result<Option<TagIndex>, Diagnostic> {
    let Some(name) = name else { return Ok(None) };
    let unknown = || {
        let what = format!("the {role} `{}` is not an input", name.get_ref());
        document.at(name.span(), what, "name an [[input]]")
    };
    profile.input(name.get_ref()).map(Some).ok_or_else(unknown)
}

fn check_name(
    document: &Document,
    tag: &Spanned<String>,
    names: &mut HashSet<String>,
) -> Result<(), Diagnostic> {
    let name = tag.get_ref();
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if name.is_empty() || name.len() > 48 || !name.chars().all(plain) {
        return Err(document.at(
            tag.span(),
            format!("`{name}` is no tag name"),
            "use 1 to 48 letters, digits and underscores",
        ));
    }
    if !names.insert(name.clone()) {
        return Err(document.at(tag.span(), format!("the tag `{name}` stands twice"), "rename one"));
    }
    if names.len() > TAGS_MAX {
        return Err(document.at(
            tag.span(),
            format!("more than {TAGS_MAX} tags in one direction"),
            "leave out tags that no loop uses, or describe the device as two",
        ));
    }
    Ok(())
}

fn check_register(
    document: &Document,
    tag: &Spanned<String>,
    register: Register,
) -> Result<Register, Diagnostic> {
    if register.end() > 0x1_0000 {
        return Err(document.at(
            tag.span(),
            format!("`{}` reaches beyond register 65535", tag.get_ref()),
            "correct the register or the type",
        ));
    }
    Ok(register)
}

/// The factor from raw to SI, and the offset in SI.
fn check_scaling(
    document: &Document,
    tag: &Spanned<String>,
    unit: &Spanned<String>,
    scale: f64,
    offset: f64,
) -> Result<(f64, f64, f64), Diagnostic> {
    let to_si = unit::factor_to_si(unit.get_ref()).ok_or_else(|| {
        document.at(
            unit.span(),
            format!("the unit `{}` is not known", unit.get_ref()),
            format!("use one of: {}", unit::known()),
        )
    })?;
    if !scale.is_finite() || scale == 0.0 || !offset.is_finite() {
        return Err(document.at(
            tag.span(),
            format!("scale {scale} with offset {offset} of `{}` maps nothing", tag.get_ref()),
            "give a scale that is finite and not zero, and a finite offset",
        ));
    }
    Ok((to_si, scale * to_si, offset * to_si))
}

fn check_inputs(document: &Document, list: &[Spanned<InputToml>]) -> Result<Vec<InputTag>, Diagnostic> {
    let mut names = HashSet::new();
    let mut inputs = Vec::with_capacity(list.len());
    for entry in list {
        let toml = entry.get_ref();
        check_name(document, &toml.tag, &mut names)?;
        check_range(document, &toml.max_age_ms, 1..=3_600_000, "max_age_ms")?;
        let register = check_register(
            document,
            &toml.tag,
            Register {
                table: toml.table,
                address: toml.register,
                kind: toml.kind,
                word_order: toml.word_order,
            },
        )?;
        let (to_si, factor, offset) =
            check_scaling(document, &toml.tag, &toml.unit, toml.scale, toml.offset)?;
        if let Some(bit) = &toml.bit
            && (toml.kind != RegisterType::U16 || *bit.get_ref() > 15)
        {
            return Err(document.at(
                bit.span(),
                format!("bit {} of a register of this type", bit.get_ref()),
                "give a bit from 0 to 15 of a u16",
            ));
        }
        let range =
            (toml.min.unwrap_or(f64::MIN / to_si) * to_si, toml.max.unwrap_or(f64::MAX / to_si) * to_si);
        let range = (range.0.max(f64::MIN), range.1.min(f64::MAX));
        if range.0.is_nan() || range.1.is_nan() || range.0 >= range.1 {
            return Err(document.at(
                entry.span(),
                format!("min is not below max for `{}`", toml.tag.get_ref()),
                "give min < max",
            ));
        }
        inputs.push(InputTag {
            name: toml.tag.get_ref().clone(),
            register,
            bit: toml.bit.as_ref().map(|bit| *bit.get_ref()),
            factor,
            offset,
            range,
            age_max: millis(*toml.max_age_ms.get_ref()),
            unit: toml.unit.get_ref().clone(),
        });
    }
    Ok(inputs)
}

fn check_outputs(document: &Document, list: &[Spanned<OutputToml>]) -> Result<Vec<OutputTag>, Diagnostic> {
    let mut names = HashSet::new();
    let mut outputs: Vec<OutputTag> = Vec::with_capacity(list.len());
    for entry in list {
        let toml = entry.get_ref();
        check_name(document, &toml.tag, &mut names)?;
        let register = check_register(
            document,
            &toml.tag,
            Register {
                table: RegisterTable::Holding,
                address: toml.register,
                kind: toml.kind,
                word_order: toml.word_order,
            },
        )?;
        let (to_si, factor, offset) =
            check_scaling(document, &toml.tag, &toml.unit, toml.scale, toml.offset)?;
        let limits = (toml.min * to_si, toml.max * to_si);
        check_limits(document, entry, register, factor, offset, limits)?;
        let safe = check_safe(document, &toml.safe, limits, to_si)?;
        let initial = toml.initial * to_si;
        if !(limits.0..=limits.1).contains(&initial) {
            return Err(document.at(
                entry.span(),
                format!("initial {} of `{}` lies outside min and max", toml.initial, toml.tag.get_ref()),
                "give an initial value within the limits",
            ));
        }
        for other in &outputs {
            let apart = other.register.end() <= u32::from(register.address)
                || register.end() <= u32::from(other.register.address);
            if !apart {
                return Err(document.at(
                    toml.tag.span(),
                    format!("`{}` overlaps `{}`", toml.tag.get_ref(), other.name),
                    "give each output registers of its own",
                ));
            }
        }
        outputs.push(OutputTag {
            name: toml.tag.get_ref().clone(),
            register,
            factor,
            offset,
            limits,
            safe,
            initial,
            unit: toml.unit.get_ref().clone(),
        });
    }
    Ok(outputs)
}

fn check_limits(
    document: &Document,
    entry: &Spanned<OutputToml>,
    register: Register,
    factor: f64,
    offset: f64,
    limits: (f64, f64),
) -> Result<(), Diagnostic> {
    let name = entry.get_ref().tag.get_ref();
    if !limits.0.is_finite() || !limits.1.is_finite() || limits.0 >= limits.1 {
        return Err(document.at(
            entry.span(),
            format!("min is not below max for `{name}`"),
            "give finite min < max",
        ));
    }
    let (low, high) = register.kind.raw_range();
    let fits = |value: f64| (low..=high).contains(&((value - offset) / factor));
    if !fits(limits.0) || !fits(limits.1) {
        return Err(document.at(
            entry.span(),
            format!("min or max of `{name}` does not fit its register type"),
            "narrow the limits, change the scale, or use a wider type",
        ));
    }
    Ok(())
}

fn check_safe(
    document: &Document,
    safe: &Spanned<SafeToml>,
    limits: (f64, f64),
    to_si: f64,
) -> Result<SafeAction, Diagnostic> {
    let within = |value: f64| {
        let value = value * to_si;
        (limits.0..=limits.1).contains(&value).then_some(value)
    };
    let action = match *safe.get_ref() {
        SafeToml::Hold => Some(SafeAction::Hold),
        SafeToml::Zero => within(0.0).map(|_| SafeAction::Zero),
        SafeToml::Value(value) => within(value).map(SafeAction::Value),
        SafeToml::Ramp { to, per_second } => within(to)
            .filter(|_| per_second.is_finite() && per_second > 0.0)
            .map(|to| SafeAction::Ramp { to, per_second: per_second * to_si }),
    };
    action.ok_or_else(|| {
        document.at(
            safe.span(),
            "the safe action leaves the output's limits, or its rate is not above zero",
            "give a safe value within min and max",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use hal_process_image::{DeviceInputs, Quality};
    use proptest::prelude::*;

    const PROFILE: &str = r#"
name = "pump"
response_timeout_ms = 100
watchdog = "alive"

[[input]]
tag = "speed"
register = 0
type = "u16"
unit = "rpm"
scale = 0.1
min = 0.0
max = 3000.0
max_age_ms = 50

[[input]]
tag = "running"
register = 2
type = "u16"
bit = 3
max_age_ms = 50

[[output]]
tag = "speed_cmd"
register = 10
type = "f32"
unit = "rpm"
min = 0.0
max = 3000.0
safe = { ramp = { to = 0.0, per_second = 300.0 } }

[[output]]
tag = "alive"
register = 12
type = "u16"
min = 0.0
max = 65535.0
safe = "hold"
"#;

    fn parse(text: &str) -> Result<DeviceProfile, Diagnostic> {
        DeviceProfile::parse(&Document::new("pump.toml", text))
    }

    fn complaint_with(from: &str, to: &str) -> String {
        assert!(PROFILE.contains(from));
        parse(&PROFILE.replacen(from, to, 1)).unwrap_err().to_string()
    }

    #[test]
    fn registers_become_si_values_with_quality() {
        let profile = parse(PROFILE).unwrap();
        let mut image = DeviceInputs::NEVER;
        profile.decode(&profile.reads[0], &[15_000, 0, 0b1000], &mut image);
        let speed = image.sample(profile.input("speed").unwrap());
        assert!((speed.value - 1500.0 * core::f64::consts::PI / 30.0).abs() < 1e-9);
        assert_eq!(speed.quality, Quality::Good);
        assert_eq!(image.sample(profile.input("running").unwrap()).value, 1.0);
    }

    #[test]
    fn an_implausible_value_is_bad() {
        let profile = parse(PROFILE).unwrap();
        let mut image = DeviceInputs::NEVER;
        profile.decode(&profile.reads[0], &[30_001, 0, 0], &mut image);
        assert_eq!(image.sample(profile.input("speed").unwrap()).quality, Quality::Bad);
    }

    #[test]
    fn an_output_beyond_its_limits_is_held() {
        let profile = parse(PROFILE).unwrap();
        let mut outputs = profile.initial_outputs();
        outputs.set(profile.output("speed_cmd").unwrap(), 1e6);
        let mut words = [0; 3];
        profile.encode(&profile.writes[0], &outputs, &mut words);
        let speed = profile.outputs[0].register.decode(&words).unwrap();
        assert!((speed - 3000.0).abs() < 1e-3);
    }

    #[test]
    fn neighbours_within_the_gap_share_a_block_and_outputs_never_bridge_one() {
        let profile = parse(PROFILE).unwrap();
        assert_eq!((profile.reads.len(), profile.reads[0].count), (1, 3));
        assert_eq!((profile.writes.len(), profile.writes[0].count), (1, 3));
        let apart = parse(&PROFILE.replacen("register = 12", "register = 13", 1)).unwrap();
        assert_eq!(apart.writes.len(), 2);
    }

    #[test]
    fn the_safe_action_leaves_the_watchdog_alone() {
        let profile = parse(PROFILE).unwrap();
        let mut last = profile.initial_outputs();
        let (speed, alive) = (profile.output("speed_cmd").unwrap(), profile.watchdog.unwrap());
        last.set(speed, 100.0);
        last.set(alive, 7.0);
        let safe = profile.safe_outputs(&last, Duration::from_secs(60));
        assert_eq!((safe.value(speed), safe.value(alive)), (Some(0.0), Some(7.0)));
    }

    #[test]
    fn complaints_name_the_line_and_the_remedy() {
        assert!(
            complaint_with("unit = \"rpm\"", "unit = \"furlong\"")
                .starts_with("pump.toml:10:8: the unit `furlong`")
        );
        assert!(complaint_with("\"running\"", "\"speed\"").contains("stands twice"));
        assert!(complaint_with("register = 12", "register = 11").contains("overlaps"));
        assert!(complaint_with("to = 0.0", "to = -1.0").contains("safe action"));
        assert!(complaint_with("watchdog = \"alive\"", "watchdog = \"speed\"").contains("not an output"));
        for role in ["heartbeat", "local"] {
            let complaint = complaint_with("watchdog = \"alive\"", &format!("{role} = \"alive\""));
            assert!(complaint.contains(&format!("the {role} `alive` is not an input")), "{complaint}");
        }
        assert!(complaint_with("bit = 3", "bit = 16").contains("bit 16"));
        assert!(complaint_with("max_age_ms = 50", "max_age = 50").contains("unknown field"));
        assert!(complaint_with("register = 10", "register = 65535").contains("beyond register"));
        assert!(complaint_with("scale = 0.1", "scale = 0.0").contains("maps nothing"));
        assert!(complaint_with("scale = 0.1", "scale = nan").contains("maps nothing"));
    }

    proptest! {
        #[test]
        fn a_mangled_profile_never_panics(at in 0..PROFILE.len(), with in "[ -~]{0,8}") {
            let mut text = PROFILE.to_owned();
            let end = (at + 5).min(text.len());
            text.replace_range(at..end, &with);
            let _ = parse(&text);
        }
    }
}
