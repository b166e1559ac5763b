//! Wind from a full-field file of TurbSim (`.bts`): what a rotor as one disc feels of it.
//!
//! # Format
//!
//! Binary, little-endian (Jonkman 2009, TurbSim User's Guide, appendix "TurbSim full-field binary files"):
//! an `i16` that is 7, or 8 for a series that repeats; `i32` points up, across, on the tower, and times;
//! `f32` spacing up and across (m), time step (s), mean speed at the hub (m/s), height of hub and lowest
//! point (m); slope and offset of each of the three components; an `i32` length and that much text; then
//! for each time the grid, line by line from below, and the tower below it, three `i16` a point. A
//! component is `(number - offset) / slope` m/s.
//!
//! # Model
//!
//! The speed is the mean of the downwind component over the points within the rotor's disc round the hub;
//! the direction follows from the mean of the component across. A series that repeats does so here, too,
//! for as long as it is asked; the other stays at its last value.

use hal_diagnostics::Diagnostic;
use hal_units::{Duration, Meters, MetersPerSecond, Radians};

use super::WIND_MPS_MAX;
use super::series::Series;

/// The most points of a grid, in each direction.
const POINTS_MAX: i32 = 1_000;
/// The most times, as of any series.
const TIMES_MAX: i32 = 1_000_000;
/// Three components of two bytes.
const POINT_BYTES: usize = 6;
/// What a file that is cut off ends within.
const HEADER: &str = "header";

/// A full field, reduced to one series.
///
/// # Errors
/// If the file is no such file, ends early, has no point within the disc, or blows faster than is believed.
pub(super) fn series(file_name: &str, bytes: &[u8], rotor_radius: Meters) -> Result<Series, Diagnostic> {
    let mut reader = Reader { file_name, rest: bytes };
    let field = Field::read(&mut reader)?;
    if reader.rest.len() < field.times * field.bytes_per_time() {
        return Err(reader.cut_off("field"));
    }
    let disc = field.points_within(rotor_radius.get());
    if !disc.contains(&true) {
        return Err(reader.complain(
            &format!(
                "no point of the grid lies within {} m of its hub at {} m",
                rotor_radius.get(),
                field.hub_m
            ),
            "make the grid as large as the rotor",
        ));
    }
    let mut rows = Vec::with_capacity(field.times);
    for time in 0..field.times {
        let (along, across) = field.mean(&mut reader, &disc)?;
        if along.abs() > WIND_MPS_MAX {
            return Err(reader.complain(
                &format!("the mean over the rotor is {along:.1} m/s at time step {time}"),
                &format!("give at most {WIND_MPS_MAX} m/s; perhaps the file is damaged"),
            ));
        }
        // Across is positive to the left of who looks downwind: such wind comes from the right.
        rows.push((MetersPerSecond(along), Radians(-across.atan2(along))));
    }
    Ok(Series::evenly(Duration::from_secs_f64(field.step_s), &rows, field.repeats))
}

/// What the head of the file says.
struct Field {
    repeats: bool,
    up: usize,
    across: usize,
    tower: usize,
    times: usize,
    up_m: f64,
    across_m: f64,
    step_s: f64,
    hub_m: f64,
    lowest_m: f64,
    /// Slope and offset, downwind and across.
    scales: [(f64, f64); 2],
}

impl Field {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Diagnostic> {
        let kind = i16::from_le_bytes(reader.take(HEADER)?);
        if kind != 7 && kind != 8 {
            return Err(reader.complain(
                &format!("it begins with {kind}, a full field of TurbSim with 7 or 8"),
                "give a .bts file as TurbSim writes it (WrADFF)",
            ));
        }
        let up = reader.count("points up", 1, POINTS_MAX)?;
        let across = reader.count("points across", 1, POINTS_MAX)?;
        let tower = reader.count("points on the tower", 0, POINTS_MAX)?;
        let times = reader.count("time steps", 1, TIMES_MAX)?;
        let up_m = reader.number("spacing up", 1e-3, 1e4)?;
        let across_m = reader.number("spacing across", 1e-3, 1e4)?;
        let step_s = reader.number("time step", 1e-4, 1e4)?;
        reader.number("mean speed", 0.0, WIND_MPS_MAX)?;
        let hub_m = reader.number("height of the hub", 0.0, 1e4)?;
        let lowest_m = reader.number("height of the lowest point", 0.0, 1e4)?;
        let mut scale = || -> Result<(f64, f64), Diagnostic> {
            Ok((reader.number("slope", 1e-9, 1e9)?, reader.number("offset", -1e9, 1e9)?))
        };
        let [along_scale, across_scale, _] = [scale()?, scale()?, scale()?];
        let words = reader.count("characters of description", 0, 10_000)?;
        reader.skip(words)?;
        Ok(Self {
            repeats: kind == 8,
            up,
            across,
            tower,
            times,
            up_m,
            across_m,
            step_s,
            hub_m,
            lowest_m,
            scales: [along_scale, across_scale],
        })
    }

