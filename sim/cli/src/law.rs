//! `takt-sim law`: the bare control law over a series of measurements.

use std::fmt::Write;
use std::path::PathBuf;

use clap::Args;
use control_loops_controllers::turbine::{BaselineLaw, LawParameters, LawState};
use hal_diagnostics::{Diagnostic, Document};
use hal_units::{Duration, Radians, RadiansPerSecond};

use crate::failure::Failure;
use crate::text_file;

const COLUMNS: [&str; 3] = ["t_s", "gen_speed_radps", "pitch_meas_rad"];
const HEADER: &str = "t_s,gen_torque_nm,pitch_cmd_rad\n";

const DETAILS: &str = "\
Input: a header that names at least the columns t_s, gen_speed_radps and pitch_meas_rad, in any
order; other columns are passed over, lines that start with # are comments. The time ascends; the
law is called once per row, with the time since the row before. The first row initialises it, from
the measured pitch. After that the pitch is limited in rate against the law's own last command.

Output: t_s as it was given, gen_torque_nm, pitch_cmd_rad.

Example:
  takt-sim law --in measured.csv --csv commanded.csv

Exit status: 0 done, 1 failed, 2 wrong usage or bad input.";

/// Runs the bare NREL 5-MW control law over measurements
///
/// Speed filter, torque regions and pitch PI alone: no supervision, no interlock, no plant.
#[derive(Debug, Args)]
#[command(after_help = DETAILS)]
pub(crate) struct Arguments {
    /// Measurements
    #[arg(long = "in", value_name = "FILE")]
    input: PathBuf,

    /// Where to write the commands; - is standard output
    #[arg(long, value_name = "FILE")]
    csv: PathBuf,
}

/// Reads, computes, writes.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let document = Document::read_at_most(&arguments.input, text_file::SERIES_BYTES_MAX)?;
    let csv = commands_for(&document)?;
    text_file::write(&arguments.csv, &csv)
}

/// One row of the input.
struct Measured<'a> {
    t_text: &'a str,
    t_s: f64,
    speed: RadiansPerSecond,
    pitch: Radians,
    /// Where the time stands, for complaints about it.
    t_at: usize,
}

/// The whole output for a whole input.
fn commands_for(document: &Document) -> Result<String, Diagnostic> {
    let law = BaselineLaw::new(LawParameters::NREL_5MW);
    let mut csv = String::from(HEADER);
    let mut before: Option<(f64, LawState)> = None;
    for measured in Rows::of(document)? {
        let measured = measured?;
        let (state, command) = match before {
            None => {
                let state = law.first_call(measured.speed, measured.pitch);
                (state, state.command())
            }
            Some((t_before_s, mut state)) => {
                let dt = time_since(document, t_before_s, &measured)?;
                let command = law.step(&mut state, measured.speed, 1.0, dt);
                (state, command)
            }
        };
        before = Some((measured.t_s, state));
        // Writing to a string cannot fail.
        let _ = writeln!(csv, "{},{:.6},{:.9}", measured.t_text, command.torque.get(), command.pitch.get());
    }
    match before {
        Some(_) => Ok(csv),
        None => Err(document.whole("has a header but no data", "give at least one row")),
    }
}

fn time_since(document: &Document, t_before_s: f64, measured: &Measured<'_>) -> Result<Duration, Diagnostic> {
    Duration::try_from_secs_f64(measured.t_s - t_before_s).ok().filter(|dt| !dt.is_zero()).ok_or_else(|| {
        let at = measured.t_at..measured.t_at;
        let what = format!("the time {} does not come after {t_before_s}", measured.t_text);
        document.at(at, what, "sort the rows by time and give each time once")
    })
}

/// Walks over the data lines.
struct Rows<'a> {
    document: &'a Document,
    lines: Lines<'a>,
    columns: [usize; COLUMNS.len()],
}

impl<'a> Rows<'a> {
    fn of(document: &'a Document) -> Result<Self, Diagnostic> {
        let mut lines = Lines { rest: document.text(), at: 0 };
        let Some((at, header)) = lines.next() else {
            return Err(document.whole("is empty", remedy_for_columns()));
        };
        let column_of = |name: &str| {
            header.split(',').position(|column| column.trim() == name).ok_or_else(|| {
                document.at(at..at, format!("the header has no column `{name}`"), remedy_for_columns())
            })
        };
        let [t, speed, pitch] = COLUMNS;
        let columns = [column_of(t)?, column_of(speed)?, column_of(pitch)?];
        Ok(Self { document, lines, columns })
    }

