//! One turbine in closed loop with the production controller.
//!
//! # Model
//!
//! Every controller period: read the sensors, step the controller, let the plant run for one period
//! under the new outputs. Unless the set-up says otherwise the bus is perfect: every write arrives and is
//! acknowledged at once. Within a period the wind is sampled every [`WIND_SAMPLE_MAX`], in the middle of
//! each stretch. A controller of somebody else can take the place of the production controller, see
//! [`TurbineLoop::step_driven`].
//!
//! # Terms
//!
//! A *row* is the truth about the plant at one time, not what the sensors show.

use control_loops_controllers::turbine::{
    BladeLoads, Quality, Sample, TurbineController, TurbineDemand, TurbineInputs, TurbineOutputs,
    TurbineParameters, TurbineStep,
};
use hal_units::{
    Duration, Instant, Meters, MetersPerSecond, NewtonMeters, Newtons, Radians, RadiansPerSecond, Watts,
};
use sim_plants::{
    Actuation, Measurements, NoiseLevels, RotorSurface, Sensors, Turbine, TurbinePlantParameters, Wind,
};

use crate::bus::{Bus, BusTrouble};

/// The longest stretch over which the wind counts as constant.
pub const WIND_SAMPLE_MAX: Duration = Duration::from_millis(10);

/// How the turbine stands at the beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Start {
    /// Producing in the wind of time zero, as if it had been for long.
    #[default]
    InOperation,
    /// Standing, feathered, off the grid.
    FromStandstill,
}

/// What a loop is made of.
#[derive(Debug, Clone)]
pub struct TurbineLoopSetup {
    /// The wind.
    pub wind: Wind,
    /// The rotor's aerodynamics.
    pub rotor: RotorSurface,
    /// Time between two steps of the controller; above zero.
    pub period: Duration,
    /// Where it begins.
    pub start: Start,
    /// Noise of the sensors.
    pub noise: NoiseLevels,
    /// Seed of the noise, and of the writes that are lost.
    pub seed: u64,
    /// The turbine's physics.
    pub plant: TurbinePlantParameters,
    /// What the controller believes of its turbine.
    pub controller: TurbineParameters,
    /// Delays and losses on the way to the drives.
    pub bus: BusTrouble,
}

impl TurbineLoopSetup {
    /// The built-in rotor at 100 Hz, in operation, with perfect sensors.
    #[must_use]
    pub const fn in_wind(wind: Wind) -> Self {
        Self {
            wind,
            rotor: RotorSurface::nrel_5mw(),
            period: Duration::from_millis(10),
            start: Start::InOperation,
            noise: NoiseLevels::NONE,
            seed: 0,
            plant: TurbinePlantParameters::NREL_5MW,
            controller: TurbineParameters::NREL_5MW,
            bus: BusTrouble { delay: Duration::ZERO, lost: 0.0 },
        }
    }
}

/// The truth about the plant at one time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TurbineRow {
    /// Since the start.
    pub t: Duration,
    /// Free wind at hub height.
    pub wind: MetersPerSecond,
    /// Low-speed shaft.
    pub rotor_speed: RadiansPerSecond,
    /// High-speed shaft.
    pub generator_speed: RadiansPerSecond,
    /// Mean of the three blades.
    pub pitch: Radians,
    /// Each blade.
    pub blades: [Radians; 3],
    /// Out-of-plane moment at each blade's root.
    pub root_moments: [NewtonMeters; 3],
    /// High-speed shaft.
    pub generator_torque: NewtonMeters,
    /// Electrical.
    pub power: Watts,
    /// Of the rotor.
    pub thrust: Newtons,
    /// Fore-aft at the tower's top, m/s2.
    pub tower_acceleration_mps2: f64,
    /// Fore-aft at the tower's top.
    pub tower_deflection: Meters,
}

/// A turbine, its controller and the time.
#[derive(Debug, Clone)]
pub struct TurbineLoop {
    /// What the turbine is asked to do; may be changed between steps.
    pub demand: TurbineDemand,
    /// The sensors; faults may be set between steps.
    pub sensors: Sensors,
    /// The plant; grid and jammed drives may be set between steps.
    pub plant: Turbine,
    controller: TurbineController,
    bus: Bus,
    wind: Wind,
    period: Duration,
    now: Duration,
    cycles: u32,
    last: Option<TurbineStep>,
}

impl TurbineLoop {
    /// A turbine with its controller, asked to run without a limit.
    #[must_use]
    pub fn new(setup: TurbineLoopSetup) -> Self {
        let plant = Turbine::new(setup.plant, setup.rotor);
        let wind_at_start = setup.wind.speed_at(Duration::ZERO);
        let plant = match setup.start {
            Start::InOperation => plant.in_operation(wind_at_start),
            Start::FromStandstill => plant,
        };
        Self {
            demand: TurbineDemand::RUN,
            sensors: Sensors::new(setup.noise, setup.seed),
            bus: Bus::new(setup.bus, setup.seed, *plant.actuation()),
            plant,
            controller: TurbineController::new(setup.controller),
            wind: setup.wind,
            period: setup.period.max(Duration::from_nanos(1)),
            now: Duration::ZERO,
            cycles: 0,
            last: None,
        }
    }

    /// One controller period; the controller's step at its beginning.
    pub fn step(&mut self) -> TurbineStep {
        let step = self.step_controller();
        self.run_plant(actuation_from(&step.outputs));
        step
    }

