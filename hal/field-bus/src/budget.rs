//! Whether a list of devices fits on a bus within the period of its loop group.
//!
//! # Model
//!
//! A line carries one transaction at a time. A scan costs one transaction per read block, a write one
//! per write block, a combined exchange one for both. On a serial line a transaction takes
//!
//! ```text
//! request characters + silence + turnaround + answer characters + silence + host latency
//! ```
//!
//! with 11 bits per character (see [`SerialTiming`]); on TCP it takes the declared round trip. The bus
//! time of one period is the sum over all devices. What is left is *slack*: in it a device that does not
//! answer is retried, so that it never delays another one. On a line with several devices the slack must
//! therefore hold at least one such attempt.
//!
//! # Terms
//!
//! - turnaround: from the silence after the request until the device begins to answer.
//! - host latency: what our own timers and the kernel's serial driver add to a transaction.
//! - probe: the short transaction that shows whether a device is in step.

use core::fmt;
use core::time::Duration;

use crate::frame::{TransactionBytes, exchange_bytes, read_bytes, write_bytes};
use crate::profile::{DeviceProfile, Exchange};
use crate::serial::SerialTiming;

/// The wire under a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Medium {
    /// Modbus TCP, at most `round_trip` per transaction.
    Tcp {
        /// Declared or measured, e.g. the 99.9th percentile.
        round_trip: Duration,
    },
    /// Modbus RTU.
    Serial {
        /// Speed and silence.
        timing: SerialTiming,
        /// Added to each transaction.
        host_latency: Duration,
        /// Whether a probe goes between two requests whose answers could be confused.
        duplicate_guard: bool,
    },
}

/// A device as the budget sees it.
#[derive(Debug, Clone, Copy)]
pub struct BusDevice<'a> {
    /// Name, for the report.
    pub name: &'a str,
    /// What it reads and writes.
    pub profile: &'a DeviceProfile,
    /// How long it takes to begin its answer (serial lines).
    pub turnaround: Duration,
}

/// Bus time of one device in one period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceCost {
    /// Name.
    pub name: String,
    /// Reading all inputs; for a combined exchange, the exchange.
    pub scan: Duration,
    /// Writing all outputs; zero for a combined exchange.
    pub write: Duration,
    /// One attempt to bring it back after a fault.
    pub probe: Duration,
}

impl DeviceCost {
    /// Bus time of the device in one period.
    #[must_use]
    pub fn total(&self) -> Duration {
        self.scan.saturating_add(self.write)
    }
}

/// A list of devices that fits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The loop group's period.
    pub period: Duration,
    /// Bus time of one period.
    pub busy: Duration,
    /// What is left of the period.
    pub slack: Duration,
    /// Each device's share.
    pub devices: Vec<DeviceCost>,
}

impl Report {
    /// Share of the period that the bus is busy, 0 to 1.
    #[must_use]
    pub fn load(&self) -> f64 {
        self.busy.as_secs_f64() / self.period.as_secs_f64()
    }
}

/// Why a list of devices does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The bus time is longer than the period.
    Overloaded {
        /// The loop group's period.
        period: Duration,
        /// Bus time of one period.
        busy: Duration,
        /// Each device's share.
        devices: Vec<DeviceCost>,
    },
    /// A device that does not answer could not be retried without delaying the others.
    NoRoomForRetry {
        /// What is left of the period.
        slack: Duration,
        /// What one attempt takes.
        needed: Duration,
        /// The device whose attempt takes longest.
        device: String,
    },
    /// Inputs would be older than their maximum age whenever they are used.
    TooOldToUse {
        /// The device.
        device: String,
        /// The input tag.
        tag: String,
        /// Its maximum age.
        age_max: Duration,
        /// How old it is when the controllers read it.
        age: Duration,
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Overloaded { period, busy, devices } => {
                write!(f, "the bus needs {busy:.1?} in each period of {period:.1?}:")?;
                for cost in devices {
                    write!(f, " {} {:.1?} + {:.1?};", cost.name, cost.scan, cost.write)?;
                }
                write!(f, " lengthen the period, raise the speed, or move devices to another line")
            }
            Self::NoRoomForRetry { slack, needed, device } => write!(
                f,
                "{slack:.1?} of each period are left, but one retry of `{device}` takes {needed:.1?} and \
                 would delay the others: lengthen the period or move devices to another line"
            ),
            Self::TooOldToUse { device, tag, age_max, age } => write!(
                f,
                "`{device}.{tag}` is {age:.1?} old when it is used, its maximum is {age_max:.1?}: raise \
                 the maximum age, or use a split exchange"
            ),
        }
    }
}

impl std::error::Error for Refusal {}

/// The bus-time budget of one line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BusBudget {
    medium: Medium,
}

impl BusBudget {
    /// A budget for a line.
    #[must_use]
    pub const fn new(medium: Medium) -> Self {
        Self { medium }
    }

