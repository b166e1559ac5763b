//! The Layout Interchange Format (VDMA LIF): nodes, edges and stations by name, in metres.
//!
//! A vehicle type sees the nodes and edges that have properties for it. What a vehicle may do on them
//! (actions, speeds, loads) stays with the names; the graph is for the traffic control.

use std::collections::HashMap;

use control_loops_fleet::{Arc, Graph, GraphError, Heading, Node, UNIT};
use hal_diagnostics::Diagnostic;
use serde::Deserialize;

use crate::{complaint, from_json};

const REMEDY: &str = "correct the layout and export it again";
/// The length of an edge that costs a plain step, in metres.
const PLAIN_METERS: f64 = 1.0;

#[derive(Deserialize)]
struct Text {
    layouts: Vec<LayoutText>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LayoutText {
    layout_id: String,
    nodes: Vec<NodeText>,
    edges: Vec<EdgeText>,
    stations: Vec<StationText>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NodeText {
    node_id: String,
    node_position: Position,
    vehicle_type_node_properties: Vec<TypeText>,
}

#[derive(Deserialize)]
struct Position {
    x: f64,
    y: f64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TypeText {
    vehicle_type_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct EdgeText {
    edge_id: String,
    start_node_id: String,
    end_node_id: String,
    vehicle_type_edge_properties: Vec<TypeText>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StationText {
    station_id: String,
    interaction_node_ids: Vec<String>,
}

/// A layout for one vehicle type.
#[derive(Debug, Clone, PartialEq)]
pub struct Layout {
    /// The layout's name.
    pub id: String,
    /// Name and position in metres of each node, in the order of the graph.
    pub nodes: Vec<(String, [f64; 2])>,
    /// Name and ends of each edge.
    pub edges: Vec<(String, Arc)>,
    /// Name of each station, and the nodes at which vehicles serve it.
    pub stations: Vec<(String, Vec<Node>)>,
}

impl Layout {
    /// Reads the layout `layout_id`, as a vehicle of a type sees it.
    ///
    /// # Errors
    /// If the text is no LIF, there is no such layout, or no node for the type; a name that is used twice or
    /// not at all; an edge that connects a node with itself or costs more than the graph can tell.
    pub fn parse(file: &str, text: &str, layout_id: &str, vehicle_type: &str) -> Result<Self, Diagnostic> {
        let text: Text = from_json(file, text, "give a layout in the Layout Interchange Format")?;
        let wrong = |what: String| complaint(file, None, what, REMEDY);
        let Some(found) = text.layouts.into_iter().find(|layout| layout.layout_id == layout_id) else {
            return Err(wrong(format!("there is no layout {layout_id:?}")));
        };
        let sees = |types: &[TypeText]| types.iter().any(|each| each.vehicle_type_id == vehicle_type);
        let mut layout =
            Self { id: found.layout_id, nodes: Vec::new(), edges: Vec::new(), stations: Vec::new() };
        let mut known = HashMap::new();
        let mut names: HashMap<String, ()> = HashMap::new();
        for node in found.nodes {
            if names.insert(node.node_id.clone(), ()).is_some() {
                return Err(wrong(format!("two nodes are called {:?}", node.node_id)));
            }
            let NodeText { node_id, node_position: Position { x, y }, vehicle_type_node_properties } = node;
            if sees(&vehicle_type_node_properties) {
                known.insert(node_id.clone(), Node(layout.nodes.len() as u32));
                layout.nodes.push((node_id, [x, y]));
            }
        }
        if layout.nodes.is_empty() {
            return Err(wrong(format!("no node has properties for the vehicle type {vehicle_type:?}")));
        }
        for edge in found.edges.iter().filter(|edge| sees(&edge.vehicle_type_edge_properties)) {
            let end = |name: &String| {
                let what = || format!("edge {:?} names {name:?}, no node for {vehicle_type:?}", edge.edge_id);
                known.get(name).copied().ok_or_else(|| wrong(what()))
            };
            let (from, to) = (end(&edge.start_node_id)?, end(&edge.end_node_id)?);
            layout.edges.push((edge.edge_id.clone(), layout.arc(from, to)));
        }
        for StationText { station_id, interaction_node_ids } in found.stations {
            if let Some(name) = interaction_node_ids.iter().find(|name| !names.contains_key(*name)) {
                return Err(wrong(format!("station {station_id:?} names the unknown node {name:?}")));
            }
            let nodes = interaction_node_ids.iter().filter_map(|name| known.get(name).copied()).collect();
            layout.stations.push((station_id, nodes));
        }
        layout.graph(file)?;
        Ok(layout)
    }

    /// An edge's cost is its length, its heading the nearest quarter.
    fn arc(&self, from: Node, to: Node) -> Arc {
        let place = |node: Node| self.nodes.get(node.0 as usize).map_or([0.0; 2], |(_, place)| *place);
        let ([x0, y0], [x1, y1]) = (place(from), place(to));
        let (dx, dy) = (x1 - x0, y1 - y0);
        let cost = (dx.hypot(dy) / PLAIN_METERS * f64::from(UNIT)).round().clamp(1.0, f64::from(u8::MAX));
        // In a layout y grows to the left of x, in a grid map to the right.
        let heading = match (dx.abs() >= dy.abs(), dx >= 0.0, dy >= 0.0) {
            (true, true, _) => Heading::East,
            (true, false, _) => Heading::West,
            (false, _, true) => Heading::North,
            (false, _, false) => Heading::South,
        };
        Arc { from, to, heading, cost: cost as u8 }
    }

    /// The graph of this layout; `file` is the text's name, for complaints.
    ///
    /// # Errors
    /// If two edges connect the same nodes in the same direction, an edge connects a node with itself, or too
    /// many edges leave one node.
    pub fn graph(&self, file: &str) -> Result<Graph, Diagnostic> {
        let arcs: Vec<Arc> = self.edges.iter().map(|(_, arc)| *arc).collect();
        let edge = |arc: usize| self.edges.get(arc).map_or("?", |(name, _)| name.as_str()).to_owned();
        let node = |node: Node| self.nodes.get(node.0 as usize).map_or("?", |(name, _)| name.as_str());
        Graph::new(self.nodes.len(), &arcs).map_err(|error| {
            let what = match error {
                GraphError::Nodes { count } => format!("the layout has {count} nodes"),
                GraphError::UnknownNode { arc } => format!("edge {:?} names an unknown node", edge(arc)),
                GraphError::Loop { arc } => format!("edge {:?} ends where it begins", edge(arc)),
                GraphError::Free { arc } => format!("edge {:?} has no length", edge(arc)),
                GraphError::Doubled { from, to } => {
                    format!("two edges lead from {:?} to {:?}", node(from), node(to))
                }
                GraphError::Degree { node: at } => format!("too many edges leave {:?}", node(at)),
            };
            complaint(file, None, what, REMEDY)
        })
    }

    /// The node with this name.
    #[must_use]
    pub fn node(&self, name: &str) -> Option<Node> {
        let index = self.nodes.iter().position(|(each, _)| each == name)?;
        Some(Node(index as u32))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A square of 2 m with a station, and an edge for another type only.
    struct Sketch {
        edges: Vec<(&'static str, &'static str, &'static str)>,
        station_node: &'static str,
    }

    impl Sketch {
        fn square() -> Self {
            let edges = vec![("ab", "a", "b"), ("bc", "b", "c"), ("cd", "c", "d"), ("da", "d", "a")];
            Self { edges, station_node: "c" }
        }

        fn with_edge(mut self, edge: (&'static str, &'static str, &'static str)) -> Self {
            self.edges.push(edge);
            self
        }

        fn text(&self) -> String {
            let of_type = r#"[{"vehicleTypeId": "mover", "rotationAllowed": true}]"#;
            let node = |name: &str, x: f64, y: f64| {
                format!(
                    r#"{{"nodeId": "{name}", "nodePosition": {{"x": {x}, "y": {y}}},
                    "vehicleTypeNodeProperties": {of_type}}}"#
                )
            };
            let nodes = [node("a", 0.0, 0.0), node("b", 2.0, 0.0), node("c", 2.0, 2.0), node("d", 0.0, 2.0)];
            let edge = |(name, from, to): &(&str, &str, &str)| {
                format!(
                    r#"{{"edgeId": "{name}", "startNodeId": "{from}", "endNodeId": "{to}",
                    "vehicleTypeEdgeProperties": {of_type}}}"#
                )
            };
            let edges: Vec<String> = self.edges.iter().map(edge).collect();
            format!(
                r#"{{"metaInformation": {{}}, "layouts": [{{"layoutId": "hall", "layoutVersion": "1",
                "nodes": [{}], "edges": [{}],
                "stations": [{{"stationId": "dock", "interactionNodeIds": ["{}"]}}]}}]}}"#,
                nodes.join(","),
                edges.join(","),
                self.station_node
            )
        }

