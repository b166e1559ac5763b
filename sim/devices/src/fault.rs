//! Faults of a device's communication, for tests and demonstrations.

use core::time::Duration;

/// How a device misbehaves on the bus. Its plant and its watchdog go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeviceFault {
    /// Not at all.
    #[default]
    None,
    /// Accepts connections and requests, and never answers.
    Dead,
    /// Closes its connections and refuses new ones.
    Refuse,
    /// Answers late by so much.
    Slow(Duration),
    /// Carries out requests, and answers with bytes that are no answer to them: another transaction's
    /// number, another function, a length that lies, or noise, in turn.
    Garbage,
}

/// Spoils an answer. `turn` counts the spoiled answers, and says how.
pub(crate) fn spoil(answer: &mut [u8], turn: u32) {
    let mut flip = |at: usize, bits: u8| {
        if let Some(byte) = answer.get_mut(at) {
            *byte ^= bits;
        }
    };
    match turn % 4 {
        0 => flip(1, 0x55),
        1 => flip(7, 0x3f),
        2 => flip(8, 0x11),
        _ => {
            // Multiples of an odd constant look random enough, and repeat.
            for (at, byte) in answer.iter_mut().enumerate() {
                *byte = (turn.wrapping_add(at as u32).wrapping_mul(0x9e37_79b1) >> 24) as u8;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spoiled_answer_is_never_the_answer() {
        let answer = vec![0, 1, 0, 0, 0, 5, 1, 3, 2, 0, 9];
        for turn in 0..100 {
            let mut spoiled = answer.clone();
            spoil(&mut spoiled, turn);
            assert_ne!(spoiled, answer, "turn {turn}");
        }
    }
}
