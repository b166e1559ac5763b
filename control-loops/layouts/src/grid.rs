//! Cells in rows, and the graph between free neighbours.

use control_loops_fleet::{Arc, Graph, Heading, Node, UNIT};
use hal_diagnostics::Diagnostic;

use crate::complaint;
use crate::guidance::guided;

/// Most cells of a grid in one direction.
pub const SIDE_MAX: usize = 1024;

/// What a cell is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cell {
    /// Nobody gets there.
    Blocked,
    /// A free place.
    Free,
    /// A free place at a work station.
    Workstation,
    /// A free place beside a shelf.
    Endpoint,
    /// A free place where a battery is charged.
    Charger,
    /// A free place where nobody is in the way.
    Parking,
}

/// A grid map. Columns count from the left, rows from the top, both from 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grid {
    width: usize,
    cells: Vec<Cell>,
    /// The node of each cell, and the cell of each node.
    node: Vec<Option<Node>>,
    cell: Vec<usize>,
}

impl Grid {
    /// A grid from its rows; `file` is the text's name and `line` the first row's line, for complaints.
    ///
    /// # Errors
    /// If there are no rows, rows of different lengths, more than [`SIDE_MAX`] rows or columns, or characters
    /// without a meaning.
    pub fn from_rows<'a>(
        file: &str,
        line: usize,
        rows: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, Diagnostic> {
        let mut grid = Self { width: 0, cells: Vec::new(), node: Vec::new(), cell: Vec::new() };
        for (index, row) in rows.into_iter().enumerate() {
            let wrong = |column: usize, what: String, remedy: &str| {
                Err(complaint(file, Some((line + index, column)), what, remedy))
            };
            let length = row.chars().count();
            if index == 0 {
                grid.width = length;
            }
            if length != grid.width || length == 0 {
                let what = format!("this row has {length} cells, the first one {}", grid.width);
                return wrong(1, what, "make all rows equally long, of at least one cell");
            }
            if length > SIDE_MAX || index >= SIDE_MAX {
                return wrong(
                    1,
                    format!("the map is larger than {SIDE_MAX} cells in a direction"),
                    "split it",
                );
            }
            for (column, character) in row.chars().enumerate() {
                let Some(cell) = Cell::from_char(character) else {
                    let what = format!("{character:?} is no cell");
                    return wrong(column + 1, what, "use . or G (free), w, e, c, p, and @, O or T (blocked)");
                };
                grid.push(cell);
            }
        }
        if grid.cells.is_empty() {
            return Err(complaint(file, None, "the map has no rows".to_owned(), "give at least one row"));
        }
        Ok(grid)
    }

    fn push(&mut self, cell: Cell) {
        let node = (cell != Cell::Blocked).then_some(Node(self.cell.len() as u32));
        if node.is_some() {
            self.cell.push(self.cells.len());
        }
        self.node.push(node);
        self.cells.push(cell);
    }

    /// Columns.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rows.
    #[must_use]
    pub fn height(&self) -> usize {
        self.cells.len().checked_div(self.width).unwrap_or(0)
    }

    /// The node on a cell, counted in rows from the top left; `None` if nobody gets there.
    #[must_use]
    pub fn node_of(&self, cell: usize) -> Option<Node> {
        self.node.get(cell).copied().flatten()
    }

    /// The cell that a node is on, counted in rows from the top left.
    #[must_use]
    pub fn cell_of(&self, node: Node) -> Option<usize> {
        self.cell.get(node.0 as usize).copied()
    }

    /// What the cell of a node is for.
    #[must_use]
    pub fn kind_of(&self, node: Node) -> Option<Cell> {
        self.cells.get(self.cell_of(node)?).copied()
    }

