//! What a drill works on: a site of its own, or a pair that runs already.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::admin::{self, Standing};
use super::inject::Pair;
use super::lab::Lab;
use super::{DrillError, Side};

/// How often a pair is asked whether it is whole.
const ASK_INTERVAL: Duration = Duration::from_millis(50);
/// For so long it has to stand unchanged.
const STEADY_FOR: Duration = Duration::from_millis(500);

/// The pair under test.
pub(super) struct Rig {
    /// `None` if the pair runs on its own.
    pub(super) lab: Option<Lab>,
    /// Admin sockets.
    pub(super) sockets: [PathBuf; 2],
    /// The simulator's log.
    pub(super) write_log: PathBuf,
}

impl Rig {
    /// A site of the drill's own.
    pub(super) fn of_lab(lab: Lab) -> Self {
        let sockets = [Side::A, Side::B].map(|side| lab.socket(side).to_owned());
        let write_log = lab.write_log().to_owned();
        Self { lab: Some(lab), sockets, write_log }
    }

    /// A pair that runs.
    pub(super) fn running(sockets: [PathBuf; 2], write_log: &Path) -> Self {
        Self { lab: None, sockets, write_log: write_log.to_owned() }
    }

    /// A node's admin socket.
    pub(super) fn socket(&self, side: Side) -> &Path {
        let socket: &PathBuf = side.of(&self.sockets);
        socket
    }

    /// What a node says.
    pub(super) fn standing(&self, side: Side) -> Result<Standing, String> {
        admin::standing(self.socket(side))
    }

    /// Whether a node says that it is active.
    pub(super) fn is_active(&self, side: Side) -> bool {
        self.standing(side).is_ok_and(|standing| standing.role == "active")
    }

    /// Waits until one node is active, the other stands by, nothing is lacking, `ready` says so, and it
    /// stays so for half a second. `Ok(Err(why))` says why it is not whole in time; `turn` is called in between.
    pub(super) fn whole(
        &mut self,
        within: Duration,
        ready: impl Fn(&Pair) -> Result<(), String>,
        mut turn: impl FnMut() -> Result<(), DrillError>,
    ) -> Result<Result<Pair, String>, DrillError> {
        let deadline = Instant::now() + within;
        let mut since: Option<(Instant, Side, u64)> = None;
        loop {
            turn()?;
            if let Some(lab) = &mut self.lab {
                lab.check()?;
            }
            let why = match self.pair().and_then(|pair| ready(&pair).map(|()| pair)) {
                Ok(pair) => {
                    let epoch = pair.active.of(&pair.standings).epoch;
                    match since {
                        Some((since, side, then)) if (side, then) == (pair.active, epoch) => {
                            if since.elapsed() >= STEADY_FOR {
                                return Ok(Ok(pair));
                            }
                        }
                        Some(_) | None => since = Some((Instant::now(), pair.active, epoch)),
                    }
                    "it changed again and again".to_owned()
                }
                Err(why) => {
                    since = None;
                    why
                }
            };
            if Instant::now() > deadline {
                return Ok(Err(format!("the pair is not whole after {} s: {why}", within.as_secs())));
            }
            std::thread::sleep(ASK_INTERVAL);
        }
    }

    fn pair(&self) -> Result<Pair, String> {
        let ask = |side: Side| {
            self.standing(side).map_err(|error| format!("node {} does not answer: {error}", side.name()))
        };
        let standings = [ask(Side::A)?, ask(Side::B)?];
        let active = match &standings {
            [a, b] if a.role == "active" && b.role == "standby" => Side::A,
            [a, b] if a.role == "standby" && b.role == "active" => Side::B,
            [a, b] => return Err(format!("node a is {}, node b is {}", a.role, b.role)),
        };
        for (side, standing) in [Side::A, Side::B].into_iter().zip(&standings) {
            if !standing.lacks.is_empty() {
                return Err(format!("node {} lacks {}", side.name(), standing.lacks.join(", ")));
            }
        }
        Ok(Pair { active, standings })
    }
}
