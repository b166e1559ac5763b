//! The payload of Sparkplug B, as far as an edge node needs it.
//!
//! Field numbers and data types after the Eclipse Sparkplug specification 3.0, chapter 6 (Payloads). What is not
//! named here is skipped when it is read, and never written.

use prost::{Message, Oneof};

use crate::state::StateValue;

/// A message's contents.
#[derive(Clone, PartialEq, Message)]
pub struct Payload {
    /// When it was sent, ms since 1970.
    #[prost(uint64, optional, tag = "1")]
    pub timestamp: Option<u64>,
    /// What it says.
    #[prost(message, repeated, tag = "2")]
    pub metrics: Vec<Metric>,
    /// Its place in the session, 0 to 255; none in a death of the node.
    #[prost(uint64, optional, tag = "3")]
    pub seq: Option<u64>,
}

/// One value.
#[derive(Clone, PartialEq, Message)]
pub struct Metric {
    /// Its name.
    #[prost(string, optional, tag = "1")]
    pub name: Option<String>,
    /// When it was so, ms since 1970.
    #[prost(uint64, optional, tag = "3")]
    pub timestamp: Option<u64>,
    /// What it is: [`INT64`], [`UINT64`], [`DOUBLE`], [`BOOLEAN`] or [`STRING`] here.
    #[prost(uint32, optional, tag = "4")]
    pub datatype: Option<u32>,
    /// There is no value now.
    #[prost(bool, optional, tag = "7")]
    pub is_null: Option<bool>,
    /// The value.
    #[prost(oneof = "Value", tags = "10, 11, 12, 13, 14, 15")]
    pub value: Option<Value>,
}

/// A value by its kind on the wire.
#[derive(Clone, PartialEq, Oneof)]
pub enum Value {
    /// Whole numbers of up to 32 bits.
    #[prost(uint32, tag = "10")]
    Int(u32),
    /// Whole numbers of 64 bits; negative ones as two's complement.
    #[prost(uint64, tag = "11")]
    Long(u64),
    /// Single precision.
    #[prost(float, tag = "12")]
    Float(f32),
    /// Double precision.
    #[prost(double, tag = "13")]
    Double(f64),
    /// Yes or no.
    #[prost(bool, tag = "14")]
    Boolean(bool),
    /// Text.
    #[prost(string, tag = "15")]
    Text(String),
}

/// Whole number with a sign.
pub const INT64: u32 = 4;
/// Whole number without a sign.
pub const UINT64: u32 = 8;
/// Double precision.
pub const DOUBLE: u32 = 10;
/// Yes or no.
pub const BOOLEAN: u32 = 11;
/// Text.
pub const STRING: u32 = 12;

impl Metric {
    fn new(name: &str, at_ms: u64, datatype: u32, value: Option<Value>) -> Self {
        let is_null = value.is_none().then_some(true);
        Self { name: Some(name.to_owned()), timestamp: Some(at_ms), datatype: Some(datatype), is_null, value }
    }

    /// A unit's value; a number that is none has no value.
    #[must_use]
    pub fn of(name: &str, at_ms: u64, value: StateValue) -> Self {
        match value {
            StateValue::Number(number) => {
                Self::new(name, at_ms, DOUBLE, number.is_finite().then_some(Value::Double(number)))
            }
            StateValue::Integer(number) => {
                Self::new(name, at_ms, INT64, Some(Value::Long(number.cast_unsigned())))
            }
            StateValue::Word(word) => Self::new(name, at_ms, STRING, Some(Value::Text(word.to_owned()))),
            StateValue::Flag(flag) => Self::new(name, at_ms, BOOLEAN, Some(Value::Boolean(flag))),
        }
    }

    /// A metric that can be written: a command, without a value as long as nobody writes one.
    #[must_use]
    pub fn writable(name: &str, at_ms: u64) -> Self {
        Self::new(name, at_ms, STRING, Some(Value::Text(String::new())))
    }

    /// A whole number without a sign.
    #[must_use]
    pub fn count(name: &str, at_ms: u64, value: u64) -> Self {
        Self::new(name, at_ms, UINT64, Some(Value::Long(value)))
    }

    /// Yes or no.
    #[must_use]
    pub fn flag(name: &str, at_ms: u64, value: bool) -> Self {
        Self::new(name, at_ms, BOOLEAN, Some(Value::Boolean(value)))
    }
}
