//! A takeover in the middle of a gust: the turbine holds its last outputs while nobody writes, and the standby
//! goes on in shadow from the state of the node that died.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use control_loops_controllers::turbine::TurbineParameters;
use hal_units::{Duration, MetersPerSecond};
use sim_plants::{Wind, WindSpec};
use sim_world::{TurbineLoop, TurbineLoopSetup};

/// The longest time without a write that an unplanned takeover is allowed: 60 ms at 100 Hz.
const CYCLES_UNHEARD: u32 = 6;
/// How long the rotor may still answer to what was done in the gust.
const AFTER: Duration = Duration::from_secs(40);

struct Gust {
    site: TurbineLoop,
    /// From the first change of the wind to its end.
    lasts: (Duration, Duration),
}

impl Gust {
    /// The IEC extreme operating gust on top of a steady wind, the turbine in operation for long.
    fn at(wind_mps: u32, controller: TurbineParameters) -> Self {
        let spec: WindSpec = format!("eog:{wind_mps}").parse().unwrap();
        let wind = Wind::from_spec(&spec, 1).unwrap();
        let mean = MetersPerSecond(f64::from(wind_mps));
        let times = (0..3000).map(|tenth| Duration::from_millis(100 * tenth));
        let gusty: Vec<_> = times.filter(|t| (wind.speed_at(*t) - mean).abs().get() > 1e-6).collect();
        let lasts = (*gusty.first().unwrap(), *gusty.last().unwrap());
        let mut site = TurbineLoop::new(TurbineLoopSetup { controller, ..TurbineLoopSetup::in_wind(wind) });
        while site.now() < lasts.0 {
            site.step();
        }
        Self { site, lasts }
    }

    /// The fastest that the rotor gets, with a takeover at `phase` of the gust or without one.
    fn peak_rpm(&self, takeover_at: Option<Duration>) -> f64 {
        let mut site = self.site.clone();
        let mut unheard = 0;
        let mut peak_rpm = 0.0_f64;
        while site.now() < self.lasts.1 + AFTER {
            if takeover_at.is_some_and(|at| site.now() >= at) && unheard < CYCLES_UNHEARD {
                unheard += 1;
                site.step_unheard();
            } else {
                site.step();
            }
            peak_rpm = peak_rpm.max(site.row().rotor_speed.as_rpm());
        }
        peak_rpm
    }
}

fn check(law: &str, controller: TurbineParameters) {
    for wind_mps in [12, 18, 24] {
        let gust = Gust::at(wind_mps, controller);
        let undisturbed = gust.peak_rpm(None);
        let (from, to) = gust.lasts;
        let phases = (0..).map(|at| from + Duration::from_millis(100) * at).take_while(|at| *at < to);
        let (worst, at) = phases
            .map(|at| (gust.peak_rpm(Some(at)) - undisturbed, at))
            .max_by(|one, other| one.0.total_cmp(&other.0))
            .unwrap();
        println!(
            "{law}, gust at {wind_mps} m/s: {undisturbed:.3} rpm at the most, {worst:+.4} rpm with a takeover {:.1} s into it",
            (at - from).as_secs_f64()
        );
        assert!(worst <= 0.05, "{law}: {worst} rpm more, {at:?}");
    }
}

#[test]
fn under_the_baseline_a_takeover_at_the_worst_phase_of_a_gust_adds_at_most_a_twentieth_rpm() {
    check("baseline", TurbineParameters::NREL_5MW);
}

#[test]
fn under_the_takt_law_a_takeover_at_the_worst_phase_of_a_gust_adds_at_most_a_twentieth_rpm() {
    check("takt", common::tuned(""));
}
