//! The turbine controller: supervisor, law, interlock and last limiter in one step.

use control_loops_blocks::{Hysteresis, RateLimit, RateLimits};
use hal_units::{Duration, MetersPerSecond, NewtonMeters, Radians, RadiansPerSecond, Watts};
use postcard_schema::Schema;
use serde::{Deserialize, Serialize};

use super::cables::{CableSight, CableWatch, Cables};
use super::individual::BladeSight;
use super::io::usable;
use super::mode::{Situation, mode_from_measurements};
use super::production::produce;
use super::yaw::YawTask;
use super::{
    BaselineLaw, IndividualPitch, IndividualPitchStatus, Mode, PitchCommand, SafetyInterlock, Trip, TripSet,
    TurbineDemand, TurbineInputs, TurbineOutputs, TurbineParameters, TurbineStep, WindBand, WindMonitor,
    YawDrive, YawStatus,
};

/// After a pause longer than this the control moves as if only this time had passed: outputs go on
/// from where they were instead of jumping. Timers count the whole pause.
pub const CONTROL_STEP_MAX: Duration = Duration::from_millis(200);

/// Everything a controller remembers. Plain data: a standby that takes it over goes on identically.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Schema)]
pub struct TurbineState {
    /// What the turbine is doing.
    pub mode: Mode,
    /// The safety interlock.
    pub interlock: SafetyInterlock,
    /// The slow wind measurement.
    pub wind: WindMonitor,
    /// The yaw drive.
    pub yaw: YawDrive,
    /// The cables that it twists.
    pub cables: CableWatch,
    /// Last pitch command, rad.
    pub pitch: RateLimit,
    /// The blades one by one, if they are led so.
    pub individual: Option<IndividualPitch>,
    /// Last torque command, N m.
    pub torque: RateLimit,
    /// Generator on the grid.
    pub connected: bool,
    /// The brake: closed while on. Its input is the negative rotor speed.
    pub brake: Hysteresis,
    /// Last power limit that was a number, share of rated power.
    pub power_share_wanted: f64,
    /// Whether the state stems from measurements.
    pub seeded: bool,
    /// It was led out of rest, and not yet back to rest in order: nothing latched, the device normal.
    pub operating: bool,
}

/// Drives one turbine.
///
/// One `step` per cycle, 10 to 100 Hz. It finishes in bounded time, allocates nothing, and for any
/// inputs gives outputs that are finite and within the limits and rates of the parameters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TurbineController {
    parameters: TurbineParameters,
    law: BaselineLaw,
    state: TurbineState,
}

/// What a mode wants before the last limiter has its say.
struct Wanted {
    pitch: Radians,
    pitch_rate: RadiansPerSecond,
    torque: NewtonMeters,
    connected: bool,
    brake: Brake,
}

/// Who decides on the brake.
enum Brake {
    /// Open.
    Open,
    /// Closed at low rotor speed.
    AtRest,
    /// Closed at any speed.
    Now,
}

impl TurbineController {
    /// A controller that has seen nothing: it takes its state from the first usable measurements.
    ///
    /// The parameters should have passed [`TurbineParameters::check`].
    #[must_use]
    pub fn new(parameters: TurbineParameters) -> Self {
        let feather = parameters.law.pitch_max;
        let state = TurbineState {
            mode: Mode::Parked,
            interlock: SafetyInterlock::new(),
            wind: WindMonitor::NEW,
            yaw: YawDrive::ALIGNED,
            cables: CableWatch::NEW,
            pitch: RateLimit::new(feather.get()),
            individual: parameters.individual.map(|_| IndividualPitch::at([feather; 3])),
            torque: RateLimit::new(0.0),
            connected: false,
            brake: Hysteresis::new(false),
            power_share_wanted: 1.0,
            seeded: false,
            operating: false,
        };
        Self { parameters, law: BaselineLaw::new(parameters.law), state }
    }

    /// The parameters.
    #[must_use]
    pub const fn parameters(&self) -> &TurbineParameters {
        &self.parameters
    }

    /// Everything the controller remembers.
    #[must_use]
    pub const fn state(&self) -> TurbineState {
        self.state
    }

    /// Electrical power that the turbine could give now: in operation under the Takt law what its wind has,
    /// zero when it is not in operation, `None` if nobody estimates the wind.
    #[must_use]
    pub fn available_power(&self) -> Option<Watts> {
        match (self.state.mode.operation(), &self.parameters.takt) {
            (Some(operation), Some(takt)) => operation.takt.as_ref()?.available_power(takt),
            (Some(_), None) => None,
            (None, _) => Some(Watts::ZERO),
        }
    }

