//! Actions of an order: what waits, what runs, and what may go on meanwhile.
//!
//! Actions of a node or an edge join a queue when the vehicle gets there, in their order. One that tolerates
//! others (none, soft) starts beside those that run; one that does not (single, hard) starts alone. While a
//! soft or hard one is in the queue the vehicle does not drive (VDA 5050 2.1.0, section 6.9; 3.0.0, 6.2.2).

use hal_units::Duration;
use hal_vda5050::{Action, ActionStatus, Blocking, Value};

/// Finished actions that an order keeps in its state.
const KEPT_MAX: usize = 64;

/// An action, and how far it is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Task {
    pub(crate) action: Action,
    /// The number of its node or edge.
    pub(crate) place: u32,
    pub(crate) status: ActionStatus,
    /// Whether the vehicle has come to its place.
    queued: bool,
    left: Duration,
}

/// All actions of an order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tasks {
    tasks: Vec<Task>,
}

/// How long each kind takes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    pub(crate) handling: Duration,
}

impl Times {
    /// What an order may ask for at nodes and edges.
    pub(crate) const KNOWN: [&'static str; 8] = [
        "pick",
        "drop",
        "startCharging",
        "stopCharging",
        "finePositioning",
        "detectObject",
        "waitForTrigger",
        "wait",
    ];

    fn of(self, action: &Action) -> Duration {
        match action.action_type.as_str() {
            "pick" | "drop" => self.handling,
            "finePositioning" | "detectObject" => Duration::from_millis(500),
            "waitForTrigger" => Duration::MAX,
            "wait" => {
                let seconds = action.parameters.iter().find(|(key, _)| key == "seconds");
                let seconds = seconds.and_then(|(_, value)| match value {
                    Value::Number(number) => Duration::try_from_secs_f64(*number).ok(),
                    Value::Text(_) | Value::Flag(_) => None,
                });
                seconds.unwrap_or(Duration::from_secs(1))
            }
            _ => Duration::ZERO,
        }
    }
}

impl Tasks {
    pub(crate) fn clear(&mut self) {
        self.tasks.clear();
    }

    pub(crate) fn all(&self) -> &[Task] {
        &self.tasks
    }

    /// Adds the actions of a node or edge; those that are known already stay as they are.
    pub(crate) fn add(&mut self, place: u32, actions: &[Action], times: Times) {
        for action in actions {
            if !self.tasks.iter().any(|task| task.action.action_id == action.action_id) {
                let (action, status) = (action.clone(), ActionStatus::Waiting);
                let left = times.of(&action);
                self.tasks.push(Task { action, place, status, queued: false, left });
            }
        }
    }

    /// Forgets what waits beyond a number: a horizon that is replaced.
    pub(crate) fn drop_after(&mut self, place: u32) {
        self.tasks.retain(|task| task.place <= place || task.status != ActionStatus::Waiting);
        let over = self.tasks.iter().filter(|task| task.status.is_over()).count();
        let mut surplus = over.saturating_sub(KEPT_MAX);
        self.tasks.retain(|task| {
            let goes = surplus > 0 && task.status.is_over();
            surplus -= usize::from(goes);
            !goes
        });
    }

    /// The vehicle is at a node or on an edge: its actions join the queue.
    pub(crate) fn arrive(&mut self, place: u32) {
        for task in self.tasks.iter_mut().filter(|task| task.place == place) {
            task.queued = true;
        }
    }

    /// The vehicle leaves an edge: its actions end.
    pub(crate) fn leave(&mut self, place: u32) -> bool {
        let mut changed = false;
        for task in self.tasks.iter_mut().filter(|task| task.place == place && !task.status.is_over()) {
            task.status = ActionStatus::Finished;
            changed = true;
        }
        changed
    }

    /// Whether the vehicle has to stop at a place.
    pub(crate) fn stops_at(&self, place: u32) -> bool {
        self.tasks.iter().any(|task| task.place == place && !task.status.is_over() && stops(&task.action))
    }

    /// Whether what is in the queue keeps the vehicle from driving.
    pub(crate) fn forbid_driving(&self) -> bool {
        self.queue().any(|task| stops(&task.action))
    }

    /// Whether an action at the places up to a number is not over.
    pub(crate) fn open_until(&self, place: u32) -> bool {
        self.tasks.iter().any(|task| task.place <= place && !task.status.is_over())
    }

    /// Whether any action runs.
    pub(crate) fn any_runs(&self) -> bool {
        self.tasks.iter().any(|task| task.status == ActionStatus::Running)
    }

    fn queue(&self) -> impl Iterator<Item = &Task> {
        self.tasks.iter().filter(|task| task.queued && !task.status.is_over())
    }

