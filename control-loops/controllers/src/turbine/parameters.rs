//! Numbers of a turbine and its controller, and what makes them acceptable.

use core::fmt;

use hal_units::{Duration, MetersPerSecond, MetersPerSecond2, Radians, RadiansPerSecond, Watts};

use super::{
    BaselineLaw, IndividualPitchParameters, LawParameters, TaktFrame, TaktParameters, YawParameters,
};

/// Everything a [`TurbineController`](super::TurbineController) needs to know about its turbine.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TurbineParameters {
    /// Rated electrical power.
    pub rated_power: Watts,
    /// Generator speed over rotor speed.
    pub gearbox_ratio: f64,
    /// The control law; its rated power is mechanical.
    pub law: LawParameters,
    /// The Takt law, if that one shall drive in operation. Start-up and limits stay those of `law`.
    pub takt: Option<TaktParameters>,
    /// Individual pitch, if the blades shall be led one by one in operation.
    pub individual: Option<IndividualPitchParameters>,
    /// Starting, stopping, derating.
    pub supervision: SupervisionParameters,
    /// The safety interlock.
    pub safety: SafetyParameters,
    /// The yaw drive.
    pub yaw: YawParameters,
}

impl TurbineParameters {
    /// The NREL 5-MW reference turbine (NREL/TP-500-38060). The report defines no supervisor: the
    /// numbers of [`SupervisionParameters`] and [`SafetyParameters`] are our choice, except where said.
    pub const NREL_5MW: Self = Self {
        rated_power: Watts(5e6),
        gearbox_ratio: 97.0,
        law: LawParameters::NREL_5MW,
        takt: None,
        individual: None,
        supervision: SupervisionParameters::NREL_5MW,
        safety: SafetyParameters::NREL_5MW,
        yaw: YawParameters::NREL_5MW,
    };
}

/// Numbers of the supervisor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SupervisionParameters {
    /// A standing turbine starts from this wind on.
    pub cut_in_wind: MetersPerSecond,
    /// Below this wind the turbine counts as out of wind.
    pub cut_in_wind_lost: MetersPerSecond,
    /// A running turbine stops after this long out of wind.
    pub calm_delay: Duration,
    /// From this wind on the turbine stops.
    pub cut_out_wind: MetersPerSecond,
    /// Below this wind it may start again.
    pub restart_wind: MetersPerSecond,
    /// Corner of the wind filter.
    pub wind_filter_corner: RadiansPerSecond,
    /// How fast the blades come out of feather at the start.
    pub start_up_pitch_rate: RadiansPerSecond,
    /// Angle at which the blades wait until the rotor turns.
    pub start_up_pitch: Radians,
    /// Generator speed from which the rotor counts as turning.
    pub start_up_speed: RadiansPerSecond,
    /// With pitched blades, the generator is connected from this share of the reference speed on.
    pub connect_speed_share: f64,
    /// A start-up that takes longer is given up.
    pub start_up_time_max: Duration,
    /// How fast the power limit rises, share of rated power per second.
    pub power_rise_per_s: f64,
    /// How fast it falls: more slowly, because power that the generator gives up speeds the rotor up.
    pub power_fall_per_s: f64,
    /// How fast the blades go to feather in a normal stop.
    pub stop_pitch_rate: RadiansPerSecond,
    /// A normal stop takes the torque to zero in this time at most.
    pub stop_torque_time: Duration,
    /// A stopping generator is disconnected below this speed.
    pub disconnect_speed: RadiansPerSecond,
    /// **Rotor** speed below which the brake may close.
    pub brake_rotor_speed: RadiansPerSecond,
    /// **Rotor** speed from which a closed brake opens again and a parked rotor counts as turning.
    pub brake_release_rotor_speed: RadiansPerSecond,
}

