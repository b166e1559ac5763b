//! Layouts: any text is refused helpfully, or becomes a graph.
#![no_main]

use control_loops_layouts::grid::Grid;
use control_loops_layouts::lif::Layout;
use control_loops_layouts::{ggo, movingai};
use libfuzzer_sys::fuzz_target;
use takt_fuzz::assert_helpful;

const MAP: &str = "fuzz.map";

fuzz_target!(|text: &str| {
    for parse in [movingai::parse as fn(&str, &str) -> _, ggo::parse] {
        match parse(MAP, text) {
            Ok(grid) => {
                let grid: Grid = grid;
                assert_eq!(grid.graph(MAP, 6).is_ok(), grid.nodes() > 0);
            }
            Err(complaint) => assert_helpful(MAP, text, &complaint),
        }
    }
    match Layout::parse(MAP, text, "hall", "mover") {
        Ok(layout) => assert!(layout.graph(MAP).is_ok()),
        Err(complaint) => assert_helpful(MAP, text, &complaint),
    }
});
