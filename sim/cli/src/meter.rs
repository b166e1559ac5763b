//! The meter of `takt-sim serve`: what its turbines feed in, and the grid's frequency.

use std::str::FromStr;
use std::time::Duration;

use hal_units::Watts;
use sim_devices::{Farm, FarmConfig, FarmError, MeterDevice};

/// How often the meter measures.
const EVERY: Duration = Duration::from_millis(20);

/// A frequency over time: values, each for as long, the last one for ever.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct GridFrequency {
    values_hz: Vec<f64>,
    each: Duration,
}

impl FromStr for GridFrequency {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let help = "give HZ or HZ,HZ,...:SECONDS with 10 to 70 Hz, for example 50 or 50,49.7,50:60";
        let (values, each) = text.split_once(':').unwrap_or((text, "0"));
        let values: Option<Vec<f64>> = values
            .split(',')
            .map(|value| value.trim().parse().ok().filter(|hertz| (10.0..=70.0).contains(hertz)))
            .collect();
        let each_s: Option<u32> = each.trim().parse().ok();
        match (values, each_s) {
            (Some(values_hz), Some(each_s)) if values_hz.len() == 1 || each_s > 0 => {
                Ok(Self { values_hz, each: Duration::from_secs(u64::from(each_s)) })
            }
            _ => Err(help.to_owned()),
        }
    }
}

impl GridFrequency {
    fn at(&self, elapsed: Duration) -> f64 {
        let step = elapsed.as_secs().checked_div(self.each.as_secs()).unwrap_or(0);
        let at = usize::try_from(step).unwrap_or(usize::MAX);
        self.values_hz.get(at).or(self.values_hz.last()).copied().unwrap_or(50.0)
    }
}

/// A meter that listens.
pub(crate) struct Meter {
    farm: Farm<MeterDevice>,
    frequency: GridFrequency,
}

impl Meter {
    pub(crate) async fn start(frequency: GridFrequency, config: FarmConfig) -> Result<Self, FarmError> {
        Ok(Self { farm: Farm::start_logged(vec![MeterDevice::new()], config, None).await?, frequency })
    }

    pub(crate) fn address(&self) -> Option<std::net::SocketAddr> {
        self.farm.addresses().next()
    }

    /// Shows what the turbines truly give, for ever.
    pub(crate) async fn measure(&self, turbines: &Farm) {
        let count = turbines.addresses().count();
        let power_of = |at| turbines.with(at, |plc| plc.turbine_mut().measurements().power.get());
        loop {
            let power = (0..count).filter_map(power_of).sum();
            let frequency_hz = self.frequency.at(turbines.started().elapsed());
            self.farm.with(0, |meter| meter.show(Watts(power), frequency_hz));
            tokio::time::sleep(EVERY).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_follow_each_other_and_the_last_one_holds() {
        let frequency: GridFrequency = "50,49.7:60".parse().unwrap();
        let at = [0, 59, 60, 500].map(|seconds| frequency.at(Duration::from_secs(seconds)));
        assert_eq!(at, [50.0, 50.0, 49.7, 49.7]);
        assert_eq!("60".parse::<GridFrequency>().unwrap().at(Duration::from_secs(7)), 60.0);
    }

    #[test]
    fn what_is_no_frequency_is_told_what_to_give() {
        for text in ["", "fast", "50,49", "50:x", "5", "nan", "50,49:0"] {
            assert!(text.parse::<GridFrequency>().unwrap_err().contains("for example"), "{text}");
        }
    }
}
