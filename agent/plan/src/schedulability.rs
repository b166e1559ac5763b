//! Response-time analysis of periodic tasks under fixed-priority preemptive scheduling.
//!
//! # Problem
//!
//! A task set is admitted only if each task, in the worst case, is done by its deadline.
//!
//! # Model
//!
//! Each core is analysed by itself; tasks are pinned. The worst-case response of a task is the least
//! fixed point of `R = C + B + sum over tasks of higher or equal priority of ceil((R + J) / T) * C`
//! (Joseph and Pandya 1986; with release jitter Audsley et al. 1993), with deadlines at most as long as
//! the period. Equal priorities delay each other, as SCHED_FIFO serves them in order of arrival.

use core::fmt;

use hal_units::Duration;

/// A periodic task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// Name, for the report.
    pub name: String,
    /// The core it is pinned to.
    pub core: u16,
    /// SCHED_FIFO priority, 1 to 99, higher first.
    pub priority: u8,
    /// T: time between two releases.
    pub period: Duration,
    /// D: time from the release by which it must be done; at most the period.
    pub deadline: Duration,
    /// C: the most processor time of one run, the larger of declared and measured.
    pub budget: Duration,
    /// J: the most by which a release may be late.
    pub jitter: Duration,
    /// B: the most by which a task of lower priority may hold it up.
    pub blocking: Duration,
}

/// An admitted task with its worst-case response time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The task's name.
    pub name: String,
    /// Worst case from release to completion, release jitter included.
    pub response: Duration,
    /// Its deadline.
    pub deadline: Duration,
}

/// Why a task set is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// A parameter is out of its range.
    Parameter {
        /// The task's name.
        task: String,
        /// What is wrong.
        what: &'static str,
    },
    /// A task misses its deadline in the worst case.
    Deadline {
        /// The task's name.
        task: String,
        /// The response time at which the analysis gave up: at least this long.
        response: Duration,
        /// The deadline that it misses.
        deadline: Duration,
        /// Load of the task's core, in thousandths.
        load_permille: u64,
        /// The tasks that delay it.
        delayed_by: Vec<String>,
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Parameter { task, what } => write!(f, "task `{task}`: {what}"),
            Self::Deadline { task, response, deadline, load_permille, delayed_by } => write!(
                f,
                "task `{task}` needs at least {response:?} in the worst case, its deadline is {deadline:?}; \
                 its core is loaded to {:.1} %; delayed by: {}",
                *load_permille as f64 / 10.0,
                if delayed_by.is_empty() { "nobody".to_owned() } else { delayed_by.join(", ") },
            ),
        }
    }
}

impl std::error::Error for Refusal {}

/// Admits a task set, or says who misses what.
///
/// # Errors
/// [`Refusal::Parameter`] for a task that makes no sense, [`Refusal::Deadline`] for the first task, in
/// the given order, that misses its deadline.
pub fn admit(tasks: &[Task]) -> Result<Vec<Response>, Refusal> {
    for task in tasks {
        check(task)?;
    }
    tasks.iter().enumerate().map(|(at, task)| respond(tasks, at, task)).collect()
}

fn check(task: &Task) -> Result<(), Refusal> {
    let refuse = |what| Err(Refusal::Parameter { task: task.name.clone(), what });
    if task.period.is_zero() || task.period > Duration::from_secs(3600) {
        return refuse("the period must be above zero and at most an hour");
    }
    if task.budget.is_zero() {
        return refuse("the budget must be above zero");
    }
    if task.deadline > task.period {
        return refuse("the deadline must not be longer than the period");
    }
    if !(1..=99).contains(&task.priority) {
        return refuse("the priority must be 1 to 99");
    }
    Ok(())
}

fn respond(tasks: &[Task], at: usize, task: &Task) -> Result<Response, Refusal> {
    let others: Vec<&Task> = tasks
        .iter()
        .enumerate()
        .filter(|(other_at, other)| {
            *other_at != at && other.core == task.core && other.priority >= task.priority
        })
        .map(|(_, other)| other)
        .collect();
    let own = nanos(task.budget) + nanos(task.blocking);
    let jitter = nanos(task.jitter);
    let deadline = nanos(task.deadline);
    let mut window = own;
    loop {
        let interference: u128 = others
            .iter()
            .map(|other| (window + nanos(other.jitter)).div_ceil(nanos(other.period)) * nanos(other.budget))
            .sum();
        let next = own + interference;
        if next + jitter > deadline {
            return Err(Refusal::Deadline {
                task: task.name.clone(),
                response: duration(next + jitter),
                deadline: task.deadline,
                load_permille: load_permille(tasks, task.core),
                delayed_by: others.iter().map(|other| other.name.clone()).collect(),
            });
        }
        if next == window {
            return Ok(Response {
                name: task.name.clone(),
                response: duration(next + jitter),
                deadline: task.deadline,
            });
        }
        window = next;
    }
}