impl SupervisionParameters {
    /// Cut-in 3 m/s and cut-out 25 m/s are the report's; half a metre per second above the latter keeps
    /// the noise of the anemometer from stopping a turbine in a steady 25 m/s.
    pub const NREL_5MW: Self = Self {
        cut_in_wind: MetersPerSecond(3.0),
        cut_in_wind_lost: MetersPerSecond(2.5),
        calm_delay: Duration::from_secs(600),
        cut_out_wind: MetersPerSecond(25.5),
        restart_wind: MetersPerSecond(22.0),
        wind_filter_corner: RadiansPerSecond(1.0 / 60.0),
        start_up_pitch_rate: RadiansPerSecond(Radians::from_degrees(2.0).get()),
        start_up_pitch: Radians::from_degrees(20.0),
        start_up_speed: RadiansPerSecond::from_rpm(1.5 * 97.0),
        connect_speed_share: 0.95,
        start_up_time_max: Duration::from_secs(900),
        power_rise_per_s: 0.2,
        power_fall_per_s: 0.1,
        stop_pitch_rate: RadiansPerSecond(Radians::from_degrees(3.0).get()),
        stop_torque_time: Duration::from_secs(20),
        disconnect_speed: RadiansPerSecond(65.0),
        brake_rotor_speed: RadiansPerSecond::from_rpm(1.5),
        brake_release_rotor_speed: RadiansPerSecond::from_rpm(3.0),
    };
}

/// Thresholds and delays of the safety interlock. A cause trips when it has persisted for its delay.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SafetyParameters {
    /// Generator speed above which the overspeed trip's delay runs.
    pub overspeed: RadiansPerSecond,
    /// Delay of the overspeed trip.
    pub overspeed_delay: Duration,
    /// Generator speed of the hard overspeed trip.
    pub overspeed_hard: RadiansPerSecond,
    /// Delay of the hard overspeed trip: two samples at 100 Hz, so that one wild sample trips nothing.
    pub overspeed_hard_delay: Duration,
    /// Tower acceleration, magnitude.
    pub vibration: MetersPerSecond2,
    /// Delay of the vibration trip.
    pub vibration_delay: Duration,
    /// Delay of the grid trip: shorter dips are ridden through.
    pub grid_delay: Duration,
    /// The longest time without an acknowledged write. Longer than any failover.
    pub unacknowledged_max: Duration,
    /// Delay of the trips for sensors that cannot be trusted.
    pub sensor_delay: Duration,
    /// Difference of the two speed sensors, at the generator.
    pub speed_mismatch: RadiansPerSecond,
    /// Delay of the mismatch trip.
    pub speed_mismatch_delay: Duration,
    /// How far a blade may be from where its commands can have brought it.
    pub pitch_deviation: Radians,
    /// Speed at which a drive follows its commands at least: half of its fastest.
    pub pitch_follow_rate: RadiansPerSecond,
    /// Delay of the deviation trip.
    pub pitch_deviation_delay: Duration,
}

impl SafetyParameters {
    /// Overspeed at +25 % and +30 % of the rated generator speed, 1173.7 rpm.
    pub const NREL_5MW: Self = Self {
        overspeed: RadiansPerSecond(1.25 * LawParameters::NREL_5MW.reference_speed.get()),
        overspeed_delay: Duration::from_millis(100),
        overspeed_hard: RadiansPerSecond(1.30 * LawParameters::NREL_5MW.reference_speed.get()),
        overspeed_hard_delay: Duration::from_millis(20),
        vibration: MetersPerSecond2(3.0),
        vibration_delay: Duration::from_millis(200),
        grid_delay: Duration::from_millis(150),
        unacknowledged_max: Duration::from_millis(1000),
        sensor_delay: Duration::from_millis(500),
        speed_mismatch: RadiansPerSecond(12.0),
        speed_mismatch_delay: Duration::from_millis(1000),
        // Our own choice: twice what the drive of 1 Hz lags behind at its full 8 deg/s.
        pitch_deviation: Radians::from_degrees(3.0),
        pitch_follow_rate: RadiansPerSecond(0.5 * LawParameters::NREL_5MW.pitch_rate_max.get()),
        pitch_deviation_delay: Duration::from_millis(1000),
    };
}

/// Why parameters make no turbine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParameterError {
    /// Must be a finite number above zero.
    NotPositive {
        /// Name of the field.
        field: &'static str,
    },
    /// Must be a finite number, zero or above.
    Negative {
        /// Name of the field.
        field: &'static str,
    },
    /// The first must be below the second.
    NotBelow {
        /// Name of the field that must be lower.
        low: &'static str,
        /// Name of the field that must be higher.
        high: &'static str,
    },
    /// Speeds, gain and slip give a torque curve without an end of region 2.
    NoTorqueCurve,
}

impl fmt::Display for ParameterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotPositive { field } => write!(f, "{field} must be a finite number above 0"),
            Self::Negative { field } => write!(f, "{field} must be a finite number, 0 or above"),
            Self::NotBelow { low, high } => write!(f, "{low} must be below {high}"),
            Self::NoTorqueCurve => write!(
                f,
                "optimal_gain, slip_percent and rated_speed leave no region 2 between region_2_speed and rated_speed"
            ),
        }
    }
}

