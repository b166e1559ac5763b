//! The peer that every engineer of real-time Linux knows: cyclictest of rt-tests.

use std::process::{Command, Stdio};

use hal_units::Duration;
use latency_tests_harness::figures::Times;
use latency_tests_harness::rounds::Contender;

use crate::wake::Rhythm;

/// Wake-ups at the beginning that do not count, as for the subject.
const WARM_UP: u64 = 50;

pub(crate) struct Cyclictest(pub(crate) Rhythm);

impl Contender for Cyclictest {
    fn name(&self) -> &str {
        "cyclictest"
    }

    fn turn(&mut self) -> Result<Times, String> {
        let Rhythm { core, priority, period, turn } = self.0;
        let period_us = period.as_micros();
        let loops = turn.as_micros() / period_us.max(1) + u128::from(WARM_UP);
        let output = Command::new("cyclictest")
            .args(["-N", "-v", "-m", "-t", "1", "--default-system"])
            .args(["-a", &core.to_string(), "-p", &priority.to_string()])
            .args(["-i", &period_us.to_string(), "-l", &loops.to_string()])
            .stdin(Stdio::null())
            .output()
            .map_err(|error| {
                format!("cyclictest cannot be started: {error}; it is in the package rt-tests")
            })?;
        if !output.status.success() {
            let words = String::from_utf8_lossy(&output.stderr);
            return Err(format!("cyclictest failed: {}", words.lines().last().unwrap_or("without a word")));
        }
        parse(&String::from_utf8_lossy(&output.stdout))
    }
}

/// Lines of `THREAD: CYCLE: NANOSECONDS`; others are not for us.
fn parse(text: &str) -> Result<Times, String> {
    let mut times = Times::new();
    for line in text.lines() {
        let mut fields = line.split(':').map(|field| field.trim().parse::<u64>());
        if let (Some(Ok(_)), Some(Ok(cycle)), Some(Ok(nanos)), None) =
            (fields.next(), fields.next(), fields.next(), fields.next())
            && cycle >= WARM_UP
        {
            times.add(Duration::from_nanos(nanos));
        }
    }
    if times.figures().samples == 0 {
        return Err("cyclictest told no latencies".to_owned());
    }
    Ok(times)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_are_read_after_the_warm_up() {
        let text = "Max CPUs = 2\nThread 0 Interval: 1500\n       0:      49:    9000\n       0:      50:   18282\n\
                    \x20      0:      51:   32719\n";
        let figures = parse(text).unwrap().figures();
        assert_eq!(figures.samples, 2);
        assert!((figures.max_us - 32.7).abs() < 0.1);
    }

    #[test]
    fn an_output_without_latencies_is_no_measurement() {
        assert!(parse("Max CPUs = 2\n").is_err());
        assert!(parse("").is_err());
    }
}