    /// Continues from a state; the next step is the one that its owner would have made.
    pub fn restore(&mut self, state: TurbineState) {
        self.state = state;
    }

    /// Whether the turbine was led out of rest, and not yet back to rest in order.
    #[must_use]
    pub const fn is_operating(&self) -> bool {
        self.state.operating
    }

    /// For a controller whose predecessor was operating the turbine when it ended, and has left nothing else: a device
    /// that is in its own safe state has gone there since, and that is a trip.
    pub const fn resume_operating(&mut self) {
        self.state.operating = true;
        self.state.interlock.expect_normal_device();
    }

    /// For a controller whose predecessor did not believe the counter of the cables' twist when it ended, and has left
    /// nothing else: it is not believed before a reset.
    pub const fn resume_lost_twist(&mut self) {
        self.state.cables.resume_lost();
    }

    /// Takes mode, pitch and torque from measurements, so that a turning turbine goes on without a
    /// bump. What the interlock has latched stays latched. Does nothing while speed or pitch is unknown.
    pub fn reseed(&mut self, inputs: &TurbineInputs) {
        let (Some(speed), Some(pitch_rad)) = (self.speed(inputs), usable(&inputs.pitch())) else {
            return;
        };
        let limits = &self.parameters.law;
        let pitch = Radians(pitch_rad).limit(limits.pitch_min, limits.pitch_max);
        let torque = NewtonMeters(usable(&inputs.generator_torque).unwrap_or(0.0))
            .limit(NewtonMeters::ZERO, limits.torque_max);
        let wind = usable(&inputs.wind_speed).map(MetersPerSecond);
        let mode = mode_from_measurements(speed, pitch, torque, wind, &self.parameters, &self.law);
        let connected = mode.operation().is_some();
        let state = &mut self.state;
        state.mode = mode;
        state.connected = connected;
        state.pitch = RateLimit::new(pitch.get());
        if self.parameters.individual.is_some() {
            let blade =
                |sample| usable(sample).map_or(pitch, Radians).limit(limits.pitch_min, limits.pitch_max);
            state.individual = Some(IndividualPitch::at(inputs.blades.each_ref().map(blade)));
        }
        state.torque = RateLimit::new(if connected { torque.get() } else { 0.0 });
        state.wind = WindMonitor::NEW;
        state.yaw = YawDrive::ALIGNED;
        state.cables.follow_from_here();
        state.interlock.follow_pitch_from_here();
        state.seeded = true;
    }

    /// One cycle; `dt` is the time since the last one.
    pub fn step(&mut self, inputs: &TurbineInputs, demand: &TurbineDemand, dt: Duration) -> TurbineStep {
        if !self.state.seeded {
            self.reseed(inputs);
        }
        let safety = &self.parameters.safety;
        let told = match &self.state.individual {
            None => PitchCommand::All(Radians(self.state.pitch.value())),
            Some(individual) => PitchCommand::Each(individual.blades()),
        };
        let sight = (inputs, demand, told);
        let trips = self.state.interlock.step(safety, self.parameters.gearbox_ratio, sight, dt);
        let situation = self.look(inputs, demand, trips, dt);
        self.state.mode = self.state.mode.next(&situation, &self.parameters, &self.law);
        let device_normal = usable(&inputs.plc_state).is_some_and(|state| state < 0.5);
        let in_order = self.state.seeded && trips.is_empty() && device_normal;
        self.state.operating = !self.state.mode.name().is_at_rest() || self.state.operating && !in_order;

        let control_dt = dt.min(CONTROL_STEP_MAX);
        let wanted = self.act(&situation, control_dt);
        let (outputs, individual_pitch) = self.limited(&wanted, &situation, inputs, control_dt);
        self.report(&situation, outputs, individual_pitch)
    }

