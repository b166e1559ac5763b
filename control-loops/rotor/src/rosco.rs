//! Rotor tables in the text format of the ROSCO toolbox.

use hal_diagnostics::Diagnostic;
use hal_units::Radians;

use crate::table::{BETZ, RotorTable};

/// The most grid lines in one direction.
const GRID_LINES_MAX: usize = 1000;
/// No coefficient of a real rotor is larger.
const COEFFICIENT_MAX: f64 = 1e3;
/// The torque matrix repeats the power matrix; this much difference is rounding.
const TORQUE_TOLERANCE: (f64, f64) = (0.002, 0.01);

pub(crate) fn parse(file_name: &str, text: &str) -> Result<RotorTable, Diagnostic> {
    let mut lines = Lines { file_name, rows: text.lines().enumerate(), last: 0 };
    let pitches_deg = lines.axis("pitch angles in degrees", -90.0..=180.0)?;
    let ratios = lines.axis("tip-speed ratios", 1e-3..=1e3)?;
    lines.numbers("the wind speeds", None)?;
    let columns = pitches_deg.len();
    let power = lines.matrix("power", &ratios, columns, |value, _| {
        (value <= BETZ).then_some(()).ok_or("a power coefficient above 16/27 (Betz's limit)")
    })?;
    let thrust = lines.matrix("thrust", &ratios, columns, |_, _| Ok(()))?;
    let (absolute, relative) = TORQUE_TOLERANCE;
    lines.matrix("torque", &ratios, columns, |value, at| {
        let ratio = ratios.get(at / columns.max(1)).copied().unwrap_or(1.0);
        let expected = power.get(at).copied().unwrap_or(0.0) / ratio;
        ((value - expected).abs() <= absolute + relative * expected.abs())
            .then_some(())
            .ok_or("a torque coefficient that is not the power coefficient over the tip-speed ratio")
    })?;
    if let Some((line, _)) = lines.next_row() {
        return Err(lines.complain(line, 1, "data after the torque matrix", "remove it"));
    }
    let pitches_rad = pitches_deg.iter().map(|&angle| Radians::from_degrees(angle).get()).collect();
    Ok(RotorTable { ratios, pitches_rad, power, thrust })
}

/// What [`parse`] reads.
pub(crate) fn text(table: &RotorTable, what: &str, wind_mps: f64) -> String {
    let columns = table.pitches_rad.len().max(1);
    let pitches = table.pitches_rad.iter().map(|&pitch| Radians(pitch).as_degrees());
    let torque = table.power.chunks(columns).zip(&table.ratios);
    let torque: Vec<f64> =
        torque.flat_map(|(row, ratio)| row.iter().map(move |power| power / ratio)).collect();
    let row = |numbers: &[f64]| {
        let numbers: Vec<String> = numbers.iter().map(|number| format!("{number:.6}")).collect();
        format!("{}\n", numbers.join(" "))
    };
    let matrix = |name: &str, values: &[f64]| {
        let rows: String = values.chunks(columns).map(row).collect();
        format!("\n# {name}, a row for each tip-speed ratio\n{rows}")
    };
    let mut text = format!("# {what}\n\n# Pitch angles in degrees\n");
    text.push_str(&row(&pitches.collect::<Vec<f64>>()));
    text.push_str(&format!(
        "# Tip-speed ratios\n{}# Wind speed, m/s\n{}",
        row(&table.ratios),
        row(&[wind_mps])
    ));
    text.push_str(&matrix("Power coefficient", &table.power));
    text.push_str(&matrix("Thrust coefficient", &table.thrust));
    text.push_str(&matrix("Torque coefficient", &torque));
    text
}

struct Lines<'a> {
    file_name: &'a str,
    rows: core::iter::Enumerate<core::str::Lines<'a>>,
    /// Number of the last line that was looked at, from 1.
    last: usize,
}

