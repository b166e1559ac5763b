//! Wind from a file: CSV, or the uniform wind format of OpenFAST.
//!
//! # Formats
//!
//! - CSV (`.csv`): a header that names at least the columns `t_s` and `wind_mps`, and perhaps
//!   `wind_dir_deg`; other columns are passed over. Lines that start with `#` are comments.
//! - OpenFAST uniform wind (`.wnd`; InflowWind manual, "uniform wind file"): lines that start with `!`,
//!   `#` or `%` are comments; the columns are time, horizontal speed, direction (deg), vertical speed,
//!   horizontal shear, power-law shear, linear shear, gust speed, and perhaps upflow. The speed is the
//!   sum of the horizontal and the gust speed; shear and vertical speed are passed over, because the
//!   rotor is one disc here.
//!
//! Time ascends; in a uniform wind file a line may have the time of the one before, which is a step. Between the lines speed and direction are interpolated, the direction the short way
//! round; before the first and after the last line they stay.

use hal_diagnostics::Diagnostic;
use hal_units::{Duration, MetersPerSecond, Radians};

use super::WIND_MPS_MAX;

/// The most lines with data: more than a week at 1 Hz.
const ROWS_MAX: usize = 1_000_000;

/// Speed and direction over time.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    rows: Vec<Row>,
    /// After so long it begins anew.
    repeats_after_s: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Row {
    t_s: f64,
    speed: MetersPerSecond,
    direction: Radians,
}

impl Series {
    /// Reads a series; its format is told by the ending of the file's name.
    ///
    /// # Errors
    /// At the first line that is malformed, out of range or out of order, or if the ending is neither.
    pub fn parse(file_name: &str, text: &str) -> Result<Self, Diagnostic> {
        let ending = file_name.rsplit_once('.').map_or("", |(_, ending)| ending);
        let reader = Reader { file_name };
        let rows = if ending.eq_ignore_ascii_case("csv") {
            reader.csv(text)?
        } else if ending.eq_ignore_ascii_case("wnd") {
            reader.uniform(text)?
        } else {
            return Err(reader.complain(
                None,
                "the name ends neither in .csv nor in .wnd",
                "rename the file",
            ));
        };
        if rows.is_empty() {
            return Err(reader.complain(None, "there is no line with data", "give at least one"));
        }
        Ok(Self { rows, repeats_after_s: None })
    }

    /// A series at even steps from time zero, of at least one row; perhaps one that repeats.
    pub(super) fn evenly(step: Duration, rows: &[(MetersPerSecond, Radians)], repeats: bool) -> Self {
        let at = |index: usize| step.as_secs_f64() * index as f64;
        let row = |(index, (speed, direction)): (usize, &(MetersPerSecond, Radians))| Row {
            t_s: at(index),
            speed: *speed,
            direction: *direction,
        };
        let way_back = rows.first().filter(|_| repeats).map(|first| (rows.len(), first));
        Self {
            rows: rows.iter().enumerate().chain(way_back).map(row).collect(),
            repeats_after_s: repeats.then(|| at(rows.len())),
        }
    }

    pub(super) fn speed_at(&self, t: Duration) -> MetersPerSecond {
        let (before, after, along) = self.bracket(t.as_secs_f64());
        before.speed + (after.speed - before.speed) * along
    }

    pub(super) fn direction_at(&self, t: Duration) -> Radians {
        let (before, after, along) = self.bracket(t.as_secs_f64());
        let turn = (after.direction - before.direction).get();
        let short = turn - core::f64::consts::TAU * (turn / core::f64::consts::TAU).round();
        before.direction + Radians(short * along)
    }

    /// The rows around a time, and how far it lies between them.
    fn bracket(&self, t_s: f64) -> (Row, Row, f64) {
        let t_s = self.repeats_after_s.map_or(t_s, |after_s| t_s % after_s);
        let still = Row { t_s: 0.0, speed: MetersPerSecond::ZERO, direction: Radians::ZERO };
        let next = self.rows.partition_point(|row| row.t_s <= t_s);
        let after = self.rows.get(next).or(self.rows.last()).copied().unwrap_or(still);
        let before = next.checked_sub(1).and_then(|at| self.rows.get(at)).copied().unwrap_or(after);
        let span = after.t_s - before.t_s;
        (before, after, if span > 0.0 { (t_s - before.t_s) / span } else { 0.0 })
    }
}

struct Reader<'a> {
    file_name: &'a str,
}