    fn look(
        &mut self,
        inputs: &TurbineInputs,
        demand: &TurbineDemand,
        trips: TripSet,
        dt: Duration,
    ) -> Situation {
        let share = demand.power_limit / self.parameters.rated_power;
        if !share.is_nan() {
            self.state.power_share_wanted = share.clamp(0.0, 1.0);
        }
        let wind = self.state.wind.step(usable(&inputs.wind_speed), &self.parameters.supervision, dt);
        let cables = self.watch_cables(inputs, demand, wind, dt.min(CONTROL_STEP_MAX));
        Situation {
            trips,
            request: demand.request,
            wind,
            ready: self.is_ready(inputs),
            faces_wind: usable(&inputs.yaw_error)
                .is_none_or(|error_rad| error_rad.abs() <= self.parameters.yaw.start_error_max.get()),
            cables,
            untwist_due: self.state.cables.is_due(),
            speed: self.speed(inputs),
            rotor_speed: usable(&inputs.rotor_speed).map(RadiansPerSecond),
            measured_pitch: usable(&inputs.pitch()).map(Radians),
            measured_torque: usable(&inputs.generator_torque).map(NewtonMeters),
            tower_acceleration_mps2: usable(&inputs.tower_acceleration),
            measured_wind: usable(&inputs.wind_speed).map(MetersPerSecond),
            power_share_wanted: self.state.power_share_wanted,
            pitch: Radians(self.state.pitch.value()),
            torque: NewtonMeters(self.state.torque.value()),
            connected: self.state.connected,
        }
    }

    /// Before the mode changes: what the cables need is a reason to change it.
    fn watch_cables(
        &mut self,
        inputs: &TurbineInputs,
        demand: &TurbineDemand,
        wind: WindBand,
        dt: Duration,
    ) -> Cables {
        let yaw = &self.parameters.yaw;
        let windless = matches!(wind, WindBand::Calm | WindBand::Weak);
        let sight = CableSight {
            rate: self.state.yaw.rate(yaw),
            spare_time: windless && self.state.mode == Mode::Idle,
            by_hand: self.state.mode == Mode::Service,
            reset: demand.reset,
        };
        self.state.cables.step(inputs.cable_twist.as_ref(), sight, yaw, dt)
    }

    /// Generator speed, from the rotor's sensor if its own is bad.
    fn speed(&self, inputs: &TurbineInputs) -> Option<RadiansPerSecond> {
        let rotor = || usable(&inputs.rotor_speed).map(|rotor| rotor * self.parameters.gearbox_ratio);
        usable(&inputs.generator_speed).or_else(rotor).map(RadiansPerSecond)
    }

    /// A start needs everything that the interlock watches.
    fn is_ready(&self, inputs: &TurbineInputs) -> bool {
        let good = |sample| usable(sample).is_some();
        self.state.seeded
            && good(&inputs.generator_speed)
            && good(&inputs.rotor_speed)
            && inputs.blades.iter().all(good)
            && good(&inputs.tower_acceleration)
            && usable(&inputs.grid_ok).is_some_and(|grid| grid >= 0.5)
            && usable(&inputs.plc_state).is_some_and(|state| state < 0.5)
            && inputs.outputs_unacknowledged_for <= self.parameters.safety.unacknowledged_max
    }

    /// What the mode wants. The brake rule: open where the rotor shall turn; closed only below the low
    /// rotor speed when stopping, also in an emergency; at any speed only if even the hard overspeed
    /// limit was passed, because then the blades do not hold the rotor and the brake is what is left.
    fn act(&mut self, s: &Situation, dt: Duration) -> Wanted {
        let p = &self.parameters;
        let rules = &p.supervision;
        let feather = Wanted {
            pitch: p.law.pitch_max,
            pitch_rate: rules.stop_pitch_rate,
            torque: NewtonMeters::ZERO,
            connected: false,
            brake: Brake::Open,
        };
        match &mut self.state.mode {
            Mode::Idle => feather,
            Mode::StartUp(start) => Wanted {
                pitch: start.step(&self.law, rules, s.speed, s.pitch, dt),
                pitch_rate: p.law.pitch_rate_max,
                ..feather
            },
            Mode::Run(operation) | Mode::Derated(operation) => {
                let (pitch, torque) = produce(operation, s, p, &self.law, dt);
                Wanted { pitch, pitch_rate: p.law.pitch_rate_max, torque, connected: true, ..feather }
            }
            Mode::NormalStop(ramp) => {
                let ramp = NewtonMeters(ramp.step(dt));
                let curve = s.speed.map_or(s.torque, |speed| self.law.torque_curve(speed).0);
                let slow = s.speed.is_some_and(|speed| speed < rules.disconnect_speed);
                let done = s.torque <= NewtonMeters::ZERO && (slow || ramp <= NewtonMeters::ZERO);
                Wanted {
                    torque: ramp.min(curve),
                    connected: s.connected && !done,
                    brake: Brake::AtRest,
                    ..feather
                }
            }
            Mode::EmergencyStop => Wanted {
                pitch_rate: p.law.pitch_rate_max,
                connected: s.connected && !s.trips.contains(Trip::GridLoss) && s.torque > NewtonMeters::ZERO,
                brake: if s.trips.contains(Trip::OverspeedHard) { Brake::Now } else { Brake::AtRest },
                ..feather
            },
            Mode::Parked | Mode::Service => Wanted { brake: Brake::AtRest, ..feather },
        }
    }