    /// Time of one transaction.
    #[must_use]
    pub fn transaction(&self, bytes: TransactionBytes, turnaround: Duration) -> Duration {
        match self.medium {
            Medium::Tcp { round_trip } => round_trip,
            Medium::Serial { timing, host_latency, .. } => timing
                .frame(bytes.request)
                .saturating_add(timing.silence())
                .saturating_add(turnaround)
                .saturating_add(timing.frame(bytes.answer))
                .saturating_add(timing.silence())
                .saturating_add(host_latency),
        }
    }

    /// Bus time of one device in one period.
    #[must_use]
    pub fn cost(&self, device: BusDevice<'_>) -> DeviceCost {
        let time = |bytes| self.transaction(bytes, device.turnaround);
        let sum =
            |times: &mut dyn Iterator<Item = Duration>| times.fold(Duration::ZERO, Duration::saturating_add);
        let profile = device.profile;
        let (mut scan, write) = match (profile.exchange, profile.reads.first(), profile.writes.first()) {
            (Exchange::Combined, Some(read), Some(write)) => {
                (time(exchange_bytes(read.count, write.count)), Duration::ZERO)
            }
            _ => (
                sum(&mut profile.reads.iter().map(|block| time(read_bytes(block.count)))),
                sum(&mut profile.writes.iter().map(|block| time(write_bytes(block.count)))),
            ),
        };
        let probe = time(read_bytes(1));
        if self.probes_every_period(profile) {
            scan = scan.saturating_add(probe);
        }
        DeviceCost { name: device.name.to_owned(), scan, write, probe }
    }

    /// Whether the line puts a probe between two requests because their answers look alike.
    fn probes_every_period(&self, profile: &DeviceProfile) -> bool {
        let guarded = matches!(self.medium, Medium::Serial { duplicate_guard: true, .. });
        let requests = match profile.exchange {
            Exchange::Combined => 1,
            Exchange::Split => profile.reads.len() + profile.writes.len(),
        };
        guarded && requests == 1
    }