impl Reader<'_> {
    fn csv(&self, text: &str) -> Result<Vec<Row>, Diagnostic> {
        let mut lines = data_lines(text, &['#']);
        let Some((header_line, header)) = lines.next() else { return Ok(Vec::new()) };
        let column = |name: &str| header.split(',').position(|column| column.trim() == name);
        let (Some(time), Some(speed)) = (column("t_s"), column("wind_mps")) else {
            return Err(self.complain(
                Some(header_line),
                "the header does not name the columns t_s and wind_mps",
                "begin with a line `t_s,wind_mps`",
            ));
        };
        let direction = column("wind_dir_deg");
        let mut rows: Vec<Row> = Vec::new();
        for (line, row) in lines {
            let field = |at: usize| row.split(',').nth(at).unwrap_or("");
            let direction_deg = match direction {
                Some(at) => self.number(line, field(at), "wind_dir_deg", 360.0)?,
                None => 0.0,
            };
            let t_s = self.number(line, field(time), "t_s", 1e9)?;
            let speed_mps = self.number(line, field(speed), "wind_mps", WIND_MPS_MAX)?;
            if rows.last().is_some_and(|last| last.t_s >= t_s) {
                return Err(self.descends(line, t_s));
            }
            self.push(&mut rows, line, t_s, speed_mps, direction_deg)?;
        }
        Ok(rows)
    }

    fn descends(&self, line: usize, t_s: f64) -> Diagnostic {
        self.complain(
            Some(line),
            &format!("the time {t_s} s does not ascend"),
            "let time begin at 0 or later and ascend from line to line",
        )
    }

    fn uniform(&self, text: &str) -> Result<Vec<Row>, Diagnostic> {
        let mut rows = Vec::new();
        for (line, row) in data_lines(text, &['!', '#', '%']) {
            let mut fields = [""; 9];
            let mut count = 0;
            for word in row.split_whitespace() {
                if let Some(field) = fields.get_mut(count) {
                    *field = word;
                }
                count += 1;
            }
            if !(8..=9).contains(&count) {
                return Err(self.complain(
                    Some(line),
                    &format!("{count} columns"),
                    "give the 8 columns of a uniform wind file, or 9 with the upflow angle",
                ));
            }
            let [time, speed, direction, _, _, _, _, gust, _] = fields;
            let t_s = self.number(line, time, "time", 1e9)?;
            let speed_mps = self.number(line, speed, "wind speed", WIND_MPS_MAX)?
                + self.number(line, gust, "gust speed", WIND_MPS_MAX)?;
            let direction_deg = self.number(line, direction, "wind direction", 360.0)?;
            self.push(&mut rows, line, t_s, speed_mps, direction_deg)?;
        }
        Ok(rows)
    }

    fn push(
        &self,
        rows: &mut Vec<Row>,
        line: usize,
        t_s: f64,
        speed_mps: f64,
        direction_deg: f64,
    ) -> Result<(), Diagnostic> {
        if !(0.0..=WIND_MPS_MAX).contains(&speed_mps) {
            return Err(self.complain(
                Some(line),
                &format!("a wind of {speed_mps} m/s"),
                &format!("give 0 to {WIND_MPS_MAX} m/s"),
            ));
        }
        if t_s < 0.0 || rows.last().is_some_and(|last| last.t_s > t_s) {
            return Err(self.descends(line, t_s));
        }
        if rows.len() >= ROWS_MAX {
            return Err(self.complain(
                Some(line),
                &format!("more than {ROWS_MAX} lines"),
                "give a shorter series",
            ));
        }
        rows.push(Row {
            t_s,
            speed: MetersPerSecond(speed_mps),
            direction: Radians::from_degrees(direction_deg),
        });
        Ok(())
    }

    /// A finite number of at most `magnitude_max`.
    fn number(&self, line: usize, text: &str, what: &str, magnitude_max: f64) -> Result<f64, Diagnostic> {
        text.trim().parse::<f64>().ok().filter(|number| number.abs() <= magnitude_max).ok_or_else(|| {
            let shown: String = text.trim().chars().take(40).collect();
            self.complain(
                Some(line),
                &format!("`{shown}` is no {what}"),
                &format!("give a number from -{magnitude_max} to {magnitude_max}"),
            )
        })
    }

    fn complain(&self, line: Option<usize>, what: &str, remedy: &str) -> Diagnostic {
        Diagnostic {
            file: self.file_name.to_owned(),
            position: line.map(|line| (line, 1)),
            what: what.to_owned(),
            remedy: remedy.to_owned(),
        }
    }
}

