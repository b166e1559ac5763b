//! Where nodes are, from layouts of several formats.

use std::path::Path;

use control_loops_layouts::hall::{CELL_METERS, Hall, Selection};
use control_loops_layouts::{lif, movingai};
use hal_diagnostics::Document;
use serde_json::Value as Json;
use sim_plants::Random;

use crate::failure::Failure;

/// The largest layout that is read, in bytes.
const LAYOUT_BYTES_MAX: u64 = 64 << 20;

/// Nodes by name, in metres.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Places {
    /// The map that they are on: the layout's name.
    pub(crate) map_id: String,
    pub(crate) nodes: Vec<(String, [f64; 2])>,
}

impl Places {
    /// Reads a layout; of a LIF file the first layout and vehicle type, if they are not said.
    pub(crate) fn read(
        path: &Path,
        layout_id: Option<&str>,
        vehicle_type: Option<&str>,
    ) -> Result<Self, Failure> {
        let document = Document::read_at_most(path, LAYOUT_BYTES_MAX)?;
        let (file, text) = (path.display().to_string(), document.text());
        let stem =
            path.file_stem().map_or_else(|| "map".to_owned(), |stem| stem.to_string_lossy().into_owned());
        if path.extension().is_some_and(|extension| extension == "map") {
            let hall = Hall::of_grid(&file, &movingai::parse(&file, text)?, CELL_METERS)?;
            return Ok(Self { map_id: stem, nodes: hall.nodes });
        }
        if !text.contains("\"layouts\"") {
            return Ok(Self { map_id: stem, nodes: Hall::parse(&file, text, Selection::default())?.nodes });
        }
        let first = first_names(text);
        let layout_id = layout_id.or(first.0.as_deref()).unwrap_or_default();
        let vehicle_type = vehicle_type.or(first.1.as_deref()).unwrap_or_default();
        let layout = lif::Layout::parse(&file, text, layout_id, vehicle_type)?;
        Ok(Self { map_id: layout.id, nodes: layout.nodes })
    }

    /// Different nodes, as many as there are of those that are wanted.
    pub(crate) fn draw(&self, count: usize, random: &mut Random) -> Vec<(String, [f64; 2])> {
        let mut nodes = self.nodes.clone();
        let count = count.min(nodes.len());
        for at in 0..count {
            let other = at + (random.uniform() * (nodes.len() - at) as f64) as usize;
            nodes.swap(at, other);
        }
        nodes.truncate(count);
        nodes
    }
}

/// The first layout's name, and the vehicle type of its first node.
fn first_names(text: &str) -> (Option<String>, Option<String>) {
    let json: Json = serde_json::from_str(text).unwrap_or_default();
    let text = |pointer: &str| json.pointer(pointer).and_then(Json::as_str).map(str::to_owned);
    let vehicle_type = "/layouts/0/nodes/0/vehicleTypeNodeProperties/0/vehicleTypeId";
    (text("/layouts/0/layoutId"), text(vehicle_type))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, text: &str) -> Places {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        Places::read(&path, None, None).unwrap()
    }

    #[test]
    fn cells_of_a_grid_are_called_by_column_and_row() {
        let places = read("hall.map", "type octile\nheight 2\nwidth 3\nmap\n.@.\n...\n");
        assert_eq!(places.map_id, "hall");
        let expected = [("x0y0", [0.0, 1.5]), ("x2y0", [3.0, 1.5]), ("x0y1", [0.0, 0.0])];
        for (node, (name, at)) in places.nodes.iter().zip(expected) {
            assert_eq!((node.0.as_str(), node.1), (name, at));
        }
    }

    #[test]
    fn every_start_is_a_node_of_its_own() {
        let places = read("hall.map", "type octile\nheight 1\nwidth 5\nmap\n.....\n");
        let mut starts = places.draw(9, &mut Random::new(3));
        starts.sort_by(|a, b| a.0.cmp(&b.0));
        assert_eq!(starts, places.nodes);
    }
}
