//! Layouts of vehicle fleets: texts of several formats into one graph.
//!
//! Pure: texts come in with the name of their file, for complaints.
//!
//! - [`grid`]: cells in rows, and the graph between them.
//! - [`movingai`]: grid maps in the format of the MovingAI benchmarks (`type octile`).
//! - [`ggo`]: grid maps in JSON with work stations and endpoints (arXiv:2402.01446).
//! - [`robot_runners`]: instances of the League of Robot Runners: map, starts and tasks.
//! - [`hall`]: places and ways by name, from a LIF or a grid: what a site works with.
//! - [`lif`]: the Layout Interchange Format of VDMA for VDA 5050 fleets.

pub mod ggo;
pub mod grid;
mod guidance;
pub mod hall;
pub mod lif;
pub mod movingai;
pub mod robot_runners;

use hal_diagnostics::Diagnostic;

/// A complaint about a text.
pub(crate) fn complaint(
    file: &str,
    position: Option<(usize, usize)>,
    what: String,
    remedy: &str,
) -> Diagnostic {
    Diagnostic { file: file.to_owned(), position, what, remedy: remedy.to_owned() }
}

/// JSON into a type, with the place of what is wrong.
pub(crate) fn from_json<'a, T: serde::Deserialize<'a>>(
    file: &str,
    text: &'a str,
    remedy: &str,
) -> Result<T, Diagnostic> {
    serde_json::from_str(text).map_err(|error| {
        // Before the first character the library counts column 0.
        let position = (error.line() > 0).then(|| (error.line(), error.column().max(1)));
        complaint(file, position, error.to_string(), remedy)
    })
}