    /// Starts what may start; returns whether anything did.
    pub(crate) fn start(&mut self) -> bool {
        let running = |task: &Task| task.queued && task.status == ActionStatus::Running;
        let mut changed = false;
        for index in 0..self.tasks.len() {
            let alone = self.tasks.iter().any(|task| running(task) && is_alone(&task.action));
            let others = self.tasks.iter().any(running);
            let Some(task) = self.tasks.get_mut(index) else { break };
            if !task.queued || task.status != ActionStatus::Waiting {
                continue;
            }
            if alone || (others && is_alone(&task.action)) {
                break;
            }
            task.status = ActionStatus::Running;
            changed = true;
        }
        changed
    }

    /// Lets time pass for what runs; returns the actions that are at their end.
    pub(crate) fn pass(&mut self, time: Duration) -> Vec<(String, String)> {
        let mut ended = Vec::new();
        for task in self.tasks.iter_mut().filter(|task| task.status == ActionStatus::Running) {
            if task.left != Duration::MAX {
                task.left = task.left.saturating_sub(time);
            }
            if task.left.is_zero() {
                ended.push((task.action.action_id.clone(), task.action.action_type.clone()));
            }
        }
        ended
    }

    /// Ends an action; returns whether it was there and not over.
    pub(crate) fn end(&mut self, action_id: &str, status: ActionStatus) -> bool {
        let task = self.tasks.iter_mut().find(|task| task.action.action_id == action_id);
        match task.filter(|task| !task.status.is_over()) {
            Some(task) => {
                task.status = status;
                true
            }
            None => false,
        }
    }

    /// Lets a failed action that may be tried again run once more.
    pub(crate) fn retry(&mut self, action_id: &str, times: Times) -> bool {
        let task = self.tasks.iter_mut().find(|task| task.action.action_id == action_id);
        match task.filter(|task| task.status == ActionStatus::Retriable) {
            Some(task) => {
                (task.status, task.left) = (ActionStatus::Running, times.of(&task.action));
                true
            }
            None => false,
        }
    }

    /// Lets go on what waits for a trigger; returns whether anything did.
    pub(crate) fn trigger(&mut self) -> bool {
        let waits = |task: &&mut Task| {
            task.status == ActionStatus::Running && task.action.action_type == "waitForTrigger"
        };
        let mut any = false;
        for task in self.tasks.iter_mut().filter(waits) {
            task.status = ActionStatus::Finished;
            any = true;
        }
        any
    }

    /// Everything that is not over fails.
    pub(crate) fn fail(&mut self) {
        for task in self.tasks.iter_mut().filter(|task| !task.status.is_over()) {
            task.status = ActionStatus::Failed;
        }
    }
}

fn stops(action: &Action) -> bool {
    match action.blocking {
        Blocking::Soft | Blocking::Hard => true,
        Blocking::None | Blocking::Single => false,
    }
}

fn is_alone(action: &Action) -> bool {
    match action.blocking {
        Blocking::Single | Blocking::Hard => true,
        Blocking::None | Blocking::Soft => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMES: Times = Times { handling: Duration::from_secs(3) };

    fn at_one_node(kinds: &[Blocking]) -> Tasks {
        let action = |(index, blocking): (usize, &Blocking)| Action {
            action_type: "pick".to_owned(),
            action_id: index.to_string(),
            blocking: *blocking,
            parameters: Vec::new(),
        };
        let actions: Vec<Action> = kinds.iter().enumerate().map(action).collect();
        let mut tasks = Tasks::default();
        tasks.add(2, &actions, TIMES);
        tasks.arrive(2);
        tasks
    }

    fn running(tasks: &Tasks) -> Vec<&str> {
        let runs = |task: &&Task| task.status == ActionStatus::Running;
        tasks.all().iter().filter(runs).map(|task| task.action.action_id.as_str()).collect()
    }

    #[test]
    fn tolerant_actions_run_together_and_an_intolerant_one_waits_for_them() {
        let mut tasks = at_one_node(&[Blocking::None, Blocking::Soft, Blocking::Hard, Blocking::None]);
        tasks.start();
        assert_eq!(running(&tasks), ["0", "1"]);
        for id in ["0", "1"] {
            assert!(tasks.end(id, ActionStatus::Finished));
        }
        tasks.start();
        assert_eq!(running(&tasks), ["2"], "the hard one alone");
    }

    #[test]
    fn driving_goes_on_beside_actions_that_allow_it_only() {
        assert!(!at_one_node(&[Blocking::None, Blocking::Single]).forbid_driving());
        assert!(at_one_node(&[Blocking::None, Blocking::Soft]).forbid_driving());
        let mut tasks = at_one_node(&[Blocking::Hard]);
        assert!(tasks.forbid_driving() && tasks.stops_at(2));
        tasks.end("0", ActionStatus::Failed);
        assert!(!tasks.forbid_driving() && !tasks.stops_at(2));
    }
}
