//! What a line is made of: the wire, its timing, and the devices on it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use hal_field_bus::{DeviceProfile, SerialTiming};
use hal_process_image::{DeviceInputs, DeviceOutputs, Publisher, Subscriber};
use hal_units::{Duration, Instant};

use crate::counters::DeviceCounters;

/// The wire that a line owns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transport {
    /// Modbus TCP: one device, or a gateway with several units behind it.
    Tcp {
        /// Where the server listens.
        address: SocketAddr,
    },
    /// Modbus RTU on a serial port.
    Rtu {
        /// The port, e.g. `/dev/ttyUSB0`.
        path: PathBuf,
        /// Speed and silence.
        timing: SerialTiming,
        /// Parity.
        parity: Parity,
    },
}

/// Parity of a serial line. The stop bits follow from it, so that a character always has 11 bits
/// (Modbus over Serial Line V1.02, section 2.5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Parity {
    /// Even, one stop bit: the default of the standard.
    #[default]
    Even,
    /// Odd, one stop bit.
    Odd,
    /// None, two stop bits.
    None,
    /// None, one stop bit: not in the standard, but what most devices are delivered with.
    NoneOneStop,
}

/// A line: a wire with its timing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineConfig {
    /// Name, for logs.
    pub name: String,
    /// The wire.
    pub transport: Transport,
    /// How long a connection may take to come about.
    pub connect_timeout: Duration,
    /// Wait before the first attempt to reconnect after a connection that had worked, and before a
    /// device in quarantine is first retried. Doubles with each failure.
    pub reconnect_backoff_min: Duration,
    /// The longest such wait.
    pub reconnect_backoff_max: Duration,
    /// Serial lines: how long nothing is asked of a device after a fault of its own, so that a late
    /// answer to the request that failed passes by.
    pub late_window: Duration,
    /// An answer that is incomplete and has not grown for this long has broken off.
    pub frame_gap: Duration,
    /// Without current outputs for this long, the device is led through its safe action.
    pub outputs_missing_after: Duration,
    /// Time between two writes of the safe action.
    pub safe_write_interval: Duration,
    /// Lines with several devices: the least slack in which a device in quarantine is retried.
    pub retry_slack_min: Duration,
    /// Serial lines: put a probe between two requests whose answers could be confused, so that a
    /// repeated answer (radio links and repeaters do that) is never taken for the next one. Costs a
    /// short transaction per cycle with devices that are only read, or exchanged in one request.
    pub duplicate_guard: bool,
}

impl LineConfig {
    /// A line with the usual timing.
    #[must_use]
    pub fn new(name: &str, transport: Transport) -> Self {
        Self {
            name: name.to_owned(),
            transport,
            connect_timeout: Duration::from_millis(500),
            reconnect_backoff_min: Duration::from_millis(20),
            reconnect_backoff_max: Duration::from_secs(2),
            late_window: Duration::from_millis(50),
            frame_gap: Duration::from_millis(20),
            outputs_missing_after: Duration::from_millis(200),
            safe_write_interval: Duration::from_millis(50),
            retry_slack_min: Duration::from_millis(3),
            duplicate_guard: true,
        }
    }
}

/// A device on a line, with the ends of its images.
#[derive(Debug)]
pub struct DevicePort {
    /// Name, for logs.
    pub name: String,
    /// Unit id on the line; 255 or 1 for a TCP device without a gateway.
    pub unit_id: u8,
    /// What the device is.
    pub profile: Arc<DeviceProfile>,
    /// Where complete scans go.
    pub inputs: Publisher<DeviceInputs>,
    /// Where the outputs to write come from.
    pub outputs: Subscriber<DeviceOutputs>,
    /// What is counted.
    pub counters: Arc<DeviceCounters>,
}

/// Where a line gets the time from: the same monotonic clock that stamps the outputs' expiry.
pub trait Clock: Send + Sync + 'static {
    /// Now.
    fn now(&self) -> Instant;
}

impl<F: Fn() -> Instant + Send + Sync + 'static> Clock for F {
    fn now(&self) -> Instant {
        self()
    }
}
