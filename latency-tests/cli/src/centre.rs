//! The demo's centre: signs plans and offers them to agents.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use agent_plan::document::{Activation, Demand, PlanLimits, Rollout, SchedulingPlan, SignedPlan, Target};
use agent_plan::wire::{Answer, Ask, PlanStatus, Verdict, read_frame, write_frame};
use agent_plan::{PlanKey, Request};

/// The private key, in the demo's folder.
const KEY: &str = "centre.key";
/// The demo's site.
const SITE: &str = "demo";
/// The least power limit of a plan.
const LIMIT_W: u64 = 2_000_000;
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Signs plans for the demo's turbines.
pub(crate) struct Centre {
    key: PlanKey,
    turbines: usize,
    /// How long a plan is tried.
    soak_ms: u64,
}

impl Centre {
    pub(crate) fn of(folder: &Path, turbines: usize, soak_ms: u64) -> Result<Self, String> {
        let path = folder.join(KEY);
        let failed = |why: String| format!("{}: {why}", path.display());
        let pem = std::fs::read_to_string(&path).map_err(|error| failed(error.to_string()))?;
        let key = PlanKey::from_pem(&pem).map_err(|error| failed(error.to_string()))?;
        Ok(Self { key, turbines, soak_ms })
    }

    /// A plan that lets all turbines run, each epoch with another power limit.
    pub(crate) fn plan(&self, epoch: u32) -> SignedPlan {
        let demands = (1..=self.turbines).map(|at| Demand {
            unit: format!("WT{at:02}"),
            request: Request::Run,
            power_limit_w: Some(LIMIT_W + u64::from(epoch % 1000) * 1000),
        });
        self.key.sign(SchedulingPlan {
            name: format!("plan-{epoch}"),
            epoch,
            target: Target { site: SITE.to_owned(), nodes: Vec::new() },
            tasks: Vec::new(),
            demands: demands.collect(),
            schedules: Vec::new(),
            wakes: Vec::new(),
            transports: Vec::new(),
            rules: Vec::new(),
            limits: PlanLimits::default(),
            activation: Activation::default(),
            expires_at: None,
            rollout: Rollout { canary: None, soak_ms: self.soak_ms, max_failures: 0 },
        })
    }
}

/// An agent's socket for plans.
pub(crate) struct Inbox(pub(crate) PathBuf);

impl Inbox {
    /// Offers a plan; whether it was taken.
    pub(crate) fn offer(&self, json: Vec<u8>) -> Result<Verdict, String> {
        match self.exchange(&Ask::Offer(json))? {
            Answer::Verdict(verdict) => Ok(verdict),
            Answer::Status(_) | Answer::Plan(_) | Answer::Fleet(_) | Answer::Done => Err(self.strange()),
        }
    }

    pub(crate) fn status(&self) -> Result<PlanStatus, String> {
        match self.exchange(&Ask::Status)? {
            Answer::Status(status) => Ok(*status),
            Answer::Verdict(_) | Answer::Plan(_) | Answer::Fleet(_) | Answer::Done => Err(self.strange()),
        }
    }

    fn strange(&self) -> String {
        format!("{}: an answer to another question", self.0.display())
    }

    fn exchange(&self, ask: &Ask) -> Result<Answer, String> {
        let exchanged = || {
            let mut stream = UnixStream::connect(&self.0)?;
            stream.set_read_timeout(Some(ANSWER_WITHIN))?;
            let (kind, body) = ask.encode();
            write_frame(&mut stream, kind, &body)?;
            Answer::decode(&read_frame(&mut stream)?).map_err(std::io::Error::other)
        };
        exchanged().map_err(|error: std::io::Error| format!("{}: {error}", self.0.display()))
    }
}