    /// The last limiter: whatever was wanted, this is what goes out.
    fn limited(
        &mut self,
        wanted: &Wanted,
        s: &Situation,
        inputs: &TurbineInputs,
        dt: Duration,
    ) -> (TurbineOutputs, IndividualPitchStatus) {
        let p = &self.parameters;
        let state = &mut self.state;
        let pitch_rate = wanted.pitch_rate.min(p.law.pitch_rate_max);
        let pitch = wanted.pitch.limit(p.law.pitch_min, p.law.pitch_max);
        state.pitch.step(pitch.get(), RateLimits::both(pitch_rate.get()), dt);
        let (blades, individual_pitch) = each_blade(state, p, s, inputs, dt);
        state.connected = wanted.connected;
        if state.connected {
            let torque = wanted.torque.limit(NewtonMeters::ZERO, p.law.torque_max);
            state.torque.step(torque.get(), RateLimits::both(p.law.torque_rate_max.get()), dt);
        } else {
            state.torque = RateLimit::new(0.0);
        }
        let brake = match wanted.brake {
            Brake::Open => state.brake.step(f64::NEG_INFINITY, 0.0, 0.0),
            Brake::Now => state.brake.step(f64::INFINITY, 0.0, 0.0),
            Brake::AtRest => {
                let rules = &p.supervision;
                let rotor_radps = s.speed.map_or(f64::NAN, |speed| speed.get().abs() / p.gearbox_ratio);
                let (close, open) = (rules.brake_rotor_speed, rules.brake_release_rotor_speed);
                state.brake.step(-rotor_radps, -close.get(), -open.get())
            }
        };
        let task = YawTask::of(state.mode.name(), s.wind, s.cables);
        let yaw_rate = state.yaw.step(usable(&inputs.yaw_error), task, &p.yaw, dt);
        let outputs = TurbineOutputs {
            generator_torque: NewtonMeters(state.torque.value()).limit(NewtonMeters::ZERO, p.law.torque_max),
            pitch: Radians(state.pitch.value()).limit(p.law.pitch_min, p.law.pitch_max),
            blades,
            yaw_rate,
            brake,
            generator_connected: state.connected,
        };
        (outputs, individual_pitch)
    }

    fn report(
        &self,
        s: &Situation,
        outputs: TurbineOutputs,
        individual_pitch: IndividualPitchStatus,
    ) -> TurbineStep {
        let state = &self.state;
        let operation = state.mode.operation();
        let share = operation.map_or(s.power_share_wanted, |operation| operation.power_share.value());
        TurbineStep {
            outputs,
            mode: state.mode.name(),
            trips: s.trips,
            wind: s.wind,
            region: operation.map(|operation| operation.law.region),
            power_limit: self.parameters.rated_power * share,
            seeded: state.seeded,
            holding: s.speed.is_none(),
            individual_pitch,
            yaw: YawStatus::of(&state.yaw, s.cables),
        }
    }
}

/// The blades one by one around the common pitch, if they are led so.
fn each_blade(
    state: &mut TurbineState,
    p: &TurbineParameters,
    s: &Situation,
    inputs: &TurbineInputs,
    dt: Duration,
) -> (Option<[Radians; 3]>, IndividualPitchStatus) {
    let (Some(individual), Some(parameters)) = (&mut state.individual, &p.individual) else {
        return (None, IndividualPitchStatus::Off);
    };
    let sight = BladeSight {
        loads: inputs.blade_loads.as_ref(),
        rotor_speed: s.speed.map(|speed| speed / p.gearbox_ratio),
        producing: state.mode.operation().is_some(),
        collective: Radians(state.pitch.value()),
    };
    let (blades, status) = individual.step(parameters, &p.law, &sight, dt);
    (Some(blades), status)
}
