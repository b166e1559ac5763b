//! Timing of a Modbus serial line (Modbus over Serial Line, Specification and Implementation Guide
//! V1.02, sections 2.5.1 and 2.5.1.1).

use core::time::Duration;

/// Bits of a character on the wire: start, 8 data, parity or second stop, stop (section 2.5.1).
const CHARACTER_BITS: u64 = 11;
/// Above this speed the silent interval is fixed (section 2.5.1.1).
const FIXED_SILENCE_ABOVE_BAUD: u32 = 19_200;
/// The fixed silent interval between two frames.
const FIXED_SILENCE: Duration = Duration::from_micros(1_750);

/// Speed of a serial line, and the silence that separates two frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SerialTiming {
    baud_rate: u32,
    silence: Duration,
}

impl SerialTiming {
    /// A line at `baud_rate` (at least 1) bits per second with the standard's silence: 3.5 characters
    /// up to 19,200 baud, 1.750 ms above.
    #[must_use]
    pub const fn new(baud_rate: u32) -> Self {
        let baud_rate = if baud_rate == 0 { 1 } else { baud_rate };
        let silence = if baud_rate > FIXED_SILENCE_ABOVE_BAUD {
            FIXED_SILENCE
        } else {
            Duration::from_nanos(CHARACTER_BITS * 3_500_000_000 / baud_rate as u64)
        };
        Self { baud_rate, silence }
    }

    /// The same line with another silence, for devices that need a longer one.
    #[must_use]
    pub const fn with_silence(self, silence: Duration) -> Self {
        Self { silence, ..self }
    }

    /// Bits per second.
    #[must_use]
    pub const fn baud_rate(&self) -> u32 {
        self.baud_rate
    }

    /// The least silence between two frames.
    #[must_use]
    pub const fn silence(&self) -> Duration {
        self.silence
    }

    /// Time on the wire of a frame of `bytes`, without the silence around it.
    #[must_use]
    pub const fn frame(&self, bytes: u32) -> Duration {
        Duration::from_nanos(CHARACTER_BITS * bytes as u64 * 1_000_000_000 / self.baud_rate as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standards_own_figures_come_out() {
        // 3.5 characters of 11 bits at 9600 baud; above 19,200 baud 1.750 ms.
        assert_eq!(SerialTiming::new(9_600).silence(), Duration::from_nanos(4_010_416));
        assert_eq!(SerialTiming::new(19_200).silence(), Duration::from_nanos(2_005_208));
        assert_eq!(SerialTiming::new(38_400).silence(), Duration::from_micros(1_750));
        assert_eq!(SerialTiming::new(9_600).frame(8), Duration::from_nanos(9_166_666));
    }
}