/// Lines that are neither empty nor a comment, with their numbers from 1.
fn data_lines<'a>(text: &'a str, comments: &'static [char]) -> impl Iterator<Item = (usize, &'a str)> {
    text.lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line.trim()))
        .filter(move |(_, line)| !line.is_empty() && !line.starts_with(comments))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CSV: &str = "# from the mast\nt_s,rotor_rpm,wind_mps\n0.0,12.1,8.0\n10.0,12.2,12.0\n";
    const WND: &str = "! Uniform wind\n! t speed dir vert hshear vshear lshear gust\n\
                       0.0 8.0 350.0 0 0 0.2 0 0.0\n10.0 10.0 10.0 0 0 0.2 0 2.0\n";

    fn at(series: &Series, seconds: f64) -> f64 {
        series.speed_at(Duration::from_secs_f64(seconds)).get()
    }

    fn complaint(file_name: &str, text: &str) -> String {
        Series::parse(file_name, text).unwrap_err().to_string()
    }

    #[test]
    fn a_csv_is_interpolated_and_held_at_its_ends() {
        let series = Series::parse("mast.csv", CSV).unwrap();
        assert_eq!([0.0, 2.5, 10.0, 99.0].map(|t| at(&series, t)), [8.0, 9.0, 12.0, 12.0]);
    }

    #[test]
    fn a_uniform_wind_adds_its_gust_and_turns_the_short_way() {
        let series = Series::parse("case.wnd", WND).unwrap();
        assert_eq!([0.0, 5.0, 10.0].map(|t| at(&series, t)), [8.0, 10.0, 12.0]);
        let north = series.direction_at(Duration::from_secs(5)).as_degrees();
        assert!((north - 360.0).abs() < 1e-9, "{north}");
    }

    #[test]
    fn a_uniform_wind_whose_lines_repeat_a_time_steps_there() {
        let text =
            "0 9 0 0 0 0 0 0\n0 9 0 0 0 0 0 0\n10 9 0 0 0 0 0 0\n10 12 0 0 0 0 0 0\n20 12 0 0 0 0 0 0\n";
        let series = Series::parse("steps.wnd", text).unwrap();
        assert_eq!([0.0, 9.9, 10.0, 15.0].map(|t| at(&series, t)), [9.0, 9.0, 12.0, 12.0]);
        assert!(complaint("back.wnd", "1 9 0 0 0 0 0 0\n0 9 0 0 0 0 0 0\n").contains("does not ascend"));
    }

    #[test]
    fn complaints_name_the_line() {
        assert!(complaint("a.csv", "t_s,speed\n").starts_with("a.csv:1:1: the header"));
        assert!(complaint("a.csv", "t_s,wind_mps\n0,x\n").starts_with("a.csv:2:1: `x` is no wind_mps"));
        assert!(complaint("a.csv", "t_s,wind_mps\n0,8\n0,9\n").starts_with("a.csv:3:1: the time 0 s"));
        assert!(complaint("a.csv", "t_s,wind_mps\n0,-8\n").contains("a wind of -8"));
        assert!(complaint("a.csv", "t_s,wind_mps\n0,nan\n").contains("`nan`"));
        assert!(complaint("a.csv", "t_s,wind_mps\n").contains("no line with data"));
        assert!(complaint("a.wnd", "! comment\n0 8 0\n").starts_with("a.wnd:2:1: 3 columns"));
        assert!(complaint("a.txt", "").contains("neither in .csv nor in .wnd"));
    }

    proptest! {
        #[test]
        fn a_mangled_file_never_panics(
            csv in any::<bool>(),
            at in 0..CSV.len(),
            cut in 0..20_usize,
            with in "[-0-9.,e# \nna]{0,10}",
        ) {
            let (name, text) = if csv { ("a.csv", CSV) } else { ("a.wnd", WND) };
            let mut text = text.to_owned();
            let end = (at + cut).min(text.len());
            text.replace_range(at..end, &with);
            if let Ok(series) = Series::parse(name, &text) {
                prop_assert!((0.0..=WIND_MPS_MAX).contains(&super::tests::at(&series, 5.0)));
            }
        }

        #[test]
        fn any_text_never_panics(text in "\\PC{0,200}") {
            let _ = Series::parse("a.csv", &text);
            let _ = Series::parse("a.wnd", &text);
        }
    }
}