    /// One controller period whose outputs do not reach the turbine: it holds the last ones that did. So it
    /// is while a pair's standby steps in shadow and nobody writes.
    pub fn step_unheard(&mut self) -> TurbineStep {
        let held = *self.plant.actuation();
        let step = self.step_controller();
        self.run_plant(held);
        step
    }

    fn step_controller(&mut self) -> TurbineStep {
        let shown = self.sensors.read(&self.truth_now(), self.period);
        self.cycles = self.cycles.wrapping_add(1);
        let unacknowledged_for = self.bus.unacknowledged_for(self.now);
        let inputs = inputs_from(&shown, self.now, self.cycles, unacknowledged_for);
        let step = self.controller.step(&inputs, &self.demand, self.period);
        self.last = Some(step);
        step
    }

    /// One period under somebody else's controller: it gets what the sensors show and the time, and says
    /// what the drives shall do. The production controller and its interlock stand aside.
    ///
    /// # Errors
    /// What the other controller fails with; then the plant has not moved.
    pub fn step_driven<E>(
        &mut self,
        drive: impl FnOnce(&Measurements, Duration) -> Result<Actuation, E>,
    ) -> Result<(), E> {
        let shown = self.sensors.read(&self.truth_now(), self.period);
        let actuation = drive(&shown, self.now)?;
        self.run_plant(actuation);
        Ok(())
    }

    /// Cuts the way to the drives, or mends it.
    pub const fn cut_bus(&mut self, cut: bool) {
        self.bus.set_cut(cut);
    }

    /// The truth now.
    #[must_use]
    pub fn row(&self) -> TurbineRow {
        let truth = self.truth_now();
        TurbineRow {
            t: self.now,
            wind: truth.wind_speed,
            rotor_speed: truth.rotor_speed,
            generator_speed: truth.generator_speed,
            pitch: mean_pitch(&truth),
            blades: truth.pitch,
            root_moments: truth.root_moments,
            generator_torque: truth.generator_torque,
            power: truth.power,
            thrust: truth.thrust,
            tower_acceleration_mps2: truth.tower_acceleration.get(),
            tower_deflection: truth.tower_deflection,
        }
    }

    /// Time since the start.
    #[must_use]
    pub const fn now(&self) -> Duration {
        self.now
    }

    /// The controller's last step.
    #[must_use]
    pub const fn last_step(&self) -> Option<&TurbineStep> {
        self.last.as_ref()
    }

    /// The controller, to copy its state.
    #[must_use]
    pub const fn controller(&self) -> &TurbineController {
        &self.controller
    }

    /// Another controller takes over from the next step on.
    pub fn replace_controller(&mut self, controller: TurbineController) {
        self.controller = controller;
    }

    fn truth_now(&self) -> Measurements {
        Measurements { wind_speed: self.wind.speed_at(self.now), ..self.plant.measurements() }
    }

    fn run_plant(&mut self, actuation: Actuation) {
        self.bus.send(self.now, actuation);
        let stretches = self.period.as_nanos().div_ceil(WIND_SAMPLE_MAX.as_nanos()).max(1);
        // More than four thousand million stretches would be over a year in one period.
        let stretches = u32::try_from(stretches).unwrap_or(u32::MAX);
        let stretch = self.period / stretches;
        for at in 0..stretches {
            let begin = self.now + stretch * at;
            let middle = begin + stretch / 2;
            let (wind, direction) = (self.wind.speed_at(middle), self.wind.direction_at(middle));
            self.plant.step(wind, direction, self.bus.at(begin), stretch);
        }
        self.now += self.period;
    }
}

/// What a PLC with perfect communication would hand to the controller.
#[must_use]
pub fn inputs_from(
    shown: &Measurements,
    now: Duration,
    sequence: u32,
    outputs_unacknowledged_for: Duration,
) -> TurbineInputs {
    let acquired_at = Instant::ZERO + now;
    let sample = |value: f64| {
        let quality = if value.is_finite() { Quality::Good } else { Quality::Bad };
        Sample { value, quality, acquired_at, sequence }
    };
    TurbineInputs {
        generator_speed: sample(shown.generator_speed.get()),
        rotor_speed: sample(shown.rotor_speed.get()),
        blades: shown.pitch.map(|blade| sample(blade.get())),
        generator_torque: sample(shown.generator_torque.get()),
        power: sample(shown.power.get()),
        wind_speed: sample(shown.wind_speed.get()),
        yaw_error: sample(shown.yaw_error.get()),
        cable_twist: Some(sample(shown.cable_twist.get())),
        tower_acceleration: sample(shown.tower_acceleration.get()),
        grid_ok: sample(if shown.grid_ok { 1.0 } else { 0.0 }),
        plc_state: sample(0.0),
        blade_loads: Some(BladeLoads {
            azimuth: sample(shown.azimuth.get()),
            root_moments: shown.root_moments.map(|moment| sample(moment.get())),
        }),
        outputs_unacknowledged_for,
    }
}

fn mean_pitch(measured: &Measurements) -> Radians {
    let [one, two, three] = measured.pitch;
    (one + two + three) / 3.0
}

/// What the drives are told.
#[must_use]
pub const fn actuation_from(outputs: &TurbineOutputs) -> Actuation {
    Actuation {
        generator_torque: outputs.generator_torque,
        pitch: match outputs.blades {
            Some(blades) => blades,
            None => [outputs.pitch; 3],
        },
        yaw_rate: outputs.yaw_rate,
        brake: outputs.brake,
        generator_connected: outputs.generator_connected,
    }
}
