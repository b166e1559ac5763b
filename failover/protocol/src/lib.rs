//! The pair protocol: which of two nodes may write to the field.
//!
//! # Terms
//!
//! - epoch: number of a term of office; the higher one always wins.
//! - lease: the time until which an Active node may write; it ends by itself.
//! - arbiter: registers on a field device that decide between two claims.

#![no_std]

mod message;

pub use message::{ArbiterImage, ArbiterOp, Epoch, FieldHealth, Message, Node, Role};
