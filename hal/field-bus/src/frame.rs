//! Sizes of Modbus frames (Modbus Application Protocol V1.1b3, sections 6.3, 6.6, 6.12 and 6.17).

/// Bytes of a request and its answer as RTU frames: address, PDU, check sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransactionBytes {
    /// Request.
    pub request: u32,
    /// Answer.
    pub answer: u32,
}

/// Reading `count` registers, function codes 3 and 4.
#[must_use]
pub const fn read_bytes(count: u16) -> TransactionBytes {
    TransactionBytes { request: 8, answer: 5 + 2 * count as u32 }
}

/// Writing `count` registers, function code 16.
#[must_use]
pub const fn write_bytes(count: u16) -> TransactionBytes {
    TransactionBytes { request: 9 + 2 * count as u32, answer: 8 }
}

/// Writing `writes` and reading `reads` registers in one transaction, function code 23.
#[must_use]
pub const fn exchange_bytes(reads: u16, writes: u16) -> TransactionBytes {
    TransactionBytes { request: 13 + 2 * writes as u32, answer: 5 + 2 * reads as u32 }
}