impl<'a> Lines<'a> {
    /// The next line that is neither empty nor a comment, with its number from 1.
    fn next_row(&mut self) -> Option<(usize, &'a str)> {
        for (index, row) in self.rows.by_ref() {
            self.last = index + 1;
            if !row.trim().is_empty() && !row.trim_start().starts_with('#') {
                return Some((self.last, row));
            }
        }
        None
    }

    /// The numbers of the next row, `count` of them if given.
    fn numbers(&mut self, what: &str, count: Option<usize>) -> Result<(usize, Vec<f64>), Diagnostic> {
        let Some((line, row)) = self.next_row() else {
            let line = self.last.max(1);
            return Err(self.complain(
                line,
                1,
                &format!("the text ends where {what} should stand"),
                "check that the file was copied whole",
            ));
        };
        let mut numbers = Vec::new();
        for word in row.split_whitespace() {
            let column = word.as_ptr().addr() - row.as_ptr().addr() + 1;
            let number = word.parse::<f64>().ok().filter(|number| number.is_finite());
            let Some(number) = number else {
                let shown: String = word.chars().take(40).collect();
                return Err(self.complain(
                    line,
                    column,
                    &format!("`{shown}` is no finite number"),
                    "put comments behind `#` on lines of their own, and finite numbers elsewhere",
                ));
            };
            if number.abs() > COEFFICIENT_MAX {
                return Err(self.complain(
                    line,
                    column,
                    &format!("{number} is out of range"),
                    &format!("give numbers from -{COEFFICIENT_MAX} to {COEFFICIENT_MAX}"),
                ));
            }
            numbers.push(number);
        }
        if let Some(count) = count.filter(|&count| count != numbers.len()) {
            return Err(self.complain(
                line,
                1,
                &format!("{what} has {} numbers, expected {count}", numbers.len()),
                "give one number for each pitch angle, and one row for each tip-speed ratio",
            ));
        }
        Ok((line, numbers))
    }

    fn axis(&mut self, what: &str, range: core::ops::RangeInclusive<f64>) -> Result<Vec<f64>, Diagnostic> {
        let (line, axis) = self.numbers(&format!("the row of {what}"), None)?;
        let complain = |what: String, remedy: &str| Err(self.complain(line, 1, &what, remedy));
        if axis.len() < 2 || axis.len() > GRID_LINES_MAX {
            return complain(
                format!("{} {what}", axis.len()),
                &format!("give 2 to {GRID_LINES_MAX} of them"),
            );
        }
        if let Some(number) = axis.iter().find(|number| !range.contains(number)) {
            return complain(
                format!("{number} among the {what}"),
                &format!("give {} to {}", range.start(), range.end()),
            );
        }
        if !axis.is_sorted_by(|low, high| low < high) {
            return complain(format!("the {what} do not ascend"), "sort the table's rows and columns");
        }
        Ok(axis)
    }

    fn matrix(
        &mut self,
        what: &str,
        ratios: &[f64],
        columns: usize,
        check: impl Fn(f64, usize) -> Result<(), &'static str>,
    ) -> Result<Vec<f64>, Diagnostic> {
        let mut matrix = Vec::with_capacity(ratios.len() * columns);
        for ratio in ratios {
            let row_name = format!("the row of {what} coefficients for tip-speed ratio {ratio}");
            let (line, row) = self.numbers(&row_name, Some(columns))?;
            for value in row {
                if let Err(complaint) = check(value, matrix.len()) {
                    return Err(self.complain(
                        line,
                        1,
                        &format!("{row_name} holds {value}: {complaint}"),
                        "check that the matrices stand in the order power, thrust, torque",
                    ));
                }
                matrix.push(value);
            }
        }
        Ok(matrix)
    }

