//! Grid maps of the guidance graph experiments (arXiv:2402.01446): JSON with a list of rows.

use hal_diagnostics::Diagnostic;
use serde::Deserialize;

use crate::from_json;
use crate::grid::Grid;

#[derive(Deserialize)]
struct Text {
    layout: Vec<String>,
}

/// Reads a map; work stations are `w`, endpoints `e`.
///
/// # Errors
/// If the text is no JSON with a list of rows under `layout`; see also [`Grid::from_rows`].
pub fn parse(file: &str, text: &str) -> Result<Grid, Diagnostic> {
    let text: Text = from_json(file, text, "give a JSON object with the rows of the map under layout")?;
    Grid::from_rows(file, 1, text.layout.iter().map(String::as_str)).map_err(|mut complaint| {
        // Rows of the map are no lines of the text.
        if let Some((row, column)) = complaint.position.take() {
            complaint.what = format!("row {row}, cell {column}: {}", complaint.what);
        }
        complaint
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grid::Cell;

    #[test]
    fn stations_and_endpoints_are_told_apart() {
        let grid = parse("a.json", r#"{"name": "a", "layout": ["w.e", ".@e"]}"#).unwrap();
        assert_eq!(grid.nodes_on(Cell::Workstation).count(), 1);
        assert_eq!(grid.nodes_on(Cell::Endpoint).count(), 2);
    }

    #[test]
    fn an_empty_text_is_refused_at_its_first_character() {
        assert_eq!(parse("a.json", "").unwrap_err().position, Some((1, 1)));
    }

    #[test]
    fn a_text_without_rows_is_refused() {
        assert!(parse("a.json", "{}").unwrap_err().what.contains("layout"));
        assert!(parse("a.json", r#"{"layout": []}"#).is_err());
    }
}