impl core::error::Error for ParameterError {}

impl TurbineParameters {
    /// What the Takt law has to know of the layers around it.
    pub(super) const fn takt_frame(&self) -> TaktFrame {
        TaktFrame {
            gearbox_ratio: self.gearbox_ratio,
            torque_max: self.law.torque_max,
            pitch_range: (self.law.pitch_min, self.law.pitch_max),
        }
    }

    /// Whether the parameters describe a turbine.
    ///
    /// # Errors
    /// At the first value or pair of values that does not.
    pub fn check(&self) -> Result<(), ParameterError> {
        self.positive()?;
        self.not_negative()?;
        self.ordered()?;
        if let Some(takt) = &self.takt {
            takt.check()?;
        }
        if let Some(individual) = &self.individual {
            individual.check()?;
        }
        let corner = BaselineLaw::new(self.law).region_2_5_speed();
        if corner.is_finite() && corner >= self.law.region_2_speed && corner <= self.law.rated_speed {
            Ok(())
        } else {
            Err(ParameterError::NoTorqueCurve)
        }
    }

    fn positive(&self) -> Result<(), ParameterError> {
        let (law, rules, safety, yaw) = (&self.law, &self.supervision, &self.safety, &self.yaw);
        let fields = [
            ("rated_power", self.rated_power.get()),
            ("gearbox_ratio", self.gearbox_ratio),
            ("law.speed_filter_corner", law.speed_filter_corner.get()),
            ("law.cut_in_speed", law.cut_in_speed.get()),
            ("law.optimal_gain", law.optimal_gain),
            ("law.slip_percent", law.slip_percent),
            ("law.rated_power_mechanical", law.rated_power_mechanical.get()),
            ("law.torque_max", law.torque_max.get()),
            ("law.torque_rate_max", law.torque_rate_max.get()),
            ("law.pitch_integral", law.pitch_integral),
            ("law.gain_halving_pitch", law.gain_halving_pitch.get()),
            ("law.pitch_rate_max", law.pitch_rate_max.get()),
            ("supervision.wind_filter_corner", rules.wind_filter_corner.get()),
            ("supervision.start_up_pitch_rate", rules.start_up_pitch_rate.get()),
            ("supervision.connect_speed_share", rules.connect_speed_share),
            ("supervision.power_rise_per_s", rules.power_rise_per_s),
            ("supervision.power_fall_per_s", rules.power_fall_per_s),
            ("supervision.stop_pitch_rate", rules.stop_pitch_rate.get()),
            ("supervision.disconnect_speed", rules.disconnect_speed.get()),
            ("supervision.brake_rotor_speed", rules.brake_rotor_speed.get()),
            ("safety.vibration", safety.vibration.get()),
            ("safety.speed_mismatch", safety.speed_mismatch.get()),
            ("safety.pitch_deviation", safety.pitch_deviation.get()),
            ("safety.pitch_follow_rate", safety.pitch_follow_rate.get()),
            ("yaw.filter_corner", yaw.filter_corner.get()),
            ("yaw.rate", yaw.rate.get()),
            ("yaw.start_error_max", yaw.start_error_max.get()),
            ("yaw.untwisted", yaw.untwisted.get()),
            ("yaw.twist_deviation", yaw.twist_deviation.get()),
            ("yaw.twist_observer_way", yaw.twist_observer_way.get()),
        ];
        match fields.into_iter().find(|(_, value)| !(value.is_finite() && *value > 0.0)) {
            Some((field, _)) => Err(ParameterError::NotPositive { field }),
            None => Ok(()),
        }
    }

    fn not_negative(&self) -> Result<(), ParameterError> {
        let fields = [
            ("law.pitch_min", self.law.pitch_min.get()),
            ("law.constant_power_pitch", self.law.constant_power_pitch.get()),
            ("law.pitch_proportional_s", self.law.pitch_proportional_s),
            ("supervision.start_up_pitch", self.supervision.start_up_pitch.get()),
            ("supervision.cut_in_wind_lost", self.supervision.cut_in_wind_lost.get()),
            ("yaw.dead_band", self.yaw.dead_band.get()),
        ];
        match fields.into_iter().find(|(_, value)| !(value.is_finite() && *value >= 0.0)) {
            Some((field, _)) => Err(ParameterError::Negative { field }),
            None => Ok(()),
        }
    }

