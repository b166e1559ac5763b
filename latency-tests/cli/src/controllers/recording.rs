//! A run in turbulence under the Takt law, as every controller sees it.

use control_loops_controllers::turbine::{
    TurbineController, TurbineDemand, TurbineInputs, TurbineParameters,
};
use control_loops_tuning::TurbineDescription;
use hal_diagnostics::Document;
use hal_units::Duration;
use sim_plants::{Actuation, Measurements, NoiseLevels, RotorSurface, Wind, WindSpec};
use sim_world::turbine_loop::{actuation_from, inputs_from};
use sim_world::{TurbineLoop, TurbineLoopSetup, bladed};

/// Between two steps.
pub(crate) const PERIOD: Duration = Duration::from_millis(20);
/// Round rated: both torque and pitch have work.
const WIND: &str = "turb:14:14";

/// What the sensors showed, step by step.
pub(crate) struct Recording {
    /// The Takt law for the turbine that was recorded.
    pub(crate) takt: TurbineParameters,
    /// The same with individual pitch.
    pub(crate) individual: TurbineParameters,
    shown: Vec<(Measurements, Duration)>,
}

impl Recording {
    /// Records so many steps.
    pub(crate) fn of(steps: usize) -> Result<Self, String> {
        let takt = tuned("")?;
        let individual = tuned("[tuning]\nindividual_pitch_radps = 0.1\n")?;
        let spec = WIND.parse::<WindSpec>().map_err(|error| error.to_string())?;
        let wind = Wind::from_spec(&spec, 1).map_err(|error| error.to_string())?;
        let setup = TurbineLoopSetup {
            period: PERIOD,
            noise: NoiseLevels::USUAL,
            seed: 1,
            controller: takt,
            ..TurbineLoopSetup::in_wind(wind)
        };
        let mut site = TurbineLoop::new(setup);
        let mut controller = TurbineController::new(takt);
        let mut shown = Vec::with_capacity(steps);
        for step in 0..steps {
            let drive = |seen: &Measurements, now| -> Result<Actuation, std::convert::Infallible> {
                shown.push((*seen, now));
                let inputs = inputs(seen, now, step);
                Ok(actuation_from(&controller.step(&inputs, &TurbineDemand::RUN, PERIOD).outputs))
            };
            let Ok(()) = site.step_driven(drive);
        }
        Ok(Self { takt, individual, shown })
    }

    /// The inputs of our controllers.
    pub(crate) fn inputs(&self) -> Vec<TurbineInputs> {
        self.shown.iter().enumerate().map(|(step, (seen, now))| inputs(seen, *now, step)).collect()
    }

    /// The records of a swap array for each step, one after the other, in the machine's byte order.
    pub(crate) fn frames(&self) -> Vec<u8> {
        let frame = |(seen, now): &(Measurements, Duration)| {
            let mut numbers = [0.0_f32; bladed::RECORDS];
            for (record, value) in bladed::records(seen, *now, PERIOD) {
                if let Some(number) = numbers.get_mut(record - 1) {
                    *number = value as f32;
                }
            }
            numbers.map(f32::to_ne_bytes).concat()
        };
        self.shown.iter().flat_map(frame).collect()
    }
}

fn inputs(seen: &Measurements, now: Duration, step: usize) -> TurbineInputs {
    inputs_from(seen, now, u32::try_from(step + 1).unwrap_or(u32::MAX), Duration::ZERO)
}

fn tuned(tuning: &str) -> Result<TurbineParameters, String> {
    let text = format!("{}\n{tuning}", control_loops_tuning::NREL_5MW);
    let document = Document::new("nrel-5mw.toml", &text);
    let description = TurbineDescription::parse(&document).map_err(|error| error.to_string())?;
    let rotor = RotorSurface::nrel_5mw().as_table();
    let tuned = control_loops_tuning::tune("nrel-5mw.toml", &description, &rotor);
    Ok(tuned.map_err(|error| error.to_string())?.parameters)
}