    /// All nodes on cells of a kind.
    pub fn nodes_on(&self, kind: Cell) -> impl Iterator<Item = Node> + '_ {
        let of_kind = move |(cell, node): (&Cell, &Option<Node>)| node.filter(|_| *cell == kind);
        self.cells.iter().zip(&self.node).filter_map(of_kind)
    }

    /// How many free cells there are.
    #[must_use]
    pub fn nodes(&self) -> usize {
        self.cell.len()
    }

    /// All connections between free cells side by side.
    ///
    /// Rows and columns have a direction in turn; moving against it costs `against` more, in the unit of
    /// [`UNIT`], so that opposing streams take different lanes. 0 leaves all directions equal.
    #[must_use]
    pub fn arcs(&self, against: u8) -> Vec<Arc> {
        let mut arcs = Vec::new();
        for (index, cell) in self.cell.iter().enumerate() {
            let from = Node(index as u32);
            let (row, column) = (cell / self.width, cell % self.width);
            for heading in Heading::ALL {
                let (next, along) = match heading {
                    Heading::East if column + 1 < self.width => (cell + 1, row % 2 == 0),
                    Heading::South => (cell + self.width, column % 2 == 0),
                    Heading::West if column > 0 => (cell - 1, row % 2 == 1),
                    Heading::North if row > 0 => (cell - self.width, column % 2 == 1),
                    Heading::East | Heading::West | Heading::North => continue,
                };
                if let Some(to) = self.node_of(next) {
                    let cost = UNIT as u8 + if along { 0 } else { against };
                    arcs.push(Arc { from, to, heading, cost });
                }
            }
        }
        arcs
    }

    /// As [`Grid::graph`], with costs that lead dense traffic of vehicles that turn past itself: for where they
    /// stand on so many of the cells that they meet at every turn. Few find shorter ways without.
    ///
    /// # Errors
    /// If no cell is free.
    pub fn guided_graph(&self, file: &str, against: u8) -> Result<Graph, Diagnostic> {
        let against = against.min(u8::MAX - UNIT as u8);
        self.graph_of(file, &guided(self.nodes(), &self.arcs(against)))
    }

    /// The graph of [`Grid::arcs`]; `file` is the text's name, for complaints.
    ///
    /// # Errors
    /// If no cell is free.
    pub fn graph(&self, file: &str, against: u8) -> Result<Graph, Diagnostic> {
        let against = against.min(u8::MAX - UNIT as u8);
        self.graph_of(file, &self.arcs(against))
    }

    fn graph_of(&self, file: &str, arcs: &[Arc]) -> Result<Graph, Diagnostic> {
        Graph::new(self.nodes(), arcs).map_err(|error| {
            complaint(file, None, format!("the map is no layout: {error:?}"), "give a map with free cells")
        })
    }
}

impl Cell {
    /// The characters of MovingAI maps, `w` and `e` of the warehouse maps, and two of our own.
    const fn from_char(character: char) -> Option<Self> {
        match character {
            '.' | 'G' => Some(Self::Free),
            'w' => Some(Self::Workstation),
            'e' => Some(Self::Endpoint),
            'c' => Some(Self::Charger),
            'p' => Some(Self::Parking),
            '@' | 'O' | 'T' => Some(Self::Blocked),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid(rows: &[&str]) -> Grid {
        Grid::from_rows("test.map", 5, rows.iter().copied()).unwrap()
    }

    #[test]
    fn free_cells_are_nodes_in_the_order_of_reading() {
        let grid = grid(&["w@e", "..."]);
        assert_eq!((grid.width(), grid.height(), grid.nodes()), (3, 2, 5));
        assert_eq!(grid.node_of(1), None);
        assert_eq!(grid.node_of(2), Some(Node(1)));
        assert_eq!(grid.cell_of(Node(1)), Some(2));
        assert_eq!(grid.nodes_on(Cell::Workstation).collect::<Vec<_>>(), [Node(0)]);
    }

    #[test]
    fn neighbours_are_connected_both_ways_and_nobody_leaves_the_map() {
        let arcs = grid(&["..", ".."]).arcs(0);
        assert_eq!(arcs.len(), 8);
        for arc in &arcs {
            assert!(arcs.iter().any(|back| (back.from, back.to) == (arc.to, arc.from)));
        }
    }

    #[test]
    fn lanes_alternate_from_row_to_row() {
        let arcs = grid(&["..", ".."]).arcs(6);
        let cost = |from, to| arcs.iter().find(|arc| (arc.from.0, arc.to.0) == (from, to)).unwrap().cost;
        assert_eq!((cost(0, 1), cost(1, 0), cost(2, 3), cost(3, 2)), (8, 14, 14, 8));
    }

    #[test]
    fn a_row_of_another_length_is_refused_with_its_line() {
        let complaint = Grid::from_rows("test.map", 5, ["...", ".."]).unwrap_err();
        assert_eq!(complaint.position, Some((6, 1)));
    }

    #[test]
    fn a_character_without_a_meaning_is_refused_with_its_place() {
        let complaint = Grid::from_rows("test.map", 5, ["..x"]).unwrap_err();
        assert_eq!(complaint.position, Some((5, 3)));
    }
}