    fn complain(&self, line: usize, column: usize, what: &str, remedy: &str) -> Diagnostic {
        Diagnostic {
            file: self.file_name.to_owned(),
            position: Some((line, column)),
            what: what.to_owned(),
            remedy: remedy.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SMALL: &str = "\
# a rotor of three pitch angles and two tip-speed ratios
# Pitch angle vector
0.0 10.0 20.0
# TSR vector
5.0 10.0
# Wind speed vector
11.4

# Power coefficient

0.40 0.30 0.10
0.45 0.20 -0.20

# Thrust coefficient

0.8 0.5 0.2
1.0 0.3 -0.3

# Torque coefficient

0.080 0.060 0.020
0.045 0.020 -0.020
";

    fn complaint_with(from: &str, to: &str) -> String {
        let mangled = SMALL.replacen(from, to, 1);
        assert_ne!(mangled, SMALL, "the test replaces nothing");
        parse("rotor.txt", &mangled).unwrap_err().to_string()
    }

    #[test]
    fn a_table_is_read_by_rows() {
        let table = parse("rotor.txt", SMALL).unwrap();
        assert_eq!(table.ratios, [5.0, 10.0]);
        assert_eq!(table.power, [0.40, 0.30, 0.10, 0.45, 0.20, -0.20]);
        assert_eq!(table.thrust[5], -0.3);
        assert!((table.pitches_rad[2] - 20.0_f64.to_radians()).abs() < 1e-12);
    }

    #[test]
    fn complaints_name_the_line_and_the_reason() {
        assert!(complaint_with("0.45 0.20", "0.45 0,20").starts_with("rotor.txt:12:6: `0,20`"));
        assert!(complaint_with("0.45 0.20", "0.45 NaN").starts_with("rotor.txt:12:6: `NaN`"));
        assert!(complaint_with("5.0 10.0", "10.0 5.0").starts_with("rotor.txt:5:1: the tip-speed ratios"));
        assert!(complaint_with("5.0 10.0", "0.0 10.0").starts_with("rotor.txt:5:1: 0 among"));
        assert!(complaint_with("5.0 10.0", "5.0").starts_with("rotor.txt:5:1: 1 tip-speed"));
        assert!(complaint_with("0.8 0.5 0.2", "0.8 0.5").contains("has 2 numbers, expected 3"));
        assert!(complaint_with("0.45", "0.65").contains("Betz"));
        assert!(complaint_with("0.080 0.060", "0.090 0.060").contains("torque coefficient that is not"));
        assert!(complaint_with("0.045 0.020 -0.020\n", "").contains("the text ends where"));
        assert!(complaint_with("-0.020\n", "-0.020\n1.0\n").contains("data after"));
        assert!(parse("rotor.txt", "").unwrap_err().to_string().starts_with("rotor.txt:1:1: the text ends"));
    }

    #[test]
    fn what_is_written_is_read_as_the_same_rotor() {
        let table = parse("rotor.txt", SMALL).unwrap();
        let again = parse("again.txt", &text(&table, "the same", 8.0)).unwrap();
        assert_eq!(
            (&again.ratios, &again.power, &again.thrust),
            (&table.ratios, &table.power, &table.thrust)
        );
        let apart = again.pitches_rad.iter().zip(&table.pitches_rad).map(|(one, other)| (one - other).abs());
        assert!(apart.fold(0.0, f64::max) < 1e-7);
    }

    proptest! {
        #[test]
        fn a_mangled_table_is_refused_or_read_but_never_panics(
            at in 0..SMALL.len(),
            cut in 0..30_usize,
            with in "[-0-9.e# \nNaif]{0,12}",
        ) {
            let mut text = SMALL.to_owned();
            let end = (at + cut).min(text.len());
            text.replace_range(at..end, &with);
            if let Ok(table) = parse("rotor.txt", &text) {
                let shape = table.ratios.len() * table.pitches_rad.len();
                prop_assert_eq!((table.power.len(), table.thrust.len()), (shape, shape));
            }
        }

        #[test]
        fn any_text_never_panics(text in "\\PC{0,400}") {
            let _ = parse("rotor.txt", &text);
        }
    }
}
