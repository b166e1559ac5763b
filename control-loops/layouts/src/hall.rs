//! The hall that a fleet works in: places and ways by name, with what they are for.
//!
//! Two formats are read, told apart by their contents: the Layout Interchange Format ([`crate::lif`]), and a
//! grid in JSON: `{"layout": [rows], "cellMeters": 1.5}` with the cells of [`crate::grid`]. In a grid the place
//! in column 4 of row 7 is called `x4y7`, and the way from there to the next one `x4y7-x5y7`. In a hall from a
//! LIF chargers and parking places are the stations that the site file names as such.

use std::collections::HashMap;

use control_loops_fleet::{Arc, Graph, Node};
use hal_diagnostics::Diagnostic;
use serde::Deserialize;

use crate::grid::{Cell, Grid};
use crate::lif::Layout;
use crate::{complaint, ggo};

/// The distance between the middles of two cells, in metres, where a grid does not say it.
pub const CELL_METERS: f64 = 1.5;
/// What moving against a lane's direction costs more in a grid, in eighths of a step.
const AGAINST_LANE: u8 = 6;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Probe {
    #[serde(default)]
    layouts: Option<serde::de::IgnoredAny>,
    #[serde(default)]
    cell_meters: Option<f64>,
}

/// Places and ways by name.
#[derive(Debug, Clone)]
pub struct Hall {
    /// Name and position, in metres, of each place, in the order of the graph.
    pub nodes: Vec<(String, [f64; 2])>,
    /// Name and ends of each way.
    pub edges: Vec<(String, Arc)>,
    /// Name and place of each station, where loads are fetched and brought.
    pub stations: Vec<(String, Node)>,
    /// Where batteries are charged.
    pub chargers: Vec<Node>,
    /// Where nobody is in the way.
    pub parking: Vec<Node>,
    /// For the traffic control.
    pub graph: Graph,
    by_name: HashMap<String, Node>,
}

/// Which part of a LIF file a hall is made from.
#[derive(Debug, Clone, Copy, Default)]
pub struct Selection<'a> {
    /// The layout's name.
    pub layout_id: &'a str,
    /// The type of vehicle that drives there.
    pub vehicle_type: &'a str,
    /// Stations where batteries are charged.
    pub chargers: &'a [String],
    /// Stations where nobody is in the way.
    pub parking: &'a [String],
}

impl Hall {
    /// Reads a hall in either format; `file` is the text's name, for complaints.
    ///
    /// # Errors
    /// If the text is neither, or a name in `selection` is not in it; see also the formats.
    pub fn parse(file: &str, text: &str, selection: Selection<'_>) -> Result<Self, Diagnostic> {
        let probe: Probe = crate::from_json(file, text, "give a LIF file, or a grid in JSON")?;
        if probe.layouts.is_some() {
            let layout = Layout::parse(file, text, selection.layout_id, selection.vehicle_type)?;
            return Self::of_lif(file, layout, selection);
        }
        let cell_meters = probe.cell_meters.unwrap_or(CELL_METERS);
        if !(0.1..=100.0).contains(&cell_meters) {
            let what = format!("cellMeters is {cell_meters}");
            return Err(complaint(file, None, what, "give 0.1 to 100"));
        }
        Self::of_grid(file, &ggo::parse(file, text)?, cell_meters)
    }

    /// A hall of cells.
    ///
    /// # Errors
    /// If no cell is free.
    pub fn of_grid(file: &str, grid: &Grid, cell_meters: f64) -> Result<Self, Diagnostic> {
        let graph = grid.graph(file, AGAINST_LANE)?;
        let place = |node: Node| {
            let cell = grid.cell_of(node).unwrap_or(0);
            (cell % grid.width(), cell / grid.width())
        };
        let name = |node: Node| {
            let (column, row) = place(node);
            format!("x{column}y{row}")
        };
        let nodes = (0..grid.nodes() as u32).map(Node);
        let nodes = nodes.map(|node| {
            let (column, row) = place(node);
            // Rows count downwards, y upwards.
            let y = (grid.height() - 1 - row) as f64;
            (name(node), [column as f64 * cell_meters, y * cell_meters])
        });
        let edges = grid.arcs(AGAINST_LANE).into_iter();
        let edges = edges.map(|arc| (format!("{}-{}", name(arc.from), name(arc.to)), arc)).collect();
        let on = |kind: Cell| grid.nodes_on(kind).collect::<Vec<_>>();
        let stations = [Cell::Workstation, Cell::Endpoint].into_iter().flat_map(on);
        let stations = stations.map(|node| (name(node), node)).collect();
        Ok(Self::new(nodes.collect(), edges, stations, on(Cell::Charger), on(Cell::Parking), graph))
    }

