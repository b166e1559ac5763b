//! Everything that can go wrong between a request and its answer, each under its own name.

use std::fmt;

/// Why a request got no usable answer, or what else came over the wire that should not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The peer refused the connection.
    ConnectRefused,
    /// The peer did not answer the connection request in time.
    ConnectTimeout,
    /// The connection or the serial port could not be opened for another reason.
    ConnectFailed,
    /// The peer closed or reset the connection, or the serial port vanished, between two frames.
    ConnectionLost,
    /// The connection was accepted, or the device addressed anew, and nothing ever came back.
    HalfOpen,
    /// A device that had answered before did not begin to answer in time.
    Timeout,
    /// An answer began and broke off.
    CutFrame,
    /// An answer trickled in and was not whole in time.
    SlowReply,
    /// The answer carries the number of another transaction.
    WrongTransactionId,
    /// The answer comes from another unit.
    WrongUnit,
    /// The answer is to another function.
    WrongFunction,
    /// The answer has another length than the request asks for, or contradicts itself.
    WrongLength,
    /// The device acknowledged another write than the one requested.
    WrongEcho,
    /// The bytes are no Modbus TCP frame.
    Garbage,
    /// The bytes are no Modbus RTU frame: the check sum is wrong.
    BadCrc,
    /// A second answer to a request that had been answered.
    DuplicateReply,
    /// The answer to a request that had been given up.
    LateReply,
    /// The serial line did not fall silent.
    LineBusy,
    /// An earlier request was abandoned on this connection, which is therefore unusable.
    Poisoned,
    /// The device answered with an exception code (Modbus Application Protocol V1.1b3, section 7).
    Exception(u8),
}

impl Fault {
    /// How many names there are.
    pub const COUNT: usize = 20;

    /// One fault of each name, in the order of [`Fault::index`]; the exception's code is 0.
    pub const ALL: [Self; Self::COUNT] = [
        Self::ConnectRefused,
        Self::ConnectTimeout,
        Self::ConnectFailed,
        Self::ConnectionLost,
        Self::HalfOpen,
        Self::Timeout,
        Self::CutFrame,
        Self::SlowReply,
        Self::WrongTransactionId,
        Self::WrongUnit,
        Self::WrongFunction,
        Self::WrongLength,
        Self::WrongEcho,
        Self::Garbage,
        Self::BadCrc,
        Self::DuplicateReply,
        Self::LateReply,
        Self::LineBusy,
        Self::Poisoned,
        Self::Exception(0),
    ];

    /// Position of the name, below [`Fault::COUNT`].
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Self::ConnectRefused => 0,
            Self::ConnectTimeout => 1,
            Self::ConnectFailed => 2,
            Self::ConnectionLost => 3,
            Self::HalfOpen => 4,
            Self::Timeout => 5,
            Self::CutFrame => 6,
            Self::SlowReply => 7,
            Self::WrongTransactionId => 8,
            Self::WrongUnit => 9,
            Self::WrongFunction => 10,
            Self::WrongLength => 11,
            Self::WrongEcho => 12,
            Self::Garbage => 13,
            Self::BadCrc => 14,
            Self::DuplicateReply => 15,
            Self::LateReply => 16,
            Self::LineBusy => 17,
            Self::Poisoned => 18,
            Self::Exception(_) => 19,
        }
    }

    /// The name, for logs, metrics and JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ConnectRefused => "connect_refused",
            Self::ConnectTimeout => "connect_timeout",
            Self::ConnectFailed => "connect_failed",
            Self::ConnectionLost => "connection_lost",
            Self::HalfOpen => "half_open",
            Self::Timeout => "timeout",
            Self::CutFrame => "cut_frame",
            Self::SlowReply => "slow_reply",
            Self::WrongTransactionId => "wrong_transaction_id",
            Self::WrongUnit => "wrong_unit",
            Self::WrongFunction => "wrong_function",
            Self::WrongLength => "wrong_length",
            Self::WrongEcho => "wrong_echo",
            Self::Garbage => "garbage",
            Self::BadCrc => "bad_crc",
            Self::DuplicateReply => "duplicate_reply",
            Self::LateReply => "late_reply",
            Self::LineBusy => "line_busy",
            Self::Poisoned => "poisoned",
            Self::Exception(_) => "exception",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exception(code) => write!(f, "exception {code} ({})", exception_name(*code)),
            named => f.write_str(named.as_str()),
        }
    }
}

impl std::error::Error for Fault {}

/// The gateway found no path to the device, or the device did not answer the gateway.
pub(crate) const GATEWAY_EXCEPTIONS: [u8; 2] = [0x0a, 0x0b];

/// Names of the exception codes (Modbus Application Protocol V1.1b3, section 7).
const fn exception_name(code: u8) -> &'static str {
    match code {
        0x01 => "illegal function",
        0x02 => "illegal data address",
        0x03 => "illegal data value",
        0x04 => "server device failure",
        0x05 => "acknowledge",
        0x06 => "server device busy",
        0x08 => "memory parity error",
        0x0a => "gateway path unavailable",
        0x0b => "gateway target failed to respond",
        _ => "not in the standard",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_has_a_place_and_a_name_of_its_own() {
        let mut names: Vec<&str> = Vec::new();
        for (at, fault) in Fault::ALL.iter().enumerate() {
            assert_eq!(fault.index(), at);
            assert!(!names.contains(&fault.as_str()), "{fault}");
            names.push(fault.as_str());
        }
    }
}
