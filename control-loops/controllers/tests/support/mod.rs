//! A turbine on the test bench: good measurements that a test spoils where it wants to.

#![allow(dead_code, reason = "each test file uses its part")]

use control_loops_controllers::turbine::{
    ModeName, RunRequest, TurbineController, TurbineDemand, TurbineInputs, TurbineParameters, TurbineStep,
};
use hal_process_image::{Quality, Sample};
use hal_units::{Duration, Instant, Radians, RadiansPerSecond, Watts};

pub(crate) const TICK: Duration = Duration::from_millis(10);
pub(crate) const GEARBOX: f64 = 97.0;
pub(crate) const FEATHER: Radians = TurbineParameters::NREL_5MW.law.pitch_max;

pub(crate) fn good(value: f64) -> Sample {
    Sample { value, quality: Quality::Good, acquired_at: Instant::ZERO, sequence: 1 }
}

pub(crate) fn bad() -> Sample {
    Sample::NEVER
}

/// The reference turbine under the Takt law, tuned from its description and the built-in rotor.
pub(crate) fn takt_parameters() -> TurbineParameters {
    takt_parameters_with("")
}

/// The same with lines in its tuning section.
pub(crate) fn takt_parameters_with(tuning: &str) -> TurbineParameters {
    let text = format!("{}\n[tuning]\n{tuning}\n", control_loops_tuning::NREL_5MW);
    let document = hal_diagnostics::Document::new("nrel-5mw.toml", &text);
    let description = control_loops_tuning::TurbineDescription::parse(&document).unwrap();
    let rotor = sim_plants::RotorSurface::nrel_5mw().as_table();
    control_loops_tuning::tune("nrel-5mw.toml", &description, &rotor).unwrap().parameters
}

/// Standing, feathered, 10 m/s, everything in order.
pub(crate) fn standing_inputs() -> TurbineInputs {
    TurbineInputs {
        generator_speed: good(0.0),
        rotor_speed: good(0.0),
        blades: [good(FEATHER.get()); 3],
        generator_torque: good(0.0),
        power: good(0.0),
        wind_speed: good(10.0),
        yaw_error: good(0.0),
        cable_twist: None,
        tower_acceleration: good(0.0),
        grid_ok: good(1.0),
        plc_state: good(0.0),
        blade_loads: None,
        outputs_unacknowledged_for: Duration::ZERO,
    }
}

/// A controller with the inputs that it gets. Pitch and torque follow the commands at once; speed and
/// wind are what the test says.
pub(crate) struct Bench {
    pub(crate) controller: TurbineController,
    pub(crate) inputs: TurbineInputs,
    pub(crate) demand: TurbineDemand,
    pub(crate) last: Option<TurbineStep>,
}

impl Bench {
    pub(crate) fn parked() -> Self {
        Self {
            controller: TurbineController::new(TurbineParameters::NREL_5MW),
            inputs: standing_inputs(),
            demand: TurbineDemand::STOP,
            last: None,
        }
        .for_seconds(0.1)
    }

    /// Asked to run, in too little wind.
    pub(crate) fn idle() -> Self {
        let mut bench = Self::parked().wind(2.0).request(RunRequest::Run);
        bench.controller = TurbineController::new(TurbineParameters::NREL_5MW);
        bench.for_seconds(0.1).in_mode(ModeName::Idle)
    }

    /// Coming up, pitch still large.
    pub(crate) fn starting() -> Self {
        Self::parked().request(RunRequest::Run).for_seconds(0.1).in_mode(ModeName::StartUp)
    }

    /// Producing at a generator speed and pitch, taken over from measurements.
    pub(crate) fn producing(speed_rpm: f64, pitch_deg: f64, torque_nm: f64, wind_mps: f64) -> Self {
        let mut bench = Self::parked();
        bench.controller = TurbineController::new(TurbineParameters::NREL_5MW);
        bench.demand = TurbineDemand::RUN;
        bench.inputs.blades = [good(Radians::from_degrees(pitch_deg).get()); 3];
        bench.inputs.generator_torque = good(torque_nm);
        bench.speed_rpm(speed_rpm).wind(wind_mps).for_seconds(0.1).in_mode(ModeName::Run)
    }

