//! The name of one run of one node.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::num::NonZeroU64;
use std::str::FromStr;

/// A random number that names one run of a node, so that frames of an earlier run are known as such.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Incarnation(NonZeroU64);

impl Incarnation {
    /// The incarnation with this number; `None` for 0. The number must be random: see
    /// [`Incarnation::draw`].
    #[must_use]
    pub const fn new(random: u64) -> Option<Self> {
        match NonZeroU64::new(random) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// Draws one from the kernel's random numbers.
    ///
    /// # Errors
    /// If `/dev/urandom` cannot be read.
    pub fn draw() -> io::Result<Self> {
        let mut source = File::open("/dev/urandom")?;
        let mut bytes = [0; 8];
        source.read_exact(&mut bytes)?;
        // 0 comes once in 2^64.
        Self::new(u64::from_ne_bytes(bytes)).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0.get()
    }
}

impl fmt::Display for Incarnation {
    /// 16 hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for Incarnation {
    type Err = std::num::ParseIntError;

    /// Reads what `Display` writes, as a supervisor hands it to its agent.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = u64::from_str_radix(text, 16)?;
        NonZeroU64::try_from(number).map(Self).or_else(|_| "0".parse::<NonZeroU64>().map(Self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_incarnation_survives_its_text() {
        let one = Incarnation::new(0x1f).unwrap();
        assert_eq!(one.to_string(), "000000000000001f");
        assert_eq!(one.to_string().parse(), Ok(one));
        assert!("0".parse::<Incarnation>().is_err() && "x".parse::<Incarnation>().is_err());
    }

    #[test]
    fn two_draws_differ() {
        assert_ne!(Incarnation::draw().unwrap(), Incarnation::draw().unwrap());
    }
}
