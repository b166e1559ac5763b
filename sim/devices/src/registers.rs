//! The register map of the turbine PLC: the one place that says what lies where.
//!
//! 32-bit values lie in two registers, the high word first; `f32` is IEEE 754. All registers are
//! holding registers and can also be read as input registers. Units are SI.

/// How the bits of a value are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// 16 bits, unsigned.
    U16,
    /// 32 bits, unsigned.
    U32,
    /// 32 bits, IEEE 754.
    F32,
}

impl Kind {
    /// Registers that a value takes.
    #[must_use]
    pub const fn words(self) -> u16 {
        match self {
            Self::U16 => 1,
            Self::U32 | Self::F32 => 2,
        }
    }
}

/// A named value in a table of registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Register {
    /// Name, as in the device profile.
    pub name: &'static str,
    /// Address of the first word.
    pub address: u16,
    /// Type.
    pub kind: Kind,
    /// First address of the table that it lies in.
    table: u16,
}

const fn measurement(address: u16, kind: Kind, name: &'static str) -> Register {
    Register { name, address, kind, table: MEASUREMENTS_START }
}

const fn command(address: u16, kind: Kind, name: &'static str) -> Register {
    Register { name, address, kind, table: COMMANDS_START }
}

/// First measurement register.
pub const MEASUREMENTS_START: u16 = 0;
/// Measurement registers.
pub const MEASUREMENTS_COUNT: usize = 40;
/// First command register.
pub const COMMANDS_START: u16 = 100;
/// Command registers.
pub const COMMANDS_COUNT: usize = 18;
/// Those of them that a master writes which leads all blades together.
pub const COMMANDS_TOGETHER_COUNT: usize = 11;

/// First register of the arbiter, on the PLC that carries it.
pub const ARBITER_START: u16 = 200;
/// Registers of the arbiter: slot and counter of node A, slot and counter of node B.
pub const ARBITER_COUNT: usize = 4;

/// Words of the measurement table.
pub type MeasurementWords = [u16; MEASUREMENTS_COUNT];
/// Words of the command table.
pub type CommandWords = [u16; COMMANDS_COUNT];

/// Speed of the high-speed shaft, rad/s.
pub const GENERATOR_SPEED: Register = measurement(0, Kind::F32, "generator_speed");
/// Speed of the low-speed shaft, rad/s.
pub const ROTOR_SPEED: Register = measurement(2, Kind::F32, "rotor_speed");
/// Angle of the first blade, rad.
pub const PITCH_1: Register = measurement(4, Kind::F32, "pitch_1");
/// Angle of the second blade, rad.
pub const PITCH_2: Register = measurement(6, Kind::F32, "pitch_2");
/// Angle of the third blade, rad.
pub const PITCH_3: Register = measurement(8, Kind::F32, "pitch_3");
/// Generator torque, N m.
pub const GENERATOR_TORQUE: Register = measurement(10, Kind::F32, "generator_torque");
/// Electrical power, W.
pub const POWER: Register = measurement(12, Kind::F32, "power");
/// Wind speed, m/s.
pub const WIND_SPEED: Register = measurement(14, Kind::F32, "wind_speed");
/// Wind direction less nacelle yaw, rad.
pub const YAW_ERROR: Register = measurement(16, Kind::F32, "yaw_error");
/// Nacelle yaw from north clockwise, rad.
pub const NACELLE_YAW: Register = measurement(18, Kind::F32, "nacelle_yaw");
/// Fore-aft acceleration of the tower top, m/s2.
pub const TOWER_ACCELERATION: Register = measurement(20, Kind::F32, "tower_acceleration");
/// 1 if the grid is there.
pub const GRID_OK: Register = measurement(22, Kind::U16, "grid_ok");
/// 1 if the brake is applied.
pub const BRAKE_APPLIED: Register = measurement(23, Kind::U16, "brake_applied");
/// 0 normal, 1 watchdog hold, 2 safe.
pub const PLC_STATE: Register = measurement(24, Kind::U16, "plc_state");
/// The watchdog's last value.
pub const WATCHDOG_ECHO: Register = measurement(25, Kind::U16, "watchdog_echo");
/// The highest epoch that was written.
pub const EPOCH: Register = measurement(26, Kind::U32, "epoch");
/// Bits: see [`crate::plc::fault`].
pub const FAULT_WORD: Register = measurement(28, Kind::U16, "fault_word");
/// Scans, wrapping.
pub const SCAN_COUNTER: Register = measurement(29, Kind::U16, "scan_counter");
/// Twist of the cables, clockwise positive, turns counted, rad.
pub const CABLE_TWIST: Register = measurement(30, Kind::F32, "cable_twist");
/// Azimuth of the first blade, rad; 0 upright.
pub const AZIMUTH: Register = measurement(32, Kind::F32, "azimuth");
/// Out-of-plane moment at the first blade's root, N m.
pub const ROOT_MOMENT_1: Register = measurement(34, Kind::F32, "root_moment_1");
/// At the second one's.
pub const ROOT_MOMENT_2: Register = measurement(36, Kind::F32, "root_moment_2");
/// At the third one's.
pub const ROOT_MOMENT_3: Register = measurement(38, Kind::F32, "root_moment_3");