    /// At rated speed in 18 m/s.
    pub(crate) fn at_full_power() -> Self {
        Self::producing(1173.7, 14.53, 43_093.55, 18.0)
    }

    /// The same turbine taken over by another controller.
    pub(crate) fn taken_over_by(mut self, parameters: TurbineParameters) -> Self {
        self.controller = TurbineController::new(parameters);
        self.controller.reseed(&self.inputs);
        self
    }

    pub(crate) fn service() -> Self {
        Self::parked().request(RunRequest::Service).for_seconds(0.1).in_mode(ModeName::Service)
    }

    /// In emergency stop by the button, which is released again; the rotor still turns.
    pub(crate) fn in_emergency_stop() -> Self {
        let mut bench = Self::at_full_power();
        bench.demand.emergency_stop = true;
        let mut bench = bench.for_seconds(0.1);
        bench.demand.emergency_stop = false;
        bench.for_seconds(0.1).in_mode(ModeName::EmergencyStop)
    }

    /// Both speed sensors, given at the generator.
    pub(crate) fn speed_rpm(mut self, generator_rpm: f64) -> Self {
        let speed = RadiansPerSecond::from_rpm(generator_rpm).get();
        self.inputs.generator_speed = good(speed);
        self.inputs.rotor_speed = good(speed / GEARBOX);
        self
    }

    pub(crate) fn wind(mut self, wind_mps: f64) -> Self {
        self.inputs.wind_speed = good(wind_mps);
        self
    }

    pub(crate) fn request(mut self, request: RunRequest) -> Self {
        self.demand.request = request;
        self
    }

    /// The counted twist of the cables.
    pub(crate) fn twisted_deg(mut self, degrees: f64) -> Self {
        self.inputs.cable_twist = Some(good(Radians::from_degrees(degrees).get()));
        self
    }

    pub(crate) fn power_limit(mut self, limit: Watts) -> Self {
        self.demand.power_limit = limit;
        self
    }

    pub(crate) fn spoil(mut self, change: impl FnOnce(&mut TurbineInputs)) -> Self {
        change(&mut self.inputs);
        self
    }

    /// Presses and releases the reset button.
    pub(crate) fn reset(mut self) -> Self {
        self.demand.reset = true;
        let mut bench = self.for_seconds(0.02);
        bench.demand.reset = false;
        bench.for_seconds(0.02)
    }

    pub(crate) fn tick(&mut self) -> TurbineStep {
        let step = self.controller.step(&self.inputs, &self.demand, TICK);
        let commands = step.outputs.blades.unwrap_or([step.outputs.pitch; 3]);
        for (blade, command) in self.inputs.blades.iter_mut().zip(commands).filter(|_| step.seeded) {
            if blade.quality == Quality::Good {
                blade.value = command.get();
            }
        }
        if self.inputs.generator_torque.quality == Quality::Good && step.seeded {
            self.inputs.generator_torque.value = step.outputs.generator_torque.get();
        }
        self.last = Some(step);
        step
    }

    pub(crate) fn for_seconds(mut self, seconds: f64) -> Self {
        let ticks = (seconds / TICK.as_secs_f64()).round() as u64;
        for _ in 0..ticks {
            self.tick();
        }
        self
    }

    pub(crate) fn until_mode(mut self, mode: ModeName, seconds_max: f64) -> Self {
        let ticks = (seconds_max / TICK.as_secs_f64()).round() as u64;
        for _ in 0..ticks {
            if self.tick().mode == mode {
                return self;
            }
        }
        panic!("not {mode:?} within {seconds_max} s but {:?}", self.last().mode);
    }

    pub(crate) fn in_mode(self, mode: ModeName) -> Self {
        assert_eq!(self.last().mode, mode, "{:?}", self.last());
        self
    }

    pub(crate) fn last(&self) -> &TurbineStep {
        self.last.as_ref().unwrap()
    }
}