    fn ordered(&self) -> Result<(), ParameterError> {
        let (law, rules, safety, yaw) = (&self.law, &self.supervision, &self.safety, &self.yaw);
        let pairs = [
            (("law.cut_in_speed", law.cut_in_speed.get()), ("law.region_2_speed", law.region_2_speed.get())),
            (("law.region_2_speed", law.region_2_speed.get()), ("law.rated_speed", law.rated_speed.get())),
            (("law.rated_speed", law.rated_speed.get()), ("law.reference_speed", law.reference_speed.get())),
            (("law.pitch_min", law.pitch_min.get()), ("law.pitch_max", law.pitch_max.get())),
            (
                ("supervision.start_up_pitch", rules.start_up_pitch.get()),
                ("law.pitch_max", law.pitch_max.get()),
            ),
            (
                ("supervision.start_up_speed", rules.start_up_speed.get()),
                ("law.cut_in_speed", law.cut_in_speed.get()),
            ),
            (
                ("supervision.disconnect_speed", rules.disconnect_speed.get()),
                ("law.cut_in_speed", law.cut_in_speed.get()),
            ),
            (
                ("supervision.cut_in_wind_lost", rules.cut_in_wind_lost.get()),
                ("supervision.cut_in_wind", rules.cut_in_wind.get()),
            ),
            (
                ("supervision.cut_in_wind", rules.cut_in_wind.get()),
                ("supervision.restart_wind", rules.restart_wind.get()),
            ),
            (
                ("supervision.restart_wind", rules.restart_wind.get()),
                ("supervision.cut_out_wind", rules.cut_out_wind.get()),
            ),
            (
                ("supervision.brake_rotor_speed", rules.brake_rotor_speed.get()),
                ("supervision.brake_release_rotor_speed", rules.brake_release_rotor_speed.get()),
            ),
            (
                ("law.reference_speed", law.reference_speed.get()),
                ("safety.overspeed", safety.overspeed.get()),
            ),
            (
                ("safety.overspeed", safety.overspeed.get()),
                ("safety.overspeed_hard", safety.overspeed_hard.get()),
            ),
            (("yaw.untwisted", yaw.untwisted.get()), ("yaw.twist_soft", yaw.twist_soft.get())),
            (("yaw.twist_soft", yaw.twist_soft.get()), ("yaw.twist_hard", yaw.twist_hard.get())),
        ];
        let out_of_order = |((_, low), (_, high)): &((_, f64), (_, f64))| {
            !(low.is_finite() && high.is_finite() && low < high)
        };
        match pairs.into_iter().find(out_of_order) {
            Some(((low, _), (high, _))) => Err(ParameterError::NotBelow { low, high }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;

    fn complaint_after(change: impl FnOnce(&mut TurbineParameters)) -> std::string::String {
        let mut parameters = TurbineParameters::NREL_5MW;
        change(&mut parameters);
        parameters.check().unwrap_err().to_string()
    }

    #[test]
    fn the_reference_turbine_is_acceptable() {
        assert_eq!(TurbineParameters::NREL_5MW.check(), Ok(()));
    }

    #[test]
    fn the_mechanical_rated_power_is_the_electrical_one_over_the_efficiency_of_94_4_percent() {
        let p = TurbineParameters::NREL_5MW;
        assert!((p.law.rated_power_mechanical.get() * 0.944 - p.rated_power.get()).abs() < 1.0);
    }

    #[test]
    fn a_rate_of_zero_is_named() {
        let complaint = complaint_after(|p| p.law.pitch_rate_max = RadiansPerSecond::ZERO);
        assert_eq!(complaint, "law.pitch_rate_max must be a finite number above 0");
    }

    #[test]
    fn a_gain_that_is_no_number_is_named() {
        let complaint = complaint_after(|p| p.law.pitch_proportional_s = f64::NAN);
        assert_eq!(complaint, "law.pitch_proportional_s must be a finite number, 0 or above");
    }

    #[test]
    fn crossed_thresholds_are_named() {
        let complaint = complaint_after(|p| p.safety.overspeed = p.safety.overspeed_hard);
        assert_eq!(complaint, "safety.overspeed must be below safety.overspeed_hard");
    }

    #[test]
    fn a_gain_too_large_for_region_2_is_refused() {
        let complaint = complaint_after(|p| p.law.optimal_gain = 30.0);
        assert!(complaint.contains("no region 2"), "{complaint}");
    }
}