/// Generator torque, N m.
pub const GENERATOR_TORQUE_CMD: Register = command(100, Kind::F32, "generator_torque_cmd");
/// Blade angle of all blades, rad.
pub const PITCH_CMD: Register = command(102, Kind::F32, "pitch_cmd");
/// Rate of the nacelle, clockwise, rad/s.
pub const YAW_RATE_CMD: Register = command(104, Kind::F32, "yaw_rate_cmd");
/// 1 applies the brake.
pub const BRAKE_CMD: Register = command(106, Kind::U16, "brake_cmd");
/// 1 connects the generator.
pub const GENERATOR_CONNECT: Register = command(107, Kind::U16, "generator_connect");
/// The writer's term of office.
pub const EPOCH_CMD: Register = command(108, Kind::U32, "epoch_cmd");
/// Feeds the watchdog when it changes.
pub const WATCHDOG: Register = command(110, Kind::U16, "watchdog");
/// 1: each blade follows its own command; 0: all follow the common one.
pub const PITCH_INDIVIDUAL: Register = command(111, Kind::U16, "pitch_individual");
/// Angle of the first blade, rad.
pub const PITCH_1_CMD: Register = command(112, Kind::F32, "pitch_1_cmd");
/// Of the second one.
pub const PITCH_2_CMD: Register = command(114, Kind::F32, "pitch_2_cmd");
/// Of the third one.
pub const PITCH_3_CMD: Register = command(116, Kind::F32, "pitch_3_cmd");

/// All measurements, by address.
pub const MEASUREMENTS: [Register; 23] = [
    GENERATOR_SPEED,
    ROTOR_SPEED,
    PITCH_1,
    PITCH_2,
    PITCH_3,
    GENERATOR_TORQUE,
    POWER,
    WIND_SPEED,
    YAW_ERROR,
    NACELLE_YAW,
    TOWER_ACCELERATION,
    GRID_OK,
    BRAKE_APPLIED,
    PLC_STATE,
    WATCHDOG_ECHO,
    EPOCH,
    FAULT_WORD,
    SCAN_COUNTER,
    CABLE_TWIST,
    AZIMUTH,
    ROOT_MOMENT_1,
    ROOT_MOMENT_2,
    ROOT_MOMENT_3,
];

/// All commands, by address.
pub const COMMANDS: [Register; 11] = [
    GENERATOR_TORQUE_CMD,
    PITCH_CMD,
    YAW_RATE_CMD,
    BRAKE_CMD,
    GENERATOR_CONNECT,
    EPOCH_CMD,
    WATCHDOG,
    PITCH_INDIVIDUAL,
    PITCH_1_CMD,
    PITCH_2_CMD,
    PITCH_3_CMD,
];

impl Register {
    /// The word in its table's words; 0 for a register that does not lie in them.
    #[must_use]
    pub fn u16(self, words: &[u16]) -> u16 {
        words.get(self.offset()).copied().unwrap_or(0)
    }

    /// The two words in its table's words.
    #[must_use]
    pub fn u32(self, words: &[u16]) -> u32 {
        let low = words.get(self.offset() + 1).copied().unwrap_or(0);
        (u32::from(self.u16(words)) << 16) | u32::from(low)
    }

    /// The number in its table's words.
    #[must_use]
    pub fn f32(self, words: &[u16]) -> f64 {
        f64::from(f32::from_bits(self.u32(words)))
    }

    /// Sets the word in its table's words.
    pub fn set_u16(self, words: &mut [u16], value: u16) {
        if let Some(word) = words.get_mut(self.offset()) {
            *word = value;
        }
    }

    /// Sets the two words in its table's words.
    pub fn set_u32(self, words: &mut [u16], value: u32) {
        self.set_u16(words, (value >> 16) as u16);
        if let Some(word) = words.get_mut(self.offset() + 1) {
            *word = value as u16;
        }
    }

    /// Sets the number in its table's words, rounded to single precision.
    pub fn set_f32(self, words: &mut [u16], value: f64) {
        self.set_u32(words, (value as f32).to_bits());
    }

    const fn offset(self) -> usize {
        (self.address - self.table) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_table(registers: &[Register], start: u16, count: usize) {
        let mut next = start;
        for register in registers {
            assert_eq!(register.address, next, "{} leaves a gap or overlaps", register.name);
            next += register.kind.words();
        }
        assert_eq!(usize::from(next - start), count);
    }

    #[test]
    fn the_tables_have_neither_gap_nor_overlap() {
        check_table(&MEASUREMENTS, MEASUREMENTS_START, MEASUREMENTS_COUNT);
        check_table(&COMMANDS, COMMANDS_START, COMMANDS_COUNT);
    }

    #[test]
    fn numbers_lie_high_word_first() {
        let mut words: CommandWords = [0; COMMANDS_COUNT];
        PITCH_CMD.set_f32(&mut words, 1.0);
        EPOCH_CMD.set_u32(&mut words, 0x0001_0002);
        assert_eq!(words[2..4], [0x3f80, 0]);
        assert_eq!(words[8..10], [1, 2]);
        assert_eq!((PITCH_CMD.f32(&words), EPOCH_CMD.u32(&words)), (1.0, 0x0001_0002));
    }
}