/// Load of a core in thousandths: the sum of budget over period.
#[must_use]
pub fn load_permille(tasks: &[Task], core: u16) -> u64 {
    let load: u128 = tasks
        .iter()
        .filter(|task| task.core == core && !task.period.is_zero())
        .map(|task| nanos(task.budget) * 1000 / nanos(task.period))
        .sum();
    u64::try_from(load).unwrap_or(u64::MAX)
}

fn nanos(span: Duration) -> u128 {
    span.as_nanos()
}

fn duration(nanos: u128) -> Duration {
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn task(name: &str, priority: u8, period_ms: u64, budget_ms: u64) -> Task {
        Task {
            name: name.to_owned(),
            core: 0,
            priority,
            period: Duration::from_millis(period_ms),
            deadline: Duration::from_millis(period_ms),
            budget: Duration::from_millis(budget_ms),
            jitter: Duration::ZERO,
            blocking: Duration::ZERO,
        }
    }

    fn responses_ms(tasks: &[Task]) -> Vec<u128> {
        admit(tasks).unwrap().iter().map(|response| response.response.as_millis()).collect()
    }

    #[test]
    fn the_textbook_set_has_its_textbook_responses() {
        // Burns and Wellings, Real-Time Systems and Programming Languages, table 11.4.
        let tasks = [task("a", 3, 7, 3), task("b", 2, 12, 3), task("c", 1, 20, 5)];
        assert_eq!(responses_ms(&tasks), [3, 6, 20]);
    }

    #[test]
    fn a_task_that_cannot_finish_is_refused_with_numbers() {
        let refusal = admit(&[task("a", 3, 10, 6), task("b", 2, 12, 5)]).unwrap_err();
        let Refusal::Deadline { task, deadline, load_permille, delayed_by, .. } = refusal else {
            panic!("{refusal}");
        };
        assert_eq!((task.as_str(), deadline.as_millis(), load_permille), ("b", 12, 1016));
        assert_eq!(delayed_by, ["a"]);
    }

    #[test]
    fn another_core_does_not_delay() {
        let mut elsewhere = task("b", 9, 10, 9);
        elsewhere.core = 1;
        assert_eq!(responses_ms(&[task("a", 3, 10, 6), elsewhere]), [6, 9]);
    }

    #[test]
    fn equal_priorities_delay_each_other() {
        assert_eq!(responses_ms(&[task("a", 5, 10, 2), task("b", 5, 10, 3)]), [5, 5]);
    }

    #[test]
    fn jitter_of_a_higher_task_lets_it_strike_twice() {
        let mut high = task("high", 2, 5, 2);
        let low = task("low", 1, 20, 3);
        assert_eq!(responses_ms(&[high.clone(), low.clone()])[1], 5);
        high.jitter = Duration::from_millis(1);
        assert_eq!(responses_ms(&[high, low])[1], 7);
    }

    #[test]
    fn senseless_parameters_are_refused() {
        assert!(matches!(admit(&[task("a", 0, 10, 1)]), Err(Refusal::Parameter { .. })));
        assert!(matches!(admit(&[task("a", 1, 0, 1)]), Err(Refusal::Parameter { .. })));
        assert!(matches!(admit(&[task("a", 1, 10, 0)]), Err(Refusal::Parameter { .. })));
    }

    /// Runs the set tick by tick from a common release; one tick is 1 ms.
    fn observed_worst_response_ms(tasks: &[Task], of: usize, ticks: u64) -> u64 {
        let mut left = vec![0_u64; tasks.len()];
        let mut released = vec![0_u64; tasks.len()];
        let mut worst = 0;
        for tick in 0..ticks {
            for (at, task) in tasks.iter().enumerate() {
                if tick % task.period.as_millis() as u64 == 0 {
                    left[at] = task.budget.as_millis() as u64;
                    released[at] = tick;
                }
            }
            let ready = (0..tasks.len()).filter(|at| left[*at] > 0).max_by_key(|at| tasks[*at].priority);
            if let Some(at) = ready {
                left[at] -= 1;
                if at == of && left[at] == 0 {
                    worst = worst.max(tick + 1 - released[at]);
                }
            }
        }
        worst
    }

    proptest! {
        #[test]
        fn no_run_from_a_common_release_exceeds_the_analysis(
            set in proptest::collection::vec((4_u64..40, 1_u64..6), 1..5)
        ) {
            let tasks: Vec<Task> = set
                .iter()
                .enumerate()
                .map(|(at, (period, budget))| task(&at.to_string(), 10 + at as u8, *period, (*budget).min(*period)))
                .collect();
            if let Ok(responses) = admit(&tasks) {
                for (at, response) in responses.iter().enumerate() {
                    let observed = observed_worst_response_ms(&tasks, at, 2_000);
                    prop_assert!(u128::from(observed) <= response.response.as_millis());
                }
            }
        }
    }
}