    /// Admits the devices if their bus time fits into `period`.
    ///
    /// # Errors
    /// If the bus time is longer than the period, if a line with several devices has no room for a
    /// retry, or if an input would always be too old; each with the numbers.
    pub fn admit(&self, period: Duration, devices: &[BusDevice<'_>]) -> Result<Report, Refusal> {
        let costs: Vec<DeviceCost> = devices.iter().map(|device| self.cost(*device)).collect();
        let busy = costs.iter().fold(Duration::ZERO, |sum, cost| sum.saturating_add(cost.total()));
        let Some(slack) = period.checked_sub(busy).filter(|_| !period.is_zero()) else {
            return Err(Refusal::Overloaded { period, busy, devices: costs });
        };
        let scans = costs.iter().fold(Duration::ZERO, |sum, cost| sum.saturating_add(cost.scan));
        for device in devices {
            // Split: the controllers run when the last scan of the line is in. Combined: a period later.
            let age = match device.profile.exchange {
                Exchange::Split => scans,
                Exchange::Combined => period,
            };
            if let Some(tag) = device.profile.inputs.iter().find(|tag| tag.age_max < age) {
                return Err(Refusal::TooOldToUse {
                    device: device.name.to_owned(),
                    tag: tag.name.clone(),
                    age_max: tag.age_max,
                    age,
                });
            }
        }
        if let Some(longest) = costs.iter().max_by_key(|cost| cost.probe)
            && costs.len() > 1
            && longest.probe > slack
        {
            let device = longest.name.clone();
            return Err(Refusal::NoRoomForRetry { slack, needed: longest.probe, device });
        }
        Ok(Report { period, busy, slack, devices: costs })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hal_diagnostics::Document;
    use proptest::prelude::*;

    fn profile(inputs: u16, outputs: u16, exchange: &str, max_age_ms: u32) -> DeviceProfile {
        let mut text = format!("name = \"d\"\nresponse_timeout_ms = 50\nexchange = \"{exchange}\"\n");
        for at in 0..inputs {
            text += &format!(
                "[[input]]\ntag = \"i{at}\"\nregister = {at}\ntype = \"u16\"\nmax_age_ms = {max_age_ms}\n"
            );
        }
        for at in 0..outputs {
            text += &format!(
                "[[output]]\ntag = \"o{at}\"\nregister = {}\ntype = \"u16\"\nmin = 0.0\nmax = 9.0\nsafe = \"zero\"\n",
                100 + at
            );
        }
        DeviceProfile::parse(&Document::new("d.toml", &text)).unwrap()
    }

    fn serial(baud_rate: u32) -> BusBudget {
        BusBudget::new(Medium::Serial {
            timing: SerialTiming::new(baud_rate),
            host_latency: Duration::ZERO,
            duplicate_guard: true,
        })
    }

    fn device(profile: &DeviceProfile) -> BusDevice<'_> {
        BusDevice { name: "d", profile, turnaround: Duration::from_millis(1) }
    }

    #[test]
    fn a_read_of_ten_registers_at_19200_baud_takes_what_the_standard_says() {
        // 8 + 25 characters of 11 bits at 19,200 baud, twice the silence of 3.5 characters, 1 ms.
        let read = serial(19_200).transaction(read_bytes(10), Duration::from_millis(1));
        let expected_us = 33.0 * 11.0 / 19_200.0 * 1e6 + 2.0 * 2_005.208 + 1_000.0;
        assert!((read.as_secs_f64() * 1e6 - expected_us).abs() < 1.0, "{read:?}");
    }

    #[test]
    fn an_overloaded_line_is_refused_with_its_numbers() {
        let profile = profile(30, 4, "split", 1_000);
        let refusal = serial(9_600).admit(Duration::from_millis(100), &[device(&profile); 2]).unwrap_err();
        let Refusal::Overloaded { busy, devices, .. } = refusal else { panic!("{refusal}") };
        assert_eq!(busy, devices.iter().map(DeviceCost::total).sum());
        assert!(busy > Duration::from_millis(100));
    }

    #[test]
    fn a_shared_line_without_room_for_a_retry_is_refused() {
        let profile = profile(2, 2, "split", 1_000);
        let budget = serial(19_200);
        let busy = budget.cost(device(&profile)).total() * 2;
        let admit = |slack| budget.admit(busy + slack, &[device(&profile); 2]);
        let probe = budget.cost(device(&profile)).probe;
        assert!(matches!(admit(probe - Duration::from_nanos(1)), Err(Refusal::NoRoomForRetry { .. })));
        assert_eq!(admit(probe).unwrap().slack, probe);
    }

    #[test]
    fn inputs_of_a_combined_exchange_are_one_period_old() {
        let profile = profile(2, 2, "combined", 19);
        let budget = BusBudget::new(Medium::Tcp { round_trip: Duration::from_millis(1) });
        let refusal = budget.admit(Duration::from_millis(20), &[device(&profile)]).unwrap_err();
        assert!(matches!(refusal, Refusal::TooOldToUse { .. }), "{refusal}");
        assert!(budget.admit(Duration::from_millis(19), &[device(&profile)]).is_ok());
    }

    #[test]
    fn a_device_that_is_only_read_pays_for_its_probe() {
        let (read_only, both) = (profile(2, 0, "split", 1_000), profile(2, 1, "split", 1_000));
        let (alone, with_write) =
            (serial(19_200).cost(device(&read_only)), serial(19_200).cost(device(&both)));
        assert_eq!(alone.scan, with_write.scan + with_write.probe);
    }

    proptest! {
        #[test]
        fn what_is_admitted_fits_and_the_numbers_add_up(
            baud_rate in 1_200_u32..1_000_000,
            period_ms in 1_u64..500,
            sizes in proptest::collection::vec((1_u16..30, 0_u16..20), 1..8),
            turnaround_us in 0_u64..20_000,
        ) {
            let profiles: Vec<_> =
                sizes.iter().map(|(inputs, outputs)| profile(*inputs, *outputs, "split", 1_000)).collect();
            let turnaround = Duration::from_micros(turnaround_us);
            let devices: Vec<_> =
                profiles.iter().map(|profile| BusDevice { name: "d", profile, turnaround }).collect();
            let period = Duration::from_millis(period_ms);
            match serial(baud_rate).admit(period, &devices) {
                Ok(report) => {
                    prop_assert_eq!(report.busy, report.devices.iter().map(DeviceCost::total).sum());
                    prop_assert_eq!(report.busy + report.slack, period);
                    prop_assert!(report.load() <= 1.0);
                }
                Err(Refusal::Overloaded { busy, .. }) => prop_assert!(busy > period),
                Err(Refusal::NoRoomForRetry { slack, needed, .. }) => prop_assert!(needed > slack),
                Err(Refusal::TooOldToUse { age, age_max, .. }) => prop_assert!(age > age_max),
            }
        }

        #[test]
        fn a_faster_line_a_shorter_list_and_a_quicker_device_never_cost_more(
            baud_rate in 1_200_u32..500_000, count in 1_u16..30, turnaround_us in 0_u64..20_000,
        ) {
            let (large, small) = (profile(count + 1, 2, "split", 1_000), profile(count, 2, "split", 1_000));
            let cost = |baud, profile, us| {
                let turnaround = Duration::from_micros(us);
                serial(baud).cost(BusDevice { name: "d", profile, turnaround }).total()
            };
            let base = cost(baud_rate, &large, turnaround_us + 1);
            prop_assert!(cost(baud_rate * 2, &large, turnaround_us + 1) <= base);
            prop_assert!(cost(baud_rate, &small, turnaround_us + 1) < base);
            prop_assert!(cost(baud_rate, &large, turnaround_us) < base);
        }
    }
}