    const fn bytes_per_time(&self) -> usize {
        (self.up * self.across + self.tower) * POINT_BYTES
    }

    /// Which points of the grid lie within the disc, in the order of the file.
    fn points_within(&self, radius_m: f64) -> Vec<bool> {
        let half_width_m = self.across_m * (self.across - 1) as f64 / 2.0;
        let mut within = Vec::with_capacity(self.up * self.across);
        for up in 0..self.up {
            let z_m = self.lowest_m + self.up_m * up as f64 - self.hub_m;
            for across in 0..self.across {
                let y_m = self.across_m * across as f64 - half_width_m;
                within.push(z_m.hypot(y_m) <= radius_m);
            }
        }
        within
    }

    /// Means over the disc of the next time, downwind and across, m/s.
    fn mean(&self, reader: &mut Reader<'_>, disc: &[bool]) -> Result<(f64, f64), Diagnostic> {
        let (mut sums, mut points) = ([0.0_f64; 2], 0.0_f64);
        for within in disc {
            let [a, b, c, d, _, _]: [u8; POINT_BYTES] = reader.take("field")?;
            if *within {
                points += 1.0;
                let components = [i16::from_le_bytes([a, b]), i16::from_le_bytes([c, d])];
                for ((sum, number), (slope, offset)) in sums.iter_mut().zip(components).zip(self.scales) {
                    *sum += (f64::from(number) - offset) / slope;
                }
            }
        }
        reader.skip(self.tower * POINT_BYTES)?;
        let [along, across] = sums.map(|sum| sum / points);
        Ok((along, across))
    }
}

struct Reader<'a> {
    file_name: &'a str,
    rest: &'a [u8],
}

