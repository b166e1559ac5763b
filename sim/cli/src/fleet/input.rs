//! Maps and instances from files.

use std::path::Path;

use control_loops_fleet::{LayoutError, Node, PlannerError};
use control_loops_layouts::grid::Grid;
use control_loops_layouts::robot_runners::{self, Instance};
use control_loops_layouts::{ggo, movingai};
use hal_diagnostics::{Diagnostic, Document};
use sim_world::fleet::Errands;
use sim_world::fleet::errands::Random;

use crate::failure::Failure;

/// The largest list of tasks that is read, in bytes.
const LIST_BYTES_MAX: u64 = 64 << 20;

/// What a run begins with.
pub(crate) struct Input {
    pub(crate) grid: Grid,
    pub(crate) starts: Vec<Node>,
    pub(crate) errands: Errands,
}

impl Input {
    /// Reads a map with random starts and goals, or an instance with its own.
    pub(crate) fn read(path: &Path, agents: Option<u16>, random: &mut Random) -> Result<Self, Failure> {
        let text = read(path)?;
        let file = path.display().to_string();
        if path.extension().is_some_and(|extension| extension == "map") {
            return Self::on(movingai::parse(&file, &text)?, path, agents, random);
        }
        if text.contains("\"mapFile\"") {
            return Self::instance(&Instance::parse(&file, &text)?, path, agents);
        }
        Self::on(ggo::parse(&file, &text)?, path, agents, random)
    }

    fn on(grid: Grid, path: &Path, agents: Option<u16>, random: &mut Random) -> Result<Self, Failure> {
        let Some(agents) = agents.map(usize::from) else {
            return Err(Failure::arguments(
                "a map does not say how many vehicles there are",
                "give --agents N",
            ));
        };
        let starts = random.places(&grid, agents);
        if starts.len() < agents {
            let what = format!("{agents} vehicles do not fit on {} free cells", grid.nodes());
            return Err(bad(path, what, "give fewer --agents"));
        }
        let errands = Errands::on(&grid, agents, Random::new(random.bits()));
        Ok(Self { grid, starts, errands })
    }

    fn instance(instance: &Instance, path: &Path, agents: Option<u16>) -> Result<Self, Failure> {
        let beside = |name: &str| path.with_file_name("").join(name);
        let map = beside(&instance.map_file);
        let grid = movingai::parse(&map.display().to_string(), &read(&map)?)?;
        let list = |name: &str| -> Result<Vec<Node>, Failure> {
            let list = beside(name);
            Ok(robot_runners::parse_cells(&list.display().to_string(), &read(&list)?, &grid)?)
        };
        let (mut starts, tasks) = (list(&instance.agent_file)?, list(&instance.task_file)?);
        let agents = agents.map_or(instance.team_size, usize::from);
        if agents > starts.len() || tasks.len() < agents {
            let what = format!("{agents} vehicles, but {} starts and {} tasks", starts.len(), tasks.len());
            return Err(bad(path, what, "give fewer --agents"));
        }
        starts.truncate(agents);
        Ok(Self { grid, starts, errands: Errands::Listed { list: tasks, had: vec![0; agents] } })
    }
}

fn read(path: &Path) -> Result<String, Failure> {
    Ok(Document::read_at_most(path, LIST_BYTES_MAX)?.text().to_owned())
}

pub(crate) fn bad(path: &Path, what: String, remedy: &str) -> Failure {
    let file = path.display().to_string();
    Failure::Input(Diagnostic { file, position: None, what, remedy: remedy.to_owned() })
}

/// A layout on which traffic could come to a standstill.
pub(crate) fn no_traffic(file: &str, error: PlannerError) -> Failure {
    let (what, remedy) = match error {
        PlannerError::Full { vehicles, core_nodes } => (
            format!("{vehicles} vehicles leave no room to make way on {core_nodes} cells that form loops"),
            "give fewer --agents or a larger map",
        ),
        PlannerError::Layout(LayoutError::NoCore) => {
            ("no cells form a loop, so no two vehicles can pass".to_owned(), "give a map with loops")
        }
        PlannerError::Layout(LayoutError::Trap { from, at }) => (
            format!("vehicles on cell {} cannot make way for one from cell {}", at.0, from.0),
            "give a map with loops in both directions",
        ),
        PlannerError::Layout(LayoutError::Branches) => {
            ("the map has too many dead ends".to_owned(), "give a smaller map")
        }
        PlannerError::Layout(LayoutError::OneWay { node }) => {
            (format!("free cell {} is cut off from the rest", node.0), "give a map in one piece")
        }
        PlannerError::UnknownNode { vehicle } | PlannerError::SameNode { vehicle } => {
            (format!("vehicle {} does not start on a free cell of its own", vehicle.0), "correct the starts")
        }
    };
    Failure::Input(Diagnostic { file: file.to_owned(), position: None, what, remedy: remedy.to_owned() })
}
