//! Instances of the League of Robot Runners (2023): which files belong together, starts and tasks.

use control_loops_fleet::Node;
use hal_diagnostics::Diagnostic;
use serde::Deserialize;

use crate::grid::Grid;
use crate::{complaint, from_json};

/// Most lines of a list.
const LIST_MAX: usize = 1 << 22;

/// The instance's own text: names of the other files, relative to it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Instance {
    /// The map, in MovingAI's format.
    pub map_file: String,
    /// Where the vehicles start.
    pub agent_file: String,
    /// How many vehicles there are.
    pub team_size: usize,
    /// Where the errands lead.
    pub task_file: String,
    /// How many errands of each vehicle are known at a time.
    pub num_tasks_reveal: usize,
    /// How errands are handed out.
    pub task_assignment_strategy: Strategy,
}

/// How errands are handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Strategy {
    /// Errand `i` is for vehicle `i` modulo their number.
    RoundRobin,
}

impl Instance {
    /// Reads an instance's own text.
    ///
    /// # Errors
    /// If a field is missing or its value is none that is known.
    pub fn parse(file: &str, text: &str) -> Result<Self, Diagnostic> {
        from_json(file, text, "give an instance of the League of Robot Runners 2023")
    }
}

/// Reads a list of cells: their number, then one cell a line, counted in rows from the top left.
///
/// # Errors
/// If the number does not fit the list, or a cell is none that a vehicle can be on.
pub fn parse_cells(file: &str, text: &str, grid: &Grid) -> Result<Vec<Node>, Diagnostic> {
    let mut lines = text.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty());
    let remedy = "begin with how many there are, then give one cell a line";
    let number = |line: &str, at: usize| {
        let wrong = || complaint(file, Some((at, 1)), format!("{:?} is no number", line.trim()), remedy);
        line.trim().parse::<usize>().map_err(|_| wrong())
    };
    let (first, at) = lines.next().unwrap_or(("", 1));
    let count = number(first, at)?;
    let mut cells = Vec::with_capacity(count.min(LIST_MAX));
    for (line, at) in lines {
        let cell = number(line, at)?;
        let Some(node) = grid.node_of(cell) else {
            let what = format!("no vehicle can be on cell {cell}");
            return Err(complaint(file, Some((at, 1)), what, "give free cells of the map"));
        };
        cells.push(node);
    }
    if cells.len() != count {
        let what = format!("the list says {count} entries, there are {}", cells.len());
        return Err(complaint(file, Some((1, 1)), what, "correct the number or complete the list"));
    }
    Ok(cells)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid() -> Grid {
        Grid::from_rows("a.map", 1, ["..@", "..."]).unwrap()
    }

    #[test]
    fn a_list_of_cells_becomes_nodes() {
        assert_eq!(parse_cells("a.tasks", "2\n0\n3\n", &grid()).unwrap(), [Node(0), Node(2)]);
    }

    #[test]
    fn a_blocked_cell_is_refused_with_its_line() {
        assert_eq!(parse_cells("a.tasks", "2\n0\n2\n", &grid()).unwrap_err().position, Some((3, 1)));
        assert_eq!(parse_cells("a.tasks", "1\n99\n", &grid()).unwrap_err().position, Some((2, 1)));
    }

    #[test]
    fn a_list_that_is_too_short_is_refused() {
        assert!(parse_cells("a.tasks", "3\n0\n1\n", &grid()).unwrap_err().what.contains("there are 2"));
        assert!(parse_cells("a.tasks", "", &grid()).is_err());
    }

    #[test]
    fn an_unknown_strategy_is_refused() {
        let text = |strategy: &str| {
            format!(
                r#"{{"mapFile": "m", "agentFile": "a", "teamSize": 2, "taskFile": "t",
                "numTasksReveal": 1, "taskAssignmentStrategy": "{strategy}"}}"#
            )
        };
        assert_eq!(Instance::parse("i.json", &text("roundrobin")).unwrap().team_size, 2);
        assert!(Instance::parse("i.json", &text("greedy")).is_err());
    }
}
