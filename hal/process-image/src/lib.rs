//! The process image: the last complete set of inputs, or outputs, of each device.
//!
//! # Model
//!
//! A device has up to [`TAGS_MAX`] input tags and as many output tags. All tags carry `f64` values in
//! SI units: every register type of a device profile fits into an `f64` without loss. One *scan* reads
//! all inputs of a device; it is published whole or not at all, so the controllers never see a mix of
//! two scans.
//!
//! # Terms
//!
//! - [`Sample`]: value, quality, acquisition time, sequence of its scan.
//! - [`DeviceInputs`], [`DeviceOutputs`]: the two images of a device, plain data that can be copied.
//! - [`exchange()`]: one writer, one reader, wait-free on both sides: how an image crosses between a
//!   real-time thread and an I/O thread.

#![no_std]

mod exchange;
mod image;
mod sample;

pub use exchange::{Publisher, Subscriber, exchange};
pub use image::{DeviceInputs, DeviceOutputs, TAGS_MAX, TagIndex};
pub use sample::{Quality, Sample};