    fn measured(&self, at: usize, line: &'a str) -> Result<Measured<'a>, Diagnostic> {
        let [t, speed, pitch] = self.columns;
        let (t_at, t_text) = self.field(at, line, t)?;
        Ok(Measured {
            t_text,
            t_s: self.number(t_at, t_text, COLUMNS[0])?,
            speed: RadiansPerSecond(self.number_in(at, line, speed, COLUMNS[1])?),
            pitch: Radians(self.number_in(at, line, pitch, COLUMNS[2])?),
            t_at,
        })
    }

    fn number_in(&self, at: usize, line: &str, column: usize, name: &str) -> Result<f64, Diagnostic> {
        let (at, text) = self.field(at, line, column)?;
        self.number(at, text, name)
    }

    /// A field's place in the text and its content.
    fn field<'l>(&self, at: usize, line: &'l str, column: usize) -> Result<(usize, &'l str), Diagnostic> {
        let mut at_field = at;
        for (number, field) in line.split(',').enumerate() {
            if number == column {
                let leading = field.len() - field.trim_start().len();
                return Ok((at_field + leading, field.trim()));
            }
            at_field += field.len() + 1;
        }
        let what = format!("the row has {} columns", line.split(',').count());
        Err(self.document.at(at..at, what, format!("give at least {}, as in the header", column + 1)))
    }

    fn number(&self, at: usize, text: &str, name: &str) -> Result<f64, Diagnostic> {
        text.parse::<f64>().ok().filter(|number| number.is_finite()).ok_or_else(|| {
            let shown: String = text.chars().take(40).collect();
            self.document.at(at..at, format!("{name} `{shown}` is no finite number"), "correct the value")
        })
    }
}

impl<'a> Iterator for Rows<'a> {
    type Item = Result<Measured<'a>, Diagnostic>;

    fn next(&mut self) -> Option<Self::Item> {
        self.lines.next().map(|(at, line)| self.measured(at, line))
    }
}

fn remedy_for_columns() -> String {
    format!("give a header line with the columns {}", COLUMNS.join(", "))
}

/// Lines that say something, with their place in the text.
struct Lines<'a> {
    rest: &'a str,
    at: usize,
}

impl<'a> Iterator for Lines<'a> {
    type Item = (usize, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        while !self.rest.is_empty() {
            let (line, rest) = self.rest.split_once('\n').unwrap_or((self.rest, ""));
            let at = self.at;
            self.at += line.len() + 1;
            self.rest = rest;
            // Spreadsheets put a byte order mark before the header and a return after each line.
            let line = line.trim_start_matches('\u{feff}').trim_end();
            if !line.is_empty() && !line.starts_with('#') {
                return Some((at, line));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn commands(text: &str) -> Result<String, String> {
        commands_for(&Document::new("in.csv", text)).map_err(|complaint| complaint.to_string())
    }

    fn complaint(text: &str) -> String {
        commands(text).unwrap_err()
    }

    #[test]
    fn extra_columns_comments_and_line_ends_of_spreadsheets_are_tolerated() {
        let plain = "t_s,gen_speed_radps,pitch_meas_rad\n0.02,100,0\n0.04,100,0\n";
        let adorned = "\u{feff}# a comment\r\nwhy,pitch_meas_rad, gen_speed_radps ,t_s\r\n\r\n\
                       x,0,100,0.02\r\n# another\r\ny, 0 , 100 , 0.04 \r\n";
        assert_eq!(commands(plain), commands(adorned));
        assert!(commands(plain).unwrap().starts_with("t_s,gen_torque_nm,pitch_cmd_rad\n0.02,"));
    }

    #[test]
    fn the_first_row_is_on_the_torque_curve_at_once() {
        let out = commands("t_s,gen_speed_radps,pitch_meas_rad\n5,100,0\n").unwrap();
        assert_eq!(out.lines().nth(1).unwrap(), "5,23322.870000,0.000000000");
    }

    #[test]
    fn complaints_name_the_place() {
        let header = "t_s,gen_speed_radps,pitch_meas_rad\n";
        assert!(complaint("").contains("is empty"));
        assert!(complaint(header).contains("no data"));
        assert!(
            complaint("# c\nt_s,pitch_meas_rad\n1,2\n").starts_with("in.csv:2:1: the header has no column")
        );
        assert!(complaint(&format!("{header}1,2\n")).starts_with("in.csv:2:1: the row has 2 columns"));
        assert!(
            complaint(&format!("{header}1,2,3\n2, fast,3\n"))
                .starts_with("in.csv:3:4: gen_speed_radps `fast`")
        );
        assert!(complaint(&format!("{header}1,2,NaN\n")).starts_with("in.csv:2:5: pitch_meas_rad `NaN`"));
        assert!(complaint(&format!("{header}1,2,3\n1,2,3\n")).starts_with("in.csv:3:1: the time 1 does not"));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "(t_s,gen_speed_radps,pitch_meas_rad\n)?([-0-9.,e#\r\u{e4}]{0,20}\n?){0,6}") {
            if let Ok(out) = commands(&text) {
                prop_assert!(!out.contains("NaN") && !out.contains("inf"), "{}", out);
            }
        }
    }
}