impl Reader<'_> {
    fn take<const N: usize>(&mut self, what: &str) -> Result<[u8; N], Diagnostic> {
        let Some((taken, rest)) = self.rest.split_first_chunk() else { return Err(self.cut_off(what)) };
        self.rest = rest;
        Ok(*taken)
    }

    fn skip(&mut self, count: usize) -> Result<(), Diagnostic> {
        let Some(rest) = self.rest.get(count..) else { return Err(self.cut_off("field")) };
        self.rest = rest;
        Ok(())
    }

    fn count(&mut self, what: &str, low: i32, high: i32) -> Result<usize, Diagnostic> {
        let count = i32::from_le_bytes(self.take(HEADER)?);
        let known = usize::try_from(count).ok().filter(|_| (low..=high).contains(&count));
        known.ok_or_else(|| self.beyond(&format!("{count} {what}"), &format!("{low} to {high}")))
    }

    fn number(&mut self, what: &str, low: f64, high: f64) -> Result<f64, Diagnostic> {
        let number = f64::from(f32::from_le_bytes(self.take(HEADER)?));
        if (low..=high).contains(&number) {
            return Ok(number);
        }
        Err(self.beyond(&format!("its {what} is {number}"), &format!("{low} to {high}")))
    }

    fn beyond(&self, what: &str, range: &str) -> Diagnostic {
        self.complain(what, &format!("give {range}; perhaps the file is damaged or of another kind"))
    }

    fn cut_off(&self, what: &str) -> Diagnostic {
        self.complain(&format!("it ends within its {what}"), "give the whole file")
    }

    fn complain(&self, what: &str, remedy: &str) -> Diagnostic {
        Diagnostic {
            file: self.file_name.to_owned(),
            position: None,
            what: what.to_owned(),
            remedy: remedy.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Downwind and across, m/s, at a point up and across.
    type Field = fn(usize, usize) -> (f64, f64);

    /// A grid of 5 by 5 points 10 m apart round a hub at 50 m; 1 m/s is 1000.
    fn file(kind: i16, times: &[Field]) -> Vec<u8> {
        let mut bytes = kind.to_le_bytes().to_vec();
        for count in [5, 5, 2, i32::try_from(times.len()).unwrap()] {
            bytes.extend(count.to_le_bytes());
        }
        for number in [10.0_f32, 10.0, 0.5, 9.0, 50.0, 30.0, 1000.0, 0.0, 1000.0, 0.0, 1000.0, 0.0] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend(4_i32.to_le_bytes());
        bytes.extend(b"test");
        for time in times {
            for (up, across) in (0..5).flat_map(|up| (0..5).map(move |across| (up, across))) {
                let (u, v) = time(up, across);
                for component in [u, v, 0.0] {
                    bytes.extend(((component * 1000.0) as i16).to_le_bytes());
                }
            }
            bytes.extend([0x7f; 12]);
        }
        bytes
    }

    fn speed(series: &Series, seconds: f64) -> f64 {
        series.speed_at(Duration::from_secs_f64(seconds)).get()
    }

    fn complaint(bytes: &[u8]) -> String {
        series("field.bts", bytes, Meters(15.0)).unwrap_err().to_string()
    }

    #[test]
    fn the_speed_is_the_mean_over_the_disc_alone() {
        // Within 15 m of the middle: the middle, its four neighbours, and four at 14.1 m.
        let bytes = file(
            7,
            &[|up, across| {
                let inner = (1..4).contains(&up) && (1..4).contains(&across);
                (
                    if !inner {
                        30.0
                    } else if up + across == 4 {
                        11.0
                    } else {
                        8.0
                    },
                    0.0,
                )
            }],
        );
        let field = series("field.bts", &bytes, Meters(15.0)).unwrap();
        assert!((speed(&field, 0.0) - 9.0).abs() < 1e-9, "three of nine points blow at 11");
    }

    #[test]
    fn a_series_goes_on_at_its_last_value_or_repeats() {
        let times: [Field; 3] = [|_, _| (8.0, 0.0), |_, _| (9.0, 0.0), |_, _| (10.0, 0.0)];
        let once = series("field.bts", &file(7, &times), Meters(15.0)).unwrap();
        let again = series("field.bts", &file(8, &times), Meters(15.0)).unwrap();
        assert_eq!([0.0, 0.25, 1.0, 1.5, 9.0].map(|t| speed(&once, t)), [8.0, 8.5, 10.0, 10.0, 10.0]);
        // Three steps of half a second, and from the last back to the first.
        assert_eq!([0.0, 1.0, 1.25, 1.5, 3.5].map(|t| speed(&again, t)), [8.0, 10.0, 9.0, 8.0, 9.0]);
    }

    #[test]
    fn wind_to_the_left_comes_from_the_right() {
        let field = series("field.bts", &file(7, &[|_, _| (10.0, 10.0)]), Meters(15.0)).unwrap();
        assert!((field.direction_at(Duration::ZERO).as_degrees() + 45.0).abs() < 1e-9);
    }

    #[test]
    fn what_is_no_such_file_is_said() {
        let whole = file(7, &[|_, _| (9.0, 0.0)]);
        assert!(complaint(b"t_s,wind_mps\n").contains("begins with"));
        assert!(complaint(&whole[..30]).contains("ends within its header"));
        assert!(complaint(&whole[..whole.len() - 1]).contains("ends within its field"));
        let mut off_centre = whole;
        off_centre[34..38].copy_from_slice(&500.0_f32.to_le_bytes());
        assert!(complaint(&off_centre).contains("no point of the grid lies within 15 m"));
        let mut fast = file(7, &[|_, _| (9.0, 0.0)]);
        fast[42..46].copy_from_slice(&1.0_f32.to_le_bytes());
        assert!(complaint(&fast).contains("9000.0 m/s at time step 0"));
    }

    proptest! {
        #[test]
        fn a_mangled_file_never_panics(at in 0..230_usize, byte in any::<u8>(), cut in 0..230_usize) {
            let mut bytes = file(8, &[|_, _| (9.0, 1.0)]);
            bytes[at] = byte;
            bytes.truncate(bytes.len() - cut.min(bytes.len()));
            if let Ok(field) = series("field.bts", &bytes, Meters(15.0)) {
                prop_assert!(speed(&field, 1.0).abs() <= WIND_MPS_MAX);
            }
        }
    }
}