        fn parse(&self) -> Result<Layout, Diagnostic> {
            Layout::parse("hall.json", &self.text(), "hall", "mover")
        }
    }

    #[test]
    fn names_become_nodes_and_lengths_become_costs() {
        let layout = Sketch::square().parse().unwrap();
        let (a, b) = (layout.node("a").unwrap(), layout.node("b").unwrap());
        let arc = layout.edges[0].1;
        assert_eq!((arc.from, arc.to, arc.heading, arc.cost), (a, b, Heading::East, 16));
        assert_eq!(layout.edges[1].1.heading, Heading::North);
        assert_eq!(layout.stations[0].1, [layout.node("c").unwrap()]);
        assert!(layout.graph("hall.json").unwrap().leads(a, b));
    }

    #[test]
    fn an_edge_to_an_unknown_node_is_refused_by_its_name() {
        let complaint = Sketch::square().with_edge(("ax", "a", "x")).parse().unwrap_err();
        assert!(complaint.what.contains("\"ax\"") && complaint.what.contains("\"x\""), "{complaint}");
    }

    #[test]
    fn an_edge_onto_itself_or_a_second_one_is_refused() {
        assert!(Sketch::square().with_edge(("aa", "a", "a")).parse().unwrap_err().what.contains("\"aa\""));
        assert!(
            Sketch::square().with_edge(("ab2", "a", "b")).parse().unwrap_err().what.contains("two edges")
        );
    }

    #[test]
    fn a_station_at_an_unknown_node_is_refused() {
        let sketch = Sketch { station_node: "x", ..Sketch::square() };
        assert!(sketch.parse().unwrap_err().what.contains("\"dock\""));
    }

    #[test]
    fn a_type_without_nodes_or_a_layout_that_is_not_there_is_refused() {
        let text = Sketch::square().text();
        assert!(Layout::parse("hall.json", &text, "hall", "lifter").is_err());
        assert!(Layout::parse("hall.json", &text, "yard", "mover").is_err());
        assert!(Layout::parse("hall.json", "{", "hall", "mover").unwrap_err().position.is_some());
    }
}