    fn of_lif(file: &str, layout: Layout, selection: Selection<'_>) -> Result<Self, Diagnostic> {
        let graph = layout.graph(file)?;
        let first = |(name, nodes): &(String, Vec<Node>)| Some((name.clone(), *nodes.first()?));
        let all: Vec<(String, Node)> = layout.stations.iter().filter_map(first).collect();
        let named = |names: &[String]| {
            let find = |name: &String| {
                let found = all.iter().find(|(each, _)| each == name).map(|(_, node)| *node);
                found.ok_or_else(|| {
                    let what = format!("there is no station {name:?} that this type of vehicle can serve");
                    complaint(file, None, what, "name a station of the layout in the site file")
                })
            };
            names.iter().map(find).collect::<Result<Vec<_>, _>>()
        };
        let (chargers, parking) = (named(selection.chargers)?, named(selection.parking)?);
        let serves = |name: &String| !selection.chargers.contains(name) && !selection.parking.contains(name);
        let stations = all.iter().filter(|(name, _)| serves(name)).cloned().collect();
        Ok(Self::new(layout.nodes, layout.edges, stations, chargers, parking, graph))
    }

    fn new(
        nodes: Vec<(String, [f64; 2])>,
        edges: Vec<(String, Arc)>,
        stations: Vec<(String, Node)>,
        chargers: Vec<Node>,
        parking: Vec<Node>,
        graph: Graph,
    ) -> Self {
        let by_name = nodes.iter().zip(0..).map(|((name, _), index)| (name.clone(), Node(index))).collect();
        Self { nodes, edges, stations, chargers, parking, graph, by_name }
    }

    /// The place with this name.
    #[must_use]
    pub fn node(&self, name: &str) -> Option<Node> {
        self.by_name.get(name).copied()
    }

    /// What a place is called; `?` if there is none.
    #[must_use]
    pub fn name(&self, node: Node) -> &str {
        self.nodes.get(node.0 as usize).map_or("?", |(name, _)| name.as_str())
    }

    /// Where a place is, in metres.
    #[must_use]
    pub fn position(&self, node: Node) -> Option<[f64; 2]> {
        self.nodes.get(node.0 as usize).map(|(_, position)| *position)
    }

    /// The place nearest to a position in metres, and how far it is.
    #[must_use]
    pub fn nearest(&self, [x, y]: [f64; 2]) -> Option<(Node, f64)> {
        // Squares: whoever asks often has many places.
        let square = |[px, py]: [f64; 2]| (px - x) * (px - x) + (py - y) * (py - y);
        let with = self.nodes.iter().zip(0..).map(|((_, position), index)| (Node(index), square(*position)));
        with.min_by(|a, b| a.1.total_cmp(&b.1)).map(|(node, square)| (node, square.sqrt()))
    }

    /// The station with this name.
    #[must_use]
    pub fn station(&self, name: &str) -> Option<Node> {
        self.stations.iter().find(|(each, _)| each == name).map(|(_, node)| *node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRID: &str = r#"{"layout": ["w.e", ".@c", "..p"], "cellMeters": 2.0}"#;

    #[test]
    fn cells_have_names_places_and_purposes() {
        let hall = Hall::parse("hall.json", GRID, Selection::default()).unwrap();
        let charger = hall.node("x2y1").unwrap();
        assert_eq!((hall.chargers.as_slice(), hall.parking.len()), ([charger].as_slice(), 1));
        assert_eq!(hall.position(charger), Some([4.0, 2.0]));
        assert_eq!(hall.nearest([4.3, 2.2]).unwrap().0, charger);
        let names: Vec<_> = hall.stations.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["x0y0", "x2y0"]);
        assert!(hall.edges.iter().any(|(name, _)| name == "x2y0-x2y1"));
    }

    #[test]
    fn a_distance_that_is_none_is_refused() {
        let text = r#"{"layout": ["..", ".."], "cellMeters": 0}"#;
        assert!(
            Hall::parse("hall.json", text, Selection::default()).unwrap_err().what.contains("cellMeters")
        );
    }

    #[test]
    fn a_charger_that_is_no_station_of_the_layout_is_refused() {
        let of_type = r#"[{"vehicleTypeId": "mover"}]"#;
        let node = |name: &str, x: f64| {
            format!(
                r#"{{"nodeId": "{name}", "nodePosition": {{"x": {x}, "y": 0}}, "vehicleTypeNodeProperties": {of_type}}}"#
            )
        };
        let text = format!(
            r#"{{"layouts": [{{"layoutId": "hall", "nodes": [{}, {}], "edges": [],
            "stations": [{{"stationId": "dock", "interactionNodeIds": ["a"]}}]}}]}}"#,
            node("a", 0.0),
            node("b", 1.0)
        );
        let parse = |chargers: &[String]| {
            let selection = Selection { layout_id: "hall", vehicle_type: "mover", chargers, parking: &[] };
            Hall::parse("hall.json", &text, selection)
        };
        let hall = parse(&["dock".to_owned()]).unwrap();
        assert_eq!((hall.chargers.len(), hall.stations.len()), (1, 0));
        assert!(parse(&["pier".to_owned()]).unwrap_err().what.contains("pier"));
    }
}
