//! Grid maps of the MovingAI benchmarks: four lines of header, then rows.

use hal_diagnostics::Diagnostic;

use crate::complaint;
use crate::grid::Grid;

const REMEDY: &str = "begin with the lines: type octile, height H, width W, map";

/// Reads a map.
///
/// # Errors
/// If the header is not as the format says, or does not fit the rows; see also [`Grid::from_rows`].
pub fn parse(file: &str, text: &str) -> Result<Grid, Diagnostic> {
    let mut lines = text.lines().map(str::trim_end);
    let mut number = |line: usize, name: &str| {
        let found = lines.next().unwrap_or_default();
        let value = found.strip_prefix(name).map(str::trim);
        let wrong = || complaint(file, Some((line, 1)), format!("this line has to say {name}"), REMEDY);
        value.map(str::to_owned).ok_or_else(wrong)
    };
    number(1, "type")?;
    let (height, width) = (number(2, "height")?, number(3, "width")?);
    number(4, "map")?;
    let grid = Grid::from_rows(file, 5, lines.filter(|line| !line.is_empty()))?;
    let said = (height.parse(), width.parse());
    if said != (Ok(grid.height()), Ok(grid.width())) {
        let what = format!(
            "the header says {height} rows of {width} cells, there are {} of {}",
            grid.height(),
            grid.width()
        );
        return Err(complaint(file, Some((2, 1)), what, "correct the header or complete the map"));
    }
    Ok(grid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_with_its_header_is_read() {
        let grid = parse("a.map", "type octile\nheight 2\nwidth 3\nmap\n..@\n.T.\n").unwrap();
        assert_eq!((grid.height(), grid.width(), grid.nodes()), (2, 3, 4));
    }

    #[test]
    fn a_header_that_does_not_fit_the_rows_is_refused() {
        let complaint = parse("a.map", "type octile\nheight 3\nwidth 3\nmap\n..@\n.T.\n").unwrap_err();
        assert!(complaint.what.contains("there are 2 of 3"), "{complaint}");
    }

    #[test]
    fn a_text_without_a_header_is_refused() {
        assert_eq!(parse("a.map", "...\n...\n").unwrap_err().position, Some((1, 1)));
        assert_eq!(parse("a.map", "").unwrap_err().position, Some((1, 1)));
    }
}
